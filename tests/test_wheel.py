"""An installed wheel works without the repository."""

import subprocess
import sys
import sysconfig
import venv
from pathlib import Path

import ase.io
import numpy as np
import pytest
from ase.build import bulk
from ase.calculators.emt import EMT

ROOT = Path(__file__).parents[1]
TINY = (
    *("data=extxyz", "data.train_file=copper.extxyz", "data.test_fraction=0.25"),
    *("debug=fast", "name=tiny", "speed=false", "paths.cache=cache"),
)


def write_copper(path: Path) -> None:
    """Twelve labelled frames of four atoms."""
    generator = np.random.default_rng(0)
    frames = []
    for _ in range(12):
        atoms = bulk("Cu", cubic=True)
        atoms.positions += generator.normal(scale=0.05, size=atoms.positions.shape)
        atoms.calc = EMT()
        atoms.get_potential_energy()
        frames.append(atoms)
    ase.io.write(path, frames)


def run(*command, cwd: Path) -> str:
    result = subprocess.run(
        [str(part) for part in command],
        cwd=cwd,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        timeout=300,
    )
    assert result.returncode == 0, result.stdout
    return result.stdout


@pytest.fixture(scope="module")
def installed(tmp_path_factory) -> Path:
    """The `bin` folder of an environment that holds the wheel, and the dependencies by reference.

    A path file shows it the packages of the running environment; the editable install there stays
    out of sight, because path files are read only in an environment's own folder.
    """
    folder = tmp_path_factory.mktemp("wheel")
    run(sys.executable, "-m", "build", "--wheel", "--no-isolation", "-o", folder, ROOT, cwd=folder)
    [wheel] = folder.glob("*.whl")
    venv.create(folder / "env", with_pip=False, symlinks=True)
    python = folder / "env" / "bin" / "python"
    pip = [sys.executable, "-m", "pip", "--python", python, "--disable-pip-version-check"]
    run(*pip, "install", "--no-deps", "--no-index", "--quiet", wheel, cwd=folder)
    [site] = (folder / "env" / "lib").glob("python*/site-packages")
    (site / "dependencies.pth").write_text(sysconfig.get_paths()["purelib"] + "\n")
    return python.parent


@pytest.mark.slow
def test_the_wheel_holds_package_configs_schema_and_type_marker(installed, tmp_path):
    code = (
        "import sus2bench; from importlib.resources import files; root = files('sus2bench')\n"
        "for name in ('conf/train.yaml', 'py.typed', 'benchmark/record.schema.json'):\n"
        "    assert (root / name).is_file(), name\n"
        "print(sus2bench.__file__)"
    )
    assert str(installed.parent) in run(installed / "python", "-c", code, cwd=tmp_path)


@pytest.mark.slow
def test_an_installed_wheel_trains_in_an_empty_folder(installed, tmp_path):
    write_copper(tmp_path / "copper.extxyz")
    run(installed / "sus2bench", "train", *TINY, cwd=tmp_path)
    [record] = tmp_path.rglob("record.json")
    table = run(installed / "sus2bench", "compare", record.parent, cwd=tmp_path)
    assert "tiny" in table
    assert "extxyz" in table
