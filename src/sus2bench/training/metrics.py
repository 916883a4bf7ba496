"""Errors of energies, forces and stresses, exact over all frames that were seen.

All errors are kept, so root mean squares, percentiles and maxima are those of the whole set and not
means over batches. Force errors are taken over components, stress errors over all nine components
(their root mean square does not depend on the orientation of the axes). A missing label never
enters. A frame that several processes have seen counts once.
"""

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import torch
from ase import units
from ase.data import chemical_symbols
from torch import Tensor
from torch_geometric.data import Data

from sus2bench.models.potential import Prediction
from sus2bench.training.distributed import gather_from_ranks
from sus2bench.training.loss import atoms_per_frame

Array = npt.NDArray[np.float64]


@dataclass(frozen=True)
class Quantity:
    """A kind of error: its name and its unit in reports."""

    name: str
    unit: str
    """As in the names of metrics."""
    coefficient: float
    """Reported value per eV/atom, eV/Å or eV/Å^3."""
    counted: str
    """Name under which the number of labelled values is reported."""


QUANTITIES = (
    Quantity("energy_per_atom", "meV", 1e3, "energy_frames"),
    Quantity("forces", "meV_A", 1e3, "force_components"),
    Quantity("stress", "GPa", 1 / units.GPa, "stress_components"),
)

PERCENTILES = (50, 95, 99)
"""Percentiles of the absolute errors that are reported."""


def summarize(errors: Array) -> dict[str, float]:
    """Statistics of signed errors (n,), n > 0, in their own unit."""
    absolute = np.abs(errors)
    summary = {
        "mae": float(absolute.mean()),
        "rmse": float(np.sqrt(np.square(errors).mean())),
        "max": float(absolute.max()),
    }
    for percentile, value in zip(PERCENTILES, np.percentile(absolute, PERCENTILES), strict=True):
        summary[f"p{percentile}"] = float(value)
    return summary


class ErrorAccumulator:
    """Collects the errors of batches; `compute` reports on all of them.

    Names are `<quantity>_<statistic>_<unit>`, such as `energy_per_atom_rmse_meV`,
    `forces_mae_meV_A` or `stress_p95_GPa`, for one element `forces_rmse_meV_A/Ni`, and the numbers
    of labelled values `energy_frames`, `force_components`, `stress_components`. A quantity without
    labels has no statistics.
    """

    def __init__(self) -> None:
        self._parts: list[dict[str, Tensor]] = []

    def reset(self) -> None:
        """Forgets everything."""
        self._parts = []

    def update(self, prediction: Prediction, frame: Data) -> None:
        """Adds a batch; what was not predicted (None) counts as unlabelled."""
        atoms = atoms_per_frame(frame)
        energy = _error(prediction.energy, frame.energy) / atoms
        part = {"frame": frame.frame_index, "atoms": atoms, "numbers": frame.atomic_numbers}
        part["energy_per_atom"] = energy
        for name, label in (("forces", frame.forces), ("stress", frame.stress)):
            value = getattr(prediction, name)
            missing = torch.full_like(label, torch.nan)
            part[name] = missing if value is None else _error(value, label)
        self._parts.append(part)

    def compute(self) -> dict[str, float]:
        """Errors of all frames seen by all processes since the last `reset`; see the class."""
        table = self._gathered()
        report: dict[str, float] = {}
        for quantity in QUANTITIES:
            scaled = table[quantity.name] * quantity.coefficient
            labelled = scaled[~np.isnan(scaled)]
            report[quantity.counted] = float(labelled.size)
            _add(report, quantity, labelled, "")
            if quantity.name == "forces":
                for number in np.unique(table["numbers"]):
                    of_element = scaled[table["numbers"] == number]
                    symbol = chemical_symbols[int(number)]
                    _add(report, quantity, of_element[~np.isnan(of_element)], f"/{symbol}")
        return report

    def _gathered(self) -> dict[str, Array]:
        """All errors of all processes, with each frame once."""
        mine = {
            key: torch.cat([part[key] for part in self._parts]).cpu().numpy()
            if self._parts
            else None
            for key in ("frame", "atoms", "numbers", *(quantity.name for quantity in QUANTITIES))
        }
        parts = [part for part in gather_from_ranks(mine) if part["frame"] is not None]
        if not parts:
            return {key: np.empty(0) for key in mine}
        table = {key: np.concatenate([part[key] for part in parts]) for key in mine}
        _, first = np.unique(table["frame"], return_index=True)
        if len(first) == len(table["frame"]):
            return table
        keep = np.zeros(len(table["frame"]), dtype=bool)
        keep[first] = True
        keep_atom = np.repeat(keep, table["atoms"].astype(int))
        per_atom = ("numbers", "forces")
        return {key: v[keep_atom if key in per_atom else keep] for key, v in table.items()}


def _error(value: Tensor, label: Tensor) -> Tensor:
    """Prediction minus label. NaN means no label: a prediction that is NaN errs infinitely."""
    error = value.detach().to(label.dtype) - label
    return torch.where(torch.isnan(error) & ~torch.isnan(label), torch.inf, error)


def _add(report: dict[str, float], quantity: Quantity, errors: Array, suffix: str) -> None:
    if errors.size:
        for statistic, value in summarize(errors).items():
            report[f"{quantity.name}_{statistic}_{quantity.unit}{suffix}"] = value
