"""Checkpoints: what is in them, when they are written, and that a crash never destroys one.

A checkpoint is a file of `torch.save` with tensors and plain data only. Besides what Lightning puts
there it has `potential`, the payload of the potential to use (with averaged weights where they are
kept), and `sus2bench`, what the module needs for a resume. It is written between two batches, never
within one or within a validation, so that every file is an exact place to resume from.
"""

import os
import time
from pathlib import Path
from typing import Any

import lightning.pytorch as pl
import torch
from lightning.fabric.plugins.io import TorchCheckpointIO
from lightning.pytorch.callbacks import Checkpoint

LAST, BEST = "last.ckpt", "best.ckpt"


class AtomicCheckpointIO(TorchCheckpointIO):
    """Writes to a temporary file in the same folder and renames it when it is on the disk."""

    def save_checkpoint(
        self, checkpoint: dict[str, Any], path: str | os.PathLike[str], storage_options: Any = None
    ) -> None:
        """Replaces the file at `path` in one step, or leaves it as it was."""
        target = Path(path)
        target.parent.mkdir(parents=True, exist_ok=True)
        temporary = target.with_name(f".{target.name}.part")
        try:
            with temporary.open("wb") as file:
                torch.save(checkpoint, file)
                file.flush()
                os.fsync(file.fileno())
            os.replace(temporary, target)
        finally:
            temporary.unlink(missing_ok=True)


class Checkpoints(Checkpoint):
    """Writes `last.ckpt` regularly and `best.ckpt` when the monitored metric has improved.

    Args:
        folder: where; `checkpoints` below the run's folder if not given.
        monitor: metric that `best.ckpt` is chosen by, smaller being better.
        every_steps: write `last.ckpt` every so many steps, or never for this reason.
        every_seconds: write it every so many seconds, or never for this reason.

    Raises:
        ValueError: an interval that is not positive.
    """

    def __init__(
        self,
        folder: str | os.PathLike[str] | None = None,
        monitor: str = "valid/loss",
        *,
        every_steps: int | None = None,
        every_seconds: float | None = 60.0,
    ) -> None:
        for name, value in (("every_steps", every_steps), ("every_seconds", every_seconds)):
            if value is not None and not value > 0:
                raise ValueError(f"{name} must be positive or null, not {value}")
        self.folder = None if folder is None else Path(folder)
        self.monitor = monitor
        self.every_steps = every_steps
        self.every_seconds = every_seconds
        self.best_score = float("inf")
        self._improved = False
        self._saved_step = -1
        self._saved_time = 0.0

    def path(self, name: str) -> Path:
        """The path of a checkpoint of this run."""
        if self.folder is None:
            raise ValueError("the folder of the checkpoints is known only once a run has begun")
        return self.folder / name

    def setup(self, trainer: pl.Trainer, pl_module: pl.LightningModule, stage: str) -> None:
        """Finds the folder."""
        if self.folder is None:
            self.folder = Path(trainer.default_root_dir) / "checkpoints"

    def on_train_start(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """Begins to count."""
        self._saved_step, self._saved_time = trainer.global_step, time.monotonic()

    def on_train_batch_start(
        self, trainer: pl.Trainer, pl_module: pl.LightningModule, batch: Any, batch_idx: int
    ) -> None:
        """Saves if it is time to."""
        step = trainer.global_step
        if step == self._saved_step:
            return
        due = self.every_steps is not None and step % self.every_steps == 0
        if self.every_seconds is not None and not due:
            late = time.monotonic() - self._saved_time >= self.every_seconds
            # Saving is collective, so that all processes have to agree on the time.
            due = trainer.strategy.broadcast(late) if trainer.world_size > 1 else late
        if due or self._improved:
            self.save_last(trainer)

    def on_validation_end(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """Notes whether the monitored metric has improved."""
        if trainer.state.fn != "fit" or trainer.sanity_checking:
            return
        metrics = trainer.callback_metrics
        if self.monitor not in metrics:
            raise KeyError(
                f"checkpoints are to be chosen by {self.monitor!r}, which is not measured; "
                f"there is {sorted(metrics)}"
            )
        score = float(metrics[self.monitor])
        if score < self.best_score:
            self.best_score, self._improved = score, True

    def on_train_end(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """Saves the final state."""
        self.save_last(trainer)

    def save_last(self, trainer: pl.Trainer) -> None:
        """Writes `last.ckpt`, and makes it `best.ckpt` if it is.

        Raises:
            FloatingPointError: a parameter is not finite; the files stay as they are.
        """
        module = trainer.lightning_module
        for name, parameter in module.named_parameters():
            if not bool(torch.isfinite(parameter).all()):
                raise FloatingPointError(
                    f"the parameter {name} is no longer finite at step {trainer.global_step}; "
                    f"{self.path(LAST)} keeps the state before. Lower the learning rate or clip "
                    "gradients"
                )
        for logger in trainer.loggers:
            logger.save()
        improved, self._improved = self._improved, False
        last = self.path(LAST)
        trainer.save_checkpoint(last, weights_only=False)
        if trainer.is_global_zero and improved:
            _link(last, self.path(BEST))
        trainer.strategy.barrier("best")  # nobody reads it before it is there
        self._saved_step, self._saved_time = trainer.global_step, time.monotonic()

    def state_dict(self) -> dict[str, Any]:
        """The best metric so far."""
        return {"best_score": self.best_score}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Restores what `state_dict` returned."""
        self.best_score = state_dict["best_score"]


def _link(source: Path, target: Path) -> None:
    """Makes `target` the present content of `source`, in one step."""
    temporary = target.with_name(f".{target.name}.part")
    temporary.unlink(missing_ok=True)
    try:
        os.link(source, temporary)
    except OSError:  # a file system without hard links
        temporary.write_bytes(source.read_bytes())
    os.replace(temporary, target)
