"""The record: the one JSON file a run leaves, its schema, and reading and writing it."""

from __future__ import annotations

import hashlib
import json
import logging
import os
from collections.abc import Iterable, Iterator, Mapping
from datetime import UTC, datetime
from functools import cache
from importlib import resources
from pathlib import Path
from typing import Any

import jsonschema
from jsonschema.protocols import Validator

from sus2bench.atoms.files import write_atomically
from sus2bench.benchmark import provenance
from sus2bench.benchmark.migration import SCHEMA_VERSION, migrated

logger = logging.getLogger(__name__)

FILE_NAME = "record.json"

Record = dict[str, Any]

UNITS = {
    "_meV": "meV/atom",
    "_meV_A": "meV/Å",
    "_GPa": "GPa",
    "_seconds": "s",
    "_frames": "frames",
    "_components": "components",
    "_us_per_atom": "µs/atom",
    "_MB": "MB",
    "_eV": "eV",
    "_eV_A": "eV/Å",
    "_per_atom_deviation_eV": "eV/atom",
}
"""Endings of metric names and what they are measured in; the longest that fits is meant."""


class RecordError(ValueError):
    """A record that does not follow the schema, or a file that would be lost."""


def unit_of(metric: str) -> str:
    """Unit of a metric by the ending of its name, an element suffix (``/Ni``) apart."""
    name = metric.partition("/")[0]
    fitting = [ending for ending in UNITS if name.endswith(ending)]
    return UNITS[max(fitting, key=len)] if fitting else "1"


def config_hash(config: Mapping[str, Any]) -> str:
    """SHA-256 of the configuration as sorted JSON."""
    text = json.dumps(config, sort_keys=True, ensure_ascii=False)
    return hashlib.sha256(text.encode()).hexdigest()


def new_record(kind: str, name: str, config: Mapping[str, Any]) -> Record:
    """A valid record of a run that has not got anywhere yet (status ``failed``)."""
    settings = provenance.plain(config)
    return {
        "schema_version": SCHEMA_VERSION,
        "kind": kind,
        "name": name,
        "created": datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%SZ"),
        "status": "failed",
        "traceback": "the run did not report an end",
        "git": provenance.git_state(),
        "command": provenance.command_line(),
        "config": settings,
        "config_sha256": config_hash(settings),
        "model": {"name": name, "target": None, "dtype": None},
        "data": {"name": "", "files": {}, "split_hash": None, "census": {}, "species": []},
        "seeds": {},
        "packages": provenance.package_versions(),
        "environment": provenance.environment(),
        "hardware": provenance.hardware(),
        "parameters": None,
        "metrics": {},
        "units": {},
        "timings": {},
        "speed": {},
    }


def complete_units(record: Record) -> None:
    """Fill ``units`` for every metric name that occurs in the record."""
    tables = [*record["metrics"].values(), *record.get("baseline", {}).values()]
    names = {name.partition("/")[0] for table in tables for name in table}
    record["units"] = {name: unit_of(name) for name in sorted(names)}


@cache
def schema() -> dict[str, Any]:
    """The JSON schema of a record."""
    text = resources.files(__package__).joinpath("record.schema.json").read_text("utf-8")
    return dict(json.loads(text))


@cache
def _validator() -> Validator:
    usual = jsonschema.Draft202012Validator
    extend: Any = jsonschema.validators.extend  # not typed
    kind = extend(usual, {"additionalProperties": _quickly})
    validator: Validator = kind(schema())
    return validator


def _quickly(validator: Any, allowed: Any, instance: Any, within: dict[str, Any]) -> Iterator[Any]:
    """The keyword `additionalProperties`, without a walk through tables whose types are right.

    Most of a record are flat tables of numbers, each of which would cost as much as a large object.
    """
    simple = isinstance(allowed, dict) and allowed.keys() == {"type"}
    all_of_them = not {"properties", "patternProperties"} & within.keys()
    if simple and all_of_them and isinstance(instance, dict):
        types = [allowed["type"]] if isinstance(allowed["type"], str) else allowed["type"]
        if all(any(validator.is_type(v, t) for t in types) for v in instance.values()):
            return
    usual = jsonschema.Draft202012Validator.VALIDATORS["additionalProperties"]
    yield from usual(validator, allowed, instance, within)


def validate(record: Mapping[str, Any], source: str = "record") -> None:
    """Check a record against the schema and its own hash.

    Raises:
        RecordError: naming ``source``, the place inside the record, and what is wrong there.
    """
    errors = sorted(_validator().iter_errors(record), key=lambda error: list(map(str, error.path)))
    if errors:
        lines = [
            f"{'/'.join(map(str, error.path)) or 'top level'}: {error.message}" for error in errors
        ]
        raise RecordError(f"{source} is not a valid record: " + "; ".join(lines))
    if config_hash(record["config"]) != record["config_sha256"]:
        raise RecordError(f"{source}: config_sha256 does not belong to config; was it edited?")


def load_record(path: str | os.PathLike[str]) -> Record:
    """Read and validate a record; one of an earlier version of the schema is migrated.

    Raises:
        RecordError: if the file is not JSON or not a valid record, or of a newer version.
        FileNotFoundError: if there is no such file.
    """
    try:
        record = json.loads(Path(path).read_text("utf-8"))
    except ValueError as error:  # not text, or not JSON
        raise RecordError(f"{path} is not JSON: {error}") from error
    if not isinstance(record, dict):
        raise RecordError(f"{path} is not a record but a JSON {type(record).__name__}")
    try:
        record = migrated(record, str(path))
    except ValueError as error:
        raise RecordError(str(error)) from error
    validate(record, str(path))
    return record


def write_record(
    record: Mapping[str, Any], path: str | os.PathLike[str], *, overwrite: bool = False
) -> Record:
    """Write a record in one piece; returns what was written, plain and free of NaN.

    Args:
        record: the record; numbers that are not finite become null, paths lose the machine's part.
        path: file to write.
        overwrite: whether an existing file may be replaced.

    Raises:
        RecordError: if the record is not valid, or the file exists and may not be replaced.
    """
    target = Path(path)
    cleaned: Record = provenance.plain(record)
    validate(cleaned, str(path))
    if target.exists() and not overwrite:
        raise RecordError(f"{path} exists; choose another folder or ask for it to be overwritten")
    target.parent.mkdir(parents=True, exist_ok=True)
    text = json.dumps(cleaned, indent=1, ensure_ascii=False, allow_nan=False) + "\n"
    write_atomically(target, lambda part: part.write_text(text, encoding="utf-8"))
    return cleaned


def find_files(paths: Iterable[str | os.PathLike[str]]) -> list[Path]:
    """Record files that are named, or found below folders, sorted; hidden folders are left out.

    Raises:
        FileNotFoundError: if a path does not exist or a folder holds no record.
    """
    files: set[Path] = set()
    for path in map(Path, paths):
        found = _below(path) if path.is_dir() else [path] if path.is_file() else []
        if not found:
            raise FileNotFoundError(f"no {FILE_NAME} at {path}; give a record or a folder with one")
        files.update(found)
    return sorted(files)


def _below(folder: Path) -> list[Path]:
    """Records below a folder; those in hidden folders are of copies that are not complete."""
    found = ((file, file.relative_to(folder).parts) for file in folder.rglob(FILE_NAME))
    return [file for file, parts in found if not any(part.startswith(".") for part in parts)]


def find_records(paths: Iterable[str | os.PathLike[str]]) -> list[tuple[Path, Record]]:
    """Records named by files or found below folders, sorted by path, each with its file.

    Raises:
        FileNotFoundError: if a path does not exist or a folder holds no record.
        RecordError: if one is not valid.
    """
    return [(file, load_record(file)) for file in find_files(paths)]


def with_joint_speeds(found: Iterable[tuple[Path, Record]]) -> list[tuple[Path, Record]]:
    """Give records the speeds of `speed` runs, which time potentials in turn on the same frames.

    They replace what a run of the same name on the same data measured by itself, unless different
    models were trained under that name, as in a sweep over their sizes: each keeps its own times
    then. A speed record all of whose potentials have given their times to a run is left out.
    """
    pairs = list(found)
    others = {(r["data"]["name"], r["name"]) for _, r in pairs if r["kind"] != "speed"}
    several = _of_several_models(record for _, record in pairs)
    others -= several
    joint: dict[tuple[str, str], Any] = {}
    kept: list[tuple[Path, Record]] = []
    for path, record in pairs:
        names = {(record["data"]["name"], name): speed for name, speed in record["speed"].items()}
        if record["kind"] == "speed":
            joint |= {place: speed for place, speed in names.items() if place in others}
            for data, name in sorted(names.keys() & several):
                logger.warning(
                    "the times of %s in %s are not given to its runs on %s, which are of different "
                    "models: name these apart",
                    *(name, path, data),
                )
            if names.keys() <= others:
                continue
        kept.append((path, record))
    return [(path, _with_speed(record, joint)) for path, record in kept]


def _of_several_models(found: Iterable[Record]) -> set[tuple[str, str]]:
    """Data sets and names under which different models were trained."""
    models: dict[tuple[str, str], set[str]] = {}
    for record in found:
        if record["kind"] == "train":
            settings = {key: record["config"].get(key) for key in ("model", "potential", "dtype")}
            place = record["data"]["name"], record["name"]
            models.setdefault(place, set()).add(config_hash(_without_seeds(settings)))
    return {place for place, kinds in models.items() if len(kinds) > 1}


def _without_seeds(settings: Mapping[str, Any]) -> dict[str, Any]:
    """Settings less seeds, and less those that are null, which a later version may have added."""
    return {
        key: _without_seeds(value) if isinstance(value, Mapping) else value
        for key, value in settings.items()
        if key != "seed" and value is not None
    }


def _with_speed(record: Record, joint: Mapping[tuple[str, str], Any]) -> Record:
    speed = joint.get((record["data"]["name"], record["name"]))
    if speed is None or record["kind"] == "speed":
        return record
    return record | {"speed": {record["name"]: speed}}
