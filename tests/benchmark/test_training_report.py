"""The report of training runs: figures and medians over seeds, from made-up records alone."""

import csv
import runpy
import sys
from pathlib import Path

import pytest

from sus2bench.benchmark.records import new_record, write_record

SCRIPT = Path(__file__).parents[2] / "scripts" / "training_report.py"
HEADER = "step,train/loss,seconds,valid/energy_per_atom_rmse_meV,valid/forces_rmse_meV_A"


def run(monkeypatch, *arguments):
    monkeypatch.setattr(sys, "argv", [str(SCRIPT), *map(str, arguments)])
    with pytest.raises(SystemExit) as left:
        runpy.run_path(str(SCRIPT), run_name="__main__")
    return left.value.code


def leave_run(folder, name, error, data="alloys", **changes):
    """A record, and a learning curve whose errors halve from ten seconds to twenty."""
    record = new_record("train", name, {"budget": {"clock": "processor"}})
    record["data"]["name"] = data
    record["parameters"] = {"stored": 1200, "trainable": 1100, "effective": 1000, "blocks": {}}
    record["timings"] = {"train_seconds": 20.0, "initialise_seconds": 1.0, "steps": 2}
    errors = {"energy_per_atom_rmse_meV": error, "forces_rmse_meV_A": 10 * error}
    record["metrics"] = {"valid": errors | {"forces_mae_meV_A": 8 * error}}
    record |= {"status": "completed", "traceback": None} | changes
    write_record(record, folder / data / name / "record.json")
    rows = f"1,,10,{2 * error},{20 * error}\n2,,20,{error},{10 * error}"
    (folder / data / name / "metrics.csv").write_text(f"{HEADER}\n{rows}\n")


def test_seeds_are_one_row_of_medians_with_times_to_thresholds(monkeypatch, tmp_path):
    for seed, error in enumerate((1.0, 2.0, 4.0)):
        leave_run(tmp_path / "runs", f"lm_seed{seed}", error)
    copies = {"test_without_copies": {"forces_mae_meV_A": 3.0}}
    leave_run(tmp_path / "runs", "adamw", 9.0, metrics=copies)
    options = ("--reference", "published: 1.5, 52", "--threshold", "4.5,45", "2.1,21", "1.1,11")
    out = tmp_path / "report"
    assert run(monkeypatch, tmp_path / "runs", "--out", out, *options) == 0
    assert all((out / f"alloys.{suffix}").is_file() for suffix in ("png", "svg", "pdf"))
    adamw, lm = csv.DictReader((out / "table.csv").open())
    assert (lm["run"], lm["seeds"], lm["clock"]) == ("lm", "3", "processor")
    assert float(lm["parameters"]) == 1200
    assert float(lm["seconds"]) == 21  # initial values included
    assert float(lm["valid E RMSE"]) == 2
    assert float(lm["valid F MAE"]) == 16
    assert lm["test E RMSE"] == ""  # no such labels in the records
    # Errors of 2 in the median are first below 4.5 at the first validation, after 1 + 10 seconds.
    assert float(lm["s to E<4.5, F<45"]) == 11
    assert float(lm["s to E<2.1, F<21"]) == 21
    assert lm["s to E<1.1, F<11"] == ""  # one seed of three got there
    assert adamw["s to E<4.5, F<45"] == ""
    assert float(adamw["test without copies F MAE"]) == 3
    rows = (out / "table.md").read_text().splitlines()
    assert rows[3].endswith("| 1,200 | 2 | 21.0 | 2.000 | 20.00 | 16.00 | – | 11.0 | 21.0 | – |")


def test_data_sets_have_figures_of_their_own_and_failed_runs_are_named(
    monkeypatch, tmp_path, capsys
):
    leave_run(tmp_path, "a", 1.0)
    leave_run(tmp_path, "a", 1.0, data="water")
    leave_run(tmp_path, "b", 1.0, status="failed", traceback="no")
    assert run(monkeypatch, tmp_path, "--out", tmp_path / "out") == 0
    assert {file.name for file in (tmp_path / "out").glob("*.png")} == {"alloys.png", "water.png"}
    assert f"{tmp_path / 'alloys' / 'b' / 'record.json'} is left out" in capsys.readouterr().err


def test_no_runs_and_two_of_a_name_are_errors(monkeypatch, tmp_path, capsys):
    leave_run(tmp_path, "a", 1.0, status="failed", traceback="no")
    assert run(monkeypatch, tmp_path, "--out", tmp_path) == 2
    assert "no completed training run" in capsys.readouterr().err
    for folder in ("one", "two"):
        leave_run(tmp_path / folder, "a", 1.0)
    assert run(monkeypatch, tmp_path / "one", tmp_path / "two", "--out", tmp_path) == 2
    assert "another run a on alloys" in capsys.readouterr().err
