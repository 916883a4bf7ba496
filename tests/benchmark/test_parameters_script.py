"""Counts of parameters by number of elements: of models that were built, merged from files."""

import csv
import json
import runpy
import sys
from pathlib import Path

import pytest

from sus2bench.benchmark.parameters import count
from sus2bench.models.potential import Potential
from sus2bench.models.sus2 import SUS2

SCRIPT = Path(__file__).parents[2] / "scripts" / "parameters_by_elements.py"


def run(monkeypatch, *arguments):
    monkeypatch.setattr(sys, "argv", [str(SCRIPT), *map(str, arguments)])
    with pytest.raises(SystemExit) as left:
        runpy.run_path(str(SCRIPT), run_name="__main__")
    return left.value.code


def test_counts_are_those_of_models_that_were_built(monkeypatch, tmp_path):
    options = ("--out", tmp_path, "--elements", 3, 1)
    assert run(monkeypatch, "sus2_l2k1", "composition", *options) == 0
    sus2 = json.loads((tmp_path / "sus2_l2k1.json").read_text())
    species = (["H"], ["H", "He", "Li"])
    expected = [count(Potential(SUS2(s, channels=1))) for s in species]
    assert sus2["elements"] == [1, 3]
    for kind in ("stored", "trainable"):
        assert sus2[kind] == [counts[kind] for counts in expected]
    assert sus2["config"]["_target_"] == "sus2bench.models.sus2.SUS2"
    composition = json.loads((tmp_path / "composition.json").read_text())
    assert composition["trainable"] == [1, 3]


def test_files_of_several_calls_make_one_table_and_figure(monkeypatch, tmp_path):
    # Another environment, with other models, has left a file.
    other = {"format": "sus2bench-parameters-by-elements", "name": "other"}
    other |= {"elements": [1, 2], "stored": [20, 40], "trainable": [10, 30]}
    (tmp_path / "other.json").write_text(json.dumps(other))
    (tmp_path / "unrelated.json").write_text("{}")
    assert run(monkeypatch, "composition", "--out", tmp_path, "--elements", 2) == 0
    assert run(monkeypatch, "--out", tmp_path) == 0
    rows = list(csv.reader((tmp_path / "table.csv").open()))
    assert rows == [
        ["model", "elements", "stored", "trainable"],
        ["composition", "2", "2", "2"],
        ["other", "1", "20", "10"],
        ["other", "2", "40", "30"],
    ]
    assert (tmp_path / "parameters_by_elements.svg").is_file()


def test_folder_without_counts_and_numbers_without_elements_are_named(
    monkeypatch, tmp_path, capsys
):
    assert run(monkeypatch, "--out", tmp_path) == 2
    assert "has no counts" in capsys.readouterr().err
    assert run(monkeypatch, "composition", "--out", tmp_path, "--elements", 0) == 2
    assert "not [0]" in capsys.readouterr().err
