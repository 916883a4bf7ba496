"""The torch-sim model: the potential's own numbers, and lists that are kept while atoms move."""

import numpy as np
import pytest
import torch
from ase.build import bulk, molecule

from sus2bench.atoms.frame import build_frame, collate
from sus2bench.models.potential import Potential
from sus2bench.models.sus2 import SUS2
from sus2bench.testing import perturb

ts = pytest.importorskip("torch_sim")
from torch_sim.models.interface import validate_model_outputs  # noqa: E402

from sus2bench.interfaces import torch_sim as interface  # noqa: E402
from sus2bench.interfaces.torch_sim import TorchSimModel  # noqa: E402

CUTOFF = 4.0
DOUBLE = torch.float64


@pytest.fixture
def potential():
    return perturb(Potential(SUS2(("Fe", "Si"), CUTOFF, channels=1), {"Fe": -3.0})).eval()


@pytest.fixture
def lists(monkeypatch):
    """One entry for each list that is made."""
    made = []

    class Counted(interface.NeighborList):
        def __init__(self, **options):
            made.append(options["cutoff"])
            super().__init__(**options)

    monkeypatch.setattr(interface, "NeighborList", Counted)
    return made


def model_of(potential, **options):
    return TorchSimModel(potential, potential.cutoff, **options)


def crystals():
    generator = np.random.default_rng(0)
    iron, silicon = bulk("Fe", cubic=True) * (2, 2, 1), bulk("Si")
    silicon.set_cell(silicon.cell.array * (1.0, 0.9, 1.1), scale_atoms=True)
    iron.numbers[::3] = 14
    for atoms in (iron, silicon):
        atoms.positions += generator.normal(scale=0.05, size=atoms.positions.shape)
    return [iron, silicon]


def state_of(atoms, dtype=DOUBLE):
    return ts.io.atoms_to_state(atoms, torch.device("cpu"), dtype)


def check(result, potential, atoms, tolerance=1e-11):
    expected = potential(collate([build_frame(one, potential.cutoff) for one in atoms]))
    for name in result:
        value = getattr(expected, name)
        torch.testing.assert_close(
            result[name].double(), value, rtol=0, atol=tolerance, equal_nan=True
        )


def test_a_batch_has_the_potential_s_energies_forces_and_stresses(potential):
    result = model_of(potential)(state_of(crystals()))
    assert set(result) == {"energy", "forces", "stress"}
    check(result, potential, crystals())
    water = molecule("H2O")
    water.numbers[:] = (26, 14, 14)
    result = model_of(potential, compute_stress=False)(state_of([water]))
    assert set(result) == {"energy", "forces"}
    check(result, potential, [water])


def test_a_negative_skin_is_refused(potential):
    with pytest.raises(ValueError, match="skin"):
        model_of(potential, skin=-1.0)


def test_single_precision_stays_single(potential):
    result = model_of(potential, dtype=torch.float32)(state_of(crystals(), torch.float32))
    assert {value.dtype for value in result.values()} == {torch.float32}
    check(result, potential, crystals(), 1e-4)


def test_torch_sim_s_own_checks_pass(potential):
    validate_model_outputs(model_of(potential), torch.device("cpu"), DOUBLE)


def test_lists_are_kept_while_atoms_move_and_are_wrapped(potential, lists):
    model, atoms = model_of(potential, skin=1.0), crystals()
    for one in atoms:
        one.positions += 0.1
        one.wrap()
    model(state_of(atoms))
    start = [one.positions.copy() for one in atoms]
    for _ in range(4):
        for one in atoms:
            one.positions -= 0.05
            one.wrap()
        check(model(state_of(atoms)), potential, atoms)
    assert any(np.ptp(one.positions - old) > 1 for one, old in zip(atoms, start, strict=True))
    assert len(lists) == 2
    atoms[0].positions[0, 0] += 0.9
    check(model(state_of(atoms)), potential, atoms)
    assert len(lists) == 4


def test_other_cells_and_other_atoms_have_new_lists(potential, lists):
    model, atoms = model_of(potential), crystals()
    model(state_of(atoms))
    atoms[1].set_cell(atoms[1].cell.array * 1.01, scale_atoms=True)
    check(model(state_of(atoms)), potential, atoms)
    atoms[0].numbers[:] = 26
    check(model(state_of(atoms)), potential, atoms)
    check(model(state_of(atoms[:1])), potential, atoms[:1])
    assert len(lists) == 7


def test_dynamics_are_those_with_a_list_at_each_step(potential, lists):
    nve = getattr(ts, "Integrator", ts.integrators).nve
    finals = []
    for skin in (1.0, 0.0):
        lists.clear()
        torch.manual_seed(0)
        state = ts.integrate(
            crystals(),
            model_of(potential, skin=skin),
            integrator=nve,
            n_steps=20,
            temperature=300.0,
            timestep=0.001,
        )
        finals.append((state.positions, state.energy, len(lists)))
    (kept, energy, few), (new, energy_of_new, many) = finals
    assert few < 10 < 40 <= many
    torch.testing.assert_close(kept, new, rtol=0, atol=1e-9)
    torch.testing.assert_close(energy, energy_of_new, rtol=0, atol=1e-9)
