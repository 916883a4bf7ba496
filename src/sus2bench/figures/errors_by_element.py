"""Force error per element, a bar per record."""

from collections.abc import Sequence
from typing import Any

import numpy as np
from ase.data import atomic_numbers
from matplotlib.figure import Figure

from sus2bench.figures.style import COLOURS, style

_METRIC = "forces_rmse_meV_A"


def errors_by_element(records: Sequence[dict[str, Any]], split: str) -> Figure:
    """Force RMSE on a split by element, elements by atomic number, one bar per record.

    Raises:
        ValueError: if no record has errors by element on the split.
    """
    tables = {record["name"]: _by_element(record, split) for record in records}
    tables = {name: table for name, table in tables.items() if table}
    if not tables:
        raise ValueError(f"no record has force errors by element on the split {split!r}")
    elements = sorted(set().union(*tables.values()), key=lambda symbol: atomic_numbers[symbol])
    width = 0.8 / len(tables)
    with style():
        inches = float(np.clip(0.16 * len(elements) * len(tables), 4.0, 11.0))
        figure = Figure(figsize=(inches, 2.8), layout="constrained")
        axes = figure.subplots()
        for number, (name, table) in enumerate(tables.items()):
            place = np.arange(len(elements)) + (number - (len(tables) - 1) / 2) * width
            heights = [table.get(element, np.nan) for element in elements]
            axes.bar(place, heights, width, color=COLOURS[number % len(COLOURS)], label=name)
        axes.set_xticks(np.arange(len(elements)), elements)
        axes.tick_params(axis="x", labelsize=8 if len(elements) < 30 else 6.5, length=0)
        axes.set_ylabel(f"{split} force RMSE (meV/Å)")
        axes.set_xlabel("element of the atom the force acts on")
        axes.legend(ncols=len(tables), loc="lower left", bbox_to_anchor=(0, 1))
    return figure


def _by_element(record: dict[str, Any], split: str) -> dict[str, float]:
    found: dict[str, float] = {}
    for name, value in record["metrics"].get(split, {}).items():
        metric, _, element = name.partition("/")
        if metric == _METRIC and element in atomic_numbers and value is not None:
            found[element] = value
    return found
