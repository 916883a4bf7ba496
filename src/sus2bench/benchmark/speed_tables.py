"""Tables of speed: the points of a scan, ratios to a reference, and two records compared."""

from collections.abc import Mapping, Sequence
from typing import Any

import pandas as pd

from sus2bench.benchmark.quantities import ENERGY_AND_FORCES, TRAINING_GRADIENT
from sus2bench.benchmark.records import Record
from sus2bench.benchmark.tables import MISSING, significant

_DIGITS = 4
_RATIO_DIGITS = 3


def scan_table(record: Record, reference: str | None = None) -> pd.DataFrame:
    """Energies and forces as text: a row for each potential, a column for each value of the scan.

    Args:
        record: with a scan.
        reference: name of the potential whose times all are divided by; without it the table has
            µs/atom.

    Raises:
        ValueError: the scan has not timed the reference.
    """
    scan = record["scan"]
    times = {
        name: {point["value"]: _median(point, ENERGY_AND_FORCES) for point in points}
        for name, points in scan["points"].items()
    }
    if reference is not None:
        _require(reference, times, record)
    values = sorted({value for row in times.values() for value in row})
    rows = []
    for name, row in times.items():
        cells = {scan["over"]: name}
        for value in values:
            time, unit = row.get(value), times[reference].get(value) if reference else 1.0
            cells[f"{value:g}"] = _text(time / unit if time and unit else None, _DIGITS)
        rows.append(cells)
    return pd.DataFrame(rows)


def ratio_table(records: Sequence[Record], reference: str | None = None) -> pd.DataFrame:
    """Times of each potential, divided by those of the reference that was timed with it in turn.

    Args:
        records: records with a speed; each is divided by its own measurement of the reference, so
            that the ratios of several records come together although their times do not.
        reference: name of a potential; that which is first in each record, if not given.

    Returns:
        As text, a row for each potential: its circumstances, µs/atom and the ratios of energies
        and forces and of a training gradient.

    Raises:
        ValueError: a record has not timed the reference.
    """
    rows = []
    for record in records:
        timed = record["speed"]
        name = next(iter(timed)) if reference is None else reference
        _require(name, timed, record)
        rows += [
            _ratio_row(record, potential, entry, name, timed[name])
            for potential, entry in timed.items()
        ]
    return pd.DataFrame(rows)


def _require(reference: str, timed: Mapping[str, Any], record: Record) -> None:
    if reference not in timed:
        raise ValueError(
            f"the record '{record['name']}' has no potential '{reference}' to divide by; it has "
            f"{', '.join(timed)}"
        )


def _ratio_row(
    record: Record,
    potential: str,
    entry: Mapping[str, Any],
    name: str,
    reference: Mapping[str, Any],
) -> dict[str, str]:
    row = {
        "data": record["data"]["name"],
        "record": record["name"],
        "model": potential,
        "backend": entry.get("backend", MISSING),
        "mode": entry.get("mode", MISSING),
        "dtype": entry["dtype"],
        "device": entry["device"],
        "threads": str(entry["threads"]),
        "reference": name,
    }
    for quantity, title in ((ENERGY_AND_FORCES, "E, F"), (TRAINING_GRADIENT, "training gradient")):
        time, unit = _median(entry, quantity), _median(reference, quantity)
        row[f"{title} (µs/atom)"] = _text(time, _DIGITS)
        row[f"{title} (ratio)"] = _text(time / unit if time and unit else None, _RATIO_DIGITS)
    return row


def comparison_table(table: pd.DataFrame, confidence: float) -> pd.DataFrame:
    """What `compare_records` has found, as text."""
    interval = [
        f"{significant(low, _RATIO_DIGITS)} .. {significant(high, _RATIO_DIGITS)}"
        for low, high in zip(table["low"], table["high"], strict=True)
    ]
    shown = pd.DataFrame({"potential": table["potential"]})
    if table["value"].notna().any():
        shown["at"] = [f"{value:g}" for value in table["value"]]
    shown["quantity"] = table["quantity"]
    for title, column in (("first (µs/atom)", "first"), ("second (µs/atom)", "second")):
        shown[title] = [_text(value, _DIGITS) for value in table[column]]
    shown["ratio"] = [_text(value, _RATIO_DIGITS) for value in table["ratio"]]
    shown[f"{100 * confidence:g} % interval"] = interval
    shown["second is"] = table["verdict"]
    return shown


def _median(entry: Mapping[str, Any], quantity: str) -> float | None:
    timing = entry.get(f"{quantity}_us_per_atom")
    return None if timing is None else float(timing["median"])


def _text(value: float | None, digits: int) -> str:
    return MISSING if value is None else significant(value, digits)
