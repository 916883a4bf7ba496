"""One call that trains: trainer, callbacks, loggers, interruption, resume."""

import logging
import os
import warnings
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal, Protocol, runtime_checkable

import lightning.pytorch as pl
from lightning.pytorch.callbacks import Callback
from lightning.pytorch.loggers import Logger, WandbLogger

from sus2bench.training.averaging import WeightAverage
from sus2bench.training.budget import Budget
from sus2bench.training.checkpoints import BEST, LAST, AtomicCheckpointIO, Checkpoints
from sus2bench.training.control import RunControl, TrainingInterruptedError
from sus2bench.training.csv_logger import CSVLogger
from sus2bench.training.module import PotentialModule
from sus2bench.training.own_average import OwnAverage, averages_itself
from sus2bench.training.precision import TF32, check_device, check_precision, trainer_settings
from sus2bench.training.resume import read_checkpoint
from sus2bench.training.whole_set.data import WholeSetData
from sus2bench.training.whole_set.optimizer import WholeSetOptimizer

Status = Literal["completed", "stopped_early", "interrupted"]


@runtime_checkable
class ContinuedLogger(Protocol):
    """A logger that can go on with what an earlier part of the run has logged."""

    def begin(self, step: int) -> None:
        """The run begins or goes on after `step`; what was logged of later ones does not count."""


@dataclass(frozen=True)
class FitResult:
    """How a training run has ended."""

    status: Status
    """`completed` (the budget is used), `stopped_early` (by a callback, or because the optimizer
    has converged), `interrupted` (by a signal; call `fit` with `resume="last"` to go on)."""
    best_checkpoint: Path | None
    """Checkpoint of the best validation, for `load_potential`; None without checkpoints."""
    last_checkpoint: Path | None
    """Checkpoint to resume from."""
    steps: int
    """Optimizer steps, those before a resume included."""
    epochs: float
    """Passes over the training data."""
    train_seconds: float
    """Time of training and validation by the budget's clock, s, that before a resume included."""
    history: Path | None
    """CSV file of what was logged; None without a CSV logger."""
    frames: int = 0
    """Training frames seen, each as often as it was, those before a resume included."""
    ended_by: str | None = None
    """The limit of the budget that was used up (`max_steps`, `max_frames`, `max_time`), or
    `convergence`, of the optimizer or of the loss in validation, or `exact_solution`; None after an
    interruption."""
    phases: tuple[dict[str, Any], ...] = ()
    """Reports of the phases of the run that have ended, in their order; see `phases.py`."""


def fit(
    module: PotentialModule,
    datamodule: pl.LightningDataModule,
    budget: Budget,
    *,
    folder: str | os.PathLike[str],
    trainer: Callable[..., pl.Trainer] = pl.Trainer,
    callbacks: Iterable[Callback] = (),
    loggers: Iterable[Logger] = (),
    precision: str = "full",
    resume: str | os.PathLike[str] | None = None,
    more_follows: bool = False,
) -> FitResult:
    """Trains a potential within a budget.

    Afterwards `module.potential` holds the weights of the best checkpoint (averaged ones where they
    are kept), unless the run was interrupted; without checkpoints the last weights. W&B runs of
    Lightning's logger are finished whatever happens.

    Args:
        module: the potential with loss, optimizer and schedule.
        datamodule: gives the batches, and an epoch-seeded sampler if a resume is to be exact.
        budget: steps, frames and time.
        folder: of the run; for `checkpoints/` and the CSV file.
        trainer: makes the trainer, e.g. `functools.partial(lightning.pytorch.Trainer,
            accelerator="cpu")`; callbacks, loggers and everything a budget decides are added.
        callbacks: e.g. `Checkpoints`, `WeightAverage`, `ProgressBar`.
        loggers: e.g. `CSVLogger`.
        precision: of training steps: `full`, `tf32`, `bf16-mixed`, `16-mixed`; see `precision.py`.
        resume: checkpoint to go on from; `last` is that of `folder`, or a new start if there is
            none; None starts anew.
        more_follows: keep the loggers open, for another phase of the same run.

    Returns:
        How it ended; see `FitResult`.

    Raises:
        FloatingPointError: a loss or a weight is not finite.
        ValueError: misconfigured loss, trainer, precision or checkpoint; the text says which.
    """
    folder = Path(folder)
    callbacks, loggers = list(callbacks), list(loggers)
    adapted = trainer_settings(precision)
    optimizer = module.configure_optimizers()
    check_precision(precision, module.potential, optimizer)
    if averages_itself(optimizer):
        callbacks = [c for c in callbacks if not isinstance(c, WeightAverage)] + [OwnAverage()]
    if isinstance(optimizer, WholeSetOptimizer):
        # Its gradients are exact and its steps tested: neither averages nor clipping.
        datamodule, adapted = WholeSetData(datamodule), {"gradient_clip_val": None}
        callbacks = [c for c in callbacks if not isinstance(c, WeightAverage)]
    checkpoints = next((c for c in callbacks if isinstance(c, Checkpoints)), None)
    if checkpoints is not None and checkpoints.folder is None:
        checkpoints.folder = folder / "checkpoints"
    source = resume_source(resume, checkpoints, folder)
    state = None if source is None else read_checkpoint(source)
    done = 0 if state is None else int(state["global_step"])
    history = _begin_history(loggers, folder, module.first_step + done)
    control = RunControl(budget)
    rounding = [TF32()] if precision == "tf32" else []
    with _quiet():
        run = trainer(
            callbacks=[*rounding, control, *callbacks],
            logger=loggers or False,
            default_root_dir=folder,
            max_epochs=-1,
            max_steps=-1,
            inference_mode=False,
            num_sanity_val_steps=0,
            enable_checkpointing=checkpoints is not None,
            enable_progress_bar=False,
            enable_model_summary=False,
            use_distributed_sampler=False,
            plugins=[AtomicCheckpointIO()],
            **adapted,
        )
    check_device(precision, run)
    over = None if state is None else _over(budget, state)
    if over is not None:
        _deploy(module, checkpoints)
        return _result(over, module, run, budget, checkpoints, history, state)
    del state
    try:
        with _quiet():
            run.fit(module, datamodule=datamodule, ckpt_path=source, weights_only=True)
    except TrainingInterruptedError:
        return _result("interrupted", module, run, budget, checkpoints, history)
    finally:
        if not more_follows:
            finish(loggers)
    _deploy(module, checkpoints)
    status: Status = "completed" if control.exhausted else "stopped_early"
    if control.signal_received is not None:
        status = "interrupted"
    return _result(status, module, run, budget, checkpoints, history)


@contextmanager
def _quiet() -> Iterator[None]:
    """Keeps Lightning's advice, advertisements and internal deprecations from the user."""
    messages = logging.getLogger("lightning.pytorch.utilities.rank_zero")
    level = messages.level
    messages.setLevel(logging.WARNING)
    try:
        with warnings.catch_warnings():
            # The loader resumes by its sampler, which Lightning does not know.
            warnings.filterwarnings("ignore", message="You're resuming from a checkpoint that")
            # Our own logging does not use Lightning's interval.
            warnings.filterwarnings("ignore", message="The number of training batches")
            # What is logged has been summed over the processes already.
            warnings.filterwarnings("ignore", message="It is recommended to use `self.log")
            warnings.filterwarnings("ignore", message=".*isinstance.treespec, LeafSpec")
            yield
    finally:
        messages.setLevel(level)


def resume_source(
    resume: str | os.PathLike[str] | None, checkpoints: Checkpoints | None, folder: Path
) -> Path | None:
    """The checkpoint to resume from; None for a new start."""
    if resume is None:
        return None
    if os.fspath(resume) == "last":
        last = (folder / "checkpoints" if checkpoints is None else checkpoints.path("")) / LAST
        return last if last.exists() else None
    return Path(resume)


def _begin_history(loggers: list[Logger], folder: Path, step: int) -> Path | None:
    path = None
    for logger in loggers:
        if isinstance(logger, CSVLogger):
            logger.folder = logger.folder or folder
            path = logger.path
        if isinstance(logger, ContinuedLogger):
            logger.begin(step)
    return path


def _over(budget: Budget, state: dict[str, Any]) -> Status | None:
    """How the run of a checkpoint has ended if it has; tells the budget its time."""
    elapsed = state["callbacks"][RunControl(budget).state_key]["elapsed"]
    budget.start(elapsed)
    budget.stop()
    frames = int(state["sus2bench"].get("frames", 0))
    if budget.progress(int(state["global_step"]), frames) >= 1.0:
        return "completed"
    return "stopped_early" if state["sus2bench"].get("ended", False) else None


def _deploy(module: PotentialModule, checkpoints: Checkpoints | None) -> None:
    """Puts the weights to use into the module."""
    payload = module.deployed_payload()
    if checkpoints is not None:
        best = checkpoints.path(BEST)
        payload = read_checkpoint(best if best.exists() else checkpoints.path(LAST))["potential"]
    module.potential.load_state_dict(payload["state_dict"])


def _result(
    status: Status,
    module: PotentialModule,
    run: pl.Trainer,
    budget: Budget,
    checkpoints: Checkpoints | None,
    history: Path | None,
    state: dict[str, Any] | None = None,
) -> FitResult:
    paths: dict[str, Path | None] = {LAST: None, BEST: None}
    if checkpoints is not None:
        for name in paths:
            path = checkpoints.path(name)
            paths[name] = path if path.exists() else None
    if state is not None:
        position, steps = state["sus2bench"]["position"], int(state["global_step"])
        batches = state["sus2bench"]["batches_per_epoch"]
        frames = int(state["sus2bench"].get("frames", 0))
    else:
        position, steps, frames = module.position, run.global_step, module.frames
        batches = run.num_training_batches
    return FitResult(
        status=status,
        best_checkpoint=paths[BEST] or paths[LAST],
        last_checkpoint=paths[LAST],
        steps=steps,
        epochs=position["epoch"] + position["batch"] / max(batches, 1),
        train_seconds=budget.elapsed,
        history=history,
        frames=frames,
        ended_by=_ended_by(status, budget, steps, frames),
    )


def _ended_by(status: Status, budget: Budget, steps: int, frames: int) -> str | None:
    if status == "completed":
        # Of several processes, another one's clock may be a little further than this one's.
        return budget.used_up(steps, frames) or "max_time"
    return "convergence" if status == "stopped_early" else None


def finish(loggers: Iterable[Logger]) -> None:
    """Ends W&B runs of Lightning's logger, which would swallow the next run of this process."""
    for logger in loggers:
        if isinstance(logger, WandbLogger):
            logger.experiment.finish()
