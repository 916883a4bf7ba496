"""Variable projection: L-BFGS over the nonlinear parameters, the linear readout always at its best.

With y the linear readout and x everything else, the loss f(x, y) is minimized as the function
F(x) = min_y f(x, y), which is solved for exactly at every evaluation. Because df/dy = 0 there, the
gradient of F is that of f by x at the solved y (Golub & Pereyra, SIAM J. Numer. Anal. 10, 413,
1973).
"""

import torch
from torch import Tensor, nn

from sus2bench.models.potential import Potential
from sus2bench.training.loss import PotentialLoss
from sus2bench.training.whole_set.lbfgs import LBFGS
from sus2bench.training.whole_set.linear_solve import ReadoutSolver, solvable_readout
from sus2bench.training.whole_set.objective import Objective


def nonlinear_parameters(potential: Potential, loss: PotentialLoss) -> list[nn.Parameter]:
    """The trained parameters that are not part of the readout.

    Raises:
        ValueError: as of `solvable_readout`, or there is none.
    """
    linear = solvable_readout(potential, loss).linear_parameters
    solved = {id(p) for p in [*linear, potential.atomic_energies.values]}
    kept = [p for p in potential.parameters() if p.requires_grad and id(p) not in solved]
    if not kept:
        raise ValueError("all trained parameters are linear: use the linear solve alone")
    return kept


class ReducedObjective:
    """F(x) of an objective; see the top of the file.

    Args:
        objective: of a model with a linear readout, and a loss of mean squares.

    Raises:
        ValueError: as of `nonlinear_parameters`.
    """

    def __init__(self, objective: Objective) -> None:
        self.objective = objective
        self.solver = ReadoutSolver(objective)
        nonlinear = {id(p) for p in nonlinear_parameters(objective.potential, objective.loss)}
        kept = [id(parameter) in nonlinear for parameter in objective.parameters]
        parts = zip(kept, objective.sizes, strict=True)
        self.sizes = [size for size, keep in zip(objective.sizes, kept, strict=True) if keep]
        """Number of variables in each nonlinear parameter."""
        self._kept = torch.cat([torch.full((size,), keep) for keep, size in parts])
        self._kept = self._kept.to(objective.potential.device)

    @property
    def terms(self) -> dict[str, float]:
        """Those of the objective."""
        return self.objective.terms

    def get(self) -> Tensor:
        """The nonlinear parameters x (P,), float64."""
        return self.objective.get()[self._kept]

    def set(self, values: Tensor) -> None:
        """Sets the nonlinear parameters; the readout follows with the next evaluation."""
        everything = self.objective.get()
        everything[self._kept] = values
        self.objective.set(everything)

    def value(self) -> float:
        """F at the present x; solves for the readout."""
        self.solver.solve()
        return self.objective.value()

    def value_and_gradient(self) -> tuple[float, Tensor]:
        """F and its gradient (P,) at the present x; solves for the readout."""
        self.solver.solve()
        value, gradient = self.objective.value_and_gradient()
        return value, gradient[self._kept]


class VariableProjection(LBFGS):
    """L-BFGS on the reduced objective; arguments as of `LBFGS`."""

    _reduced: ReducedObjective | None = None

    def check(self, potential: Potential, loss: PotentialLoss) -> None:
        """See `WholeSetOptimizer`."""
        nonlinear_parameters(potential, loss)

    def problem(self, objective: Objective) -> ReducedObjective:
        """The objective as a function of the nonlinear parameters."""
        if self._reduced is None or self._reduced.objective is not objective:
            self._reduced = ReducedObjective(objective)
        return self._reduced
