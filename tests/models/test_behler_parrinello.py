"""Symmetry functions equal their formulas, and are scaled on the training data."""

import math

import ase
import numpy as np
import pytest
import torch

from sus2bench.atoms.frame import build_frame, collate, edge_vectors
from sus2bench.models.behler_parrinello import BehlerParrinello
from sus2bench.testing.structures import random_atoms

SIZES = {"radial": 3, "etas": (0.02, 0.3), "zetas": (1, 3), "hidden": (4,)}


def frame_of(*structures, cutoff):
    batch = collate([build_frame(atoms, cutoff) for atoms in structures])
    batch.edge_vectors = edge_vectors(batch)
    return batch


def fade(r, cutoff):
    return 0.5 * (math.cos(math.pi * r / cutoff) + 1) if r < cutoff else 0.0


def test_symmetry_functions_equal_the_formulas_summed_atom_by_atom():
    cutoff = 4.0
    atoms = random_atoms(("Cu", "Au"), (2, 2, 2), seed=1)
    model = BehlerParrinello(["Cu", "Au"], cutoff, **SIZES)
    types = [["Cu", "Au"].index(symbol) for symbol in atoms.symbols]
    distance = atoms.get_all_distances()
    g2 = np.zeros((8, 2, 3))
    g4 = np.zeros((8, 3, 2, 2, 2))  # pair of elements, eta, zeta, lambda = 1 and -1
    for i in range(8):
        others = [j for j in range(8) if j != i]
        for j in others:
            r = distance[i, j]
            g2[i, types[j]] += np.exp(-0.5 * (r - np.array([0, 2, 4])) ** 2 / 2**2) * fade(
                r, cutoff
            )
        for j, k in ((j, k) for j in others for k in others if j < k):
            cosine = np.cos(np.radians(atoms.get_angle(j, i, k)))
            sides = [distance[i, j], distance[i, k], distance[j, k]]
            pair = {(0, 0): 0, (0, 1): 1, (1, 1): 2}[tuple(sorted((types[j], types[k])))]
            for e, eta in enumerate(SIZES["etas"]):
                factor = math.exp(-eta * sum(r * r for r in sides))
                factor *= math.prod(fade(r, cutoff) for r in sides)
                for z, zeta in enumerate(SIZES["zetas"]):
                    for s, sign in enumerate((1, -1)):
                        g4[i, pair, e, z, s] += (
                            2 ** (1 - zeta) * (1 + sign * cosine) ** zeta * factor
                        )
    actual = model.symmetry_functions(frame_of(atoms, cutoff=cutoff + 1.0))
    expected = np.concatenate([g2.reshape(8, -1), g4.reshape(8, -1)], axis=1)
    # Angles come back from the arc cosine, which loses a few digits near 0 and 180 degrees.
    np.testing.assert_allclose(actual, expected, atol=1e-10)


def test_each_function_of_each_element_is_mapped_to_minus_one_to_one():
    model = BehlerParrinello(["Cu", "Au", "Al"], 4.0, **SIZES)
    frames = [random_atoms(("Cu", "Au"), (3, 2, 2), seed=seed) for seed in range(4)]
    batches = [frame_of(*part, cutoff=4.0) for part in (frames[:2], frames[2:])]
    report = model.scale_to_data(batches)
    batch = frame_of(*frames, cutoff=4.0)
    types = model.types(batch.atomic_numbers)
    scaled = (model.symmetry_functions(batch) - model.centre[types]) / model.half_range[types]
    for element in (0, 1):
        varies = model.half_range[element] != 1
        assert varies.any()
        own = scaled[types == element]
        torch.testing.assert_close(own.amax(0)[varies], torch.ones_like(own[0][varies]))
        torch.testing.assert_close(own.amin(0)[varies], -torch.ones_like(own[0][varies]))
        assert own.abs().max() <= 1 + 1e-12
    # Aluminium is in no frame: what belongs to it keeps origin and unit.
    assert not model.centre[2].any()
    assert (model.half_range[2] == 1).all()
    assert report["of_which_vary"] < report["symmetry_functions"] == model.centre.numel()


def test_one_atom_and_a_frame_without_edges_have_energies():
    model = BehlerParrinello(["Cu", "Au"], 4.0, **SIZES)
    atoms = ase.Atoms("CuAu", positions=[(0, 0, 0), (9, 0, 0)])
    together = model(frame_of(atoms, cutoff=4.0))
    alone = [model(frame_of(ase.Atoms(symbol), cutoff=4.0)) for symbol in ("Cu", "Au")]
    torch.testing.assert_close(together, torch.cat(alone))


@pytest.mark.parametrize(
    ("sizes", "message"),
    [
        ({"etas": ()}, "etas is empty"),
        ({"zetas": (1, 0)}, "zetas must be whole numbers"),
        ({"zetas": (1.5,)}, "zetas must be whole numbers"),
        ({"hidden": ()}, "hidden must be whole numbers"),
        ({"radial": 1}, "at least 2 functions"),
    ],
)
def test_sizes_that_make_no_sense_are_refused(sizes, message):
    with pytest.raises(ValueError, match=message):
        BehlerParrinello(["Cu"], **sizes)
