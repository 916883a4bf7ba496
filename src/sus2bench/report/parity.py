"""Predicted against reference values, as points or, of many, as counts on a grid."""

from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
from ase import units

from sus2bench.benchmark.accuracy import load_predictions
from sus2bench.figures.parity import common_limits, energies_per_atom, force_components
from sus2bench.report.values import short

BINS = 64
"""Along each axis."""
MOST_POINTS = 400
"""Above this many values they are counted."""

Array = npt.NDArray[np.float64]
_SPLIT_DIGITS = 4


def parity_of(file: Path) -> list[dict[str, Any]]:
    """What a page draws of a file of predictions.

    Args:
        file: ``predictions_<split>.npz``.

    Returns:
        For energies, forces and stresses with labels: `quantity`, `unit`, `values` (how many),
        `rmse`, `mae`, `limits`, and either `reference` and `predicted`, or `cells` (places in a
        `BINS` x `BINS` grid, the rows those of predictions) and `counts`.
    """
    values = load_predictions(file)
    above = "composition_energy" in values
    panels: dict[str, tuple[str, tuple[Array, Array]]] = {
        "energy above composition fit" if above else "energy": (
            "eV/atom",
            energies_per_atom(values, above),
        ),
        "force": ("eV/Å", force_components(values)),
    }
    if "stress_reference" in values:
        pair = (values["stress_reference"].ravel(), values["stress"].ravel())
        panels["stress"] = ("GPa", (pair[0] / units.GPa, pair[1] / units.GPa))
    drawn = (_panel(quantity, unit, *pair) for quantity, (unit, pair) in panels.items())
    return [panel for panel in drawn if panel is not None]


def _panel(quantity: str, unit: str, reference: Array, predicted: Array) -> dict[str, Any] | None:
    labelled = np.isfinite(reference) & np.isfinite(predicted)
    reference, predicted = reference[labelled], predicted[labelled]
    if not len(reference):
        return None
    error = predicted - reference
    limits = common_limits([(reference, predicted)])
    panel: dict[str, Any] = {"quantity": quantity, "unit": unit, "values": len(reference)}
    panel["rmse"] = short(np.sqrt(np.mean(error**2)), 3)
    panel["mae"] = short(np.abs(error).mean(), 3)
    panel["limits"] = [short(limit) for limit in limits]
    if len(reference) <= MOST_POINTS:
        shown = {"reference": reference, "predicted": predicted}
        return panel | {name: [short(v, _SPLIT_DIGITS) for v in v_] for name, v_ in shown.items()}
    counts, _, _ = np.histogram2d(predicted, reference, bins=BINS, range=[limits, limits])
    cells = np.flatnonzero(counts)
    full = counts.ravel()[cells].astype(int)
    return panel | {"bins": BINS, "cells": cells.tolist(), "counts": full.tolist()}
