"""Checks without labels, on a potential that is sound and on ones that are broken on purpose."""

import numpy as np
import pytest
import torch
from ase.build import bulk
from torch import nn

from sus2bench.atoms.frame import build_frame
from sus2bench.benchmark import stability
from sus2bench.benchmark.dynamics_checks import Dynamics, hot, instability, nve
from sus2bench.benchmark.energy_curves import (
    Distances,
    Volumes,
    dimer_shape,
    dimers,
    equation_of_state,
    local_minima,
)
from sus2bench.models.base import SiteEnergyModel
from sus2bench.models.potential import Potential

SHORT = Dynamics(steps=100)


class PairPotential(SiteEnergyModel):
    """Lennard-Jones for Cu and Ni, which ends smoothly at the cutoff, with faults to order.

    Args:
        species: chemical symbols.
        cutoff: Å.
        fault: `attractive` turns the wall into a hole, `cut` ends it before it has vanished,
            `rough` adds steps, so that the forces are not those of the energy.
    """

    def __init__(self, species, cutoff=5.0, fault=""):
        super().__init__(species, cutoff)
        self.fault = fault
        self.depth = nn.Parameter(torch.tensor(0.3))

    def forward(self, frame):
        neighbour, centre = frame.edge_index
        distance = frame.edge_vectors.norm(dim=-1)
        ratio = (2.27 / distance) ** 6
        wall = ratio**2
        if self.fault == "attractive":
            wall = torch.where(distance < 2.0, -wall, wall)
        end = (1 - (distance / self.cutoff) ** 2).clamp(min=0) ** 2
        pair = (
            2 * self.depth * (wall - ratio) * (torch.ones_like(end) if self.fault == "cut" else end)
        )
        if self.fault == "rough":
            pair = pair + 0.02 * (40 * distance).detach().sin()
        if self.fault == "unstable":
            pair = pair - 5.0 * (2.27 / distance) ** 20
        found = pair.new_zeros(len(frame.atomic_numbers))
        return found.index_add(0, centre, pair)

    def hyperparameters(self):
        return {"species": list(self.symbols), "cutoff": self.cutoff, "fault": self.fault}


def potential(fault="", dtype=torch.float64):
    return Potential(PairPotential(["Cu", "Ni"], fault=fault).to(dtype), {"Cu": -3.0})


def copper(fault="", dtype=torch.float64):
    """32 atoms of copper, a little out of their places, with a calculator."""
    atoms = bulk("Cu", cubic=True, a=3.6).repeat(2)
    atoms.rattle(0.02, seed=1)
    atoms.calc = potential(fault, dtype).calculator()
    return atoms


class Frames(list):
    """A list of frames in place of a data set."""


def test_sound_potential_keeps_its_energy_and_survives_heat():
    found = nve(copper(), SHORT)
    assert found["completed"]
    assert found["failure"] is None
    assert found["stable_ps"] == pytest.approx(0.1)
    # Velocity Verlet with steps of 1 fs; the drift of a tenth of a picosecond is noise.
    assert found["energy_fluctuation_eV_atom"] < 1e-4
    assert found["instability"] < 1
    heated = hot(copper(), Dynamics(temperature=600, steps=100, friction=0.01))
    assert heated["completed"]
    assert 300 < heated["hottest_K"] < 1200


def test_runs_are_the_same_again_and_leave_the_atoms_alone():
    atoms = copper()
    before = atoms.positions.copy()
    assert nve(atoms, SHORT) == nve(atoms, SHORT)
    np.testing.assert_array_equal(atoms.positions, before)


def test_forces_that_are_not_those_of_the_energy_show_as_fluctuation_or_drift():
    sound, rough = nve(copper(), SHORT), nve(copper("rough"), SHORT)
    assert rough["energy_fluctuation_eV_atom"] > 10 * sound["energy_fluctuation_eV_atom"]


def test_atoms_that_fall_into_each_other_end_a_run_with_a_reason():
    found = nve(copper("unstable"), SHORT)
    assert not found["completed"]
    assert found["failure"]
    assert found["stable_ps"] < 0.1
    assert found["instability"] == 5
    assert found["energy_drift_eV_atom_ps"] is None


def test_a_potential_without_numbers_is_a_failure_and_not_an_error():
    atoms = copper()
    with torch.no_grad():
        atoms.calc.predict.model.depth.fill_(torch.nan)
    found = nve(atoms, SHORT)
    assert "not finite" in found["failure"]
    assert found["stable_ps"] == 0
    assert found["hottest_K"] is None


def test_instability_counts_orders_of_magnitude_beyond_the_tolerance():
    assert instability(4e-4) == 0
    assert instability(-5e-2) == pytest.approx(2)


def test_equation_of_state_has_one_minimum_and_pressure_when_compressed():
    found = equation_of_state(copper(), Volumes())
    assert found["local_minima"] == 1
    assert found["pressure_at_compression_GPa"] > 0
    assert found["pressure_GPa"][-1] < 0
    assert found["sane"]
    # A cubic spline through 21 energies against the stress of the potential itself.
    assert found["pressure_deviation_GPa"] < 0.02 * found["pressure_at_compression_GPa"]
    broken = equation_of_state(copper("unstable"), Volumes())
    assert broken["pressure_at_compression_GPa"] < 0
    assert not broken["sane"]


def test_ends_of_a_curve_are_no_minima():
    assert local_minima(np.array([0.0, 1.0, 0.5, 1.0, 0.0])) == 1
    assert local_minima(np.array([3.0, 2.0, 1.0])) == 0


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_dimers_of_a_sound_potential_are_sane(dtype):
    found = dimers(potential(dtype=dtype), Distances())
    assert (found["pairs"], found["pairs_in_all"]) == (3, 3)
    assert list(found["by_pair"]) == ["Cu-Cu", "Cu-Ni", "Ni-Ni"]
    assert found["sane_fraction"] == 1
    pair = found["by_pair"]["Cu-Ni"]
    # The minimum of Lennard-Jones is at 2^(1/6) sigma; the envelope moves it a little inwards.
    assert pair["well_A"] == pytest.approx(2.27 * 2 ** (1 / 6), abs=0.1)


def test_dimers_name_the_fault():
    hole = dimers(potential("attractive"), Distances())
    assert hole["repulsive_fraction"] == hole["monotonic_fraction"] == 0
    assert hole["smooth_fraction"] == 1
    cut = dimers(potential("cut"), Distances())
    assert (cut["repulsive_fraction"], cut["smooth_fraction"], cut["sane_fraction"]) == (1, 0, 0)


def test_of_many_pairs_some_are_looked_at():
    found = dimers(potential(), Distances(pairs=2))
    assert list(found["by_pair"]) == ["Cu-Cu", "Ni-Ni"]
    assert found["pairs_in_all"] == 3


def test_a_wall_with_a_dent_is_not_monotonic():
    distance = np.linspace(1.0, 5.0, 9)
    energy = np.array([9.0, 3.0, 4.0, 1.0, -1.0, -0.5, -0.1, -0.01, 0.0])
    shape = dimer_shape(distance, energy, 0.0, wall=1.8)
    assert shape["well_A"] == 3.0
    assert shape["repulsive"]
    assert not shape["monotonic"]


def test_all_checks_start_from_the_first_periodic_frame():
    molecule = bulk("Cu", cubic=True)
    molecule.pbc = False
    frames = Frames(build_frame(atoms, 5.0) for atoms in (molecule, bulk("Cu", cubic=True)))
    small = {name: {"steps": 20} for name in ("nve", "hot")}
    settings = stability.settings_of(small | {"eos": {"points": 5}})
    kept = potential().train()
    found = stability.check_stability(kept, frames, settings)
    assert (found["frame"], found["atoms"]) == (1, 32)
    assert kept.training
    assert found["hot"]["temperature_K"] == 1000
    assert len(found["eos"]["volume_ratio"]) == 5
    assert "nve completed" in stability.in_short(found)


def test_checks_that_are_switched_off_or_not_to_be_made_are_null():
    molecule = bulk("Cu", cubic=True)
    molecule.pbc = False
    settings = stability.settings_of({"nve": None, "hot": False, "dimers": {"points": 10}})
    found = stability.check_stability(potential(), Frames([build_frame(molecule, 5.0)]), settings)
    assert found["nve"] is found["hot"] is found["eos"] is None
    assert found["atoms"] == len(molecule)
    assert stability.settings_of(False) is None


def test_settings_that_no_check_has_are_refused_by_name():
    with pytest.raises(ValueError, match="stability has no 'nvt'; it has nve"):
        stability.settings_of({"nvt": {}})
    with pytest.raises(ValueError, match=r"stability.nve has no 'step'"):
        stability.settings_of({"nve": {"step": 3}})
    with pytest.raises(ValueError, match="true, false or a group"):
        stability.settings_of("yes")
    with pytest.raises(ValueError, match="10 or more"):
        stability.settings_of({"nve": {"steps": 3}})
