"""Statistics against numbers known beforehand; splits by seed; what the census suspects."""

import json
import logging

import numpy as np
import pytest
from ase import Atoms
from ase.build import bulk

from sus2bench.atoms.reading import LabelledAtoms
from sus2bench.data.census import census, format_census
from sus2bench.data.dataset import FrameDataset, build_store
from sus2bench.data.splits import random_subset, split_by_fraction, split_hash
from sus2bench.data.statistics import (
    average_neighbours,
    force_rms,
    least_squares_atomic_energies,
)


def make(frames, name="train"):
    return FrameDataset(build_store(frames, 5.0, name), name, 5.0)


def alloy(rng, symbols, energy=None, scale=1.0):
    atoms = bulk("Cu", cubic=True)
    atoms.set_chemical_symbols(rng.choice(symbols, 4))
    atoms.positions += rng.normal(scale=0.1, size=(4, 3))
    forces = scale * rng.normal(size=(4, 3))
    return LabelledAtoms(atoms, energy, forces)


def test_atomic_energies_are_found_where_compositions_determine_them(caplog):
    rng = np.random.default_rng(0)
    truth = {"Cu": -3.7, "Au": -30000.25, "Ni": -5.5}
    frames = [alloy(rng, list(truth)) for _ in range(30)]
    for frame in frames[:-1]:
        frame.energy = sum(truth[symbol] for symbol in frame.atoms.symbols)
    energies, report = least_squares_atomic_energies(make(frames), ["Ni", "Cu", "Au"])
    # Energies of 3e4 eV in float64, solved directly.
    assert energies == pytest.approx(truth, rel=1e-10)
    assert report["frames"] == 29
    assert not report["rank_deficient"]
    assert report["undetermined"] == report["absent"] == []
    assert report["rmse_meV_per_atom"] < 1e-5
    assert not caplog.text


def test_fixed_compositions_give_the_least_norm_and_a_warning(caplog):
    water = Atoms("H2O", [[0.8, 0.6, 0], [-0.8, 0.6, 0], [0, 0, 0]])
    frames = [LabelledAtoms(water, -470.0 + shift) for shift in (-0.1, 0.1)]
    energies, report = least_squares_atomic_energies(make(frames), ["H", "O", "Xe"])
    # Least norm along (2, 1, 0): 2 H + O = -470.
    assert energies == pytest.approx({"H": -188.0, "O": -94.0, "Xe": 0.0}, abs=1e-9)
    assert report["rank"] == 1
    assert report["rank_deficient"]
    assert report["undetermined"] == ["H", "O", "Xe"]
    assert report["absent"] == ["Xe"]
    assert report["rmse_meV_per_atom"] == pytest.approx(100 / 3)
    assert "fix only 1 of 3 atomic energies" in caplog.text
    assert json.loads(json.dumps(report)) == report
    with pytest.raises(ValueError, match=r"\['O'\] that are not in"):
        least_squares_atomic_energies(make(frames), ["H"])
    with pytest.raises(ValueError, match="no frame has an energy"):
        least_squares_atomic_energies(make([LabelledAtoms(water)]), ["H", "O"])


def test_force_rms_and_neighbours_count_what_is_labelled():
    rng = np.random.default_rng(1)
    frames = [alloy(rng, ["Cu"]) for _ in range(3)]
    frames[1].forces = None
    frames[2].forces[0, 0] = np.nan
    dataset = make(frames)
    known = np.concatenate([frames[0].forces.ravel(), frames[2].forces.ravel()[1:]])
    assert force_rms(dataset) == pytest.approx(np.sqrt(np.mean(known**2)), rel=1e-14)
    assert force_rms(make([LabelledAtoms(Atoms("H"))])) == 0
    assert average_neighbours(make([LabelledAtoms(bulk("Cu", a=3.6))])) == 42
    assert average_neighbours(make([LabelledAtoms(Atoms("H"))])) == 0


def test_splits_depend_on_the_seed_alone_and_cover_everything():
    valid, test, rest = split_by_fraction(100, [0.1, 0.25], seed=3)
    assert [len(valid), len(test), len(rest)] == [10, 25, 65]
    assert sorted([*valid, *test, *rest]) == list(range(100))
    assert all(
        np.array_equal(a, b)
        for a, b in zip(split_by_fraction(100, [0.1, 0.25], 3), [valid, test, rest], strict=True)
    )
    assert not np.array_equal(split_by_fraction(100, [0.1, 0.25], 4)[0], valid)
    assert len(split_by_fraction(5, [0.01, 0], 0)[0]) == 1
    assert set(random_subset(50, 0.2, 1)) < set(random_subset(50, 0.5, 1))
    assert random_subset(50, 1.0, 1).tolist() == list(range(50))
    with pytest.raises(ValueError, match="leave none for the rest"):
        split_by_fraction(10, [0.5, 0.5], 0)
    with pytest.raises(ValueError, match="below 1"):
        split_by_fraction(10, [1.0], 0)
    with pytest.raises(ValueError, match=r"in \(0, 1\]"):
        random_subset(10, 0.0, 0)


def test_the_hash_of_a_split_knows_frames_and_parts_but_not_their_order():
    rng = np.random.default_rng(4)
    frames = [alloy(rng, ["Cu", "Ni"], energy=1.0) for _ in range(6)]
    data = make(frames)
    parts = {"train": data.subset([0, 1, 2, 3], "train"), "test": data.subset([4, 5], "test")}
    reference = split_hash(parts)
    turned = {"test": data.subset([5, 4], "a"), "train": data.subset([3, 1, 0, 2], "b")}
    assert split_hash(turned) == reference
    assert split_hash({**parts, "test": data.subset([4], "test")}) != reference
    assert split_hash({"train": parts["test"], "test": parts["train"]}) != reference
    other = FrameDataset(build_store(frames, 4.0, "x"), "x", 4.0)
    assert split_hash({key: other.subset(part.indices.numpy(), "") for key, part in parts.items()}
                      ) == reference  # fmt: skip
    frames[5].energy += 1e-12
    assert split_hash({**parts, "test": make(frames).subset([4, 5], "test")}) != reference


def test_the_census_counts_and_suspects(caplog):
    rng = np.random.default_rng(6)
    frames = [alloy(rng, ["Cu", "Ni"], energy=-14.0 + 0.01 * rng.normal()) for _ in range(40)]
    frames[7].energy = None
    frames[9].energy = 500.0
    frames[11].forces = frames[11].forces * 1e4
    frames[12].forces = frames[12].forces * 0  # as in a perfect crystal: no outlier
    frames[13].atoms.positions[0] = frames[13].atoms.positions[1] + [0.3, 0, 0]
    rotated = frames[3].atoms.copy()
    rotated.rotate(33, (1, 2, 3), rotate_cell=True)
    rotated.wrap()
    foreign = alloy(rng, ["Au"], energy=-12.0)
    test = make([LabelledAtoms(rotated, -14.0), foreign], "test")
    with caplog.at_level(logging.WARNING):
        result = census({"train": make([*frames, frames[2]]), "test": test})
    assert json.loads(json.dumps(result)) == result
    train = result["parts"]["train"]
    assert train["frames"] == 41
    assert train["labels"] == {"energy": 40, "forces": 41, "stress": 0}
    assert train["copies"] == 1
    assert train["elements"]["Cu"]["atoms"] + train["elements"]["Ni"]["atoms"] == 164
    assert train["shortest_distance"]["minimum"] == pytest.approx(0.3)
    assert train["stress"] == {"minimum": None, "median": None, "maximum": None}
    assert result["copies_of_training_frames"] == {"test": [0]}
    for text in (
        "train: 1 frames are copies of earlier ones: 40",
        "energies per atom, beyond composition, of 1 frames are outliers: 9",
        "largest forces of 1 frames are outliers: 11",
        "train: 1 frames have atoms nearer than 0.4",
        "test: 1 of 2 frames are copies of training frames: 0",
        "test: elements that are not in the training data: ['Au']",
    ):
        assert text in caplog.text
    assert "41 frames of 4 to 4 atoms, 2 elements" in format_census(result)
