"""Atomic energies of added elements: least squares over the frames that have them."""

import numpy as np
import pytest
import torch
from ase.build import bulk

from sus2bench.atoms.reading import LabelledAtoms
from sus2bench.data.dataset import FrameDataset, build_store
from sus2bench.models.potential import Potential
from sus2bench.models.species import extend
from sus2bench.models.sus2 import SUS2
from sus2bench.testing.potentials import energies, perturb
from sus2bench.training.added_species import fit_added_energies

CUTOFF = 4.0
TRUE = {"Al": -2.5, "Zn": -0.75}


def cells():
    """Copper, brass and Al-Zn-Cu; the last has no energy."""
    found = []
    for index in range(9):
        atoms = bulk("Cu", cubic=True)
        atoms.symbols[: index % 3] = "Zn"
        atoms.symbols[3:] = "Al" if index % 2 else "Cu"
        atoms.rattle(0.1, seed=index)
        found.append(atoms)
    return found


@pytest.fixture
def potential():
    known = perturb(Potential(SUS2(["Cu", "Ni"], CUTOFF, channels=1, radial_basis_size=4)))
    return extend(known.double(), {"Al": "Ni", "Zn": "Cu"}).train()


def data(atoms, values):
    labelled = [
        LabelledAtoms(one, energy=value, forces=None, stress=None)
        for one, value in zip(atoms, values, strict=True)
    ]
    return FrameDataset(build_store(labelled, CUTOFF, "made up"), "made up", CUTOFF)


def test_energies_that_made_the_labels_are_found_and_all_else_stays(potential):
    atoms = cells()
    potential.atomic_energies.set_values(TRUE)
    with torch.no_grad():
        labels = energies(potential, atoms).tolist()
    expected = {name: tensor.clone() for name, tensor in potential.state_dict().items()}
    # Frames without a new element are not looked at: their labels may be off as they like.
    labels[0] += 100.0
    potential.atomic_energies.set_values({"Al": 7.0, "Zn": 8.0})
    fitted = fit_added_energies(potential, data(atoms, [*labels[:-1], None]), ["Al", "Zn"])
    assert fitted == pytest.approx(TRUE, abs=1e-9)
    for name, tensor in potential.state_dict().items():
        torch.testing.assert_close(tensor, expected[name], rtol=0, atol=1e-9)
        if name != "atomic_energies.values":
            assert torch.equal(tensor, expected[name])
    assert potential.training


def test_fit_is_that_of_least_squares_of_energies_per_atom(potential):
    atoms = cells()
    labels = np.random.default_rng(0).normal(size=len(atoms)) - 14
    fit_added_energies(potential, data(atoms, labels), ["Al", "Zn"])
    with torch.no_grad():
        errors = (energies(potential, atoms).numpy() - labels) / 4
    counts = np.array([[one.symbols.count(s) for s in ("Al", "Zn")] for one in atoms])
    new = counts.any(axis=1)
    assert 0 < new.sum() < len(new)
    # Residuals are orthogonal to the fractions of the new elements.
    assert counts[new].T @ errors[new] == pytest.approx([0, 0], abs=1e-9)


def test_an_element_without_energies_is_named(potential):
    atoms = [one for one in cells() if "Zn" not in one.symbols]
    with pytest.raises(ValueError, match="no frame with an energy and Zn"):
        fit_added_energies(potential, data(atoms, [-14.0] * len(atoms)), ["Al", "Zn"])
