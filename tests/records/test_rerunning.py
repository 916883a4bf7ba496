"""The run of a record is repeated, to the bit where it is deterministic."""

import sys
from pathlib import Path

import pytest
from omegaconf import OmegaConf

from sus2bench.benchmark.records import load_record
from sus2bench.cli import main
from sus2bench.records.rerunning import rerun
from sus2bench.records.settings import configuration, restored

FIRST = Path(__file__).parents[1] / "fixtures" / "record_v1.json"


def test_deterministic_run_is_repeated_to_the_last_bit(finished, monkeypatch):
    monkeypatch.delenv("SUS2BENCH_CACHE")
    monkeypatch.setenv("XDG_CACHE_HOME", str(finished / "another"))
    done = rerun("runs/small")
    assert done.folder == Path("runs/rerun/alloys/small")
    assert done.identical
    assert done.circumstances == {}
    numbers = done.numbers.set_index(["split", "metric"])
    assert numbers.loc["test", "difference"].eq(0).all()
    assert numbers.loc[("training", "steps"), "second"] == 3


def test_changed_settings_and_what_they_change_are_told(finished, capsys):
    changes = ["budget.max_steps=2", "deterministic=false"]
    assert main(["rerun", "runs/small", *changes, "--out", "again"]) == 0
    said = capsys.readouterr().out
    assert "config.budget.max_steps: 3 -> 2" in said
    assert "config.deterministic: True -> False" in said
    assert "errors: not identical; see again" in said
    assert load_record("again/record.json")["timings"]["steps"] == 2
    assert main(["rerun", "runs/small", "--out", "again"]) == 2
    assert "holds a completed run" in capsys.readouterr().err
    # What that error names helps.
    assert main(["rerun", "runs/small", *changes, "--out", "again", "overwrite=true"]) == 0


def test_a_repetition_may_have_another_name_and_go_on(finished):
    record = load_record("runs/small/record.json")
    assert configuration(record, []).paths.output == "runs/rerun/alloys/small"
    changed = configuration(record, ["name=second", "resume=true", "overwrite=true"])
    assert changed.paths.output == "runs/rerun/alloys/second"
    assert (changed.resume, changed.overwrite) == (True, True)
    record["config"] |= {"resume": True, "overwrite": True}
    again = configuration(record, [])
    assert (again.resume, again.overwrite) == (False, False)


def test_evaluation_is_repeated(finished):
    options = ("potential=runs/small/checkpoints/best.ckpt", "speed=false", "data_name=alloys")
    data = ("data=extxyz", "data.train_file=alloys.extxyz", "data.test_fraction=0.25")
    assert main(["evaluate", *options, *data, "paths.output=runs/evaluated"]) == 0
    done = rerun("runs/evaluated/record.json", "again")
    assert done.now["kind"] == "evaluate"
    assert done.identical


@pytest.mark.parametrize(
    ("change", "problem"),
    [
        ("budget.max_step=2", "no setting 'budget.max_step'; did you mean budget.max_steps"),
        ("deterministic", "must be KEY=VALUE"),
    ],
)
def test_change_that_does_not_fit_is_an_error(finished, change, problem):
    with pytest.raises(ValueError, match=problem):
        rerun("runs/small", changes=[change])


def test_settings_of_an_earlier_version_are_filled_up(monkeypatch):
    monkeypatch.setenv("SUS2BENCH_SHARED", "/data/shared")
    record = load_record(FIRST)
    assert "training" not in record["config"]
    del record["config"]["budget"]["clock"]
    record["config"]["trainer"]["deterministic"] = True
    record["config"]["threads"] = None
    config = configuration(record, ["seed=7"], Path("again"))
    assert config.deterministic is True
    assert "deterministic" not in config.trainer
    assert config.budget.clock == "wall"
    assert config.training.phases.main.algorithm == config.optimizer.algorithm
    assert config.model == OmegaConf.create(record["config"]["model"])
    assert config.threads == record["hardware"]["threads"]
    assert (config.seed, config.paths.output, config.paths.shared) == (7, "again", "/data/shared")


def test_names_of_folders_become_those_of_this_machine(monkeypatch):
    monkeypatch.setenv("SUS2BENCH_SHARED", "/data/shared")
    monkeypatch.setenv("HOME", "/home/me")
    values = {
        "${SUS2BENCH_SHARED}/x.mtp": "/data/shared/x.mtp",
        "~/potentials/a.ckpt": "/home/me/potentials/a.ckpt",
        "<environment>/share/x": f"{sys.prefix}/share/x",
        "runs/a.ckpt": "runs/a.ckpt",
        "eV/Ang": "eV/Ang",
    }
    assert restored({"files": list(values), "n": 3}) == {"files": list(values.values()), "n": 3}
    monkeypatch.delenv("SUS2BENCH_SHARED")
    assert restored("${SUS2BENCH_SHARED}") is None
    with pytest.raises(ValueError, match="set SUS2BENCH_SHARED"):
        restored("${SUS2BENCH_SHARED}/x.mtp")
