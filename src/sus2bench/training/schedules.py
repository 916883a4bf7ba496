"""Learning-rate schedules: factors on the initial rate as functions of the progress in [0, 1].

Progress is the larger of the used parts of the step and time budgets (`budget.py`), so a schedule
fits any budget and does not care where a run was interrupted.
"""

import math
from typing import Any

import torch
from torch.optim.lr_scheduler import ReduceLROnPlateau


class Schedule:
    """A constant learning rate after a linear warm-up; the base of the others.

    Args:
        warmup: part of the budget in which the rate grows linearly to its initial value.

    Raises:
        ValueError: `warmup` outside [0, 1).
    """

    def __init__(self, warmup: float = 0.0) -> None:
        if not 0 <= warmup < 1:
            raise ValueError(f"schedule.warmup is a part of the budget in [0, 1), not {warmup}")
        self.warmup = warmup

    def factor(self, progress: float) -> float:
        """The factor on the initial learning rate at a progress in [0, 1]."""
        if progress < self.warmup:
            return progress / self.warmup
        return self.after_warmup((progress - self.warmup) / (1 - self.warmup))

    def after_warmup(self, part: float) -> float:
        """The factor at the part in [0, 1] of what follows the warm-up."""
        return 1.0

    def observe(self, metric: float) -> None:
        """Tells the validation loss; most schedules do not care."""

    def state_dict(self) -> dict[str, Any]:
        """What a resumed run has to know, as plain data."""
        return {}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Restores what `state_dict` returned."""


class Constant(Schedule):
    """A constant learning rate after a linear warm-up."""


class WarmupCosine(Schedule):
    """Linear warm-up, then half a cosine down to `final` (Loshchilov & Hutter, ICLR 2017).

    Args:
        warmup: part of the budget in which the rate grows linearly to its initial value.
        final: factor at the end of the budget.

    Raises:
        ValueError: `warmup` outside [0, 1) or `final` outside [0, 1].
    """

    def __init__(self, warmup: float = 0.02, final: float = 0.01) -> None:
        super().__init__(warmup)
        if not 0 <= final <= 1:
            raise ValueError(f"schedule.final is a factor in [0, 1], not {final}")
        self.final = final

    def after_warmup(self, part: float) -> float:
        """The factor at the part in [0, 1] of what follows the warm-up."""
        return self.final + (1 - self.final) * 0.5 * (1 + math.cos(math.pi * min(part, 1.0)))


class Plateau(Schedule):
    """Linear warm-up, then smaller by `factor` whenever the validation loss has stalled.

    torch's `ReduceLROnPlateau` decides; it acts on an optimizer that holds only the factor.

    Args:
        warmup: part of the budget in which the rate grows linearly to its initial value.
        reduction: factor by which the rate falls.
        patience: validations without improvement that are tolerated.
        threshold: smallest relative improvement that counts.
        final: smallest factor.

    Raises:
        ValueError: `warmup` outside [0, 1), or arguments that torch refuses.
    """

    def __init__(
        self,
        warmup: float = 0.02,
        reduction: float = 0.5,
        patience: int = 10,
        threshold: float = 1e-4,
        final: float = 1e-3,
    ) -> None:
        super().__init__(warmup)
        self._holder = torch.optim.SGD([torch.zeros(())], lr=1.0)
        self._plateau = ReduceLROnPlateau(
            self._holder,
            factor=reduction,
            patience=patience,
            threshold=threshold,
            min_lr=final,
        )

    def after_warmup(self, part: float) -> float:
        """The factor that the validation losses so far have led to."""
        return float(self._holder.param_groups[0]["lr"])

    def observe(self, metric: float) -> None:
        """Tells the validation loss."""
        self._plateau.step(metric)

    def state_dict(self) -> dict[str, Any]:
        """Best loss, number of bad validations and the present factor."""
        return {
            "best": float(self._plateau.best),
            "num_bad_epochs": int(self._plateau.num_bad_epochs),
            "factor": self.after_warmup(0.0),
        }

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Restores what `state_dict` returned."""
        self._plateau.best = state["best"]
        self._plateau.num_bad_epochs = state["num_bad_epochs"]
        self._holder.param_groups[0]["lr"] = state["factor"]
