"""In what two records differ: their numbers, and the circumstances they were taken in."""

from collections.abc import Iterator, Mapping
from typing import Any

import pandas as pd

from sus2bench.benchmark.costs import time_of, training_seconds
from sus2bench.benchmark.identity import CIRCUMSTANCES
from sus2bench.benchmark.records import Record, unit_of
from sus2bench.records.table import flat

COLUMNS = ("split", "metric", "unit", "first", "second", "difference", "relative")


def numbers(first: Record, second: Record, *, elements: bool = False) -> pd.DataFrame:
    """Metrics, parameters and times of two records side by side.

    Args:
        first: a record.
        second: another one.
        elements: whether to list errors of single elements, too.

    Returns:
        The columns `COLUMNS`: ``difference`` is second less first, ``relative`` that divided by the
        first, both missing where one of the two has no such number.
    """
    before, after = dict(_values(first)), dict(_values(second))
    rows = []
    for key in dict.fromkeys((*before, *after)):
        split, metric = key
        if "/" in metric and not elements:
            continue
        old, new = before.get(key), after.get(key)
        gap = None if old is None or new is None else new - old
        relative = gap / abs(old) if gap is not None and old else None
        rows.append((split, metric, unit_of(metric), old, new, gap, relative))
    texts, types = COLUMNS[:3], dict.fromkeys(COLUMNS[3:], "float64")
    return pd.DataFrame(rows, columns=list(COLUMNS)).astype(dict.fromkeys(texts, "string") | types)


def _values(record: Record) -> Iterator[tuple[tuple[str, str], float | None]]:
    for split, metrics in record["metrics"].items():
        for metric, value in metrics.items():
            yield (split, metric), value
    for kind, value in (record["parameters"] or {}).items():
        if kind != "blocks":
            yield ("parameters", kind), value
    for name, speed in record["speed"].items():
        yield ("speed", f"{name}_us_per_atom"), time_of(speed)
    scan = record.get("scan", {"points": {}})
    for name, points in scan["points"].items():
        for point in points:
            label = f"{name}, {scan['over']} {point['value']:g}"
            yield ("scan", f"{label}, energy_and_forces_us_per_atom"), time_of(point)
    for key in ("steps", "epochs"):
        if key in record["timings"]:
            yield ("training", key), record["timings"][key]
    if (seconds := training_seconds(record)) is not None:
        yield ("training", "train_seconds"), seconds


def circumstances(first: Record, second: Record) -> dict[str, tuple[Any, Any]]:
    """What differs between two records apart from their numbers, first and second value by name.

    Commit, hardware, platform, data files and split; packages, of which those that one record does
    not have are None there; and as ``config.KEY`` the settings of both that bear on the numbers.
    Where one of the records has no environment, the packages are the few that all records name.
    """
    complete = bool(first["environment"] and second["environment"])
    known = [_known(record, complete) for record in (first, second)]
    names = dict.fromkeys((*known[0], *known[1]))
    found = {name: (known[0].get(name), known[1].get(name)) for name in names}
    settings = [_settings(record) for record in (first, second)]
    shared = [key for key in settings[0] if key in settings[1]]
    found |= {f"config.{key}": (settings[0][key], settings[1][key]) for key in shared}
    return {name: pair for name, pair in found.items() if pair[0] != pair[1]}


def _known(record: Record, complete: bool) -> dict[str, Any]:
    git, environment = record["git"] or {}, record["environment"]
    state = {"commit": git.get("commit"), "changed since the commit": git.get("dirty")}
    packages = record["packages"]
    if complete:
        state["platform"] = environment["platform"]
        packages = dict(line.split("==", 1) for line in environment["packages"])
        packages["python"] = environment["python"]
    return {
        **state,
        **record["hardware"],
        **{f"package {name}": version for name, version in packages.items()},
        **{f"file {name}": digest for name, digest in record["data"]["files"].items()},
        "split": record["data"]["split_hash"],
    }


def _settings(record: Record) -> dict[str, Any]:
    apart = tuple(f"{name}." for name in (*CIRCUMSTANCES, "name"))
    flattened = flat(record["config"])
    return {key: value for key, value in flattened.items() if not f"{key}.".startswith(apart)}


def in_words(differing: Mapping[str, tuple[Any, Any]]) -> list[str]:
    """A line for each difference, first and second value."""
    return [f"{name}: {_shown(old)} -> {_shown(new)}" for name, (old, new) in differing.items()]


def _shown(value: Any) -> str:
    return "none" if value is None else str(value)[:60]
