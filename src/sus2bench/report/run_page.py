"""What the page of one run says: all of its record that a reader may ask for."""

import shlex
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pandas as pd
import yaml

from sus2bench.benchmark import tables
from sus2bench.benchmark.provenance import scrub
from sus2bench.report.elements import by_element
from sus2bench.report.runs import Run

LOG_LINES = 80
"""From the end of a log."""
_LOG_BYTES = 20_000
_NOT_ERRORS = (
    *("data", "model", "run", "stored", "trainable", "effective", "µs/atom", "memory (MB)"),
    *("training memory (MB)", "train (s)", "steps", "dtype", "status"),
)
_COUNTS = ("stored", "trainable", "effective")
_SPEEDS = {
    "energy_and_forces_us_per_atom": "energy and forces (µs/atom)",
    "energy_us_per_atom": "energy (µs/atom)",
    "energy_forces_and_stress_us_per_atom": "with stress (µs/atom)",
    "training_gradient_us_per_atom": "training gradient (µs/atom)",
    "training_step_us_per_atom": "training step (µs/atom)",
    "neighbour_list_us_per_atom": "neighbour list (µs/atom)",
    "md_step_us_per_atom": "MD step (µs/atom)",
}

_CHECKS = {
    "nve": "Dynamics at constant energy",
    "hot": "Dynamics at a raised temperature",
    "eos": "Energy against volume",
    "dimers": "Pairs of atoms",
}
_UNITS = ("eV/atom/ps", "eV/atom", "GPa", "ps", "fs", "K")
"""Endings of names in records, with `_` for the slashes; the longer before the shorter."""

Table = dict[str, Any]
"""`columns` and `rows`, all text."""


def page_of(run: Run, rows: pd.DataFrame) -> dict[str, Any]:
    """The context of the template `run.html.jinja`.

    Args:
        run: the run.
        rows: its rows of `leaderboard.table_of`.
    """
    record = run.record
    return {
        "run": run,
        "record": record,
        "source": shlex.quote(scrub(str(run.path))),
        "errors": _errors(rows),
        "elements": {split: _elements(run, split) for split in record["metrics"]},
        "parameters": _parameters(record["parameters"] or {}),
        "speeds": _speeds(record["speed"], with_value=False),
        "scans": {name: _scan(points) for name, points in _points(record).items()},
        "checks": _checks(record.get("stability", {})),
        "timings": {
            name.replace("_", " "): _number(value) for name, value in record["timings"].items()
        },
        "census": _census(record["data"]["census"]),
        "identity": _identity(record),
        "model_facts": _model_facts(record),
        "hardware_facts": [
            (name.replace("_", " "), tables.MISSING if value is None else value)
            for name, value in record["hardware"].items()
        ],
        "configuration": _yaml(record["config"]),
        "log": end_of_log(run.log) if run.log else None,
        "log_name": run.log.name if run.log else "",
    }


def _yaml(value: Any) -> str:
    # The C dumper takes a third of the time, but not every build of PyYAML has it.
    dumper = getattr(yaml, "CSafeDumper", yaml.SafeDumper)
    return str(yaml.dump(value, Dumper=dumper, sort_keys=False, allow_unicode=True, width=100))


def _identity(record: Mapping[str, Any]) -> list[tuple[str, str]]:
    hashes = {"configuration": record["config_sha256"], "split": record["data"]["split_hash"]}
    shown = [
        (f"{name} (SHA-256)", (value or tables.MISSING)[:16]) for name, value in hashes.items()
    ]
    return shown + [(f"seed of the {name}", str(seed)) for name, seed in record["seeds"].items()]


def _model_facts(record: Mapping[str, Any]) -> list[tuple[str, str]]:
    model, data = record["model"], record["data"]
    facts = [("class", model["target"]), ("dtype", model["dtype"])]
    facts += [(name, model.get(name)) for name in ("source", "checkpoint")]
    facts += [("cutoff", f"{data['cutoff']:g} Å" if "cutoff" in data else None)]
    facts += [("elements", ", ".join(data["species"]))]
    return [(name, str(value)) for name, value in facts if value]


def _errors(rows: pd.DataFrame) -> Table:
    """Errors by split."""
    rows = rows[rows["split"] != ""]
    titles = [title for title in rows.columns if title not in _NOT_ERRORS]
    shown = rows[[t for t in titles if rows[t].notna().any()]]
    text = tables.formatted(shown)
    return {"columns": list(text.columns), "rows": text.to_numpy().tolist()}


def _elements(run: Run, split: str) -> Table:
    errors = by_element(run, split)
    symbols = list(next(iter(errors.values()), {}))
    rows = [[s, *(_number(values.get(s)) for values in errors.values())] for s in symbols]
    return {"columns": ["element", *errors], "rows": rows}


def _parameters(parameters: Mapping[str, Any]) -> Table:
    blocks = parameters.get("blocks", {})
    rows = [[name, *(_count(block[kind]) for kind in _COUNTS)] for name, block in blocks.items()]
    if parameters:
        rows.append(["all", *(_count(parameters[kind]) for kind in _COUNTS)])
    return {"columns": ["block", *_COUNTS], "rows": rows}


def _speeds(speeds: Mapping[str, Any], *, with_value: bool) -> Table:
    """A row for each potential that was timed: medians and quartiles, and how it was done."""
    kinds = {
        kind: title for kind, title in _SPEEDS.items() if any(kind in s for s in speeds.values())
    }
    columns = ["value" if with_value else "potential", *kinds.values(), "memory (MB)"]
    columns += ["atoms", "edges", "dtype", "device", "threads", "mode"]
    rows = []
    for name, speed in speeds.items():
        memory = (speed.get("peak_memory_MB") or {}).get("energy_and_forces")
        times = [_timing(speed.get(kind)) for kind in kinds]
        sizes = [_count(speed["atoms"]), _count(speed["edges"]), speed["dtype"], speed["device"]]
        rows.append([name, *times, _number(memory), *sizes, str(speed["threads"])])
        rows[-1].append(speed.get("mode", "eager"))
    return {"columns": columns, "rows": rows}


def _checks(stability: Mapping[str, Any]) -> dict[str, list[tuple[str, str]]]:
    """What each check without labels found, by its title; curves stay in the record."""
    made = {title: stability[name] for name, title in _CHECKS.items() if stability.get(name)}
    return {
        title: [
            (_with_unit(name), _plain(value))
            for name, value in found.items()
            if not isinstance(value, list | dict)
        ]
        for title, found in made.items()
    }


def _with_unit(name: str) -> str:
    for unit in _UNITS:
        start, ending, rest = name.rpartition("_" + unit.replace("/", "_"))
        if ending and not rest:
            return f"{start} ({unit})".replace("_", " ")
    return name.replace("_", " ")


def _plain(value: bool | float | str | None) -> str:
    if isinstance(value, bool):
        return "yes" if value else "no"
    return value if isinstance(value, str) else _number(value)


def _points(record: Mapping[str, Any]) -> Mapping[str, Any]:
    points: Mapping[str, Any] = record.get("scan", {}).get("points", {})
    return points


def _scan(points: list[dict[str, Any]]) -> Table:
    return _speeds({f"{point['value']:g}": point for point in points}, with_value=True)


def _timing(timing: Mapping[str, float] | None) -> str:
    if timing is None:
        return tables.MISSING
    median, low, high = (timing[k] for k in ("median", "lower_quartile", "upper_quartile"))
    return f"{_number(median)} ({_number(low)} to {_number(high)})"


def _census(census: Mapping[str, Any]) -> Table:
    rows = []
    for part, counts in census.get("parts", {}).items():
        labels = counts.get("labels", {})
        rows.append([part, _count(counts.get("frames")), _count(counts.get("atoms"))])
        rows[-1] += [_count(labels.get(name)) for name in ("energy", "forces", "stress")]
    columns = ["part", "frames", "atoms", "with energy", "with forces", "with stress"]
    return {"columns": columns, "rows": rows}


def _number(value: float | None) -> str:
    if value is None:
        return tables.MISSING
    whole = float(value).is_integer() and abs(value) >= 1
    return f"{int(value):,}" if whole else tables.significant(float(value), 4)


def _count(value: int | None) -> str:
    return tables.MISSING if value is None else f"{value:,}"


def end_of_log(file: Path) -> str:
    """The last lines of a log, without folders of the machine."""
    with file.open("rb") as stream:
        stream.seek(max(0, file.stat().st_size - _LOG_BYTES))
        text = stream.read().decode("utf-8", errors="replace")
    return scrub("\n".join(text.splitlines()[-LOG_LINES:]))
