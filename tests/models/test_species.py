"""Fewer elements or more: what stays predicts as before, what is new starts from what is known."""

import json

import pytest
import torch
from ase.build import bulk
from ase.data import covalent_radii

from sus2bench.models.mtp import MTP
from sus2bench.models.nep import NEP, NEPRepulsion
from sus2bench.models.potential import Potential
from sus2bench.models.schnet import SchNet
from sus2bench.models.species import extend, nearest_species, prune
from sus2bench.models.sus2 import SUS2, potential_from_mtp
from sus2bench.models.zbl import ZBL
from sus2bench.testing.potentials import perturb, predict
from sus2bench.testing.structures import structures

SYMBOLS = ["Al", "Cu", "O", "Ni"]
KEPT = ["Ni", "O", "Al"]
PAIRS = [[0.5 + 0.01 * n, 1.2 + 0.03 * n, *([0.25, 0.8 + 0.1 * n] * 4)] for n in range(10)]
MODELS = {
    "sus2": lambda: Potential(SUS2(SYMBOLS, 4.0)),
    "sus2 with its own scalings of every rank": lambda: Potential(
        SUS2(SYMBOLS, 4.0, max_rank=3, channels=1, scaling_map="LK", radial_basis_size=5)
    ),
    "sus2 by elements, ordered": lambda: Potential(
        SUS2(SYMBOLS, 4.0, channels=1, parametrization="element_ordered")
    ),
    "sus2 by elements, symmetric": lambda: Potential(
        SUS2(SYMBOLS, 4.0, channels=1, parametrization="element_symmetric")
    ),
    "sus2 with zbl": lambda: Potential(SUS2(SYMBOLS, 4.0, channels=1), zbl=ZBL(SYMBOLS)),
    "mtp": lambda: Potential(MTP(SYMBOLS, 4.0, level=8)),
    "nep": lambda: Potential(NEP(SYMBOLS, 5.0), zbl=NEPRepulsion(SYMBOLS, 2.0)),
    "nep with a table of pairs": lambda: Potential(
        NEP(SYMBOLS, 5.0), zbl=NEPRepulsion(SYMBOLS, pairs=PAIRS)
    ),
}


@pytest.fixture(params=MODELS.values(), ids=MODELS.keys())
def potential(request):
    """Trained, as far as this shows in its numbers."""
    return perturb(request.param(), seed=3).eval()


def assert_same(actual, expected, tolerance=1e-12):
    for name in ("energy", "forces", "virial"):
        torch.testing.assert_close(
            getattr(actual, name), getattr(expected, name), rtol=1e-13, atol=tolerance
        )


def test_pruned_potential_predicts_the_same(potential):
    pruned = prune(potential, KEPT)
    assert pruned.species == tuple(KEPT)
    # ZBL of smaller atoms may end earlier; nothing else has a cutoff of its own.
    assert pruned.model.cutoff == potential.model.cutoff
    for pair in (KEPT, KEPT[1:], KEPT[:1]):
        frames = structures(pair).values()
        assert_same(predict(pruned, *frames), predict(potential, *frames))


def test_pruned_potential_has_fewer_numbers_and_survives_its_payload(potential):
    pruned = prune(potential, KEPT)
    assert pruned.model.hyperparameters()["species"] == KEPT
    count, before = (sum(t.numel() for t in p.parameters()) for p in (pruned, potential))
    assert count < before
    again = Potential.from_payload(pruned.to_payload())
    frames = structures(KEPT).values()
    assert_same(predict(again.eval(), *frames), predict(pruned, *frames))


def test_extended_potential_predicts_the_same_for_old_elements(potential):
    if isinstance(potential.zbl, NEPRepulsion) and potential.zbl.pairs:
        with pytest.raises(ValueError, match="a table of pairs of Al, Cu, O, Ni alone"):
            extend(potential, {"Zn": "Cu"})
        return
    extended = extend(potential, {"Zn": "Cu", "S": "O"})
    assert extended.species == (*SYMBOLS, "Zn", "S")
    frames = structures(SYMBOLS[1:]).values()
    assert_same(predict(extended, *frames), predict(potential, *frames))
    # Taking the new elements away again leaves what there was, to the bit.
    for name, tensor in prune(extended, SYMBOLS).state_dict().items():
        assert torch.equal(tensor, potential.state_dict()[name]), name


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_a_new_element_of_sus2_is_a_known_one_of_another_size(dtype):
    potential = perturb(Potential(SUS2(SYMBOLS, 4.0).to(dtype)))
    extended = extend(potential, {"Zn": "Cu"})
    old, new = potential.model.radial, extended.model.radial
    assert extended.dtype == new.r0.dtype == dtype
    growth = covalent_radii[30] - covalent_radii[29]
    cu, zn = 1, 4
    torch.testing.assert_close(new.r0[:, zn, 0], old.r0[:, cu, 0] + growth)
    torch.testing.assert_close(new.r0[:, 2, zn], old.r0[:, 2, cu] + growth)
    torch.testing.assert_close(new.r0[:, zn, zn], old.r0[:, cu, cu] + 2 * growth)
    assert torch.equal(new.alpha[:, zn, :4], old.alpha[:, cu])
    assert torch.equal(new.alpha[:, zn, zn], old.alpha[:, cu, cu])
    assert new.species_factor[zn] == old.species_factor[cu]
    assert extended.model.species_weight[zn] == potential.model.species_weight[cu]
    assert extended.atomic_energies.as_dict()["Zn"] == potential.atomic_energies.as_dict()["Cu"]


def test_a_new_element_starts_from_the_known_one_of_the_nearest_radius():
    # Cordero's radii, Å: Zn 1.22 and Al 1.21, Ni 1.24, Cu 1.32; F 0.57 and O 0.66.
    assert nearest_species(["Zn", "F"], SYMBOLS) == {"Zn": "Al", "F": "O"}
    with pytest.raises(ValueError, match="no covalent radius for Bk"):
        nearest_species(["Bk"], SYMBOLS)


def test_mode_device_and_energy_scale_stay():
    potential = Potential(SUS2(SYMBOLS, 4.0, channels=1), energy_scale=2.5).train()
    pruned = prune(potential, KEPT)
    assert pruned.training
    assert not prune(potential.eval(), KEPT).training
    assert float(pruned.atomic_energies.scale) == 2.5
    assert pruned.device == potential.device


def test_wrong_elements_and_models_are_named():
    potential = Potential(SUS2(SYMBOLS, 4.0, channels=1))
    with pytest.raises(ValueError, match="no Zn, S to keep; it knows Al, Cu, O, Ni"):
        prune(potential, ["Al", "Zn", "S"])
    with pytest.raises(ValueError, match="twice"):
        prune(potential, ["Al", "Al"])
    with pytest.raises(ValueError, match="knows Cu already"):
        extend(potential, {"Cu": "Al"})
    with pytest.raises(ValueError, match="cannot start from Ag: the potential knows only Al"):
        extend(potential, {"Au": "Ag"})
    with pytest.raises(ValueError, match="SchNet does not say which of its numbers"):
        prune(Potential(SchNet(SYMBOLS, 4.0, features=4, interactions=1)), KEPT)


def test_the_published_alloy_model_pruned_to_three_elements(shared):
    symbols = json.loads((shared / "reference/species.json").read_text())["alloy"]
    potential = potential_from_mtp(shared / "reference/models/alloy.mtp", symbols).eval()
    kept = ["Cu", "Ni", "Al"]
    pruned = prune(potential, kept)
    # Spec section 7: H = K = 3 channels, 9 radial functions, R = 5, 175 scalars.
    assert sum(p.numel() for p in pruned.parameters()) == 2 * 3 * 9 + 9 * 5 + 3 + 2 * 3 + 175
    # Metals at their distances: closer atoms make energies of 1e6 eV, of which 1e-12 is nothing.
    frames = [
        bulk("Cu", cubic=True, a=3.7).repeat((2, 1, 1)),
        bulk("Al", cubic=True, a=4.0),
    ]
    for seed, atoms in enumerate(frames):
        atoms.symbols[::2] = "Ni"
        atoms.rattle(0.1, seed=seed)
    frames[0].symbols[1] = "Al"
    assert_same(predict(pruned, *frames), predict(potential, *frames))
