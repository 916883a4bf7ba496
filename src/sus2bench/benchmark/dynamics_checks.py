"""Molecular dynamics that needs no labels: is the energy kept, and does the run survive heat?

NVE: velocity Verlet; the drift is the slope of a straight line through the total energy per atom
against time, without the first fifth. Instability is that of LAMBench (A. Peng et al., arXiv
2504.19578): max(0, log10(|drift| / 5e-4 eV/atom/ps)), and 5 for a run that does not come to its
end. Hot: Langevin dynamics at a raised temperature, until it has gone on long enough or fails.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import ase
import numpy as np
from ase import units
from ase.data import covalent_radii
from ase.md.langevin import Langevin
from ase.md.velocitydistribution import Stationary
from ase.md.verlet import VelocityVerlet
from scipy import stats

from sus2bench.atoms.neighbours import neighbour_list

TOLERANCE = 5e-4
"""eV/atom/ps; a drift below it counts as none."""
FAILED = 5.0
"""Instability of a run that fails."""
WARM_UP = 0.2
"""Part of a run, at its start, that the drift leaves out."""


@dataclass(frozen=True)
class Dynamics:
    """How a run goes.

    Attributes:
        temperature: of the first velocities, and of the bath where there is one, K.
        steps: of the run.
        timestep: fs.
        friction: of the bath, 1/fs; 0: no bath (NVE).
        closest: a run has failed when two atoms come closer than this part of the sum of their
            covalent radii,
        hottest: or when the temperature exceeds so many times the one it starts with.
        seed: of velocities and bath.

    Raises:
        ValueError: a number is out of its range.
    """

    temperature: float = 300.0
    steps: int = 1000
    timestep: float = 1.0
    friction: float = 0.0
    closest: float = 0.4
    hottest: float = 10.0
    seed: int = 0

    def __post_init__(self) -> None:
        """Checks the numbers."""
        if self.steps < 10:
            raise ValueError(f"a run of {self.steps} steps shows nothing: give 10 or more")
        if min(self.temperature, self.timestep, self.hottest) <= 0 or self.friction < 0:
            raise ValueError(
                "temperature, timestep and hottest are positive, friction is at least 0"
            )


@dataclass
class Course:
    """What a run did, step by step, and why it ended early, if it did."""

    energies: list[float]
    """Total, eV/atom."""
    temperatures: list[float]
    """K."""
    closest: list[float]
    """Least distance by the sum of covalent radii."""
    failure: str | None = None


def nve(atoms: ase.Atoms, how: Dynamics) -> dict[str, Any]:
    """Runs at constant energy.

    Args:
        atoms: with a calculator; copied.
        how: with friction 0.

    Returns:
        `energy_drift_eV_atom_ps` and its standard error, `energy_fluctuation_eV_atom` (root mean
        square about the line), `instability`, and what all runs have: `completed`, `failure`,
        `stable_ps`, `hottest_K`, `closest_ratio`.
    """
    course = _run(atoms, how)
    energies = np.array(course.energies)
    times = np.arange(len(energies)) * how.timestep * 1e-3
    late = times >= WARM_UP * how.steps * how.timestep * 1e-3
    found = _common(course, how)
    found |= dict.fromkeys(("energy_drift_eV_atom_ps", "energy_drift_error_eV_atom_ps"))
    found |= {"energy_fluctuation_eV_atom": None, "instability": FAILED}
    if course.failure is None:
        line = stats.linregress(times[late], energies[late])
        rest = energies[late] - line.intercept - line.slope * times[late]
        found["energy_drift_eV_atom_ps"] = float(line.slope)
        found["energy_drift_error_eV_atom_ps"] = float(line.stderr)
        found["energy_fluctuation_eV_atom"] = float(np.sqrt(np.mean(rest**2)))
        found["instability"] = instability(float(line.slope))
    return found


def hot(atoms: ase.Atoms, how: Dynamics) -> dict[str, Any]:
    """Runs in a bath at a raised temperature; returns what all runs have, see `nve`."""
    return _common(_run(atoms, how), how)


def instability(drift: float) -> float:
    """Orders of magnitude by which a drift in eV/atom/ps exceeds the tolerance, at least 0."""
    return max(0.0, float(np.log10(max(abs(drift), TOLERANCE) / TOLERANCE)))


def thermalize(atoms: ase.Atoms, temperature: float, generator: np.random.Generator) -> None:
    """Gives atoms velocities as Maxwell and Boltzmann have them at a temperature in K."""
    widths = np.sqrt(atoms.get_masses() * units.kB * temperature)
    atoms.set_momenta(generator.normal(size=(len(atoms), 3)) * widths[:, None])


def _run(atoms: ase.Atoms, how: Dynamics) -> Course:
    moving = atoms.copy()
    moving.calc = atoms.calc
    generator = np.random.default_rng(how.seed)
    thermalize(moving, how.temperature, generator)
    Stationary(moving)
    if how.friction:
        bath = {"friction": how.friction / units.fs, "temperature_K": how.temperature}
        # A centre of mass that is held is not quite the canonical ensemble, and nobody needs it.
        heated = Langevin(moving, how.timestep * units.fs, rng=generator, fixcm=False, **bath)
        return _follow(moving, heated.step, how)
    dynamics = VelocityVerlet(moving, timestep=how.timestep * units.fs)
    return _follow(moving, dynamics.step, how)


def _follow(atoms: ase.Atoms, step: Callable[[], object], how: Dynamics) -> Course:
    course = Course([], [], [])
    for number in range(how.steps + 1):
        try:
            if number:
                step()
            course.failure = _observe(atoms, course, how)
        except (ValueError, RuntimeError, ArithmeticError) as error:
            # Neighbour lists and models refuse what a run has blown up.
            course.failure = f"{type(error).__name__}: {error}".splitlines()[0][:200]
        if course.failure is not None:
            break
    return course


def _observe(atoms: ase.Atoms, course: Course, how: Dynamics) -> str | None:
    """Writes down where the run is; says why it has failed, if it has."""
    energy, temperature = float(atoms.get_total_energy()), float(atoms.get_temperature())
    if not np.isfinite([energy, temperature]).all():
        return "the energy or the temperature is not finite"
    closest = closest_ratio(atoms)
    course.energies.append(energy / len(atoms))
    course.temperatures.append(temperature)
    course.closest.append(closest)
    if closest < how.closest:
        return f"two atoms are at {closest:.2f} of the sum of their covalent radii"
    if temperature > how.hottest * how.temperature:
        return f"the temperature is {temperature:.0f} K"
    return None


def closest_ratio(atoms: ase.Atoms) -> float:
    """The least distance of two atoms by the sum of their covalent radii; at most 1."""
    radii = covalent_radii[atoms.numbers]
    reach = float(2 * radii.max())
    cell, pbc = atoms.cell.array, atoms.pbc
    centre, neighbour, shift = neighbour_list(atoms.positions, cell, pbc, reach)
    vectors = atoms.positions[neighbour] + shift @ cell - atoms.positions[centre]
    ratios = np.linalg.norm(vectors, axis=1) / (radii[centre] + radii[neighbour])
    return float(ratios.min(initial=1.0))


def _common(course: Course, how: Dynamics) -> dict[str, Any]:
    done = max(len(course.energies) - (course.failure is not None) - 1, 0)
    return {
        "temperature_K": how.temperature,
        "timestep_fs": how.timestep,
        "steps": how.steps,
        "completed": course.failure is None,
        "failure": course.failure,
        "stable_ps": done * how.timestep * 1e-3,
        "hottest_K": max(course.temperatures, default=None),
        "closest_ratio": min(course.closest, default=None),
    }
