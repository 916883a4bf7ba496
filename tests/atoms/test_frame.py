"""Frames hold the agreed fields and batch like PyG's own."""

import numpy as np
import pytest
import torch
from ase import Atoms
from ase.build import bulk, fcc111, molecule
from torch_geometric.data import Batch

from sus2bench.atoms.frame import build_frame, collate, edge_vectors, frame_to_atoms


@pytest.fixture
def frames():
    slab = fcc111("Cu", (1, 2, 3), vacuum=8.0)
    slab.rattle(0.1, seed=3)
    crystal = bulk("NaCl", "rocksalt", a=5.6)
    forces = np.random.default_rng(0).normal(size=(6, 3))
    return [
        build_frame(slab, 5.0, energy=-3.5, forces=forces, frame_index=4),
        build_frame(molecule("CH4"), 5.0, energy=1.0, frame_index=1),
        build_frame(crystal, 5.0, stress=np.arange(6.0), frame_index=7),
        build_frame(Atoms("He"), 5.0, frame_index=0),
    ]


def test_fields_have_the_agreed_shapes_and_types(frames):
    frame = frames[0]
    edges = frame.edge_index.shape[1]
    expected = {
        "pos": ((6, 3), torch.float64),
        "atomic_numbers": ((6,), torch.int64),
        "cell": ((1, 3, 3), torch.float64),
        "pbc": ((1, 3), torch.bool),
        "edge_index": ((2, edges), torch.int64),
        "shift": ((edges, 3), torch.int32),
        "energy": ((1,), torch.float64),
        "forces": ((6, 3), torch.float64),
        "stress": ((1, 3, 3), torch.float64),
        "frame_index": ((1,), torch.int64),
    }
    assert {key: (tuple(frame[key].shape), frame[key].dtype) for key, _ in frame} == expected
    assert frame.stress.isnan().all()
    assert (frame.edge_index[1].diff() >= 0).all()


def test_edge_vectors_are_shorter_than_the_cutoff_and_antisymmetric(frames):
    for frame in frames:
        vectors = edge_vectors(frame)
        assert vectors.shape == (frame.edge_index.shape[1], 3)
        assert (vectors.norm(dim=1) < 5.0).all()
        # Every pair is there in both directions. Sums of hundreds of Å in float64.
        torch.testing.assert_close(
            vectors.sum(0), torch.zeros(3, dtype=torch.float64), atol=1e-10, rtol=0
        )


def test_batch_has_the_fields_of_pyg_and_gives_the_frames_back(frames):
    ours, theirs = collate(frames), Batch.from_data_list(frames)
    assert type(ours) is type(theirs)
    assert sorted(ours.keys()) == sorted(theirs.keys())
    assert ours.num_graphs == 4
    for key, _ in theirs:
        assert ours[key].dtype == theirs[key].dtype
        assert torch.equal(ours[key].nan_to_num(nan=9e9), theirs[key].nan_to_num(nan=9e9)), key
    for frame, back in zip(frames, ours.to_data_list(), strict=True):
        for key, _ in frame:
            assert torch.equal(frame[key].nan_to_num(nan=9e9), back[key].nan_to_num(nan=9e9)), key


def test_edge_vectors_of_a_batch_have_the_bits_of_the_single_frames(frames):
    assert torch.equal(edge_vectors(collate(frames)), torch.cat([edge_vectors(f) for f in frames]))


def test_atoms_come_back_with_the_labels(frames):
    atoms = frame_to_atoms(frames[0])
    assert atoms.get_potential_energy() == -3.5
    assert np.array_equal(atoms.get_forces(), frames[0].forces.numpy())
    assert "stress" not in atoms.calc.results
    assert np.array_equal(frame_to_atoms(frames[2]).get_stress(), np.arange(6.0))
    assert frame_to_atoms(frames[3]).calc is None
    with pytest.raises(ValueError, match="batch of 4 frames"):
        frame_to_atoms(collate(frames))


def test_wrong_shapes_are_refused():
    with pytest.raises(ValueError, match="forces of 1 atoms"):
        build_frame(Atoms("H"), 5.0, forces=np.zeros((2, 3)))
    with pytest.raises(ValueError, match="6 numbers"):
        build_frame(Atoms("H"), 5.0, stress=np.zeros(5))
    with pytest.raises(ValueError, match="at least one frame"):
        collate([])
