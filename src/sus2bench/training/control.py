"""Keeps a run within its budget and lets signals end it cleanly between two steps."""

import contextlib
import signal
import threading
from types import FrameType
from typing import Any

import lightning.pytorch as pl
import torch
from lightning.pytorch.callbacks import Callback

from sus2bench.training.budget import Budget
from sus2bench.training.checkpoints import Checkpoints
from sus2bench.training.distributed import maximum_over_ranks, world_size
from sus2bench.training.module import PotentialModule
from sus2bench.training.resume import set_position

SIGNALS = (signal.SIGINT, signal.SIGTERM)
"""Signals that end a run after the step it is in."""


class TrainingInterruptedError(Exception):
    """Training was ended by a signal; its state is in the last checkpoint."""


class RunControl(Callback):
    """Measures progress, stops at the end of the budget, and acts on signals.

    The first SIGINT or SIGTERM lets the step (and a validation, if one is running) finish, saves
    the last checkpoint and raises `TrainingInterruptedError`; a second SIGINT interrupts at once.
    Outside the main thread signals are left alone. In a distributed run all processes follow the
    one that is furthest.

    Args:
        budget: steps, frames and time of the run.
    """

    def __init__(self, budget: Budget) -> None:
        self.budget = budget
        self.signal_received: signal.Signals | None = None
        self.exhausted = False
        self._interrupt = False
        self._previous: dict[signal.Signals, Any] = {}

    def on_train_start(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """Starts the clock, takes over the signals and resumes the data where they stood."""
        module = _potential_module(pl_module)
        if trainer.accumulate_grad_batches != 1:
            raise ValueError(
                "trainer.accumulate_grad_batches must be 1, because the loss is normalised by the "
                "labels of a batch: data.batch_size is that of a step, and data.accumulate cuts it "
                "into parts that are computed one after the other"
            )
        if trainer.enable_validation and world_size() > 1 and not sum(trainer.num_val_batches):
            raise ValueError(
                f"process {trainer.global_rank} has no validation frame: give a validation set of "
                f"at least {world_size()} frames, or use fewer processes"
            )
        if trainer.fit_loop.restarting:
            # Lightning made its iterator before it could know the position.
            set_position(trainer.train_dataloader, module.position)
            if trainer.fit_loop._data_fetcher is not None:
                iter(trainer.fit_loop._data_fetcher)
        if threading.current_thread() is threading.main_thread():
            for number in SIGNALS:
                self._previous[number] = signal.signal(number, self._on_signal)
        self.budget.start()
        module.progress = self.budget.progress(trainer.global_step, module.frames)
        module.elapsed = self.budget.elapsed

    def on_train_batch_start(
        self, trainer: pl.Trainer, pl_module: pl.LightningModule, batch: Any, batch_idx: int
    ) -> None:
        """Saves and leaves if a signal has come."""
        if world_size() == 1:
            self._interrupt = self.signal_received is not None
        if self._interrupt:
            for callback in trainer.checkpoint_callbacks:
                if isinstance(callback, Checkpoints):
                    callback.save_last(trainer)
            raise TrainingInterruptedError(
                f"training was interrupted at step {trainer.global_step}"
            )

    def on_train_batch_end(
        self, trainer: pl.Trainer, pl_module: pl.LightningModule, *args: Any, **kwargs: Any
    ) -> None:
        """Updates the progress and stops at its end."""
        module = _potential_module(pl_module)
        progress = self.budget.progress(trainer.global_step, module.frames)
        if world_size() > 1:
            state = torch.tensor(
                [progress, float(self.signal_received is not None)],
                dtype=torch.float64,
                device=pl_module.device,
            )
            progress, interrupt = maximum_over_ranks(state).tolist()
            self._interrupt = bool(interrupt)
        module.progress, module.elapsed = progress, self.budget.elapsed
        if progress >= 1.0:
            self.exhausted = True
            trainer.should_stop = True

    def on_train_end(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """Stops the clock and gives the signals back."""
        _potential_module(pl_module).ended = not self.exhausted
        self._finish()

    def on_exception(
        self, trainer: pl.Trainer, pl_module: pl.LightningModule, exception: BaseException
    ) -> None:
        """Stops the clock and gives the signals back."""
        self._finish()

    def state_dict(self) -> dict[str, Any]:
        """The time used so far by the budget's clock, s."""
        return {"elapsed": self.budget.elapsed}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Restores what `state_dict` returned."""
        self.budget.start(state_dict["elapsed"])

    def _finish(self) -> None:
        self.budget.stop()
        for number, handler in self._previous.items():
            with contextlib.suppress(TypeError):  # a handler that Python did not install
                signal.signal(number, handler)
        self._previous = {}

    def _on_signal(self, number: int, stack: FrameType | None) -> None:
        if self.signal_received is not None and number == signal.SIGINT:
            raise KeyboardInterrupt
        self.signal_received = signal.Signals(number)


def _potential_module(module: pl.LightningModule) -> PotentialModule:
    if not isinstance(module, PotentialModule):
        raise TypeError(f"a PotentialModule is trained here, not a {type(module).__name__}")
    return module
