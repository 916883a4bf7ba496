"""Learning curves: what the CSV logger wrote during training, against step or wall time."""

from collections.abc import Mapping
from pathlib import Path

import pandas as pd
from matplotlib.figure import Figure

from sus2bench.figures.style import COLOURS, LINES, plain_numbers, style


def learning_curve(files: Mapping[str, Path], metric: str, label: str) -> Figure:
    """A metric of validation against training steps, a line per run.

    Args:
        files: name of the run, and its ``metrics.csv`` with a column ``step``.
        metric: column to draw, for example ``valid/forces_rmse_meV_A``.
        label: axis label with the unit.

    Raises:
        ValueError: if no file has the column, naming the columns there are.
    """
    curves: dict[str, pd.DataFrame] = {}
    seen: set[str] = set()
    for name, file in files.items():
        table = pd.read_csv(file)
        seen.update(table.columns)
        if metric in table:
            curves[name] = table.dropna(subset=[metric])
    if not curves:
        raise ValueError(f"no metrics file has the column {metric!r}; there are {sorted(seen)}")
    with style():
        height = max(3.0, 0.17 * len(curves) + 0.2)  # of the axes, of the legend
        figure = Figure(figsize=(5.2, height), layout="constrained")
        axes = figure.subplots()
        for number, (name, table) in enumerate(curves.items()):
            colour = COLOURS[number % len(COLOURS)]
            line = LINES[number // len(COLOURS) % len(LINES)]
            axes.plot(table["step"], table[metric], line, color=colour, linewidth=1.2, label=name)
        axes.set_yscale("log")
        plain_numbers(axes.yaxis)
        axes.set_xlabel("training step")
        axes.set_ylabel(label)
        axes.legend(loc="center left", bbox_to_anchor=(1, 0.5))
    return figure
