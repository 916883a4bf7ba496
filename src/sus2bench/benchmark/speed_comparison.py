"""Do two records of speed differ beyond noise? Ratios of medians, with intervals, and a verdict.

Each time is known from single calls, in seconds, in both records. Their ratio of medians gets an
interval by the bootstrap (percentiles), and the chance that such calls come from one distribution
is that of the Mann-Whitney U test, with the false discovery rate controlled over all comparisons
(Benjamini and Hochberg). What both say nothing about is that two runs of one program differ, too:
by the state of the machine and the places of things in memory. A difference therefore counts only
if the whole interval lies beyond a difference of `least`.
"""

from collections.abc import Mapping
from typing import Any, NamedTuple

import numpy as np
import pandas as pd
from scipy import stats

from sus2bench.benchmark.records import Record

UNIT = "_us_per_atom"
FASTER, SLOWER, SAME = "faster", "slower", "no difference shown"
_RESAMPLES = 9999
# What must be the same for a ratio to mean anything, and what it is of.
_OF_ENTRIES = ("dtype", "device", "threads", "clock", "frames", "atoms", "edges")
_OF_SCANS = ("over", "fixed", "crystal")

Place = tuple[str, float | None]
"""Name of the potential, and where in a scan."""


class Comparison(NamedTuple):
    """Of the second set of calls with the first."""

    ratio: float
    """Median of the second divided by that of the first."""
    low: float
    high: float
    """Interval of the ratio."""
    p_value: float
    """Of the Mann-Whitney U test, two-sided."""


def compare_calls(first: list[float], second: list[float], confidence: float = 0.95) -> Comparison:
    """Compares the seconds of two sets of calls."""
    samples = (np.array(second), np.array(first))
    found = stats.bootstrap(
        samples,
        _ratio_of_medians,
        n_resamples=_RESAMPLES,
        vectorized=True,
        method="percentile",
        confidence_level=confidence,
        rng=np.random.default_rng(0),
    )
    low, high = (float(value) for value in found.confidence_interval)
    p_value = float(stats.mannwhitneyu(*samples).pvalue)
    return Comparison(float(_ratio_of_medians(*samples)), low, high, p_value)


def _ratio_of_medians(second: Any, first: Any, axis: int = -1) -> Any:
    return np.median(second, axis=axis) / np.median(first, axis=axis)


def compare_records(
    first: Record, second: Record, *, confidence: float = 0.95, least: float = 0.05
) -> pd.DataFrame:
    """All times that two records have in common, one a row.

    Args:
        first: what is compared with.
        second: what is compared.
        confidence: of the intervals, and 1 minus the rate of false discoveries.
        least: relative difference that the whole interval must exceed; two runs of the same
            program on the same machine differ by some percent.

    Returns:
        Columns `potential`, `value` (where in a scan; NaN without one), `quantity`, `first` and
        `second` (medians in µs/atom), `ratio`, `low`, `high`, `p` (adjusted) and `verdict`: the
        second is faster or slower, or no difference is shown.

    Raises:
        ValueError: the records cannot be compared: other processors, frames, precision or threads,
            nothing in common, or seconds of single calls are missing.
    """
    _check_records(first, second)
    ours, theirs = entries(first), entries(second)
    common = [place for place in ours if place in theirs]
    if not common:
        raise ValueError(
            "the records have no potential in common at the same place: there are "
            f"{_names(ours)} and {_names(theirs)}"
        )
    rows = []
    for place in common:
        _check_entries(place, ours[place], theirs[place])
        rows += _rows(place, ours[place], theirs[place], confidence)
    table = pd.DataFrame(rows)
    table["p"] = stats.false_discovery_control(table["p"])
    table["verdict"] = [_verdict(row, confidence, least) for row in table.to_dict("records")]
    return table


def entries(record: Record) -> dict[Place, dict[str, Any]]:
    """What a record says of each potential, everywhere."""
    found: dict[Place, dict[str, Any]] = {(name, None): e for name, e in record["speed"].items()}
    for name, points in record.get("scan", {}).get("points", {}).items():
        found |= {(name, point["value"]): point for point in points}
    return found


def _rows(
    place: Place, first: Mapping[str, Any], second: Mapping[str, Any], confidence: float
) -> list[dict[str, Any]]:
    rows = []
    for key in first:
        if key.endswith(UNIT) and not key.startswith("modes") and key in second:
            one, other = first[key], second[key]
            quantity = key.removesuffix(UNIT)
            for timing in (one, other):
                if "seconds" not in timing:
                    raise ValueError(
                        f"a record holds no seconds of single calls ({place[0]}, {quantity}), as "
                        "those of version 0.1.0: run the measurement again"
                    )
            found = compare_calls(one["seconds"], other["seconds"], confidence)
            rows.append(
                {
                    "potential": place[0],
                    "value": np.nan if place[1] is None else place[1],
                    "quantity": quantity,
                    "first": one["median"],
                    "second": other["median"],
                    "ratio": found.ratio,
                    "low": found.low,
                    "high": found.high,
                    "p": found.p_value,
                }
            )
    return rows


def _verdict(row: Mapping[str, Any], confidence: float, least: float) -> str:
    if row["p"] < 1 - confidence:
        if row["high"] < 1 - least:
            return FASTER
        if row["low"] > 1 + least:
            return SLOWER
    return SAME


def _check_records(first: Record, second: Record) -> None:
    for name in ("cpu", "gpu"):
        _same(f"the hardware ({name})", first["hardware"][name], second["hardware"][name])
    for name in ("name", "files"):
        _same(f"the data ({name})", first["data"][name], second["data"][name])
    for name in _OF_SCANS:
        ours, theirs = (record.get("scan", {}).get(name) for record in (first, second))
        _same(f"the scan ({name})", ours, theirs)


def _check_entries(place: Place, first: Mapping[str, Any], second: Mapping[str, Any]) -> None:
    name, value = place
    where = name if value is None else f"{name} at {value:g}"
    for key in _OF_ENTRIES:
        _same(f"{key} of {where}", first.get(key), second.get(key))


def _same(what: str, first: object, second: object) -> None:
    if first != second:
        raise ValueError(
            f"the records cannot be compared: {what} differs, {first!r} and {second!r}; time both "
            "in the same way"
        )


def _names(places: Mapping[Place, Any]) -> list[str]:
    return sorted({name for name, _ in places})
