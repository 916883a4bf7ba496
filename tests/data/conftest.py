"""Small labelled data sets."""

import os
from pathlib import Path

import numpy as np
import pytest
from ase import Atoms
from ase.build import bulk, molecule

from sus2bench.atoms.reading import LabelledAtoms
from sus2bench.atoms.writing import write_extxyz


def labelled_frames(count, seed=0):
    """Crystals and molecules with random labels; every third has no stress."""
    rng = np.random.default_rng(seed)
    frames = []
    for index in range(count):
        atoms = bulk("NaCl", "rocksalt", a=5.6, cubic=index % 2 == 0) if index % 4 else (
            molecule("H2O")
        )  # fmt: skip
        atoms.rattle(0.1, rng=rng)
        atoms = Atoms(atoms.numbers, atoms.positions, cell=atoms.cell, pbc=atoms.pbc)
        frames.append(
            LabelledAtoms(
                atoms,
                energy=float(rng.normal() - 3 * len(atoms)),
                forces=rng.normal(size=(len(atoms), 3)),
                stress=np.eye(3) * rng.normal() if index % 3 and atoms.pbc.all() else None,
            )
        )
    return frames


@pytest.fixture
def data_file(tmp_path):
    path = tmp_path / "files" / "data.extxyz"
    write_extxyz(path, labelled_frames(24))
    return path


@pytest.fixture(scope="session")
def shared():
    folder = os.environ.get("SUS2BENCH_SHARED")
    if not folder:
        pytest.skip("SUS2BENCH_SHARED is not set: the real data sets are not here")
    return Path(folder)


@pytest.fixture(scope="session")
def session_cache(tmp_path_factory):
    return tmp_path_factory.mktemp("cache")
