"""Levenberg-Marquardt: damped Gauss-Newton steps with the whole matrix in memory.

The matrix A and the gradient come from the model's own Jacobian (`normal_equations.py`). The linear
readout is solved for exactly in each trial, as in variable projection (Golub & Pereyra, SIAM J.
Numer. Anal. 10, 413, 1973): it follows the other parameters through curved valleys of the loss,
and much longer steps succeed.
"""

from collections.abc import Iterable
from typing import Any

import torch

from sus2bench.training.whole_set.damped import DampedGaussNewton, Step, unit_of
from sus2bench.training.whole_set.normal_equations import NormalEquations, normal_equations
from sus2bench.training.whole_set.objective import Objective

READOUT_DAMPING = 1e-10


class DenseModel:
    """The loss about the present parameters by its normal equations; a `QuadraticModel`."""

    def __init__(self, equations: NormalEquations) -> None:
        self.loss, self.gradient = equations.loss, equations.gradient
        self.costs: dict[str, float] = {}
        self._matrix = equations.matrix

    def step(self, damping: float) -> Step:
        """-(A + damping D)^-1 g, scaled to a unit diagonal first.

        Parameters that nothing depends on, such as those of pairs that never meet, stay.
        """
        diagonal = self._matrix.diagonal()
        active = torch.nonzero(diagonal > 0).squeeze(1)
        step = torch.zeros_like(self.gradient)
        if not len(active):
            return Step(step, 0.0)
        scale = unit_of(diagonal[active])
        matrix = self._matrix.index_select(0, active).index_select(1, active)
        matrix *= scale * scale.unsqueeze(1)
        matrix.diagonal().add_(damping)
        factor, failed = torch.linalg.cholesky_ex(matrix)
        while bool(failed):  # rounding has left it indefinite
            matrix.diagonal().add_(1e-12)
            factor, failed = torch.linalg.cholesky_ex(matrix)
        right = -(scale * self.gradient[active]).unsqueeze(1)
        step[active] = torch.cholesky_solve(right, factor).squeeze(1) * scale
        return Step(step, float(self.gradient @ step + 0.5 * step @ (self._matrix @ step)))


class LevenbergMarquardt(DampedGaussNewton):
    """See `DampedGaussNewton`, with one matrix A for each step.

    Args:
        params: as there.
        damping: as there.
        solve_readout: whether xi and E0 are solved for in each trial, up to a damping of 1e-10.
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
        tolerance: float = 1e-7,
    ) -> None:
        super().__init__(params, damping, tolerance=tolerance)
        self.solve_readout = solve_readout

    def quadratic_model(self, objective: Objective) -> DenseModel:
        """See `DampedGaussNewton`."""
        return DenseModel(normal_equations(objective))

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
