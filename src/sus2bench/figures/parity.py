"""Parity: predicted against reference energies and forces, with their errors written in."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from sus2bench.benchmark.accuracy import readable_predictions
from sus2bench.figures.style import COLOURS, style

Array = npt.NDArray[np.float64]
COLUMNS = 6
"""Panels side by side; further ones come below."""
_MANY = 2000  # above this many points a cloud hides itself, and a density is drawn
_CELLS = 100  # of the density, along each axis


def parity(panels: Mapping[str, Path]) -> Figure:
    """One column per predictions file (a model or a split): energies above, forces below.

    Args:
        panels: title of the column, and its ``predictions_<split>.npz``; one that cannot be read is
            left out with a warning.

    Raises:
        ValueError: if there is nothing to draw.
    """
    read = {title: readable_predictions(file) for title, file in panels.items()}
    tables = {title: values for title, values in read.items() if values is not None}
    if not tables:
        raise ValueError("a parity figure needs at least one predictions file")
    relative = all("composition_energy" in values for values in tables.values())
    energy = "energy above composition fit" if relative else "energy"
    rows = (
        (energy, "eV/atom", [energies_per_atom(values, relative) for values in tables.values()]),
        ("force", "eV/Å", [force_components(values) for values in tables.values()]),
    )
    with style():
        columns, blocks = min(len(tables), COLUMNS), -(-len(tables) // COLUMNS)
        size = (2.5 * columns + 0.6, 5.4 * blocks)
        figure = Figure(figsize=size, layout="constrained")
        grid = figure.subplots(2 * blocks, columns, squeeze=False)
        for row, (quantity, unit, values) in enumerate(rows):
            limits = common_limits(values)
            for index, (title, pair) in enumerate(zip(tables, values, strict=True)):
                block, column = divmod(index, COLUMNS)
                axes = grid[2 * block + row, column]
                if row == 0:
                    axes.set_title(title)
                if column == 0:
                    axes.set_ylabel(f"{quantity}\npredicted ({unit})")
                axes.set_xlabel(f"reference ({unit})")
                _draw(axes, *pair, limits, unit)
            for empty in grid[2 * (blocks - 1) + row, len(tables) - (blocks - 1) * COLUMNS :]:
                empty.set_axis_off()
    return figure


def common_limits(values: Sequence[tuple[Array, Array]]) -> tuple[float, float]:
    """Range of all references and predictions of a row, with a margin."""
    numbers = np.concatenate([part for pair in values for part in pair])
    numbers = numbers[np.isfinite(numbers)]
    if len(numbers) == 0:
        return 0.0, 1.0
    margin = 0.04 * float(np.ptp(numbers)) or 0.1
    return float(numbers.min()) - margin, float(numbers.max()) + margin


def energies_per_atom(values: Mapping[str, Any], relative: bool) -> tuple[Array, Array]:
    """Reference and predicted energies (eV/atom), on request above those of the composition fit."""
    atoms = np.diff(values["frame_offsets"])
    zero = values["composition_energy"] if relative else np.zeros(len(atoms))
    return (values["energy_reference"] - zero) / atoms, (values["energy"] - zero) / atoms


def force_components(values: Mapping[str, Any]) -> tuple[Array, Array]:
    """Reference and predicted force components, eV/Å."""
    return values["forces_reference"].ravel(), values["forces"].ravel()


def _draw(
    axes: Axes, reference: Array, predicted: Array, limits: tuple[float, float], unit: str
) -> None:
    axes.set(xlim=limits, ylim=limits, aspect="equal")
    labelled = np.isfinite(reference) & np.isfinite(predicted)
    reference, predicted = reference[labelled], predicted[labelled]
    if len(reference) == 0:
        axes.text(0.5, 0.5, "no labels", ha="center", transform=axes.transAxes)
        return
    axes.axline((0.0, 0.0), slope=1.0, color="0.6", linewidth=0.8, zorder=0)
    if len(reference) > _MANY:
        # An image, as figures of many panels take gigabytes where each has to be rasterized.
        cells = np.histogram2d(predicted, reference, bins=_CELLS, range=(limits, limits))[0]
        cells = np.ma.masked_equal(cells, 0)
        extent = (*limits, *limits)
        axes.imshow(cells, "viridis", "log", extent=extent, origin="lower", zorder=1)
    else:
        axes.plot(reference, predicted, ".", color=COLOURS[0], markersize=3, alpha=0.6)
    error = 1000 * (predicted - reference)
    text = (
        f"RMSE {np.sqrt(np.mean(error**2)):.3g} m{unit}\n"
        f"MAE {np.abs(error).mean():.3g} m{unit}\n{len(error):,} values"
    )
    axes.text(0.04, 0.96, text, va="top", transform=axes.transAxes, fontsize=8)
