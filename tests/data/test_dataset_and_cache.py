"""Data sets give the frames of their files, and the cache gives them again or makes them anew."""

import logging

import numpy as np
import pytest
import torch
from ase import Atoms
from torch_geometric.data import Batch

from sus2bench.atoms.frame import build_frame
from sus2bench.atoms.reading import LabelKeys, LabelledAtoms, Units, read_labelled
from sus2bench.atoms.writing import write_extxyz
from sus2bench.data.cache import load_dataset
from sus2bench.data.dataset import FrameDataset, build_store
from sus2bench.data.graphs import Structure, build_graph, build_graphs
from sus2bench.data.loader import FrameLoader
from sus2bench.data.samplers import FrameBatchSampler


def same(one, other):
    return torch.equal(one.nan_to_num(nan=9e9), other.nan_to_num(nan=9e9))


@pytest.fixture
def dataset(data_file, tmp_path):
    return load_dataset(data_file, 5.0, cache_dir=tmp_path / "cache")


def test_frames_are_those_of_build_frame(dataset, data_file):
    assert len(dataset) == 24
    for index, read in enumerate(read_labelled(data_file)):
        expected = build_frame(
            read.atoms, 5.0, energy=read.energy, forces=read.forces, stress=read.stress,
            frame_index=index,
        )  # fmt: skip
        frame = dataset[index]
        assert sorted(frame.keys()) == sorted(expected.keys())
        for key, value in expected:
            assert frame[key].dtype == value.dtype
            assert same(frame[key], value), key
    assert dataset.num_atoms.tolist() == [len(frame.pos) for frame in dataset]
    assert dataset.num_edges.tolist() == [frame.edge_index.shape[1] for frame in dataset]
    assert same(dataset[-1].pos, dataset[23].pos)
    with pytest.raises(IndexError, match="24 frames, there is no frame 24"):
        dataset[24]


def test_subsets_number_their_own_frames_and_join_their_values(dataset):
    subset = dataset.subset([5, 0, 17], "some").subset([2, 0], "fewer")
    assert [int(frame.frame_index) for frame in subset] == [0, 1]
    for frame, index in zip(subset, [17, 5], strict=True):
        assert same(frame.forces, dataset[index].forces)
        assert same(frame.stress, dataset[index].stress)
    for field in ("pos", "forces", "energy", "stress", "cell"):
        assert same(subset.values(field), torch.cat([frame[field] for frame in subset])), field
    assert subset.digests() == [dataset.digests()[17], dataset.digests()[5]]
    assert subset.composition().sum(axis=1).tolist() == subset.num_atoms.tolist()
    with pytest.raises(KeyError, match="no field 'velocities'"):
        subset.values("velocities")


@pytest.mark.parametrize("workers", [0, 1])
def test_the_loader_gives_the_batches_that_single_frames_make(dataset, workers):
    subset = dataset.subset([5, 0, 17, 3, 20, 11, 8], "some")
    sampler = FrameBatchSampler(subset.num_atoms, subset.num_edges, batch_size=3)
    loader = FrameLoader(subset, sampler, workers)
    batches, order = list(loader), sampler.global_batches(0)
    assert len(batches) == len(order) == len(loader) == 3
    for actual, indices in zip(batches, order, strict=True):
        expected = Batch.from_data_list([subset[index] for index in indices])
        assert type(actual) is type(expected)
        assert sorted(actual.keys()) == sorted(expected.keys())
        for key, value in expected:
            assert actual[key].dtype == value.dtype
            assert same(actual[key], value), key
        for index, frame in zip(indices, actual.to_data_list(), strict=True):
            assert all(same(frame[key], value) for key, value in subset[index])


def test_there_is_no_frame_beyond_the_last(dataset):
    assert dataset[-1].frame_index == len(dataset) - 1
    assert dataset.batch([-1, 0]).frame_index.tolist() == [len(dataset) - 1, 0]
    for index in (len(dataset), -len(dataset) - 1):
        with pytest.raises(IndexError, match=f"no frame {index}"):
            dataset[index]
        with pytest.raises(IndexError, match=f"no frame {index}"):
            dataset.batch([0, index])


def test_the_second_time_nothing_is_read(data_file, tmp_path, caplog):
    with caplog.at_level(logging.INFO):
        first = load_dataset(data_file, 5.0, cache_dir=tmp_path / "cache")
        assert "24 frames" in caplog.text
        caplog.clear()
        second = load_dataset(data_file, 5.0, cache_dir=tmp_path / "cache")
        assert not caplog.text
    assert all(same(first.store[key], second.store[key]) for key in first.store)


def test_the_key_covers_all_that_makes_the_graphs(data_file, tmp_path):
    cache = tmp_path / "cache"
    variants = [
        {"cutoff": 5.0}, {"cutoff": 4.0}, {"cutoff": 5.0, "keys": LabelKeys(stress=None)},
        {"cutoff": 5.0, "units": Units(energy="Hartree")}, {"cutoff": 5.0, "species_map": ["C"]},
    ]  # fmt: skip
    for count, variant in enumerate(variants, 1):
        load_dataset(data_file, cache_dir=cache, **variant)
        assert len(list((cache / "graphs").iterdir())) == count
    data_file.write_text(data_file.read_text().replace("energy=-", "energy=-1"))
    changed = load_dataset(data_file, 5.0, cache_dir=cache)
    assert len(list((cache / "graphs").iterdir())) == len(variants) + 1
    assert changed.num_edges.sum() > 0


@pytest.mark.parametrize("damage", ["truncated", "garbage", "other content", "flipped bytes"])
def test_a_damaged_entry_is_made_anew(data_file, tmp_path, caplog, damage):
    cache = tmp_path / "cache"
    expected = load_dataset(data_file, 5.0, cache_dir=cache)
    (entry,) = (cache / "graphs").iterdir()
    content = entry.read_bytes()
    if damage == "other content":
        torch.save({"store": {"pos": torch.zeros(1)}}, entry)
    else:
        middle = len(content) // 2
        flipped = content[:middle] + bytes(255 - b for b in content[middle : middle + 64])
        entry.write_bytes(
            {"truncated": content[:-100], "garbage": b"no archive",
             "flipped bytes": flipped + content[middle + 64 :]}[damage]
        )  # fmt: skip
    again = load_dataset(data_file, 5.0, cache_dir=cache)
    assert "made anew" in caplog.text
    assert all(same(expected.store[key], again.store[key]) for key in expected.store)
    caplog.clear()
    load_dataset(data_file, 5.0, cache_dir=cache)
    assert not caplog.text
    assert len(list((cache / "graphs").iterdir())) == 1


def test_bad_structures_are_named(tmp_path):
    good = LabelledAtoms(Atoms("H2", [[0, 0, 0], [0, 0, 0.7]]))
    twice = LabelledAtoms(Atoms("H2", [[0, 0, 0], [0, 0, 0]]))
    with pytest.raises(ValueError, match="file.xyz, frame 1: two atoms are 0 Å apart"):
        build_store([good, twice], 5.0, "file.xyz")
    flat = LabelledAtoms(Atoms("H", cell=[3, 3, 0], pbc=True))
    with pytest.raises(ValueError, match=r"file.xyz, frame 2: the cell .* is flat"):
        build_store([good, good, flat], 5.0, "file.xyz")
    with pytest.raises(FileNotFoundError, match=r"there is no file .*nothing"):
        load_dataset(tmp_path / "nothing.xyz", 5.0)


def test_atoms_far_outside_the_cell_keep_their_shifts(tmp_path):
    atoms = Atoms("Cu2", [[0, 0, 0], [1000.3, 1.8, 0]], cell=[3.6, 3.6, 3.6], pbc=True)
    frame = LabelledAtoms(atoms)
    dataset = FrameDataset(build_store([frame], 4.0, "far"), "far", 4.0)
    assert same(dataset[0].shift, build_frame(atoms, 4.0).shift)
    assert dataset[0].shift.abs().max() > 127


@pytest.mark.slow
def test_graphs_by_several_processes_are_those_of_one(data_file):
    frames = read_labelled(data_file)
    structures = [
        Structure(f.atoms.numbers, f.atoms.positions, f.atoms.cell.array, f.atoms.pbc)
        for f in frames
    ]
    for one, other in zip(
        build_graphs(structures, 5.0, 1), build_graphs(structures, 5.0, 2), strict=True
    ):
        assert np.array_equal(one.edge_index, other.edge_index)
        assert np.array_equal(one.shift, other.shift)
        assert np.array_equal(one.fingerprint, other.fingerprint)


def test_fingerprints_see_structures_and_not_how_they_lie():
    rng = np.random.default_rng(2)
    numbers = np.array([8, 1, 1, 6])
    positions = rng.uniform(0, 4, (4, 3))
    cell = np.diag([5.0, 6.0, 7.0]) + rng.normal(scale=0.3, size=(3, 3))
    pbc = np.array([True] * 3)

    def fingerprint(numbers, positions, cell):
        return build_graph(Structure(numbers, positions, cell, pbc), 5.0).fingerprint

    reference = fingerprint(numbers, positions, cell)
    rotation = np.linalg.qr(rng.normal(size=(3, 3)))[0]
    order = [2, 0, 3, 1]
    moved = fingerprint(numbers[order], (positions[order] + 1.7) @ rotation, cell @ rotation)
    assert np.allclose(moved, reference, rtol=1e-12, atol=0)
    exchanged = fingerprint(numbers[order], positions, cell)
    assert not np.allclose(exchanged, reference, rtol=1e-3)
    assert np.abs(fingerprint(numbers, positions * 1.001, cell) - reference).max() > 1e-4


def test_written_files_come_back_bit_for_bit(data_file, tmp_path):
    frames = read_labelled(data_file)
    write_extxyz(tmp_path / "copy.extxyz", frames)
    assert (tmp_path / "copy.extxyz").read_bytes() == data_file.read_bytes()
