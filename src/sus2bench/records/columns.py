"""What identifies a run, as columns: one row per record, or per potential of a speed record."""

import hashlib
import json
from collections.abc import Iterator, Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any

from sus2bench.benchmark.costs import (
    efficiency_of,
    memory_of,
    speed_of,
    stability_of,
    time_of,
    training_seconds,
)
from sus2bench.benchmark.identity import identity
from sus2bench.benchmark.records import Record
from sus2bench.training.budget import seconds

COLUMNS: dict[str, str] = {
    "record": "string",  # first 12 digits of the hash of all that the record holds
    "run": "string",  # likewise of what was run; runs with the same value repeat each other
    "kind": "string",  # train, evaluate or speed
    "name": "string",  # of the run
    "potential": "string",  # of the row: the name again, but for speed records
    "data": "string",
    "model": "string",  # class
    "dtype": "string",
    "seed": "Int64",
    "training_fraction": "float64",
    "training_frames": "Int64",
    "optimizer": "string",  # class, those of several phases joined by +; none after an exact solve
    "budget_steps": "Int64",
    "budget_frames": "Int64",
    "budget_patience": "Int64",  # validations without progress after which a run has converged
    "budget_seconds": "float64",
    "budget_clock": "string",
    "deterministic": "boolean",
    "stored": "Int64",  # parameters
    "trainable": "Int64",
    "effective": "Int64",
    "us_per_atom": "float64",  # energy and forces, median
    "efficiency": "float64",  # 100 µs/atom over that time
    "speed_mode": "string",
    "device": "string",  # of that time
    "memory_MB": "float64",  # of a prediction, at most
    "training_memory_MB": "float64",
    "energy_drift_eV_atom_ps": "float64",  # of dynamics at constant energy
    "instability": "float64",  # orders of magnitude of that beyond 5e-4, 5 where dynamics failed
    "hot_md_ps": "float64",  # how long dynamics at a raised temperature went well
    "eos_minima": "Int64",  # of the energy against the volume
    "sane_dimers": "float64",  # part of the pairs of elements
    "train_seconds": "float64",  # initial values included
    "evaluate_seconds": "float64",
    "steps": "Int64",
    "frames": "Int64",  # seen in training, each as often as it was
    "epochs": "float64",
    "ended_by": "string",  # which part of the budget, or convergence
    "status": "string",
    "error": "string",  # last line of the traceback
    "created": "string",
    "commit": "string",
    "changed": "boolean",  # whether tracked files differed from the commit
    "python": "string",
    "torch": "string",
    "environment": "string",  # first 12 digits of the hash of all packages
    "cpu": "string",
    "gpu": "string",
    "threads": "Int64",
    "config_sha256": "string",
    "split_hash": "string",
    "path": "string",
}
"""Columns of a run and their pandas types."""

_DIGITS = 12


def content_id(record: Record) -> str:
    """A short hash of all that a record holds: the same for copies of one record."""
    return _hash(record)


def run_id(record: Record) -> str:
    """A short hash of what was run: name, settings, data and split, but no place and no time.

    Records that share it are of runs that repeat each other, on whichever machine, or of one run
    before and after measurements were added to it.
    """
    settings = identity(record["config"])
    what = {"kind": record["kind"], "name": record["name"], "settings": settings}
    data = record["data"]
    return _hash(what | {"files": data["files"], "split_hash": data["split_hash"]})


def _hash(value: Any) -> str:
    text = json.dumps(value, sort_keys=True, ensure_ascii=False)
    return hashlib.sha256(text.encode()).hexdigest()[:_DIGITS]


def rows(record: Record, path: Path, timed: Record) -> Iterator[dict[str, Any]]:
    """The row of a record, or one for each potential of a speed record that has timed several.

    Args:
        record: as it was read.
        path: of its file.
        timed: the record with the speeds to show, its own or joint ones.
    """
    row = _row(record, path)
    if record["kind"] != "speed":
        yield row | _cost(speed_of(timed)) | {"potential": record["name"]}
        return
    for name, speed in record["speed"].items():
        yield row | _cost(speed) | {"potential": name}
    if not record["speed"]:
        yield row


def _row(record: Record, path: Path) -> dict[str, Any]:
    config, timings, parameters = record["config"], record["timings"], record["parameters"] or {}
    traceback = (record["traceback"] or "").strip()
    values = {
        "record": content_id(record),
        "run": run_id(record),
        "data": record["data"]["name"] or config.get("data_name"),
        "model": _model(record),
        "dtype": record["model"]["dtype"] or config.get("dtype"),
        "seed": record["seeds"].get("run"),
        "optimizer": _optimizer(record),
        "deterministic": config.get("deterministic", False),
        "train_seconds": training_seconds(record),
        "ended_by": record.get("ended_by"),
        "error": traceback.splitlines()[-1] if traceback else None,
        "path": path.as_posix(),
    }
    values |= {key: record[key] for key in ("kind", "name", "status", "created", "config_sha256")}
    values |= {key: parameters.get(key) for key in ("stored", "trainable", "effective")}
    values |= {key: timings.get(key) for key in ("evaluate_seconds", "steps", "frames", "epochs")}
    values |= stability_of(record)
    return values | _training_data(record) | _budget(config) | _provenance(record)


def _model(record: Record) -> str | None:
    """Class of the model; of a run that failed early the one that was configured."""
    model = record["config"].get("model")
    configured = model.get("_target_") if isinstance(model, Mapping) else None
    target = record["model"]["target"] or configured
    return target.rpartition(".")[2] if target else None


def _optimizer(record: Record) -> str | None:
    """Optimizers of the phases in their order."""
    config = record["config"]
    if record["kind"] != "train" or record["timings"].get("steps") == 0:
        return None
    phases = config.get("training", {}).get("phases") or {"main": config.get("optimizer", {})}
    algorithms = [phase.get("algorithm", {}) for phase in phases.values() if phase]
    targets = [part.get("target") or part.get("_target_") or "" for part in algorithms]
    return " + ".join(target.rpartition(".")[2] for target in targets) or None


def _training_data(record: Record) -> dict[str, Any]:
    data = record["data"]
    train = data["census"].get("parts", {}).get("train", {})
    settings = record["config"].get("data")
    fraction = settings.get("train_fraction") if isinstance(settings, Mapping) else None
    return {
        "training_fraction": fraction if record["kind"] == "train" else None,
        "training_frames": train.get("frames"),
        "split_hash": data["split_hash"],
    }


def _budget(config: Mapping[str, Any]) -> dict[str, Any]:
    budget = config.get("budget") or {}
    time, limit = budget.get("max_time"), None
    if time is not None:
        with suppress(ValueError):  # that a run has failed of
            limit = seconds(time)
    return {
        "budget_steps": budget.get("max_steps"),
        "budget_frames": budget.get("max_frames"),
        "budget_patience": budget.get("patience"),
        "budget_seconds": limit,
        "budget_clock": budget.get("clock", "wall") if time is not None else None,
    }


def _cost(speed: dict[str, Any] | None) -> dict[str, Any]:
    entry = speed or {}
    return {
        "us_per_atom": time_of(speed),
        "efficiency": efficiency_of(speed),
        "speed_mode": entry.get("mode", "eager") if speed else None,
        "device": entry.get("device"),
        "memory_MB": memory_of(speed, "energy_and_forces"),
        "training_memory_MB": memory_of(speed, "training_gradient"),
    }


def _provenance(record: Record) -> dict[str, Any]:
    git, packages, hardware = record["git"] or {}, record["packages"], record["hardware"]
    environment = record["environment"] or {}
    return {
        "commit": git.get("commit"),
        "changed": git.get("dirty"),
        "python": packages.get("python"),
        "torch": packages.get("torch"),
        "environment": environment["sha256"][:_DIGITS] if environment else None,
        **{key: hardware[key] for key in ("cpu", "gpu", "threads")},
    }
