"""Makes the helpers beside it importable, and a working folder."""

import sys
from pathlib import Path

import matplotlib
import pytest
from ase.io import write

sys.path.insert(0, str(Path(__file__).parent))


@pytest.fixture(scope="module")
def folder(tmp_path_factory, small_alloys):
    """A working folder with 24 small Al-Cu cells, which is the home folder, too."""
    path = tmp_path_factory.mktemp("runs")
    write(path / "alloys.extxyz", small_alloys(24))
    matplotlib.get_cachedir()  # is kept: a list of fonts takes long to make
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(path)
        patch.setenv("HOME", str(path / "home"))
        for name in ("WANDB_CACHE_DIR", "WANDB_DATA_DIR", "WANDB_MODE", "XDG_CACHE_HOME"):
            patch.delenv(name, raising=False)
        yield path
