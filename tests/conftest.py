"""Fixtures that every part of the suite shares."""

import os
from pathlib import Path

import pytest


@pytest.fixture(scope="session")
def shared() -> Path:
    """Folder of reference models and data sets, which are not part of the repository."""
    folder = os.environ.get("SUS2BENCH_SHARED")
    if not folder:
        pytest.skip("SUS2BENCH_SHARED is unset: no reference models and data sets to test against")
    if not Path(folder).is_dir():
        pytest.fail(f"SUS2BENCH_SHARED={folder} is not a folder")
    return Path(folder)
