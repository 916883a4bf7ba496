"""The precision of training steps: of products of matrices, lower than that of the weights.

    full        all in the dtype of the model, float32 or float64
    tf32        on an NVIDIA GPU, factors of matrix products rounded to 10 bits, sums in float32
    bf16-mixed  autocast: factors and products in bfloat16, 7 bits, with the range of float32
    16-mixed    on a GPU, autocast: in float16, 10 bits, and a loss that is scaled to its range

Weights, optimizer, distances, sums over neighbours and the loss keep their type, and so does every
evaluation: lower precision ends with the training step.
"""

from typing import Any

import lightning.pytorch as pl
import torch
from lightning.pytorch.callbacks import Callback
from lightning.pytorch.plugins.precision import Precision
from lightning.pytorch.utilities import GradClipAlgorithmType
from torch.optim import Optimizer

from sus2bench.models.potential import Potential
from sus2bench.training.whole_set.optimizer import WholeSetOptimizer

PRECISIONS = {
    "full": "32-true",
    "tf32": "32-true",
    "bf16-mixed": "bf16-mixed",
    "16-mixed": "16-mixed",
}
"""What each is to a trainer; weights are converted beforehand, whatever their type."""


def trainer_settings(precision: str) -> dict[str, Any]:
    """What a trainer has to be told; nothing where its own default is right.

    Raises:
        ValueError: there is no such precision.
    """
    if precision not in PRECISIONS:
        raise ValueError(
            f"precision is one of {', '.join(PRECISIONS)}, not {precision!r}; full precision is "
            "that of dtype=float32 or dtype=float64"
        )
    return {"precision": PRECISIONS[precision]} if precision.endswith("mixed") else {}


def check_precision(precision: str, potential: Potential, optimizer: Optimizer) -> None:
    """Raises ValueError where nothing or nothing good would come of a lower precision."""
    if precision == "full":
        return
    if isinstance(optimizer, WholeSetOptimizer):
        reason = f"{type(optimizer).__name__} needs all digits of the loss"
    elif potential.dtype != torch.float32:
        reason = f"products of {potential.dtype} keep all their digits; dtype=float32"
    elif precision.endswith("mixed") and not potential.model.mixed_precision:
        reason = f"{type(potential.model).__name__} does not take factors of different types"
    elif precision == "16-mixed" and getattr(optimizer, "_step_supports_amp_scaling", False):
        reason = "a fused optimizer cannot clip the gradient of a scaled loss; give it fused=false"
    else:
        return
    raise ValueError(f"precision={precision} is not for this run: {reason}, or precision=full")


def clip_gradients(trainer: pl.Trainer, optimizer: Optimizer) -> None:
    """Clips as the trainer has been told to.

    Lightning's mixed precision refuses fused optimizers, because they undo the scale of the loss
    after the clipping. In bfloat16 there is no such scale, and `check_precision` has seen to the
    rest.
    """
    algorithm = GradClipAlgorithmType(trainer.gradient_clip_algorithm or "norm")
    limit = trainer.gradient_clip_val or 0.0
    Precision.clip_gradients(trainer.precision_plugin, optimizer, limit, algorithm)


def check_device(precision: str, trainer: pl.Trainer) -> None:
    """Raises ValueError if the device of a trainer, or the trainer, does not have the precision."""
    device = trainer.strategy.root_device.type
    if precision in ("tf32", "16-mixed") and device != "cuda":
        raise ValueError(
            f"precision={precision} needs an NVIDIA GPU, and this run is on {device}: "
            "precision=full, or bf16-mixed to see what fewer digits do"
        )
    if trainer.precision != PRECISIONS[precision]:
        raise ValueError(
            f"the trainer has precision {trainer.precision!r}, but the run precision={precision}: "
            "leave trainer.precision out, and set dtype and precision"
        )


class TF32(Callback):
    """Lets torch round the factors of matrix products in training steps, and only there."""

    def __init__(self) -> None:
        self._before: str | None = None

    def on_train_batch_start(self, *args: Any) -> None:
        """Switches it on."""
        self._before = torch.get_float32_matmul_precision()
        torch.set_float32_matmul_precision("high")

    def on_train_batch_end(self, *args: Any) -> None:
        """Switches it off."""
        self._restore()

    def on_exception(self, *args: Any) -> None:
        """Switches it off."""
        self._restore()

    def _restore(self) -> None:
        if self._before is not None:
            torch.set_float32_matmul_precision(self._before)
            self._before = None
