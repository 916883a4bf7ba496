"""The ASE calculator in optimizers, molecular dynamics and equations of state."""

from typing import NamedTuple

import ase
import numpy as np
import pytest
import torch
from ase.build import bulk, molecule
from ase.calculators.calculator import PropertyNotImplementedError
from ase.calculators.fd import calculate_numerical_stress
from ase.eos import EquationOfState
from ase.filters import FrechetCellFilter, UnitCellFilter
from ase.md.velocitydistribution import MaxwellBoltzmannDistribution
from ase.md.verlet import VelocityVerlet
from ase.optimize import BFGS
from ase.units import GPa, fs
from torch import Tensor

from sus2bench.atoms.frame import build_frame, edge_vectors
from sus2bench.interfaces.calculator import FrameCalculator

CUTOFF = 5.0


class Prediction(NamedTuple):
    energy: Tensor
    forces: Tensor | None
    stress: Tensor | None
    site_energies: Tensor


def morse(frame, *, forces=True, stress=True):
    """A Morse crystal, switched off at the cutoff: the interface needs no model of ours."""
    vectors = edge_vectors(frame).detach().requires_grad_()
    distance = vectors.norm(dim=1)
    switch = (1 - (distance / CUTOFF) ** 2).clamp(min=0) ** 3
    bond = 0.5 * ((1 - torch.exp(-1.4 * (distance - 2.8))) ** 2 - 1) * switch
    neighbour, centre = frame.edge_index
    site = torch.zeros(len(frame.pos), dtype=torch.float64).index_add(0, centre, 0.5 * bond)
    (gradient,) = torch.autograd.grad(site.sum(), vectors)
    force = torch.zeros_like(frame.pos).index_add(0, centre, gradient)
    force = force.index_add(0, neighbour, gradient, alpha=-1)
    volume = torch.linalg.det(frame.cell[0]).abs()
    tension = (gradient.T @ vectors).detach()[None] / volume
    return Prediction(
        site.sum()[None], force if forces else None, tension if stress else None, site
    )


@pytest.fixture
def crystal():
    atoms = bulk("Ag", cubic=True)
    atoms.rattle(0.08, seed=1)
    atoms.calc = FrameCalculator(morse, CUTOFF)
    return atoms


def test_results_have_ase_names_shapes_and_order(crystal):
    crystal.set_cell(crystal.cell.array @ (np.eye(3) + 0.03 * np.triu(np.ones((3, 3)))), True)
    assert crystal.get_potential_energy() == crystal.calc.results["free_energy"]
    assert crystal.get_potential_energies().sum() == pytest.approx(crystal.get_potential_energy())
    assert crystal.get_forces().shape == (4, 3)
    numerical = calculate_numerical_stress(crystal, eps=1e-5)
    np.testing.assert_allclose(crystal.get_stress(), numerical, atol=1e-8)


def test_stress_is_refused_without_a_periodic_cell():
    atoms = molecule("H2O", calculator=FrameCalculator(morse, CUTOFF))
    assert np.isfinite(atoms.get_forces()).all()
    with pytest.raises(PropertyNotImplementedError, match="stress"):
        atoms.get_stress()
    atoms.center(vacuum=4.0)
    with pytest.raises(PropertyNotImplementedError, match="stress"):
        atoms.get_stress()
    atoms.pbc = (True, True, False)
    assert np.isfinite(atoms.get_stress()).all()


def test_a_predictor_without_forces_or_stress_has_neither():
    atoms = bulk("Ag")
    atoms.calc = FrameCalculator(lambda frame, **_: morse(frame, forces=False, stress=False), 5.0)
    assert atoms.get_potential_energy() < 0
    for ask in (atoms.get_forces, atoms.get_stress):
        with pytest.raises(PropertyNotImplementedError):
            ask()


def watched(calls):
    """The potential, which notes what is asked of it."""

    def predict(frame, *, forces, stress):
        calls.append((forces, stress))
        return morse(frame, forces=forces, stress=stress)

    return FrameCalculator(predict, CUTOFF)


def test_new_positions_are_noticed_and_old_ones_remembered(crystal):
    calls = []
    crystal.calc = watched(calls)
    first = crystal.get_stress(), crystal.get_forces(), crystal.get_potential_energy()
    for _ in range(2):
        crystal.get_forces(), crystal.get_stress(), crystal.get_potential_energy()
    assert len(calls) == 2
    crystal.positions[0, 0] += 0.1
    assert crystal.get_potential_energy() != first[2]
    crystal.get_forces(), crystal.get_stress()
    assert len(calls) == 3


def test_what_has_never_been_asked_for_is_not_computed(crystal):
    calls = []
    crystal.calc = watched(calls)
    for ask in (crystal.get_potential_energy, crystal.get_forces, crystal.get_stress):
        ask()
        crystal.positions[0, 0] += 0.1
    crystal.get_potential_energy()
    assert calls == [(False, False), (True, False), (True, True), (True, True)]


def dynamics_of(atoms, steps, skin):
    """Total energies and last forces of a run at constant energy."""
    atoms = atoms.copy()
    atoms.calc = FrameCalculator(morse, CUTOFF, skin=skin)
    energies = []
    with VelocityVerlet(atoms, timestep=1 * fs) as dynamics:
        dynamics.attach(lambda: energies.append(atoms.get_total_energy()))
        dynamics.run(steps)
    return np.array(energies), atoms.get_forces()


def test_molecular_dynamics_is_the_same_with_a_list_that_is_kept(crystal, monkeypatch):
    lists = []

    def counted(atoms, cutoff):
        lists.append(cutoff)
        return build_frame(atoms, cutoff)

    monkeypatch.setattr("sus2bench.atoms.moving.build_frame", counted)
    atoms = crystal.repeat((2, 2, 1))
    MaxwellBoltzmannDistribution(atoms, temperature_K=600, rng=np.random.default_rng(1))
    kept, kept_forces = dynamics_of(atoms, 300, 1.0)
    assert lists[:2] == [CUTOFF, CUTOFF + 1.0]
    # An atom takes some 30 fs or more over half an ångström.
    assert len(lists) < 20
    new, new_forces = dynamics_of(atoms, 300, 0.0)
    assert len(lists) > 300
    # Sums in another order, which the motion makes larger as it goes on.
    np.testing.assert_allclose(kept, new, rtol=0, atol=1e-11)
    np.testing.assert_allclose(kept_forces, new_forces, rtol=0, atol=1e-10)
    # Of twice the temperature, twice the error of the time step below.
    assert np.ptp(kept) < 24e-3
    assert abs(np.mean(kept[-50:]) - np.mean(kept[:50])) < 24e-4


def test_constraints_do_not_reach_the_results(crystal):
    free = crystal.get_forces()
    crystal.set_constraint(ase.constraints.FixAtoms([0]))
    assert not crystal.get_forces()[0].any()
    np.testing.assert_array_equal(crystal.get_forces(apply_constraint=False), free)


def test_bfgs_finds_the_minimum(crystal):
    with BFGS(crystal, logfile=None) as optimizer:
        assert optimizer.run(fmax=1e-4, steps=100)


@pytest.mark.parametrize("cell_filter", [FrechetCellFilter, UnitCellFilter])
def test_cell_relaxation_removes_the_stress(crystal, cell_filter):
    crystal.set_cell(crystal.cell.array * (1.03, 0.98, 1.0), scale_atoms=True)
    with BFGS(cell_filter(crystal), logfile=None) as optimizer:
        assert optimizer.run(fmax=1e-3, steps=300)
    assert np.abs(crystal.get_stress()).max() < 0.01 * GPa


def test_molecular_dynamics_conserves_energy(crystal):
    atoms = crystal.repeat((2, 1, 1))
    atoms.calc = crystal.calc
    MaxwellBoltzmannDistribution(atoms, temperature_K=300, rng=np.random.default_rng(1))
    energies = []
    with VelocityVerlet(atoms, timestep=1 * fs) as dynamics:
        dynamics.attach(lambda: energies.append(atoms.get_total_energy()))
        dynamics.run(200)
    # Velocity Verlet errs by the second order of its step, here about 1 % of the kinetic energy.
    assert np.ptp(energies) < 3e-3
    assert abs(np.mean(energies[-50:]) - np.mean(energies[:50])) < 3e-4


def test_equation_of_state_agrees_with_the_stress(crystal):
    crystal.set_scaled_positions(np.round(4 * crystal.get_scaled_positions()) / 4)
    with BFGS(FrechetCellFilter(crystal), logfile=None) as optimizer:
        assert optimizer.run(fmax=1e-5, steps=100)
    volumes, energies, pressures = [], [], []
    for scale in np.linspace(0.99, 1.01, 9):
        atoms = crystal.copy()
        atoms.set_cell(crystal.cell.array * scale, scale_atoms=True)
        atoms.calc = crystal.calc
        volumes.append(atoms.get_volume())
        energies.append(atoms.get_potential_energy())
        pressures.append(-atoms.get_stress()[:3].mean())
    volume, _, modulus = EquationOfState(volumes, energies).fit()
    # The form of the equation fits this potential to about a percent of its modulus.
    assert volume == pytest.approx(crystal.get_volume(), rel=1e-4)
    slope = np.polyfit(np.array(volumes) - crystal.get_volume(), pressures, 4)[-2]
    assert modulus == pytest.approx(-crystal.get_volume() * slope, rel=0.02)
