"""The parity script: published models within their bounds, and a valid record of that."""

import runpy
import sys
from pathlib import Path

import pytest

from sus2bench.benchmark import records

SCRIPT = Path(__file__).parents[2] / "scripts" / "parity.py"


def run(monkeypatch, *arguments):
    monkeypatch.setattr(sys, "argv", [str(SCRIPT), *map(str, arguments)])
    with pytest.raises(SystemExit) as left:
        runpy.run_path(str(SCRIPT), run_name="__main__")
    return left.value.code


def test_published_models_are_within_their_bounds(shared, monkeypatch, tmp_path):
    assert run(monkeypatch, "--out", tmp_path) == 0
    record = records.load_record(tmp_path / "record.json")
    assert len(record["metrics"]) == 2 * 9
    assert record["units"]["virial_deviation_eV"] == "eV"
    assert str(shared) not in (tmp_path / "record.json").read_text()
    table = (tmp_path / "table.md").read_text()
    assert table.count("| yes |") == 18


def test_missing_reference_folder_is_named(monkeypatch, tmp_path, capsys):
    monkeypatch.delenv("SUS2BENCH_SHARED", raising=False)
    assert run(monkeypatch, "--out", tmp_path) == 2
    assert "SUS2BENCH_SHARED" in capsys.readouterr().err
