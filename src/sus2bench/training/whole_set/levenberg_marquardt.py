"""Levenberg-Marquardt: damped Gauss-Newton steps with the whole matrix in memory, bent.

The matrix A and the gradient come from the model's own Jacobian (`normal_equations.py`). Errors are
not linear in the parameters, and the loss has long curved valleys. Two things follow them, so that
much longer steps succeed. A step v gets the geodesic acceleration (Transtrum & Sethna,
arXiv:1201.5885), with e'' the second derivative of the errors along v,

    v + a / 2,   (A + damping D) a = -J^T W e''

and the linear readout is solved for exactly in each trial, as in variable projection (Golub &
Pereyra, SIAM J. Numer. Anal. 10, 413, 1973).
"""

from collections.abc import Callable, Iterable
from functools import partial
from typing import Any

import torch
from torch import Tensor

from sus2bench.models.potential import Potential
from sus2bench.training.loss import PotentialLoss
from sus2bench.training.whole_set.damped import DampedGaussNewton, Step, unit_of
from sus2bench.training.whole_set.normal_equations import (
    NormalEquations,
    model_with_jacobian,
    normal_equations,
)
from sus2bench.training.whole_set.objective import Objective

READOUT_DAMPING = 1e-10
MOST_ACCELERATION = 1.5
"""Of the length of v; where a is longer, second derivatives say nothing of the whole step."""


class DenseModel:
    """The loss about the present parameters by its normal equations; a `QuadraticModel`.

    Args:
        equations: there.
        curvature: J^T W e'' (P,) for a step; steps are straight without it.

    Raises:
        FloatingPointError: the matrix is not finite.
    """

    def __init__(
        self, equations: NormalEquations, curvature: Callable[[Tensor], Tensor] | None = None
    ) -> None:
        if not bool(torch.isfinite(equations.matrix).all()):
            raise FloatingPointError(
                "the Gauss-Newton matrix of the training set is not finite: errors or their "
                f"derivatives are too large for float64 (the loss is {equations.loss:g}). Begin "
                "with smaller parameters, or by optimizer=adamw"
            )
        self.loss, self.gradient = equations.loss, equations.gradient
        self.costs: dict[str, float] = {}
        self._matrix, self._curvature = equations.matrix, curvature

    def step(self, damping: float) -> Step:
        """-(A + damping D)^-1 g, scaled to a unit diagonal first, and half the acceleration.

        Parameters that nothing depends on, such as those of pairs that never meet, stay.
        """
        active = torch.nonzero(self._matrix.diagonal() > 0).squeeze(1)
        if not len(active):
            return Step(torch.zeros_like(self.gradient), 0.0)
        system = _Damped(self._matrix, active, damping)
        step = system.solve(-self.gradient)
        change = float(self.gradient @ step + 0.5 * step @ (self._matrix @ step))
        if self._curvature is not None:
            acceleration = system.solve(-self._curvature(step))
            part = system.length(acceleration) / max(system.length(step), 1e-300)
            self.costs["acceleration"] = part
            if part <= MOST_ACCELERATION:
                step = step + acceleration / 2
        return Step(step, change)


class _Damped:
    """(A + damping D)^-1, by a Cholesky factor of its active part."""

    def __init__(self, matrix: Tensor, active: Tensor, damping: float) -> None:
        self._active, self._unit = active, unit_of(matrix.diagonal()[active])
        scaled = matrix.index_select(0, active).index_select(1, active)
        scaled *= self._unit * self._unit.unsqueeze(1)
        scaled.diagonal().add_(damping)
        self._factor, failed = torch.linalg.cholesky_ex(scaled)
        while bool(failed):  # rounding has left it indefinite
            scaled.diagonal().add_(1e-12)
            self._factor, failed = torch.linalg.cholesky_ex(scaled)

    def solve(self, right: Tensor) -> Tensor:
        """For a right side (P,), zero where nothing is active."""
        found = torch.zeros_like(right)
        scaled = (self._unit * right[self._active]).unsqueeze(1)
        found[self._active] = torch.cholesky_solve(scaled, self._factor).squeeze(1) * self._unit
        return found

    def length(self, step: Tensor) -> float:
        """Of a step (P,) in units of D^-1/2."""
        return float((step[self._active] / self._unit).norm())


class LevenbergMarquardt(DampedGaussNewton):
    """See `DampedGaussNewton`, with one matrix A for each step.

    Args:
        params: as there.
        damping: as there.
        solve_readout: whether xi and E0 are solved for in each trial, up to a damping of 1e-10.
        acceleration: whether steps are bent.
        tolerance: as there.

    Raises:
        ValueError: an argument is out of range.
    """

    def __init__(
        self,
        params: Iterable[Any],
        damping: float = 1e-3,
        *,
        solve_readout: bool = True,
        acceleration: bool = True,
        tolerance: float = 1e-7,
    ) -> None:
        super().__init__(params, damping, tolerance=tolerance)
        self.solve_readout, self.acceleration = solve_readout, acceleration

    def check(self, potential: Potential, loss: PotentialLoss) -> None:
        """See `WholeSetOptimizer`."""
        model_with_jacobian(potential)

    def quadratic_model(self, objective: Objective) -> DenseModel:
        """See `DampedGaussNewton`."""
        start = objective.get()
        curvature = partial(objective.curvature, start) if self.acceleration else None
        return DenseModel(normal_equations(objective), curvature)

    def follow(self, objective: Objective) -> None:
        """Solves for the readout."""
        if self.solve_readout:
            solve_readout(objective)


def solve_readout(objective: Objective) -> None:
    """Puts xi and E0 to their optimum for all other parameters there are, up to the damping."""
    equations = normal_equations(objective, readout=True)
    if bool(torch.isfinite(equations.matrix).all()):
        step = DenseModel(equations).step(READOUT_DAMPING).values
        objective.set(objective.get().index_add(0, equations.parameters, step))
