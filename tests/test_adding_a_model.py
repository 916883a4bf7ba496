"""`docs/adding_a_model.md`, followed to the letter, adds a model, here and in other packages."""

import os
import re
import subprocess
import sys
from pathlib import Path

import ase.io
import numpy as np
import pytest
from ase.build import bulk
from ase.calculators.emt import EMT

ROOT = Path(__file__).parents[1]
DOCUMENT = (ROOT / "docs" / "adding_a_model.md").read_text()
BLOCKS = {
    name: text
    for name, text in re.findall(r"^```\w+ (\S+)\n(.*?)^```$", DOCUMENT, re.MULTILINE | re.DOTALL)
}
MODEL = "src/sus2bench/models/behler_parrinello.py"


def follow(commands: str, folder: Path) -> str:
    """Runs lines of the document in a folder, with the programs of the environment in use."""
    programs = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
    run = subprocess.run(
        ["bash", "-e", "-c", commands],
        cwd=folder,
        env={**os.environ, "PATH": programs, "SUS2BENCH_CACHE": str(folder / "cache")},
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        timeout=300,
    )
    assert run.returncode == 0, run.stdout[-3000:]
    return run.stdout


def write_alloys(path: Path) -> None:
    """Twelve labelled frames of four atoms of copper and gold."""
    generator = np.random.default_rng(0)
    frames = []
    for number in range(12):
        atoms = bulk("Cu", "fcc", a=3.8, cubic=True)
        atoms.numbers[: number % 4] = 79
        atoms.positions += generator.normal(scale=0.05, size=atoms.positions.shape)
        atoms.calc = EMT()
        atoms.get_potential_energy()
        frames.append(atoms)
    ase.io.write(path, frames)


@pytest.mark.parametrize("name", [MODEL, "conf/model/behler_parrinello.yaml"])
def test_the_document_shows_the_files_of_the_package(name):
    assert BLOCKS[name] == (ROOT / name).read_text()


def test_one_line_of_the_document_is_the_contract_of_the_package():
    name = "tests/contract/test_contract.py"
    assert len(BLOCKS[name].splitlines()) == 1
    assert BLOCKS[name] in (ROOT / name).read_text()


@pytest.mark.slow
def test_the_files_work_in_a_package_of_its_own(tmp_path):
    files = {
        "my_package/__init__.py": "",
        "my_package/my_network.py": BLOCKS[MODEL],
        **{
            name: BLOCKS[name]
            for name in ("my_package/conf/model/my_network.yaml", "test_my_network.py")
        },
    }
    for name, text in files.items():
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text(text)
    write_alloys(tmp_path / "train.extxyz")
    output = follow(BLOCKS["outside"], tmp_path)
    assert re.search(r"\d\d passed", output)
    assert "step 30" in output
    [record] = tmp_path.glob("runs/*/*/record.json")
    assert "my_package.my_network.BehlerParrinello" in record.read_text()
