"""The three runs: train a potential, evaluate one, time several. Each leaves a record.

train:    data -> model -> initial values -> fit -> errors of the best checkpoint -> speed
evaluate: data, potential -> errors -> speed
speed:    data or made-up crystals, potentials -> speed
"""

import logging
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import lightning
import torch
from hydra.utils import instantiate
from lightning.pytorch.callbacks import Callback, EarlyStopping
from omegaconf import DictConfig, OmegaConf

from sus2bench.benchmark import additions, beginning, measure
from sus2bench.benchmark.beginning import dtype_of, plain
from sus2bench.benchmark.records import Record, config_hash
from sus2bench.benchmark.reporting import RunInterruptedError, recorded, write_so_far
from sus2bench.benchmark.sources import source_of, species_list
from sus2bench.benchmark.stability import settings_of
from sus2bench.benchmark.stopwatch import threads
from sus2bench.benchmark.tracking import Tracker, tracked
from sus2bench.data.datamodule import FrameDataModule
from sus2bench.models.loading import load_potential
from sus2bench.models.potential import Potential
from sus2bench.training.budget import Budget, read_clock, seconds
from sus2bench.training.deterministic import deterministic
from sus2bench.training.exact import store_exact
from sus2bench.training.fit import FitResult
from sus2bench.training.freezing import freeze
from sus2bench.training.initialise import trains_by_steps
from sus2bench.training.loss import PotentialLoss
from sus2bench.training.module import PotentialModule
from sus2bench.training.phases import Phase, fit_phases
from sus2bench.training.regularization import Regularization

logger = logging.getLogger(__name__)


def train(cfg: DictConfig) -> Record:
    """Train a potential as configured by ``conf/train.yaml``.

    Writes to ``paths.output``: checkpoints, learning curve, predictions and the record. A run that
    is interrupted or fails leaves a record that says so. With ``resume=true`` a completed run of
    the same configuration gets the measurements that it lacks.

    Returns:
        The record.

    Raises:
        RecordError: if the folder holds a run that would be lost.
        RunInterruptedError: after an interruption; ``resume=true`` goes on.
        ValueError: for settings or data that do not fit together.
    """
    folder, cfg = Path(cfg.paths.output), cfg.copy()
    if cfg.resume and not cfg.overwrite and (lacking := additions.to_add(cfg)):
        return additions.add(cfg, lacking)
    gpu = cfg.trainer.accelerator != "cpu" and torch.cuda.is_available()
    same_bits = deterministic(cfg.deterministic, gpu=gpu)
    with (
        tracked(folder) as tracker,
        recorded(cfg, "train") as record,
        threads(cfg.threads),
        same_bits,
    ):
        checks = settings_of(plain(cfg.stability))
        start = beginning.potential_of_file(cfg)
        cutoff = start.cutoff if start else cfg.model.cutoff
        _set_cutoff(cfg, record, cutoff)
        tracker.begin(record, _parts(cfg.logger), goes_on=_goes_on(cfg, folder))
        record["hardware"]["threads"] = torch.get_num_threads()
        lightning.seed_everything(cfg.seed, workers=True, verbose=False)
        datamodule = measure.prepare_data(record, cfg, cutoff)
        added: dict[str, str] = {}
        if start is None:
            potential = beginning.new_potential(cfg, datamodule)
        else:
            potential, added = beginning.with_elements_of(datamodule, cfg, start)
        freeze(potential, plain(cfg.potential.freeze))
        measure.describe_potential(record, potential, datamodule)
        tracker.describe()
        result = _fit(cfg, record, potential, added, datamodule, tracker)
        if result.best_checkpoint is not None:
            potential = load_potential(result.best_checkpoint, dtype=dtype_of(cfg))
            record["model"]["checkpoint"] = str(result.best_checkpoint.relative_to(folder))
        measure.measure_trained(
            record,
            potential,
            datamodule,
            folder,
            test=cfg.test,
            checks=checks,
            mode=cfg.mode if cfg.speed else None,
        )
    return record


def evaluate(cfg: DictConfig) -> Record:
    """Evaluate a potential on data it was not fitted to here, as in ``conf/evaluate.yaml``.

    Returns:
        The record, written to ``paths.output`` beside the predictions.

    Raises:
        RecordError: if the folder holds a record that would be lost.
        ValueError: if potential and data do not fit together.
    """
    folder = Path(cfg.paths.output)
    with recorded(cfg, "evaluate") as record, threads(cfg.threads):
        checks = settings_of(plain(cfg.stability))
        record["hardware"]["threads"] = torch.get_num_threads()
        species = species_list(cfg.species)
        potential = load_potential(cfg.potential, species, dtype=dtype_of(cfg), backend=cfg.backend)
        datamodule = measure.prepare_data(record, cfg, potential.cutoff)
        measure.describe_potential(record, potential, datamodule)
        record["model"]["source"] = str(cfg.potential)
        measure.measure_accuracy(record, potential, datamodule, folder, cfg.splits)
        measure.measure_stability(record, potential, datamodule, checks)
        if cfg.speed:
            measure.measure_speed(record, {record["name"]: potential}, datamodule, mode=cfg.mode)
    return record


def speed(cfg: DictConfig) -> Record:
    """Time potentials in turn, as in ``conf/speed.yaml``: on frames of data, or over a scan.

    Returns:
        The record, written to ``paths.output``.

    Raises:
        RecordError: if the folder holds a record that would be lost.
        ValueError: if there is no potential, or one does not know the elements of the data.
    """
    with recorded(cfg, "speed") as record:
        record["hardware"]["threads"] = cfg.threads
        record["model"]["dtype"] = cfg.dtype
        place = {"dtype": dtype_of(cfg), "device": cfg.device, "seed": cfg.seed}
        entries = plain(cfg.potentials)
        sources = {name: source_of(entry, **place) for name, entry in entries.items()}
        if not sources:
            raise ValueError("no potential to time: give potentials={name: file, ...}")
        measure.describe_untrained(record, sources)
        settings = {
            "warm_up": cfg.warm_up,
            "repeats": cfg.repeats,
            "quantities": list(cfg.quantities),
            "mode": cfg.mode,
            "clock": cfg.clock,
        }
        if cfg.get("scan") is not None:
            scan = instantiate(cfg.scan, _convert_="all")
            measure.measure_scan(record, scan, sources, **settings)
            return record
        reach = max(source.reach for source in sources.values())
        datamodule = measure.prepare_data(record, cfg, reach)
        potentials = {name: s.build(datamodule.species) for name, s in sources.items()}
        settings |= {"split": cfg.split, "atoms": cfg.atoms, "number_of_threads": cfg.threads}
        measure.measure_speed(record, potentials, datamodule, **settings)
    return record


def _set_cutoff(cfg: DictConfig, record: Record, cutoff: float) -> None:
    """Have the configuration and the record say what follows from the model or its file."""
    OmegaConf.update(cfg, "data.cutoff", cutoff, force_add=True)
    record["config"]["data"]["cutoff"] = cutoff
    record["config_sha256"] = config_hash(record["config"])


def _fit(
    cfg: DictConfig,
    record: Record,
    potential: Potential,
    added: Mapping[str, str],
    datamodule: FrameDataModule,
    tracker: Tracker,
) -> FitResult:
    """Initial values (unless a run goes on) and training; raises if it was interrupted."""
    folder, loss = tracker.folder, instantiate(cfg.loss, _convert_="all")
    extra: Regularization = instantiate(cfg.regularization, _convert_="all")
    if not _goes_on(cfg, folder):
        with measure.timed(record, "initialise_seconds", read_clock(cfg.budget.clock)):
            initial = beginning.initial_values(cfg, potential, added, datamodule, loss, extra)
            initial |= beginning.unseen_pairs(potential, datamodule.train)
        record["model"]["initialisation"] = initial
        write_so_far(record, folder)
    if trains_by_steps(potential):
        used = record["timings"].get("initialise_seconds", 0.0)
        regularization = None if extra.is_zero else extra
        budget = _budget(cfg, used)
        result = _take_steps(cfg, potential, loss, regularization, datamodule, budget, tracker)
        record["phases"] = list(result.phases)
    else:
        result = store_exact(potential, folder)
    record["timings"] |= {
        "train_seconds": result.train_seconds,
        "steps": result.steps,
        "epochs": result.epochs,
        "frames": result.frames,
        "step_seconds": result.train_seconds / max(result.steps, 1),
    }
    if result.ended_by is not None:
        record["ended_by"] = result.ended_by
    if result.status == "interrupted":
        raise RunInterruptedError(
            f"training was interrupted at step {result.steps}; the same command with resume=true "
            "goes on from there"
        )
    return result


def _take_steps(
    cfg: DictConfig,
    potential: Potential,
    loss: PotentialLoss,
    regularization: Regularization | None,
    datamodule: FrameDataModule,
    budget: Budget,
    tracker: Tracker,
) -> FitResult:
    def module(phase: Phase) -> PotentialModule:
        return PotentialModule(
            potential,
            loss,
            phase.algorithm,
            phase.schedule,
            solve_every=phase.solve_every,
            regularization=regularization,
        )

    phases = {
        str(name): instantiate(phase, _convert_="all")
        for name, phase in cfg.training.phases.items()
        if phase is not None
    }
    with _without_advice():
        return fit_phases(
            phases,
            module,
            datamodule,
            budget,
            folder=tracker.folder,
            trainer=instantiate(cfg.trainer, _convert_="all"),
            callbacks=lambda: [*_parts(cfg.callbacks), *_until_convergence(cfg.budget)],
            loggers=tracker.loggers,
            precision=cfg.precision,
            resume="last" if cfg.resume else None,
        )


def _goes_on(cfg: DictConfig, folder: Path) -> bool:
    """Whether a run is resumed from a checkpoint."""
    return bool(cfg.resume) and (folder / "checkpoints" / "last.ckpt").is_file()


@contextmanager
def _without_advice() -> Iterator[None]:
    """Keep Lightning from listing devices that are not there and services to sign up for."""
    chatter = logging.getLogger("lightning.pytorch")
    level = chatter.level
    chatter.setLevel(logging.WARNING)
    try:
        yield
    finally:
        chatter.setLevel(level)


def _budget(cfg: DictConfig, used: float) -> Budget:
    """The budget of a run, of whose time the initial values have taken their part.

    Raises:
        ValueError: if they took all of it.
    """
    limit = cfg.budget.max_time
    left = None if limit is None else seconds(limit) - used
    if left is not None and left <= 0:
        raise ValueError(
            f"the initial values took {used:.0f} s, all of budget.max_time={limit}: raise it"
        )
    return Budget(cfg.budget.max_steps, left, cfg.budget.max_frames, clock=cfg.budget.clock)


def _until_convergence(budget: DictConfig) -> list[Callback]:
    """What ends a run that has converged, if the budget says when that is."""
    if budget.patience is None:
        return []
    return [EarlyStopping("valid/loss", patience=budget.patience)]


def _parts(group: DictConfig) -> list[Any]:
    """The parts of a group that are not switched off by null."""
    return [instantiate(part, _convert_="all") for part in group.values() if part is not None]
