"""Energies along two lines that need no labels: the volume of a cell, and the bond of two atoms.

What every potential for atoms should show, whatever it was fitted to: one minimum of the energy of
a crystal against its volume, and pressure when it is compressed; atoms that repel each other ever
more the closer they come, and energies that end smoothly at the cutoff.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import combinations_with_replacement
from typing import Any

import ase
import numpy as np
import numpy.typing as npt
import torch
from ase import units
from ase.data import atomic_numbers, covalent_radii
from scipy.interpolate import CubicSpline

from sus2bench.atoms.frame import build_frame
from sus2bench.benchmark.inference import in_mode
from sus2bench.models.potential import Potential

Array = npt.NDArray[np.float64]

STEP = 1e-3
"""Å before the cutoff where an energy has to have ended, nearly."""
END_ENERGY, END_FORCE = 1e-3, 1e-2
"""What it may still be there, eV, and its slope, eV/Å."""
BOND = 0.75
"""Of the sum of covalent radii: no bond is shorter, so that what is closer is the wall."""


@dataclass(frozen=True)
class Volumes:
    """Volumes of a cell, as parts of its own.

    Attributes:
        least: smallest volume.
        most: largest.
        points: number of volumes.

    Raises:
        ValueError: the numbers make no curve.
    """

    least: float = 0.8
    most: float = 1.2
    points: int = 21

    def __post_init__(self) -> None:
        """Checks the numbers."""
        if not (0 < self.least < self.most and self.points >= 5):
            raise ValueError("volumes need 0 < least < most and 5 points or more")


@dataclass(frozen=True)
class Distances:
    """Distances of two atoms, from a part of the sum of their covalent radii to the cutoff.

    Attributes:
        least: shortest, by the sum of covalent radii.
        points: number of distances.
        pairs: of elements, at most; of more every so many-th is taken.

    Raises:
        ValueError: the numbers make no curve.
    """

    least: float = 0.5
    points: int = 100
    pairs: int = 105

    def __post_init__(self) -> None:
        """Checks the numbers."""
        if not (0 < self.least < BOND and self.points >= 10 and self.pairs >= 1):
            raise ValueError(f"distances need 0 < least < {BOND}, 10 points or more, and a pair")


def equation_of_state(atoms: ase.Atoms, volumes: Volumes) -> dict[str, Any]:
    """Energy and pressure of a cell that is scaled, its atoms with it.

    Args:
        atoms: fully periodic, with a calculator.
        volumes: which.

    Returns:
        The curves `volume_ratio`, `energy_eV_atom` and `pressure_GPa`; `finite`, `local_minima`
        inside the range, `pressure_at_compression_GPa`, `pressure_deviation_GPa` (largest
        difference from -dE/dV by a cubic spline, ends left out), and `sane`: finite, one minimum
        at most, and pressure where it is compressed.
    """
    ratios = np.linspace(volumes.least, volumes.most, volumes.points)
    energies, pressures = [], []
    for ratio in ratios:
        scaled = atoms.copy()
        scaled.set_cell(atoms.cell * ratio ** (1 / 3), scale_atoms=True)
        scaled.calc = atoms.calc
        energies.append(float(scaled.get_potential_energy()))
        pressures.append(-float(scaled.get_stress()[:3].mean()) / units.GPa)
    energy, pressure = np.array(energies), np.array(pressures)
    finite = bool(np.isfinite([energy, pressure]).all())
    minima = local_minima(energy)
    deviation = None
    if finite:
        slope = CubicSpline(ratios * atoms.get_volume(), energy).derivative()
        expected = -slope(ratios * atoms.get_volume()) / units.GPa
        deviation = float(np.abs(pressure - expected)[2:-2].max())
    return {
        "volume_ratio": ratios.tolist(),
        "energy_eV_atom": (energy / len(atoms)).tolist(),
        "pressure_GPa": pressures,
        "finite": finite,
        "local_minima": minima,
        "pressure_at_compression_GPa": pressures[0],
        "pressure_deviation_GPa": deviation,
        "sane": finite and minima <= 1 and pressures[0] > 0,
    }


def local_minima(values: Array) -> int:
    """Number of minima inside a curve (n,), its ends left out."""
    return int(((values[1:-1] < values[:-2]) & (values[1:-1] < values[2:])).sum())


def dimers(potential: Potential, distances: Distances) -> dict[str, Any]:
    """Energies of two atoms for every pair of elements.

    Args:
        potential: stays as it is.
        distances: which.

    Returns:
        `pairs` that were looked at of `pairs_in_all`; the parts of them that are `repulsive` at
        the shortest distance, `monotonic` (the energy falls all the way from there to the bond),
        `smooth` (energy and slope have ended at the cutoff) and `sane` (all of these), each with
        `_fraction` to its name; and `by_pair` the numbers of each.
    """
    every = list(combinations_with_replacement(potential.species, 2))
    stride = -(-len(every) // distances.pairs)
    chosen = every[::stride]
    by_pair = {
        f"{one}-{other}": _dimer(potential, (one, other), distances) for one, other in chosen
    }
    checks = ("repulsive", "monotonic", "smooth", "sane")
    fractions = {
        f"{check}_fraction": float(np.mean([pair[check] for pair in by_pair.values()]))
        for check in checks
    }
    return {"pairs": len(chosen), "pairs_in_all": len(every), **fractions, "by_pair": by_pair}


def _dimer(potential: Potential, pair: Sequence[str], distances: Distances) -> dict[str, Any]:
    """All distances of a pair of elements in one frame, far from each other."""
    cutoff = potential.cutoff
    bond = float(sum(covalent_radii[atomic_numbers[symbol]] for symbol in pair))
    end = cutoff - STEP
    grid = np.linspace(min(distances.least * bond, 0.5 * end), end, distances.points)
    apart = np.append(grid, 1.5 * cutoff)  # the last two do not know of each other
    places = np.zeros((2 * len(apart), 3))
    places[::2, 0] = np.arange(len(apart)) * 4 * cutoff
    places[1::2, 0] = places[::2, 0] + apart
    frame = build_frame(ase.Atoms(list(pair) * len(apart), places), cutoff)
    with in_mode(potential, training=False):
        found = potential(frame.to(str(potential.device)), forces=True, stress=False)
    energy = found.site_energies.double().cpu().numpy().reshape(-1, 2).sum(1)
    forces = found.forces if found.forces is not None else torch.full((len(places), 3), torch.nan)
    slope = -forces.double().cpu().numpy()[1::2, 0]
    return dimer_shape(grid, energy[:-1] - energy[-1], float(slope[-2]), BOND * bond)


def dimer_shape(distance: Array, energy: Array, last_slope: float, wall: float) -> dict[str, Any]:
    """What the curve of two atoms looks like.

    Args:
        distance: (n,) Å, rising, the last one close to the cutoff.
        energy: (n,) eV, less that of the two atoms far apart.
        last_slope: dE/dr at the last distance, eV/Å.
        wall: Å, below which no bond is.
    """
    beyond = np.flatnonzero(distance >= wall)
    first = int(beyond[0]) if len(beyond) else len(distance) - 1
    well = first + int(np.argmin(energy[first:]))
    finite = bool(np.isfinite(energy).all())
    repulsive = finite and bool(energy[0] > max(0.0, energy[well]))
    monotonic = finite and bool((np.diff(energy[: well + 1]) < 0).all())
    smooth = abs(energy[-1]) < END_ENERGY and abs(last_slope) < END_FORCE
    return {
        "well_A": float(distance[well]),
        "well_eV": float(energy[well]),
        "shortest_A": float(distance[0]),
        "energy_at_shortest_eV": float(energy[0]),
        "energy_at_cutoff_eV": float(energy[-1]),
        "slope_at_cutoff_eV_A": last_slope,
        "repulsive": repulsive,
        "monotonic": monotonic,
        "smooth": bool(smooth),
        "sane": repulsive and monotonic and bool(smooth),
    }
