"""Force error per element and record as a map of colours."""

from collections.abc import Sequence
from typing import Any

import numpy as np
from ase.data import atomic_numbers
from matplotlib.figure import Figure

from sus2bench.figures.style import plain_numbers, style

_METRIC = "forces_rmse_meV_A"
_LEAST = 0.03
"""Errors below this part of the median have one colour."""


def errors_by_element(records: Sequence[dict[str, Any]], split: str) -> Figure:
    """Force RMSE on a split by element, elements by atomic number, one row per record.

    Raises:
        ValueError: if no record has errors by element on the split.
    """
    tables = {record["name"]: _by_element(record, split) for record in records}
    tables = {name: table for name, table in tables.items() if table}
    if not tables:
        raise ValueError(f"no record has force errors by element on the split {split!r}")
    elements = sorted(set().union(*tables.values()), key=lambda symbol: atomic_numbers[symbol])
    rows = [[table.get(element, np.nan) for element in elements] for table in tables.values()]
    errors = np.array(rows, dtype=float)
    # Zero has no place on a logarithmic scale.
    errors[errors <= 0] = np.nan
    with style():
        figure = Figure(
            figsize=(2.2 + 0.17 * max(len(elements), 12), 1.1 + 0.22 * len(tables)),
            layout="constrained",
        )
        axes = figure.subplots()
        # Atoms that symmetry keeps from forces would take most of the colours for themselves.
        least = max(np.nanmin(errors), np.nanmedian(errors) * _LEAST) if np.any(errors > 0) else 1.0
        shown = np.maximum(errors, least)
        image = axes.imshow(shown, norm="log", cmap="viridis", aspect="auto")
        axes.set_yticks(np.arange(len(tables)), list(tables))
        axes.set_xticks(np.arange(len(elements)), elements)
        axes.tick_params(axis="x", labelsize=8 if len(elements) < 30 else 6.5)
        axes.tick_params(length=0)
        axes.spines[:].set_visible(False)
        axes.set_xlabel("element of the atom the force acts on")
        bar = figure.colorbar(image, label=f"{split} force RMSE\n(meV/Å)", pad=0.02, extend="min")
        plain_numbers(bar.ax.yaxis)
    return figure


def _by_element(record: dict[str, Any], split: str) -> dict[str, float]:
    found: dict[str, float] = {}
    for name, value in record["metrics"].get(split, {}).items():
        metric, _, element = name.partition("/")
        if metric == _METRIC and element in atomic_numbers and value is not None:
            found[element] = value
    return found
