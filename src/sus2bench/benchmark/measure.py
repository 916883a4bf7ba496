"""What every run measures and writes into its record: data, parameters, errors, speed."""

import logging
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from hydra.utils import instantiate
from lightning.pytorch.utilities import rank_zero_only
from omegaconf import DictConfig

from sus2bench.atoms.files import sha256_of
from sus2bench.benchmark import accuracy, parameters, speed
from sus2bench.benchmark.records import Record
from sus2bench.benchmark.scan import Scan, ScanRun
from sus2bench.benchmark.sources import Source, Untrained
from sus2bench.benchmark.stability import Stability, check_stability, in_short
from sus2bench.data.catalogue import locate
from sus2bench.data.datamodule import FrameDataModule
from sus2bench.data.dataset import FrameDataset
from sus2bench.data.statistics import least_squares_atomic_energies
from sus2bench.models.potential import Potential

logger = logging.getLogger(__name__)


@contextmanager
def timed(
    record: Record, name: str, clock: Callable[[], float] = time.perf_counter
) -> Iterator[None]:
    """Add the time of the block, wall time unless another clock is given, to the timings, s."""
    start = clock()
    yield
    record["timings"][name] = clock() - start


def prepare_data(record: Record, cfg: DictConfig, cutoff: float) -> FrameDataModule:
    """The data of a configuration, ready to be used, and written down with the time they took."""
    with timed(record, "data_seconds"):
        datamodule: FrameDataModule = instantiate(cfg.data, cutoff=cutoff, _convert_="all")
        datamodule.prepare_data()
        datamodule.setup()
        describe_data(record, datamodule, cfg.data_name)
    return datamodule


def describe_data(record: Record, datamodule: FrameDataModule, name: str) -> None:
    """Write down what the data are."""
    names = (datamodule.train_file, datamodule.valid_file, *datamodule.test_files.values())
    paths = {file: locate(datamodule.source, file, datamodule.cache_dir) for file in names if file}
    record["data"] = {
        "name": name,
        "cutoff": datamodule.cutoff,
        "files": {file: sha256_of(path) for file, path in paths.items()},
        "split_hash": datamodule.split_hash,
        "census": datamodule.census,
        "species": list(datamodule.species),
    }


def describe_potential(record: Record, potential: Potential, datamodule: FrameDataModule) -> None:
    """Write down what the potential is and how many parameters it has on these training data."""
    model = type(potential.model)
    record["model"] |= {
        "name": record["name"],
        "target": f"{model.__module__}.{model.__qualname__}",
        "dtype": str(potential.dtype).removeprefix("torch."),
    }
    if potential.held:
        record["model"]["frozen"] = sorted(potential.held)
    pairs = parameters.species_pairs(datamodule.train)
    record["parameters"] = parameters.count(potential, pairs)


def measure_trained(
    record: Record,
    potential: Potential,
    datamodule: FrameDataModule,
    folder: Path,
    *,
    test: bool,
    checks: Stability | None,
    mode: str | None,
) -> None:
    """What is measured after training.

    Args:
        record: to write to.
        potential: the trained one.
        datamodule: with the data it was trained on.
        folder: for predictions.
        test: whether errors are wanted.
        checks: those without labels; None: none of them.
        mode: of the time per atom; None: it is not taken.
    """
    if test:
        measure_accuracy(record, potential, datamodule, folder)
    measure_stability(record, potential, datamodule, checks)
    if mode is not None:
        measure_speed(record, {record["name"]: potential}, datamodule, mode=mode)


def splits(datamodule: FrameDataModule, names: Sequence[str] | None) -> dict[str, FrameDataset]:
    """The named parts of the data; without names the validation set and every test set.

    Raises:
        ValueError: naming the parts there are, if one is not among them.
    """
    parts = datamodule.parts
    wanted = [name for name in parts if name != "train"] if names is None else list(names)
    missing = [name for name in wanted if name not in parts]
    if missing:
        raise ValueError(f"the data have no part called {missing}; there are {sorted(parts)}")
    return {name: parts[name] for name in wanted}


def measure_accuracy(
    record: Record,
    potential: Potential,
    datamodule: FrameDataModule,
    folder: Path,
    names: Sequence[str] | None = None,
) -> None:
    """Errors on each part, beside those of the composition fit; predictions go to the folder.

    A test set that holds copies of training frames is evaluated without them, too.
    """
    with timed(record, "evaluate_seconds"):
        composition, _ = least_squares_atomic_energies(datamodule.train, datamodule.species)
        parts = splits(datamodule, names)
        for name, part in {**parts, **without_copies(datamodule, parts)}.items():
            found = accuracy.evaluate(potential, part, composition)
            record["metrics"][name] = found.metrics
            record.setdefault("baseline", {})[name] = found.baseline
            if name in parts:
                _save_predictions(found.predictions, folder / f"predictions_{name}.npz")
            logger.info("%s: %s", name, _in_short(found.metrics))


def without_copies(
    datamodule: FrameDataModule, parts: Mapping[str, FrameDataset]
) -> dict[str, FrameDataset]:
    """The test sets among some parts that have copies of training frames, less those frames."""
    copies = datamodule.census["copies_of_training_frames"]
    rest: dict[str, FrameDataset] = {}
    for name, part in parts.items():
        kept = [index for index in range(len(part)) if index not in copies.get(name, ())]
        if name in datamodule.tests and 0 < len(kept) < len(part):
            rest[f"{name}_without_copies"] = part.subset(kept, f"{part.name}, without copies")
    return rest


@rank_zero_only
def measure_stability(
    record: Record, potential: Potential, datamodule: FrameDataModule, checks: Stability | None
) -> None:
    """Checks without labels, from a frame of the first test set, else of the validation set.

    Args:
        record: to write to.
        potential: stays as it is.
        datamodule: where the frame is taken from.
        checks: which; None: nothing is done.
    """
    if checks is None:
        return
    name, frames = next(iter(datamodule.tests.items()), ("valid", datamodule.valid))
    with timed(record, "stability_seconds"):
        found = check_stability(potential, frames, checks)
    record["stability"] = {"split": name, **found}
    logger.info("stability: %s", in_short(found))


@rank_zero_only
def measure_speed(
    record: Record,
    potentials: Mapping[str, Potential],
    datamodule: FrameDataModule,
    *,
    split: str | None = None,
    atoms: int = 256,
    **settings: Any,
) -> None:
    """Time per atom of each potential on the same frames.

    Args:
        record: to write to.
        potentials: by name.
        datamodule: where the frames are taken from.
        split: part of it; the validation set, else the first test set, if not given.
        atoms: atoms in the batch, at least.
        settings: arguments of :func:`speed.compare`.
    """
    part = next(iter(splits(datamodule, None if split is None else [split]).values()))
    frames = speed.choose_frames(part, atoms)
    record["speed"] = speed.compare(potentials, frames, **settings)
    for name, result in record["speed"].items():
        median = result["energy_and_forces_us_per_atom"]["median"]
        logger.info("%s: energy and forces %.4g µs/atom", name, median)


def measure_scan(
    record: Record,
    scan: Scan,
    sources: Mapping[str, Source],
    *,
    warm_up: int,
    repeats: int,
    **settings: Any,
) -> None:
    """Time and memory per atom of each potential at all points of a scan.

    Args:
        record: to write to; what there is stays if the run is interrupted.
        scan: what goes over which values.
        sources: potentials by name.
        warm_up: calls before the first one that counts.
        repeats: calls that count.
        settings: `quantities`, `mode` and `clock` of :class:`~sus2bench.benchmark.speed.Case`.
    """
    run = ScanRun(scan, sources, **settings)
    record["data"] |= {"name": "crystal", "species": run.elements}
    record["scan"] = run.report
    run.measure(warm_up, repeats)


def describe_untrained(record: Record, sources: Mapping[str, Source]) -> None:
    """Write down the configs of the models that are timed without training."""
    untrained = {n: source.config for n, source in sources.items() if isinstance(source, Untrained)}
    if untrained:
        record["model"]["initialisation"] = {"untrained": untrained}


def _in_short(metrics: Mapping[str, float]) -> str:
    shown = {
        "E RMSE": ("energy_per_atom_rmse_meV", "meV/atom"),
        "F RMSE": ("forces_rmse_meV_A", "meV/Å"),
        "stress RMSE": ("stress_rmse_GPa", "GPa"),
    }
    return ", ".join(
        f"{title} {metrics[name]:.4g} {unit}"
        for title, (name, unit) in shown.items()
        if name in metrics
    )


@rank_zero_only
def _save_predictions(predictions: accuracy.Arrays, path: Path) -> None:
    accuracy.save_predictions(predictions, path)
