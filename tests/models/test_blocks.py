"""Large systems are evaluated in blocks of atoms, with the results of the whole."""

import pytest
import torch
from ase.build import bulk

from sus2bench.atoms.frame import build_frame, collate
from sus2bench.models import blocks
from sus2bench.models.nep import NEP
from sus2bench.models.painn import PaiNN
from sus2bench.models.potential import Potential
from sus2bench.models.sus2 import SUS2
from sus2bench.models.zbl import ZBL
from sus2bench.testing import perturb
from sus2bench.testing.potentials import check_close
from sus2bench.testing.structures import structures

SPECIES = ("Cu", "Au")


@pytest.fixture
def sizes(monkeypatch):
    """Blocks of at most 40 atoms and edges, and how many atoms each of a model's frames has."""
    monkeypatch.setattr(blocks, "LARGEST_BLOCK", 40)
    return []


def potential_of(model, sizes):
    potential = perturb(Potential(model, {"Cu": -3.5}, zbl=ZBL(SPECIES))).eval()
    model.register_forward_pre_hook(lambda _, inputs: sizes.append(len(inputs[0].atomic_numbers)))
    return potential


def batch():
    frames = [build_frame(atoms, 4.5) for atoms in structures(SPECIES).values()]
    return collate([*frames, build_frame(bulk("Au"), 4.5)])


@pytest.mark.parametrize("kind", [SUS2, NEP])
def test_a_batch_in_blocks_has_the_prediction_of_the_whole(kind, sizes, monkeypatch):
    potential = potential_of(kind(SPECIES, 4.0), sizes)
    split, energies = potential(batch()), potential(batch(), forces=False, stress=False)
    assert len(sizes) > 20
    monkeypatch.setattr(blocks, "LARGEST_BLOCK", 10**6)
    sizes.clear()
    whole = potential(batch())
    assert len(sizes) == 1
    for name, actual, expected in zip(whole._fields, split, whole, strict=True):
        # Sums in another order, of a hundred terms of up to a hundred eV.
        check_close(actual, expected, 1e-11, name)
    check_close(energies.site_energies, whole.site_energies, 1e-11, "site energies alone")


def test_message_passing_is_never_split(sizes):
    potential = potential_of(PaiNN(SPECIES, 4.0, features=4, interactions=2), sizes)
    frames = batch()
    potential(frames)
    assert sizes == [len(frames.pos)]


def test_what_is_trained_is_never_split(sizes):
    potential = potential_of(SUS2(SPECIES, 4.0, channels=1), sizes).train()
    frames = batch()
    assert potential(frames).forces.requires_grad
    assert sizes == [len(frames.pos)]


def test_an_atom_with_more_edges_than_a_block_is_a_block():
    ends = torch.tensor([0, 0, 5, 5, 6, 106, 107])
    assert list(blocks._bounds(ends, 8)) == [(0, 3), (3, 5), (5, 6), (6, 7)]
