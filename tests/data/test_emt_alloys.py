"""The generated data set is the same in every run, labelled by EMT, and of the kinds it says."""

import hashlib

import numpy as np
import pytest
from ase.calculators.emt import EMT

from sus2bench.atoms.reading import LabelKeys, read_labelled
from sus2bench.data.emt_alloys import (
    COUNTS,
    ELEMENTS,
    HELD_OUT,
    PARTS,
    EMTAlloys,
    _draw_elements,
    _generator,
)

# Of the files' bytes; `valid` has every kind of frame, dynamics included.
SHA256 = {
    "valid": "e3c4bef50124a0da",
    "ood_eos": "f1cde6138afe81dd",
    "ood_composition": "dbdccefa11ca72bd",
}


@pytest.fixture(scope="module")
def files(tmp_path_factory):
    cache = tmp_path_factory.mktemp("cache")
    return {part: EMTAlloys().locate(f"{part}.extxyz", cache) for part in SHA256}


@pytest.fixture(scope="module")
def frames(files):
    return {part: read_labelled(path) for part, path in files.items()}


def test_content_is_the_same_in_every_run(files):
    found = {part: hashlib.sha256(path.read_bytes()).hexdigest()[:16]
             for part, path in files.items()}  # fmt: skip
    assert found == SHA256


def test_nothing_is_generated_twice(files, monkeypatch):
    monkeypatch.setattr("sus2bench.data.emt_alloys.generate", None)
    for part, path in files.items():
        assert EMTAlloys().locate(f"{part}.extxyz", path.parents[2]) == path
    with pytest.raises(ValueError, match=r"no file 'more.extxyz'; it has train.extxyz, valid"):
        EMTAlloys().locate("more.extxyz", files["valid"].parents[2])


def test_labels_are_those_of_emt_for_the_stored_atoms(frames):
    for frame in [*frames["valid"][::9], frames["ood_eos"][0], frames["ood_composition"][2]]:
        atoms = frame.atoms.copy()
        atoms.calc = EMT()
        # Labels are rounded to 1e-10.
        assert frame.energy == pytest.approx(atoms.get_potential_energy(), abs=1e-9)
        assert np.allclose(frame.forces, atoms.get_forces(), rtol=0, atol=1e-9)
        assert (frame.stress is not None) == atoms.pbc.all()
        if frame.stress is not None:
            assert np.allclose(frame.stress, atoms.get_stress(voigt=False), rtol=0, atol=1e-9)


def test_kinds_sizes_and_elements_are_as_described(frames):
    assert {part: sum(counts) for part, counts in COUNTS.items()} == {
        "train": 600, "valid": 100, "test": 200,
    }  # fmt: skip
    valid = frames["valid"]
    assert len(valid) == 100
    assert max(len(frame.atoms) for frame in valid) <= 32
    assert sum(frame.stress is None for frame in valid) == COUNTS["valid"][2]
    assert {len(set(frame.atoms.symbols)) for frame in valid} == {1, 2, 3, 4, 5}
    assert {symbol for frame in valid for symbol in frame.atoms.symbols} == set(ELEMENTS)
    volumes = [frame.atoms.cell.volume for frame in frames["ood_eos"][:13]]
    assert volumes[-1] / volumes[0] == pytest.approx(4.0, rel=1e-5)
    energies = [frame.energy for frame in frames["ood_eos"][:13]]
    assert np.argmin(energies) == 4
    orders = {len(set(frame.atoms.symbols)) for frame in frames["ood_composition"]}
    assert orders == {2, 6, 7}


def test_held_out_pairs_are_no_binary_alloy_in_the_domain():
    for part in COUNTS:
        for index in range(400):
            drawn = _draw_elements(_generator(part, "strained", index), index)
            assert tuple(drawn) not in HELD_OUT
            assert drawn == sorted(drawn, key=ELEMENTS.index)
    assert all(list(pair) == sorted(pair, key=ELEMENTS.index) for pair in HELD_OUT)
    assert len(PARTS) == 5


def test_every_digit_survives_the_file(files, tmp_path):
    once = read_labelled(files["ood_eos"], LabelKeys())
    assert all(round(x, 6) == x for frame in once for x in frame.atoms.positions.ravel())
