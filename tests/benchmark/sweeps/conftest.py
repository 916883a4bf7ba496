"""A tiny data set of alloys, and what a sweep over it has in common."""

import pytest
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
def folder(tmp_path, monkeypatch, small_alloys):
    """A working folder with sixteen small Al-Cu cells labelled by EMT."""
    monkeypatch.chdir(tmp_path)
    write(tmp_path / "alloys.extxyz", small_alloys(16))
    return tmp_path


@pytest.fixture
def common():
    """Overrides of every job."""
    return list(COMMON)
