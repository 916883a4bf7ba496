"""Frozen blocks: their names, and that neither steps nor exact solves change them."""

import numpy as np
import pytest
import torch
from ase.build import bulk

from sus2bench.atoms.frame import collate
from sus2bench.atoms.reading import LabelledAtoms
from sus2bench.data.dataset import FrameDataset, build_store
from sus2bench.models.frozen import FrozenRadial
from sus2bench.models.mtp import MTP
from sus2bench.models.nep import NEP
from sus2bench.models.potential import Potential
from sus2bench.models.schnet import SchNet
from sus2bench.models.sus2 import SUS2
from sus2bench.testing.potentials import perturb
from sus2bench.training.freezing import blocks, freeze, thawed
from sus2bench.training.initialise import initialise
from sus2bench.training.linear_readout import LinearWeights, solve_linear_readout
from sus2bench.training.loss import PotentialLoss, count_labels
from sus2bench.training.module import parameter_groups

SPECIES = ["Al", "Cu"]
CUTOFF = 4.0


@pytest.fixture
def frames():
    """Rattled Al-Cu cells with made-up labels."""
    generator = np.random.default_rng(0)
    labelled = []
    for index in range(6):
        atoms = bulk("Cu", cubic=True)
        atoms.symbols[: 1 + index % 3] = "Al"
        atoms.rattle(0.1, seed=index)
        energy, forces = -14 + generator.normal(), generator.normal(size=(4, 3))
        labelled.append(LabelledAtoms(atoms, energy=energy, forces=forces, stress=None))
    return FrameDataset(build_store(labelled, CUTOFF, "made up"), "made up", CUTOFF)


def sus2(backend="eager"):
    model = SUS2(SPECIES, CUTOFF, channels=1, radial_basis_size=4, backend=backend)
    return perturb(Potential(model)).train()


MODELS = {
    "sus2": sus2,
    "mtp": lambda: Potential(MTP(SPECIES, CUTOFF, level=6)),
    "nep": lambda: Potential(NEP(SPECIES, CUTOFF, neurons=3)),
    "schnet": lambda: Potential(SchNet(SPECIES, CUTOFF, features=4, interactions=1)),
    "frozen radial functions": lambda: Potential(
        FrozenRadial(SPECIES, CUTOFF, model={"_target_": "sus2bench.models.sus2.SUS2"})
    ),
}


def values(potential):
    return {name: tensor.clone() for name, tensor in potential.state_dict().items()}


@pytest.mark.parametrize("make", MODELS.values(), ids=MODELS.keys())
def test_blocks_are_all_parameters_each_once(make):
    potential = make()
    named = [name for names in blocks(potential).values() for name in names]
    assert sorted(named) == sorted(name for name, _ in potential.named_parameters())


def test_blocks_of_sus2_are_those_of_its_parameter_count():
    potential = sus2()
    counted = set(potential.model.parameter_blocks(set())) | {"atomic_energies"}
    assert set(blocks(potential)) == counted


@pytest.mark.parametrize("backend", ["eager", "cpp"])
def test_frozen_blocks_stay_to_the_bit_while_the_rest_is_trained(frames, backend):
    potential = sus2(backend)
    chosen = ["pair_scaling", "scalar_coefficients", "atomic_energies"]
    freeze(potential, chosen)
    held = {name for block in chosen for name in blocks(potential)[block]}
    assert potential.held == held
    before = values(potential)
    optimizer = torch.optim.AdamW(parameter_groups(potential), lr=1e-2, weight_decay=0.1)
    batch, loss = collate(list(frames)), PotentialLoss(1.0, 1.0, 0.0)
    for _ in range(3):
        optimizer.zero_grad()
        loss(potential(batch), batch)[0].backward()
        optimizer.step()
    after = values(potential)
    changed = {name for name in after if not torch.equal(after[name], before[name])}
    trained = {name for name, _ in potential.named_parameters()} - held
    assert changed == trained


def test_parts_of_any_model_are_frozen_by_the_beginning_of_their_names():
    potential = MODELS["schnet"]()
    freeze(potential, ["interactions.0.filter", "embedding"])
    frozen = {name for name, p in potential.named_parameters() if not p.requires_grad}
    assert "model.embedding.weight" in frozen
    assert all(n.startswith(("model.embedding", "model.interactions.0.filter")) for n in frozen)
    assert len(frozen) == 5  # a table, and two layers with biases


@pytest.mark.parametrize(
    ("chosen", "kept"),
    [
        (["scalar_coefficients"], ["model.readout.coefficients", "model.readout.units"]),
        (["atomic_energies"], ["atomic_energies.values"]),
    ],
)
def test_the_exact_solve_leaves_what_is_frozen(frames, chosen, kept):
    potential, free = sus2(), sus2()
    freeze(potential, chosen)
    before = values(potential)
    report = initialise(potential, frames)
    initialise(free, frames)
    after = values(potential)
    for name in kept:
        assert torch.equal(after[name], before[name])
    # What is not frozen is solved for: all else would be a solve that has done nothing.
    assert report["linear_readout"]["columns"] == {True: 2, False: 14}["scalar" in chosen[0]]
    batch, weights = collate(list(frames)), LinearWeights()
    counts = count_labels([batch])
    again = solve_linear_readout(potential, [batch], weights, counts=counts)
    best = solve_linear_readout(free, [batch], weights, counts=counts)
    assert report["linear_readout"]["residual"] == pytest.approx(again.residual, rel=1e-6)
    assert best.residual < again.residual


def test_initial_values_are_set_while_thawed(frames):
    potential = sus2()
    freeze(potential, ["scalar_coefficients", "atomic_energies"])
    before = values(potential)
    with thawed(potential):
        initialise(potential, frames)
    after = values(potential)
    for name in ("model.readout.coefficients", "atomic_energies.values"):
        assert not torch.equal(after[name], before[name])
    assert potential.held
    assert not potential.atomic_energies.values.requires_grad


def test_wrong_names_are_told_with_the_right_ones():
    with pytest.raises(ValueError, match=r"no block 'xi'; it has pair_scaling, .*radial\.alpha"):
        freeze(sus2(), ["pair_scaling", "xi"])
    # Not the beginning of a name but of a word.
    with pytest.raises(ValueError, match="no block 'radial.al'"):
        freeze(sus2(), ["radial.al"])
    with pytest.raises(ValueError, match="leaves nothing to train"):
        freeze(sus2(), list(blocks(sus2())))
