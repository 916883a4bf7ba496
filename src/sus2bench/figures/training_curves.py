"""Errors in validation against training time, the seeds of a run together."""

import re
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from sus2bench.figures.style import COLOURS, LINES, plain_numbers, style

ENERGY, FORCES = "energy_per_atom_rmse_meV", "forces_rmse_meV_A"
_PANELS = ((ENERGY, "energy RMSE (meV/atom)"), (FORCES, "force RMSE (meV/Å)"))
_SEED = re.compile(r"_seed\d+$")


class Reference(NamedTuple):
    """Errors to compare with."""

    name: str
    energy: float
    """RMSE, meV/atom."""
    forces: float
    """RMSE, meV/Å."""


def group_of(name: str) -> str:
    """The name of a run without its seed: `lm` for `lm_seed0`."""
    return _SEED.sub("", name)


def validation_errors(file: Path, before: float = 0.0) -> pd.DataFrame:
    """What was validated in a training run, and when.

    Args:
        file: ``metrics.csv`` of the run.
        before: seconds that the initial values took, which its times do not contain.

    Returns:
        Columns `seconds`, `energy_per_atom_rmse_meV` and `forces_rmse_meV_A`, a row per validation.

    Raises:
        ValueError: the file has no such columns.
    """
    table = pd.read_csv(file)
    columns = {"seconds": "seconds", **{f"valid/{name}": name for name, _ in _PANELS}}
    if missing := [column for column in columns if column not in table]:
        raise ValueError(f"{file} has no {', '.join(missing)}: is it of a run with validation?")
    found = table[list(columns)].rename(columns=columns).dropna(ignore_index=True)
    return found.assign(seconds=found["seconds"] + before)


def training_curves(
    runs: Mapping[str, pd.DataFrame], references: Sequence[Reference] = ()
) -> Figure:
    """Errors of energies and forces in validation against training time, both logarithmic.

    Runs whose names differ by the end `_seedN` alone have one colour: thin lines, and their median
    as a bold one.

    Args:
        runs: what `validation_errors` returns, by the name of the run.
        references: horizontal lines.

    Raises:
        ValueError: if there is nothing to draw.
    """
    groups: dict[str, list[pd.DataFrame]] = {}
    for name, curve in runs.items():
        if len(curve):
            groups.setdefault(group_of(name), []).append(curve)
    if not groups:
        raise ValueError("there is no run with a validation to draw")
    with style():
        figure = Figure(figsize=(8.4, 3.2), layout="constrained")
        panels = figure.subplots(1, 2)
        for axes, (metric, label) in zip(panels, _PANELS, strict=True):
            for number, (name, curves) in enumerate(groups.items()):
                colour = COLOURS[number % len(COLOURS)]
                line = LINES[number // len(COLOURS) % len(LINES)]
                if len(curves) > 1:
                    _draw_seeds(axes, curves, metric, colour, line)
                median = median_curve(curves, metric)
                axes.plot(*median, line, color=colour, linewidth=1.8, label=name)
            _finish(axes, label, metric, references)
        panels[-1].legend(loc="center left", bbox_to_anchor=(1, 0.5))
    return figure


def median_curve(curves: Sequence[pd.DataFrame], metric: str) -> tuple[np.ndarray, np.ndarray]:
    """Times at which all runs go on, and the median of their errors, which lines connect."""
    first = max(curve["seconds"].iloc[0] for curve in curves)
    last = max(first, min(curve["seconds"].iloc[-1] for curve in curves))
    all_times = np.unique(np.concatenate([curve["seconds"] for curve in curves]))
    times = all_times[(all_times >= first) & (all_times <= last)]
    errors = [np.interp(times, curve["seconds"], curve[metric]) for curve in curves]
    return times, np.median(errors, axis=0)


def _draw_seeds(
    axes: Axes, curves: Iterable[pd.DataFrame], metric: str, colour: str, line: str
) -> None:
    for curve in curves:
        axes.plot(
            curve["seconds"], curve[metric], line, color=colour, linewidth=0.6, alpha=0.6, zorder=1
        )


def _finish(axes: Axes, label: str, metric: str, references: Iterable[Reference]) -> None:
    for number, reference in enumerate(references):
        axes.axhline(
            reference.energy if metric == ENERGY else reference.forces,
            color="0.4",
            linestyle=LINES[(number + 1) % len(LINES)],
            linewidth=1.0,
            label=reference.name,
            zorder=0,
        )
    axes.set_xscale("log")
    axes.set_yscale("log")
    plain_numbers(axes.xaxis)
    plain_numbers(axes.yaxis)
    axes.set_xlabel("training time (s)")
    axes.set_ylabel(f"valid {label}")
