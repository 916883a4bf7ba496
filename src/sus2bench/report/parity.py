"""Predicted against reference values, as points or, of many, as counts on a grid."""

from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
from ase import units

from sus2bench.benchmark.accuracy import readable_predictions
from sus2bench.figures.parity import common_limits, energies_per_atom, force_components
from sus2bench.report.values import short

BINS = 64
"""Along each axis."""
MOST_POINTS = 400
"""Above this many values they are counted."""

Array = npt.NDArray[np.float64]
_DIGITS = 4


def parity_of(file: Path) -> list[dict[str, Any]]:
    """What a page draws of a file of predictions.

    Args:
        file: ``predictions_<split>.npz``.

    Returns:
        For energies, forces and stresses with labels: `quantity`, `unit`, `values` (how many),
        `rmse` and `mae` in `error_unit`, `limits`, and either `reference` and `predicted`, or
        `cells` (places in a grid of `bins` x `bins`, the rows those of predictions) and `counts`.
        Nothing, with a warning, where the file cannot be read.
    """
    values = readable_predictions(file)
    if values is None:
        return []
    above = "composition_energy" in values
    energy = "energy above composition fit" if above else "energy"
    panels = [
        _panel(energy, "eV/atom", energies_per_atom(values, above), milli=True),
        _panel("force", "eV/Å", force_components(values), milli=True),
    ]
    reference, predicted = values["stress_reference"].ravel(), values["stress"].ravel()
    pair = (reference / units.GPa, predicted / units.GPa)
    panels.append(_panel("stress", "GPa", pair, milli=False))
    return [panel for panel in panels if panel is not None]


def _panel(
    quantity: str, unit: str, pair: tuple[Array, Array], *, milli: bool
) -> dict[str, Any] | None:
    reference, predicted = pair
    labelled = np.isfinite(reference) & np.isfinite(predicted)
    reference, predicted = reference[labelled], predicted[labelled]
    if not len(reference):
        return None
    error = (predicted - reference) * (1000 if milli else 1)
    limits = common_limits([(reference, predicted)])
    panel: dict[str, Any] = {"quantity": quantity, "unit": unit, "values": len(reference)}
    panel["error_unit"] = f"m{unit}" if milli else unit
    panel["rmse"] = short(np.sqrt(np.mean(error**2)), _DIGITS)
    panel["mae"] = short(np.abs(error).mean(), _DIGITS)
    panel["limits"] = [short(limit) for limit in limits]
    if len(reference) <= MOST_POINTS:
        shown = {"reference": reference, "predicted": predicted}
        return panel | {name: [short(v, _DIGITS) for v in v_] for name, v_ in shown.items()}
    counts, _, _ = np.histogram2d(predicted, reference, bins=BINS, range=[limits, limits])
    cells = np.flatnonzero(counts)
    full = counts.ravel()[cells].astype(int)
    return panel | {"bins": BINS, "cells": cells.tolist(), "counts": full.tolist()}
