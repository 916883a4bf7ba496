"""Fixtures that every part of the suite shares."""

import os
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from ase import Atoms
from ase.build import bulk
from ase.calculators.emt import EMT


@pytest.fixture(scope="session")
def shared() -> Path:
    """Folder of reference models and data sets, which are not part of the repository."""
    folder = os.environ.get("SUS2BENCH_SHARED")
    if not folder:
        pytest.skip("SUS2BENCH_SHARED is unset: no reference models and data sets to test against")
    if not Path(folder).is_dir():
        pytest.fail(f"SUS2BENCH_SHARED={folder} is not a folder")
    return Path(folder)


@pytest.fixture(scope="session")
def small_alloys() -> Callable[[int], list[Atoms]]:
    """Makes so many cells of four atoms, Al and Cu, with energies, forces and stress by EMT."""

    def make(count: int) -> list[Atoms]:
        generator = np.random.default_rng(5)
        frames = []
        for index in range(count):
            atoms = bulk("Cu", cubic=True, a=3.7 + 0.1 * generator.random())
            atoms.symbols[: 1 + index % 3] = "Al"
            atoms.rattle(0.1, seed=index)
            atoms.calc = EMT()
            atoms.get_forces()
            atoms.get_stress()
            frames.append(atoms)
        return frames

    return make
