"""The NEP model: its descriptors, its scaling to data, and how many parameters it has."""

import math

import ase
import numpy as np
import pytest
import torch

from sus2bench.atoms.frame import build_frame, collate, edge_vectors
from sus2bench.benchmark.parameters import count
from sus2bench.models.nep import NEP
from sus2bench.models.nep.descriptor import spherical_harmonics
from sus2bench.models.potential import Potential
from sus2bench.models.scaling import ScalesToData
from sus2bench.testing.structures import random_atoms


def batch(*structures, cutoff=5.0):
    frames = collate([build_frame(atoms, cutoff) for atoms in structures])
    frames.edge_vectors = edge_vectors(frames)
    return frames


def descriptors(model, frames):
    types = model.types(frames.atomic_numbers)
    return model.descriptor(frames.edge_vectors, frames.edge_index, types).detach()


def test_harmonics_obey_the_addition_theorem():
    generator = torch.Generator().manual_seed(0)
    u, v = torch.randn(2, 50, 3, dtype=torch.float64, generator=generator)
    u, v = u / u.norm(dim=-1, keepdim=True), v / v.norm(dim=-1, keepdim=True)
    products = spherical_harmonics(u, 8) * spherical_harmonics(v, 8)
    cosine = (u * v).sum(-1).numpy()
    for rank, part in enumerate(products.split([2 * n + 1 for n in range(1, 9)], dim=-1), 1):
        legendre = np.polynomial.legendre.Legendre.basis(rank)(cosine)
        expected = (2 * rank + 1) / (4 * math.pi) * legendre
        np.testing.assert_allclose(part.sum(-1).numpy(), expected, atol=1e-13)


def test_radial_descriptor_of_a_pair_is_the_formula():
    model = NEP(["Cu", "Au"], 5.0, n_max=(2, 0), basis_size=(3, 0), l_max=(1, 0, 0))
    atoms = ase.Atoms("CuAu", positions=[(0, 0, 0), (0, 0, 2.0)])
    x = 2 * (2.0 / 5.0 - 1) ** 2 - 1
    f = (np.cos(np.arange(4) * np.arccos(x)) + 1) / 2 * (1 + math.cos(math.pi * 2 / 5)) / 2
    c = model.descriptor.radial.coefficients.detach().numpy()
    actual = descriptors(model, batch(atoms))[:, :3].numpy()
    np.testing.assert_allclose(actual, [f @ c[0, 1], f @ c[1, 0]], atol=1e-14)


def test_angular_descriptors_know_angles_and_end_at_their_own_cutoff():
    model = NEP(["Cu"], 5.0, angular_cutoff=3.0, n_max=(0, 0), l_max=(2, 2, 1))

    def angular(*neighbours):
        return descriptors(
            model, batch(ase.Atoms(f"Cu{1 + len(neighbours)}", [(0, 0, 0), *neighbours]))
        )[0, 1:]

    straight, bent = angular((2, 0, 0), (-2, 0, 0)), angular((2, 0, 0), (0, 2, 0))
    assert not torch.allclose(straight, bent)
    assert straight[0] == pytest.approx(0.0, abs=1e-14)  # of l = 1: the vectors cancel
    assert straight[3] == pytest.approx(0.0, abs=1e-14)  # and so of five bodies
    assert torch.equal(angular((2, 0, 0), (0, 3.1, 0)), angular((2, 0, 0)))


def test_descriptor_scaling_is_one_over_the_range_in_the_data():
    model = NEP(["Cu", "Au"], 5.0)
    assert isinstance(model, ScalesToData)
    structures = [random_atoms(["Cu", "Au"], (2, 2, 2), pbc=(True,) * 3, seed=n) for n in range(4)]
    report = model.scale_to_data([batch(*structures[:3]), batch(structures[3])])
    q = descriptors(model, batch(*structures))
    torch.testing.assert_close(model.descriptor_scaler, 1 / (q.amax(0) - q.amin(0)))
    counts = torch.bincount(batch(*structures).edge_index[1])
    assert report["most_radial_neighbours"] == int(counts.max()) == int(model.neighbours[0])
    assert 0 < int(model.neighbours[1]) < int(model.neighbours[0])
    # Once set, it is part of the state, and the energy of an atom alone is a number.
    assert "descriptor_scaler" in model.state_dict()


def test_components_that_do_not_vary_keep_the_factor_one():
    model = NEP(["Cu"], 3.0)
    model.scale_to_data([batch(ase.Atoms("Cu"), ase.Atoms("Cu"), cutoff=3.0)])
    assert torch.equal(model.descriptor_scaler, torch.ones_like(model.descriptor_scaler))
    assert model.neighbours.tolist() == [1, 1]


@pytest.mark.parametrize("species_count", [1, 3, 16])
def test_parameters_are_counted_as_gpumd_documents(species_count):
    symbols = list(range(1, species_count + 1))  # atomic numbers
    model = NEP(symbols, 6.0, angular_cutoff=5.0, l_max=(4, 2, 1), neurons=80)
    inputs = 5 + 5 * 6
    documented = (inputs + 2) * 80 * species_count + 1 + species_count**2 * (5 * 9 + 5 * 9)
    counts = count(Potential(model))
    assert counts["stored"] - species_count == documented
    assert counts["trainable"] == counts["stored"]
    assert documented == sum(parameter.numel() for parameter in model.parameters())


def test_pairs_that_never_meet_do_not_count_as_effective():
    model = NEP(["Cu", "Au", "Al"], 5.0)
    met = {(29, 29), (29, 79), (79, 29)}
    blocks = count(Potential(model), met)["blocks"]
    assert blocks["radial_coefficients"] == {"stored": 405, "trainable": 405, "effective": 135}
    assert blocks["networks"]["effective"] == 2 * (30 + 2) * 30 + 1


def test_angular_cutoff_is_at_most_the_cutoff():
    assert NEP(["Cu"], 6.0).angular_cutoff == 4.0
    assert NEP(["Cu"], 3.5).angular_cutoff == 3.5


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"angular_cutoff": 0.0}, "angular_cutoff must be"),
        ({"n_max": (4,)}, "n_max must be two"),
        ({"basis_size": (4, -1)}, "basis_size must be two"),
        ({"l_max": (4, 1, 0)}, "l_max must be"),
        ({"l_max": (1, 2, 0)}, "must be 2 to 8"),
        ({"l_max": (9, 0, 0)}, "must be 1 to 8"),
        ({"l_max": (4, 0, 1)}, "older GPUMD"),
        ({"neurons": 0}, "neurons must be"),
    ],
)
def test_sizes_out_of_range_are_refused(arguments, message):
    with pytest.raises(ValueError, match=message):
        NEP(["Cu"], 5.0, **arguments)
