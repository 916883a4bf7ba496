"""Parity: predicted against reference energies and forces, with their errors written in."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from sus2bench.benchmark.accuracy import load_predictions
from sus2bench.figures.style import COLOURS, style

Array = npt.NDArray[np.float64]
_MANY = 2000  # above this many points a cloud hides itself, and a density is drawn


def parity(panels: Mapping[str, Path]) -> Figure:
    """One column per predictions file (a model or a split): energies above, forces below.

    Args:
        panels: title of the column, and its ``predictions_<split>.npz``.

    Raises:
        ValueError: if there is nothing to draw.
    """
    if not panels:
        raise ValueError("a parity figure needs at least one predictions file")
    with style():
        figure = Figure(figsize=(2.6 * len(panels) + 0.4, 5.2), layout="constrained")
        axes = figure.subplots(2, len(panels), squeeze=False, sharex="row", sharey="row")
        tables = {title: load_predictions(file) for title, file in panels.items()}
        relative = all("composition_energy" in values for values in tables.values())
        energy = "energy above composition fit" if relative else "energy"
        for column, (title, values) in enumerate(tables.items()):
            axes[0, column].set_title(title)
            _draw(axes[0, column], *_energies(values, relative), "meV/atom")
            _draw(axes[1, column], *_forces(values), "meV/Å")
            axes[0, column].set_xlabel(f"reference {energy} (eV/atom)")
            axes[1, column].set_xlabel("reference force (eV/Å)")
        axes[0, 0].set_ylabel(f"predicted {energy} (eV/atom)")
        axes[1, 0].set_ylabel("predicted force (eV/Å)")
    return figure


def _energies(values: Mapping[str, Any], relative: bool) -> tuple[Array, Array]:
    """Energies per atom, on request relative to those of the composition fit."""
    atoms = np.diff(values["frame_offsets"])
    zero = values["composition_energy"] if relative else np.zeros(len(atoms))
    return (values["energy_reference"] - zero) / atoms, (values["energy"] - zero) / atoms


def _forces(values: Mapping[str, Any]) -> tuple[Array, Array]:
    return values["forces_reference"].ravel(), values["forces"].ravel()


def _draw(axes: Axes, reference: Array, predicted: Array, unit: str) -> None:
    labelled = np.isfinite(reference) & np.isfinite(predicted)
    reference, predicted = reference[labelled], predicted[labelled]
    if len(reference) == 0:
        axes.text(0.5, 0.5, "no labels", ha="center", transform=axes.transAxes)
        return
    low = float(min(reference.min(), predicted.min()))
    axes.axline((low, low), slope=1.0, color="0.6", linewidth=0.8, zorder=0)
    if len(reference) > _MANY:
        axes.hexbin(
            reference,
            predicted,
            gridsize=60,
            bins="log",
            mincnt=1,
            cmap="viridis",
            linewidths=0.1,
            rasterized=True,
        )
    else:
        axes.plot(
            reference, predicted, ".", color=COLOURS[0], markersize=3, alpha=0.6, rasterized=True
        )
    error = 1000 * (predicted - reference)
    text = (
        f"RMSE {np.sqrt(np.mean(error**2)):.3g} {unit}\n"
        f"MAE {np.abs(error).mean():.3g} {unit}\n{len(error):,} values"
    )
    axes.text(0.04, 0.96, text, va="top", transform=axes.transAxes, fontsize=8)
