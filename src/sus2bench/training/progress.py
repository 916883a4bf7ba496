"""What a user sees of a run: a bar in a terminal, lines elsewhere."""

import sys
import time
from typing import Any

import lightning.pytorch as pl
from lightning.pytorch.callbacks import Callback
from rich.console import Console
from rich.progress import BarColumn, Progress, TextColumn, TimeElapsedColumn, TimeRemainingColumn

SHOWN = {
    "train/loss": "loss {:.3g}",
    "valid/loss": "valid {:.3g}",
    "valid/energy_per_atom_rmse_meV": "E {:.2f} meV/atom",
    "valid/forces_rmse_meV_A": "F {:.1f} meV/Å",
    "valid/stress_rmse_GPa": "S {:.3f} GPa",
}
"""Metrics that are shown (errors are root mean squares), and how."""


class ProgressBar(Callback):
    """Shows the used part of the budget and the latest errors.

    Args:
        refresh_seconds: shortest time between two updates of the bar.
        line_seconds: shortest time between two lines where there is no terminal.
    """

    def __init__(self, refresh_seconds: float = 0.25, line_seconds: float = 30.0) -> None:
        self.refresh_seconds = refresh_seconds
        self.line_seconds = line_seconds
        self._console: Console | None = None
        self._bar: Progress | None = None
        self._shown_at = 0.0

    def on_train_start(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """Opens the bar."""
        if not trainer.is_global_zero:
            return
        self._console = Console(file=sys.stderr)
        self._shown_at = time.monotonic()
        if self._console.is_terminal:
            self._bar = Progress(
                TextColumn("step {task.fields[step]}"),
                BarColumn(None),
                TimeElapsedColumn(),
                TimeRemainingColumn(),
                TextColumn("{task.fields[text]}"),
                console=self._console,
            )
            self._bar.add_task("training", total=1.0, step=trainer.global_step, text="")
            self._bar.start()

    def on_train_batch_end(
        self, trainer: pl.Trainer, pl_module: pl.LightningModule, *args: Any, **kwargs: Any
    ) -> None:
        """Updates the bar if it is time to."""
        wait = self.line_seconds if self._bar is None else self.refresh_seconds
        if self._console is not None and time.monotonic() - self._shown_at >= wait:
            self._show(trainer, pl_module)

    def on_train_end(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """Closes the bar."""
        self._close(trainer, pl_module)

    def on_exception(
        self, trainer: pl.Trainer, pl_module: pl.LightningModule, exception: BaseException
    ) -> None:
        """Closes the bar."""
        self._close(trainer, pl_module)

    def _close(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        if self._console is not None:
            self._show(trainer, pl_module)
        if self._bar is not None:
            self._bar.stop()
        self._bar = self._console = None

    def _show(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        self._shown_at = time.monotonic()
        metrics = trainer.callback_metrics
        text = "  ".join(
            form.format(float(metrics[name])) for name, form in SHOWN.items() if name in metrics
        )
        progress = float(getattr(pl_module, "progress", 0.0))
        step = int(getattr(pl_module, "step", trainer.global_step))
        if self._bar is not None:
            task = self._bar.task_ids[0]
            self._bar.update(task, completed=progress, step=step, text=text)
        elif self._console is not None:
            line = f"step {step}  {100 * progress:.0f} %  {text}"
            self._console.print(line, highlight=False, soft_wrap=True)
