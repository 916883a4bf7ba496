"""Errors of forces by element, and where an element stands in the periodic table."""

from collections.abc import Sequence
from typing import Any

from ase.data import atomic_numbers, chemical_symbols

from sus2bench.report.runs import Run
from sus2bench.report.values import short

MEASURES = {"forces_rmse_meV_A": "force RMSE (meV/Å)", "forces_mae_meV_A": "force MAE (meV/Å)"}
PERCENT = "force RMSE (% of floor)"
LAST_ELEMENT = 118
_NOBLE_GASES = (0, 2, 10, 18, 36, 54, 86, 118)


def place(number: int) -> tuple[int, int]:
    """Row and column of an element in the table of 18 columns, both from 1.

    Lanthanides and actinides (without Lu and Lr, which stand in column 3) have rows 9 and 10.
    """
    period = next(row for row, last in enumerate(_NOBLE_GASES) if number <= last)
    index = number - _NOBLE_GASES[period - 1]  # from 1
    length = _NOBLE_GASES[period] - _NOBLE_GASES[period - 1]
    if length == 32:
        if 3 <= index <= 16:
            return period + 3, index
        index -= 14 if index > 16 else 0
        length = 18
    if length == 18 or index <= (1 if length == 2 else 2):
        return period, index
    return period, index + 18 - length


def periodic_table() -> list[list[str]]:
    """Symbols by row (10) and column (18), empty where nothing stands."""
    rows = [[""] * 18 for _ in range(10)]
    for number in range(1, LAST_ELEMENT + 1):
        row, column = place(number)
        rows[row - 1][column - 1] = chemical_symbols[number]
    return rows


def by_element(run: Run, split: str) -> dict[str, dict[str, float | None]]:
    """Errors of a run by measure and element, elements by atomic number.

    The part of the floor is that of the record's own composition fit.
    """
    metrics = run.record["metrics"].get(split, {})
    floor = run.record.get("baseline", {}).get(split, {})
    found: dict[str, dict[str, float | None]] = {
        title: {} for title in (*MEASURES.values(), PERCENT)
    }
    names = [name.partition("/")[2] for name in metrics if name.startswith("forces_rmse_meV_A/")]
    for symbol in sorted((n for n in names if n in atomic_numbers), key=atomic_numbers.__getitem__):
        for metric, title in MEASURES.items():
            found[title][symbol] = short(metrics.get(f"{metric}/{symbol}"), 4)
        error, whole = (table.get(f"forces_rmse_meV_A/{symbol}") for table in (metrics, floor))
        found[PERCENT][symbol] = (
            short(100 * error / whole, 4) if error is not None and whole else None
        )
    return {
        title: values
        for title, values in found.items()
        if any(v is not None for v in values.values())
    }


def element_data(runs: Sequence[Run]) -> dict[str, Any]:
    """Runs of one data set that have errors by element: `elements` and, by run, `label`, `splits`.

    A split has for each measure a list of numbers in the order of `elements`; it is empty where no
    run has any.
    """
    tables = {
        run.slug: {split: by_element(run, split) for split in run.record["metrics"]} for run in runs
    }
    symbols = {
        s
        for splits in tables.values()
        for split in splits.values()
        for m in split.values()
        for s in m
    }
    elements = sorted(symbols, key=atomic_numbers.__getitem__)
    shown: dict[str, Any] = {}
    for run in runs:
        splits = {
            split: {title: [values.get(s) for s in elements] for title, values in measures.items()}
            for split, measures in tables[run.slug].items()
            if measures
        }
        if splits:
            shown[run.slug] = {"label": run.label, "splits": splits}
    return {"elements": elements, "runs": shown} if shown else {}
