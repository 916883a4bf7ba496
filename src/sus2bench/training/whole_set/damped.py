"""Damped Gauss-Newton steps on the loss of the whole training set, for any way to solve for them.

With gradient g and Gauss-Newton matrix A = J^T W J a step solves

    (A + damping D) step = -g,   D = diag(A), but at least a small part of its largest element,

and the damping follows the ratio of the loss's decrease to the one that the quadratic model of the
loss predicts (Marquardt, SIAM J. Appl. Math. 11, 431, 1963; Nielsen, IMM-REP-1999-05).
"""

import math
from collections.abc import Iterable
from typing import Any, NamedTuple, Protocol

from torch import Tensor

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
# Small steps before it has converged.
PATIENCE = 10


class Step(NamedTuple):
    """What a damping leads to."""

    values: Tensor
    """To be added to the parameters (P,)."""
    change: float
    """Of the quadratic model of the loss there, negative."""


class QuadraticModel(Protocol):
    """The loss about the present parameters."""

    @property
    def loss(self) -> float:
        """At the present parameters."""

    @property
    def gradient(self) -> Tensor:
        """Of the loss there, g (P,)."""

    @property
    def costs(self) -> dict[str, float]:
        """What to log of its making."""

    def step(self, damping: float) -> Step:
        """See the top of the file."""


class DampedGaussNewton(WholeSetOptimizer):
    """One step is one quadratic model, and dampings from the last one upwards until the loss falls.

    A subclass makes the model.

    Args:
        params: all trained parameters, as of any optimizer.
        damping: at the start, relative to D.
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
        tolerance: float = 1e-7,
    ) -> None:
        super().__init__(params)
        if not SMALLEST_DAMPING <= damping <= LARGEST_DAMPING:
            raise ValueError(f"damping is relative to the diagonal, about 1e-3, not {damping}")
        if not 0 <= tolerance < 1:
            raise ValueError(f"tolerance is a relative decrease in [0, 1), not {tolerance}")
        self.damping, self.tolerance = damping, tolerance
        self._slow = 0

    def quadratic_model(self, objective: Objective) -> QuadraticModel:
        """The loss about the present parameters."""
        raise NotImplementedError

    def follow(self, objective: Objective) -> None:
        """Changes the parameters of a trial to better ones, if such can be had at once."""

    def iterate(self, objective: Objective) -> dict[str, float]:
        """One iteration; see `WholeSetOptimizer`."""
        start, model = objective.get(), self.quadratic_model(objective)
        new, evaluations = model.loss, 0
        while self.damping <= LARGEST_DAMPING:
            step = model.step(self.damping)
            objective.set(start + step.values)
            self.follow(objective)
            new = objective.value()
            evaluations += 1
            gain = _ratio(model.loss - new, step.change)
            self._adapt(gain)
            if gain > 0:
                break
        else:
            objective.set(start)
            new = objective.value()
        slow = not model.loss - new > self.tolerance * abs(model.loss)
        self._slow = self._slow + 1 if slow else 0
        self.converged = self.damping > LARGEST_DAMPING or self._slow >= PATIENCE
        return {
            "loss": new,
            **objective.terms,
            "gradient": float(model.gradient.norm()),
            "damping": self.damping,
            "evaluations": evaluations,
            **model.costs,
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


def _ratio(decrease: float, change: float) -> float:
    """Of a decrease of the loss to the predicted one; -1 where there is nothing to compare."""
    return decrease / -change if math.isfinite(decrease) and change < 0 else -1.0


def unit_of(diagonal: Tensor) -> Tensor:
    """D^-1/2 for the diagonal of A (P,), of which some element is positive."""
    return diagonal.clamp(min=SMALLEST_DIAGONAL * float(diagonal.max())).rsqrt()
