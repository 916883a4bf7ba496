"""A run as a list of phases, each with an optimizer of its own: one log, one best checkpoint.

A phase starts from the best weights so far, those of `best.ckpt` over all phases, and not from the
last ones of the phase before: those may be noisy (steps of mini-batches whose average is what is
deployed) or beyond the best validation, and a phase that has gone wrong does no harm.

`last.ckpt` says which phase it belongs to and how the phases before it went, so that a run can be
resumed wherever it was cut: within a phase as `fit` does, and between two of them.
"""

import logging
import os
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import lightning.pytorch as pl
from lightning.pytorch.callbacks import Callback
from lightning.pytorch.loggers import Logger
from torch.optim import Optimizer

from sus2bench.training.averaging import WeightAverage
from sus2bench.training.budget import Budget
from sus2bench.training.checkpoints import Checkpoints
from sus2bench.training.fit import FitResult, finish, fit, resume_source
from sus2bench.training.module import PotentialModule
from sus2bench.training.precision import check_precision
from sus2bench.training.resume import read_checkpoint
from sus2bench.training.schedules import Constant, Schedule
from sus2bench.training.whole_set.optimizer import WholeSetOptimizer

logger = logging.getLogger(__name__)


@dataclass(frozen=True)
class Phase:
    """A part of a run.

    Raises:
        ValueError: a part or a number of steps that is not positive.
    """

    algorithm: Callable[[Iterable[Any]], Optimizer]
    """Makes the optimizer from parameter groups."""
    schedule: Schedule = field(default_factory=Constant)
    """Learning rate as a function of the progress within the phase."""
    part: float = 1.0
    """Of the budget, relative to the parts of the other phases. What a phase leaves over, because
    it has converged or done its `max_steps`, is for those that follow."""
    max_steps: int | None = None
    """Optimizer steps at most."""
    average: bool = True
    """Whether weights are averaged, if the callbacks say how; never with whole-set optimizers."""
    solve_every: int | None = None
    """Steps after which the linear readout is solved exactly, again and again."""

    def __post_init__(self) -> None:
        if not self.part > 0:
            raise ValueError(f"the part of a phase must be positive, not {self.part}")
        for name in ("max_steps", "solve_every"):
            value = getattr(self, name)
            if value is not None and value < 1:
                raise ValueError(f"{name} of a phase is at least 1 or null, not {value}")


def fit_phases(
    phases: Mapping[str, Phase],
    make_module: Callable[[Phase], PotentialModule],
    datamodule: pl.LightningDataModule,
    budget: Budget,
    *,
    folder: str | os.PathLike[str],
    trainer: Callable[..., pl.Trainer] = pl.Trainer,
    callbacks: Callable[[], Iterable[Callback]] = tuple,
    loggers: Iterable[Logger] = (),
    precision: str = "full",
    resume: str | os.PathLike[str] | None = None,
) -> FitResult:
    """Trains a potential in phases; see the top of the file, and `fit` for what one phase does.

    Args:
        phases: by name, in their order.
        make_module: a new module for a phase, always of the same potential.
        datamodule: as of `fit`.
        budget: of all phases together.
        folder: of the run.
        trainer: as of `fit`.
        callbacks: makes new callbacks for a phase.
        loggers: of all phases.
        precision: as of `fit`.
        resume: as of `fit`.

    Returns:
        The result of the whole run, with a report for each phase that has ended.

    Raises:
        FloatingPointError: as of `fit`.
        ValueError: as of `fit`, or there is no phase, or a checkpoint is not one of these phases.
    """
    if not phases:
        raise ValueError("a run needs at least one phase: see conf/training")
    folder, loggers = Path(folder), list(loggers)
    names, stages = list(phases), list(phases.values())
    _check(stages, make_module, precision, getattr(datamodule, "accumulate", 1))
    standing = _standing(resume, callbacks, folder, names)
    source, reports, best = standing.checkpoint, standing.earlier, standing.best
    before = standing.best_before
    result: FitResult | None = None
    try:
        for index in range(standing.phase, len(names)):
            share = _share(budget, stages[index:], reports)
            if share is None:
                logger.warning("no budget is left for the phase %r: it is left out", names[index])
                continue
            module = make_module(stages[index])
            module.first_step = sum(report["steps"] for report in reports)
            module.first_second = sum(report["seconds"] for report in reports)
            module.phase = {"name": names[index], "earlier": reports, "best_before": before}
            parts = _callbacks(callbacks, stages[index], best)
            result = fit(
                module,
                datamodule,
                share,
                folder=folder,
                trainer=trainer,
                callbacks=parts,
                loggers=loggers,
                precision=precision,
                resume=source,
                more_follows=True,
            )
            source, best = None, _best(parts)
            reports = [*reports, _report(names[index], result, before, best)]
            before = best
            if result.status == "interrupted":
                break
    finally:
        finish(loggers)
    if result is None:
        raise ValueError("the budget leaves no phase a step: raise it")
    return _whole(result, reports)


@dataclass(frozen=True)
class _Standing:
    """Where a run is: at its beginning, or where a checkpoint says."""

    checkpoint: Path | None = None
    phase: int = 0
    earlier: list[dict[str, Any]] = field(default_factory=list)
    """Reports of the phases before."""
    best_before: float = float("inf")
    """Best validation loss of those."""
    best: float = float("inf")
    """Best validation loss until now."""


def _standing(
    resume: str | os.PathLike[str] | None,
    callbacks: Callable[[], Iterable[Callback]],
    folder: Path,
    names: Sequence[str],
) -> _Standing:
    checkpoints = _checkpoints(callbacks())
    if checkpoints is not None and checkpoints.folder is None:
        checkpoints.folder = folder / "checkpoints"
    source = resume_source(resume, checkpoints, folder)
    if source is None:
        return _Standing()
    state = read_checkpoint(source)
    phase = state["sus2bench"].get("phase")
    if not phase:  # of a run without phases
        phase = {"name": names[0], "earlier": [], "best_before": float("inf")}
    done = [report["name"] for report in phase["earlier"]]
    if phase["name"] not in names or any(name not in names for name in done):
        raise ValueError(
            f"{source} was written in phase {phase['name']!r} after {done}, but the phases of this "
            f"run are {list(names)}: resume with the same training configuration"
        )
    if checkpoints is not None and checkpoints.state_key in state["callbacks"]:
        checkpoints.load_state_dict(state["callbacks"][checkpoints.state_key])
    return _Standing(
        checkpoint=source,
        phase=names.index(phase["name"]),
        earlier=list(phase["earlier"]),
        best_before=float(phase["best_before"]),
        best=float("inf") if checkpoints is None else checkpoints.best_score,
    )


def _share(
    budget: Budget, phases: Sequence[Phase], reports: Sequence[Mapping[str, Any]]
) -> Budget | None:
    """What the first of the phases that are left may use; None if there is nothing."""
    return budget.share(
        phases[0].part / sum(phase.part for phase in phases),
        sum(report["steps"] for report in reports),
        sum(report["seconds"] for report in reports),
        phases[0].max_steps,
        frames=sum(report.get("frames", 0) for report in reports),
    )


def _callbacks(
    callbacks: Callable[[], Iterable[Callback]], phase: Phase, best: float
) -> list[Callback]:
    """Those of a phase; only weights better than the best so far become `best.ckpt`."""
    parts = [c for c in callbacks() if phase.average or not isinstance(c, WeightAverage)]
    checkpoints = _checkpoints(parts)
    if checkpoints is not None:
        checkpoints.best_score = best
    return parts


def _check(
    phases: Sequence[Phase],
    make_module: Callable[[Phase], PotentialModule],
    precision: str,
    accumulate: int,
) -> None:
    """Finds what a later phase would refuse, before the first one, and what no phase would use."""
    by_batches = False
    for phase in phases:
        module = make_module(phase)
        optimizer = module.configure_optimizers()  # refuses a model or loss it cannot train
        check_precision(precision, module.potential, optimizer)
        by_batches |= not isinstance(optimizer, WholeSetOptimizer)
    if accumulate > 1 and not by_batches:
        raise ValueError(
            f"data.accumulate={accumulate} is for optimizers of mini-batches; here all are of the "
            "whole training set, which they go through in blocks anyway: leave it out"
        )


def _checkpoints(callbacks: Iterable[Callback]) -> Checkpoints | None:
    return next((c for c in callbacks if isinstance(c, Checkpoints)), None)


def _best(callbacks: Iterable[Callback]) -> float:
    checkpoints = _checkpoints(callbacks)
    return float("inf") if checkpoints is None else checkpoints.best_score


def _report(name: str, result: FitResult, before: float, after: float) -> dict[str, Any]:
    """Plain data on a phase; losses are None where nothing has been validated."""
    known = [None if loss == float("inf") else loss for loss in (before, after)]
    return {
        "name": name,
        "status": result.status,
        "steps": result.steps,
        "epochs": result.epochs,
        "frames": result.frames,
        "seconds": result.train_seconds,
        "best_valid_loss_before": known[0],
        "best_valid_loss_after": known[1],
    }


def _whole(result: FitResult, reports: Sequence[Mapping[str, Any]]) -> FitResult:
    """The result of all phases from that of the last one."""
    return replace(
        result,
        steps=sum(report["steps"] for report in reports),
        epochs=sum(report["epochs"] for report in reports),
        frames=sum(report.get("frames", 0) for report in reports),
        train_seconds=sum(report["seconds"] for report in reports),
        phases=tuple(dict(report) for report in reports),
    )
