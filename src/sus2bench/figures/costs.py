"""Errors against three costs: time per atom, parameters, and training; area is memory."""

from collections.abc import Sequence
from typing import Any

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from sus2bench.figures.style import COLOURS, MARKERS, plain_numbers, style

ERRORS = ("E RMSE (meV/atom)", "F RMSE (meV/Å)", "S RMSE (GPa)")
"""Titles of columns of `benchmark.tables.results_table`."""
COSTS = {
    "µs/atom": "energy and forces (µs/atom)",
    "trainable": "trainable parameters",
    "train (s)": "training (s)",
}
"""Titles of columns, and how an axis is labelled."""
_MEMORY = "memory (MB)"
_SMALLEST, _LARGEST = 12.0, 160.0  # areas of markers, points^2


def pareto_front(costs: Sequence[Any], errors: Sequence[Any]) -> list[int]:
    """Places of the points that no other one beats in cost and error, the cheapest first.

    Points without one of the numbers are left out; of equal points the first counts.
    """
    cost, error = (pd.to_numeric(pd.Series(list(v)), errors="coerce") for v in (costs, errors))
    points = pd.DataFrame({"cost": cost, "error": error}).astype(float).dropna()
    front, best = [], np.inf
    for place, point in points.sort_values(["cost", "error"], kind="stable").iterrows():
        if point["error"] < best:
            front.append(int(str(place)))
            best = point["error"]
    return front


def errors_against_costs(table: pd.DataFrame) -> Figure:
    """Errors of energies and forces against each cost, with the Pareto front of each panel.

    Args:
        table: rows of `benchmark.tables.results_table` of one data set and split.

    Raises:
        ValueError: if no row has both an error and a cost.
    """
    errors = [error for error in ERRORS[:2] if _pairs(table, error, COSTS)]
    if not errors:
        raise ValueError("no run has both an error and a cost")
    costs = [cost for cost in COSTS if _pairs(table, errors[-1], [cost])]
    with style():
        height = max(2.6 * len(errors) + 0.3, 0.17 * len(table) + 0.6)  # of panels, of the legend
        size = (2.7 * len(costs) + 2.2, height)
        figure = Figure(figsize=size, layout="constrained")
        grid = figure.subplots(len(errors), len(costs), squeeze=False, sharex="col", sharey="row")
        for row, error in zip(grid, errors, strict=True):
            for axes, cost in zip(row, costs, strict=True):
                _draw(axes, table, cost, error)
            row[0].set_ylabel(error)
            plain_numbers(row[0].yaxis)
        for axes, cost in zip(grid[-1], costs, strict=True):
            axes.set_xlabel(COSTS[cost])
            plain_numbers(axes.xaxis)
        handles = {h.get_label(): h for a in grid.flat for h in a.get_legend_handles_labels()[0]}
        title = "area: memory of a prediction" if table[_MEMORY].notna().any() else None
        legend = figure.legend(
            handles=list(handles.values()), title=title, loc="outside right center"
        )
        for handle in legend.legend_handles:
            handle.set_sizes([30.0])  # type: ignore[union-attr]
    return figure


def _pairs(table: pd.DataFrame, error: str, costs: Sequence[str] | dict[str, str]) -> bool:
    return any(bool((table[error].notna() & table[cost].notna()).any()) for cost in costs)


def _draw(axes: Axes, table: pd.DataFrame, cost: str, error: str) -> None:
    front = pareto_front(table[cost], table[error])
    best = table.iloc[front]
    axes.step(best[cost].astype(float), best[error], where="post", color="0.6", linewidth=0.8)
    areas = _areas(table[_MEMORY])
    for number, (_, row) in enumerate(table.iterrows()):
        if pd.isna(row[cost]) or pd.isna(row[error]):
            continue
        axes.scatter(
            float(row[cost]),
            row[error],
            s=areas[number],
            color=COLOURS[number % len(COLOURS)],
            marker=MARKERS[number // len(COLOURS) % len(MARKERS)],
            label=row["model"],
        )
    axes.set_xscale("log")
    axes.set_yscale("log")
    axes.margins(0.1)


def _areas(memory: "pd.Series[Any]") -> list[float]:
    """Areas of markers that grow with memory; the smallest where it is not known."""
    sizes = memory.astype(float)
    if sizes.isna().all():
        return [30.0] * len(sizes)
    part = (sizes / sizes.max()).fillna(0.0)
    return [float(_SMALLEST + (_LARGEST - _SMALLEST) * value) for value in part]
