"""Levenberg-Marquardt: damped Gauss-Newton steps on the loss of the whole training set.

With gradient g and Gauss-Newton matrix A (`normal_equations.py`) a step solves

    (A + damping D) step = -g,   D = diag(A), but at least a small part of its largest element,

and the damping follows the ratio of the loss's decrease to the one that the quadratic model of the
loss predicts (Marquardt, SIAM J. Appl. Math. 11, 431, 1963; Nielsen, IMM-REP-1999-05). The linear
readout is solved for exactly in each trial, as in variable projection (Golub & Pereyra, SIAM J.
Numer. Anal. 10, 413, 1973): it follows the other parameters through curved valleys of the loss,
and much longer steps succeed.
"""

import math
from collections.abc import Iterable
from typing import Any

import torch
from torch import Tensor

from sus2bench.training.whole_set.normal_equations import NormalEquations, normal_equations
from sus2bench.training.whole_set.objective import Objective
from sus2bench.training.whole_set.optimizer import WholeSetOptimizer

LARGEST_DAMPING = 1e12
SMALLEST_DAMPING = 1e-12
# Of the largest element of D: parameters that the data hardly determine would otherwise run away
# along the valleys of the loss, where the quadratic model soon fails.
SMALLEST_DIAGONAL = 1e-3
FACTOR = 4.0
# Ratios of decreases, below and above which the damping is changed.
POOR, GOOD = 0.25, 0.75
READOUT_DAMPING = 1e-10
# Small steps before it has converged.
PATIENCE = 10


class LevenbergMarquardt(WholeSetOptimizer):
    """One step is one matrix A, and dampings from the last one upwards until the loss falls.

    Args:
        params: all trained parameters, as of any optimizer.
        damping: at the start, relative to D.
        solve_readout: whether xi and E0 are solved for in each trial, up to a damping of 1e-10.
        tolerance: relative decrease of the loss that counts as progress; ten iterations with less
            of it, or no damping that lowers the loss, mean that it has converged.

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
        super().__init__(params)
        if not SMALLEST_DAMPING <= damping <= LARGEST_DAMPING:
            raise ValueError(f"damping is relative to the diagonal, about 1e-3, not {damping}")
        if not 0 <= tolerance < 1:
            raise ValueError(f"tolerance is a relative decrease in [0, 1), not {tolerance}")
        self.damping, self.tolerance = damping, tolerance
        self.solve_readout = solve_readout
        self._slow = 0

    def iterate(self, objective: Objective) -> dict[str, float]:
        """One iteration; see `WholeSetOptimizer`."""
        start, loss = objective.get(), objective.value()
        equations = normal_equations(objective)
        new, evaluations = loss, 0
        while self.damping <= LARGEST_DAMPING:
            step = damped_step(equations, self.damping)
            objective.set(start + step)
            if self.solve_readout:
                _solve_readout(objective)
            new = objective.value()
            evaluations += 1
            gain = (loss - new) / -_model_change(equations, step) if math.isfinite(new) else -1.0
            self._adapt(gain)
            if gain > 0:
                break
        else:
            objective.set(start)
            new = objective.value()
        slow = not loss - new > self.tolerance * abs(loss)
        self._slow = self._slow + 1 if slow else 0
        self.converged = self.damping > LARGEST_DAMPING or self._slow >= PATIENCE
        return {
            "loss": new,
            **objective.terms,
            "gradient": float(equations.gradient.norm()),
            "damping": self.damping,
            "evaluations": evaluations,
        }

    def _adapt(self, gain: float) -> None:
        """The next damping, from the ratio of the decrease to that of the quadratic model."""
        if gain <= 0:
            self.damping *= FACTOR**2
        elif gain < POOR:
            self.damping *= FACTOR
        elif gain > GOOD:
            self.damping = max(self.damping / FACTOR, SMALLEST_DAMPING)

    def own_state(self) -> dict[str, Any]:
        """See `WholeSetOptimizer`."""
        return {"damping": self.damping, "slow": self._slow}

    def load_own_state(self, state: dict[str, Any]) -> None:
        """See `WholeSetOptimizer`."""
        self.damping, self._slow = float(state["damping"]), int(state["slow"])


def damped_step(equations: NormalEquations, damping: float) -> Tensor:
    """-(A + damping D)^-1 g, scaled to a unit diagonal first.

    Parameters that nothing depends on, such as those of pairs that never meet, stay.
    """
    diagonal = equations.matrix.diagonal()
    active = torch.nonzero(diagonal > 0).squeeze(1)
    step = torch.zeros_like(equations.gradient)
    if not len(active):
        return step
    diagonal = diagonal[active]
    scale = diagonal.clamp(min=SMALLEST_DIAGONAL * float(diagonal.max())).rsqrt()
    matrix = equations.matrix.index_select(0, active).index_select(1, active)
    matrix *= scale * scale.unsqueeze(1)
    matrix.diagonal().add_(damping)
    factor, failed = torch.linalg.cholesky_ex(matrix)
    while bool(failed):  # rounding has left it indefinite
        matrix.diagonal().add_(1e-12)
        factor, failed = torch.linalg.cholesky_ex(matrix)
    right = -(scale * equations.gradient[active]).unsqueeze(1)
    step[active] = torch.cholesky_solve(right, factor).squeeze(1) * scale
    return step


def _model_change(equations: NormalEquations, step: Tensor) -> float:
    """g.s + s.A s / 2, negative."""
    return float(equations.gradient @ step + 0.5 * step @ (equations.matrix @ step))


def _solve_readout(objective: Objective) -> None:
    """Puts xi and E0 to their optimum for all other parameters there are, up to the damping."""
    equations = normal_equations(objective, readout=True)
    if bool(torch.isfinite(equations.matrix).all()):
        step = damped_step(equations, READOUT_DAMPING)
        objective.set(objective.get().index_add(0, equations.parameters, step))
