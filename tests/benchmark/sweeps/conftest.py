"""A tiny data set of alloys, and what a sweep over it has in common."""

import numpy as np
import pytest
from ase.build import bulk
from ase.calculators.emt import EMT
from ase.io import write

COMMON = (
    "data=extxyz",
    "data.train_file=alloys.extxyz",
    "data.test_fraction=0.25",
    "data.valid_fraction=0.25",
    "data.batch_size=4",
    "paths.cache=cache",
    "model=schnet_small",
    "model.features=8",
    "model.interactions=1",
    "model.cutoff=4.0",
    "trainer=cpu",
    "threads=1",
    "speed=false",
    "budget.max_time=null",
)


@pytest.fixture
def folder(tmp_path, monkeypatch):
    """A working folder with sixteen small Al-Cu cells labelled by EMT."""
    monkeypatch.chdir(tmp_path)
    generator = np.random.default_rng(5)
    frames = []
    for index in range(16):
        atoms = bulk("Cu", cubic=True, a=3.7 + 0.1 * generator.random())
        atoms.symbols[: 1 + index % 3] = "Al"
        atoms.rattle(0.1, seed=index)
        atoms.calc = EMT()
        atoms.get_forces()
        atoms.get_stress()
        frames.append(atoms)
    write(tmp_path / "alloys.extxyz", frames)
    return tmp_path


@pytest.fixture
def common():
    """Overrides of every job."""
    return list(COMMON)
