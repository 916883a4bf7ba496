"""Learning curves with a bounded number of points, however long a run was."""

from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd

from sus2bench.report.values import short

MOST = 200
"""Points of a curve."""
LINES = {
    "valid/forces_rmse_meV_A": "validation force RMSE (meV/Å)",
    "valid/energy_per_atom_rmse_meV": "validation energy RMSE (meV/atom)",
    "valid/loss": "validation loss",
    "train/loss": "training loss",
}
"""Columns of ``metrics.csv``, and how an axis is labelled."""
_PLACES = ("step", "seconds")


def curves_of(file: Path) -> dict[str, dict[str, list[float | None]]]:
    """What a run logged, thinned to `MOST` points a line.

    Args:
        file: its ``metrics.csv``.

    Returns:
        By column of `LINES` that the file has values of: `step`, `seconds` (empty where the file
        has none) and `value`.
    """
    table = pd.read_csv(file, usecols=lambda column: column in (*LINES, *_PLACES))
    found: dict[str, dict[str, list[float | None]]] = {}
    for column in LINES:
        if column not in table or "step" not in table:
            continue
        line = table.dropna(subset=[column])
        line = line.iloc[kept_points(len(line))]
        if len(line):
            found[column] = {place: _numbers(line, place) for place in _PLACES}
            found[column]["value"] = _numbers(line, column)
    return found


def kept_points(count: int, most: int = MOST) -> npt.NDArray[np.int64]:
    """Which of `count` points to keep: half of them evenly, half evenly in their logarithm.

    A curve keeps its beginning, where it falls, and its end on linear and logarithmic axes; the
    first and the last point are always among them.
    """
    if count <= most:
        return np.arange(count)
    even = np.linspace(0, count - 1, most - most // 2)
    early = np.geomspace(1, count, most // 2) - 1
    return np.unique(np.concatenate([even, early]).round().astype(np.int64))


def _numbers(table: pd.DataFrame, column: str) -> list[Any]:
    return [short(value) for value in table[column]] if column in table else []
