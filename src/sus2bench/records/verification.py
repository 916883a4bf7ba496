"""Whether a record holds: its errors once more, from its predictions and from its checkpoint.

Tolerances. Errors from stored predictions are the same arithmetic on the same numbers, so that only
the order of sums may differ. Errors from a checkpoint may be those of another machine, of other
batches and another number of threads: rounding in the precision of the model. In float32 batches of
another size were seen to change the force errors of a potential by 2e-3 meV/Å, its energy errors by
1e-4 meV/atom and those of stress by 2e-5 GPa; what is tolerated is some times that.
"""

import os
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import lru_cache
from json import dumps, loads
from math import inf, isfinite
from pathlib import Path
from typing import Any, Literal

import torch
from hydra.errors import HydraException
from hydra.utils import instantiate

from sus2bench.atoms.files import sha256_of
from sus2bench.benchmark.accuracy import PredictionsError, errors_of, evaluate, load_predictions
from sus2bench.benchmark.measure import splits, without_copies
from sus2bench.benchmark.records import Record, RecordError, load_record, unit_of
from sus2bench.benchmark.sources import species_list
from sus2bench.data.catalogue import locate
from sus2bench.data.datamodule import FrameDataModule
from sus2bench.models.loading import load_potential
from sus2bench.models.potential import Potential
from sus2bench.records.settings import restored

Outcome = Literal["holds", "differs", "cannot be checked"]

FROM_PREDICTIONS = (1e-9, 1e-9)
FROM_CHECKPOINT = {"float64": (1e-6, 1e-6), "float32": (1e-4, 1e-2)}
"""Relative tolerance, and absolute one in the metric's own unit (meV/atom, meV/Å; for GPa a
tenth), by where errors are taken from and the dtype of the model."""
_GPA = 0.1


class _UncheckableError(Exception):
    """Why something cannot be checked here."""


class _PartlyCheckedError(_UncheckableError):
    """Why a part of something cannot be checked, when all the rest of it has been."""


@dataclass(frozen=True)
class Finding:
    """The outcome of one check of one record."""

    record: str
    check: str
    """``record``, ``predictions``, ``data``, ``split`` or ``checkpoint``."""
    outcome: Outcome
    details: str


def verify(path: str | os.PathLike[str], *, quick: bool = False) -> list[Finding]:
    """Check a record against what it was made of, as far as that is there.

    Args:
        path: record file; predictions and checkpoint are looked for beside it, the potential of an
            evaluation where its settings say, data where any run finds them.
        quick: leave out what needs data or an evaluation.

    Returns:
        A finding for each check: the record itself (schema, hash of its settings), its errors from
        stored predictions, data files and split by their hashes, and its errors from the checkpoint
        and the data. What of a check cannot be done has a finding of its own.
    """
    path = Path(path)
    try:
        record = load_record(path)
    except RecordError as error:
        return [Finding(str(path), "record", "differs", str(error))]
    found = [Finding(str(path), "record", "holds", "schema, config_sha256")]
    checks = {"predictions": _predictions}
    if not quick:
        checks |= {"data": _data, "split": _split, "checkpoint": _checkpoint}
    if not record["metrics"]:
        reason = f"the {record['kind']} run ({record['status']}) has no errors"
        return [*found, Finding(str(path), "metrics", "cannot be checked", reason)]
    for name, check in checks.items():
        found += _findings(str(path), name, check(record, path.parent))
    return found


def _findings(record: str, check: str, differences: Iterator[str]) -> list[Finding]:
    """What a check has found, and what of it could not be done."""
    found: list[str] = []
    unchecked: list[Finding] = []
    checked = True
    try:
        for difference in differences:
            found.append(difference)  # kept, should the check end early
    except _UncheckableError as reason:
        unchecked = [Finding(record, check, "cannot be checked", str(reason))]
        checked = isinstance(reason, _PartlyCheckedError)
    if found:
        return [Finding(record, check, "differs", "; ".join(found)), *unchecked]
    holds = [Finding(record, check, "holds", _HOLDS[check])] if checked else []
    return [*holds, *unchecked]


_HOLDS = {
    "predictions": "errors from the stored predictions",
    "data": "SHA-256 of all files",
    "split": "split_hash",
    "checkpoint": "errors from checkpoint and data",
}


def _predictions(record: Record, folder: Path) -> Iterator[str]:
    copies = record["data"]["census"].get("copies_of_training_frames", {})
    missing = []
    for split, stated in record["metrics"].items():
        whole = split.removesuffix("_without_copies")
        file = folder / f"predictions_{whole}.npz"
        if not file.is_file():
            missing.append(split)
            continue
        left_out = set(copies.get(whole, ())) if whole != split else set()
        try:
            metrics, baseline = errors_of(load_predictions(file), left_out)
        except PredictionsError as error:
            yield f"{split}: {error}"
            continue
        yield from _differences(split, stated, metrics, FROM_PREDICTIONS)
        floor = record.get("baseline", {}).get(split, {})
        yield from _differences(f"baseline of {split}", floor, baseline, FROM_PREDICTIONS)
    if len(missing) == len(record["metrics"]):
        raise _UncheckableError(f"no predictions_*.npz in {folder}")
    if missing:
        raise _PartlyCheckedError(f"{', '.join(missing)}: no predictions of it in {folder}")


def _data(record: Record, folder: Path) -> Iterator[str]:
    module = _datamodule(record)
    for file, stated in record["data"]["files"].items():
        try:
            found = sha256_of(locate(module.source, file, module.cache_dir))
        except FileNotFoundError as error:
            raise _UncheckableError(str(error).partition("\n")[0]) from error
        except ValueError as error:  # the content is not that of the published file
            yield str(error)
            continue
        if found != stated:
            yield f"{file}: SHA-256 {found[:12]}, {stated[:12]} in the record"


def _split(record: Record, folder: Path) -> Iterator[str]:
    found, stated = _prepared(record).split_hash, record["data"]["split_hash"]
    if found != stated:
        yield f"split_hash {found[:12]}, {str(stated)[:12]} in the record"


def _checkpoint(record: Record, folder: Path) -> Iterator[str]:
    potential = _potential(record, folder)
    module = _prepared(record)
    names = [name for name in record["metrics"] if name in module.parts]
    parts = splits(module, names)
    every = {**parts, **without_copies(module, parts)}
    tolerance = FROM_CHECKPOINT[record["model"]["dtype"]]
    for split, stated in record["metrics"].items():
        if split not in every:
            yield f"there is no part '{split}' of the data"
            continue
        metrics = evaluate(potential, every[split]).metrics
        yield from _differences(split, stated, metrics, tolerance)


def _potential(record: Record, folder: Path) -> Potential:
    """The potential whose errors the record states."""
    config, species, backend = record["config"], None, None
    dtype = torch.float32 if record["model"]["dtype"] == "float32" else torch.float64
    if record["kind"] == "train":
        file = folder / (record["model"].get("checkpoint") or "checkpoints/best.ckpt")
    else:
        file, backend = Path(str(_here(config["potential"]))), config.get("backend")
        species = species_list(_here(config.get("species")))
    try:
        return load_potential(file, species, dtype=dtype, backend=backend)
    except (OSError, ImportError, ValueError) as error:
        raise _UncheckableError(str(error)) from error


def _here(value: Any) -> Any:
    try:
        return restored(value)
    except ValueError as error:
        raise _UncheckableError(str(error)) from error


def _datamodule(record: Record) -> FrameDataModule:
    settings = record["config"].get("data")
    known = isinstance(settings, Mapping) and "_target_" in settings
    if not known or "cutoff" not in record["data"]:
        raise _UncheckableError("the record has no settings of data")
    here = _here(dict(settings)) | {"cutoff": record["data"]["cutoff"], "cache_dir": None}
    try:
        return _made(dumps(here, sort_keys=True))
    except HydraException as error:
        raise _UncheckableError(str(error).partition("\n")[0]) from error


@lru_cache(maxsize=1)
def _made(settings: str) -> FrameDataModule:
    """The data of some settings, kept for the next record of the same."""
    module: FrameDataModule = instantiate(loads(settings), _convert_="all")
    return module


def _prepared(record: Record) -> FrameDataModule:
    module = _datamodule(record)
    try:
        module.prepare_data()
        module.setup()
    except (FileNotFoundError, ValueError) as error:
        raise _UncheckableError(str(error).partition("\n")[0]) from error
    return module


def _differences(
    split: str,
    stated: Mapping[str, float | None],
    found: Mapping[str, float],
    tolerance: tuple[float, float],
) -> Iterator[str]:
    """What differs by more than the tolerance: the metric by which it is most, and how many."""
    worst: tuple[float, str] | None = None
    count = 0
    for name in dict.fromkeys((*stated, *found)):
        excess = _excess(name, stated.get(name), found.get(name), tolerance)
        if excess > 1:
            count += 1
            worst = max(worst or (0.0, ""), (excess, name))
    if worst is None:
        return
    name = worst[1]
    more = f", and {count - 1} more" if count > 1 else ""
    numbers = f"{_text(stated.get(name))} in the record, {_text(found.get(name))} now"
    yield f"{split} {name} ({unit_of(name)}): {numbers}{more}"


def _excess(
    name: str, stated: float | None, found: float | None, tolerance: tuple[float, float]
) -> float:
    """The difference in units of what is tolerated; infinite where only one is a number."""
    if found is not None and not isfinite(found):
        found = None  # as in a record
    if stated is None or found is None:
        return 0.0 if stated is found else inf
    relative, absolute = tolerance
    absolute *= _GPA if unit_of(name) == "GPa" else 1.0
    return abs(found - stated) / (absolute + relative * abs(stated))


def _text(value: float | None) -> str:
    return "none" if value is None else f"{value:.8g}"
