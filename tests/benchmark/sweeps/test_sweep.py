"""Sweeps run what has no completed record, and whatever cuts them, end with the same records."""

import json
import os
import signal
import subprocess
import sys
import time

import pytest

from sus2bench import cli
from sus2bench.cli.configuration import check_overrides

STEPS = ["budget.max_steps=4"]


def sweep(*arguments):
    """The exit code of a sweep in this process."""
    try:
        return cli.main(["sweep", *arguments])
    except SystemExit as stop:
        return stop.code


def records(folder):
    return {file.parent.name: json.loads(file.read_text()) for file in folder.rglob("record.json")}


def test_a_failed_job_leaves_its_traceback_and_the_others_run_and_are_kept(folder, common, capsys):
    arguments = [*common, *STEPS, "dtype=float16,float32"]
    assert sweep(*arguments) == 1
    assert "2 jobs: 1 done, 0 kept, 1 failed, 0 missing" in capsys.readouterr().out
    first = records(folder / "runs/sweeps/train")
    assert {name: record["status"] for name, record in first.items()} == {
        "dtype=float16": "failed",
        "dtype=float32": "completed",
    }
    assert "float16" in first["dtype=float16"]["traceback"]

    assert sweep(*arguments) == 1
    said = capsys.readouterr().out
    assert "2 jobs: 0 done, 1 kept, 1 failed, 0 missing" in said
    assert "dtype is float32 or float64, not 'float16'" in said
    assert records(folder / "runs/sweeps/train")["dtype=float32"] == first["dtype=float32"]
    assert (folder / "runs/sweeps/train/dtype=float16/record.failed.json").is_file()


def test_the_plan_says_what_would_be_done_and_does_nothing(folder, common, capsys):
    arguments = [*common, *STEPS, "data.train_fraction=0.5,1"]
    assert sweep(*arguments, "--dry-run") == 0
    said = capsys.readouterr().out
    assert "2 jobs: 2 to run" in said
    assert "2 jobs of which nobody knows" in said
    assert "data.train_fraction=0.5" in said
    assert not (folder / "runs").exists()

    assert sweep(*arguments, "data.train_fraction=1") == 0
    capsys.readouterr()
    assert sweep(*arguments, "--dry-run") == 0
    said = capsys.readouterr().out
    assert "2 jobs: 1 to run, 1 kept" in said
    assert "1 earlier runs" in said
    assert "1 same model and data" in said


def test_a_sweep_adds_measurements_to_what_it_has_completed(folder, common, capsys):
    arguments = [*common, "budget.max_steps=2", "seed=choice(0)", "test=false"]
    checks = "stability={nve: {steps: 10}, hot: null, eos: null, dimers: null}"
    assert sweep(*arguments) == 0
    before = records(folder / "runs")
    assert sweep(*arguments, checks, "--dry-run") == 0
    assert "1 jobs: 1 to complete" in capsys.readouterr().out
    assert sweep(*arguments, checks) == 0
    assert "1 jobs: 1 done, 0 kept, 0 failed, 0 missing" in capsys.readouterr().out
    [(name, record)] = records(folder / "runs").items()
    assert record["stability"]["nve"]["steps"] == 10
    assert record["timings"]["train_seconds"] == before[name]["timings"]["train_seconds"]
    assert record["created"] == before[name]["created"]


def test_what_an_experiment_sweeps_over_names_the_folders_also_of_a_part(folder, common, capsys):
    (folder / "conf/experiment").mkdir(parents=True)
    (folder / "conf/experiment/two_seeds.yaml").write_text(
        "# @package _global_\nhydra:\n  sweeper:\n    params: {seed: '0,1'}\n"
    )
    arguments = ["--config-dir", "conf", "experiment=two_seeds", *common, *STEPS]
    assert sweep(*arguments, "seed=1") == 0
    assert sweep(*arguments) == 0
    assert "2 jobs: 1 done, 1 kept, 0 failed, 0 missing" in capsys.readouterr().out
    assert set(records(folder / "runs/sweeps/two_seeds")) == {"seed=0", "seed=1"}


def test_a_run_of_another_configuration_is_neither_kept_nor_lost(folder, common, capsys):
    arguments = [*common, "seed=choice(0)"]
    assert sweep(*arguments, "budget.max_steps=2") == 0
    before = records(folder / "runs")
    assert sweep(*arguments, "budget.max_steps=3") == 1
    assert "holds a run with other budget.max_steps" in capsys.readouterr().out
    assert records(folder / "runs") == before
    assert sweep(*arguments, "budget.max_steps=3", "overwrite=true") == 0
    assert records(folder / "runs")["seed=0"]["timings"]["steps"] == 3


def test_an_option_that_an_experiment_wants_and_nobody_has_is_named(folder, capsys):
    (folder / "conf/experiment").mkdir(parents=True)
    (folder / "conf/experiment/wrong.yaml").write_text(
        "# @package _global_\nhydra:\n  sweeper:\n    params: {model: 'sus2,shnet'}\n"
    )
    assert sweep("--config-dir", "conf", "experiment=wrong") == 2
    assert "no option 'shnet'; did you mean schnet" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("override", "expected"),
    [
        ("hydra/launcher=jobs", "there is no hydra/launcher=jobs; there are basic"),
        ("hydra/sweeper=optimal", "there is no hydra/sweeper=optimal; there are"),
    ],
)
def test_a_launcher_or_sweeper_that_is_not_there_is_named(override, expected, capsys):
    assert sweep(override) == 2
    assert expected in capsys.readouterr().err


def test_settings_of_a_cluster_may_lie_in_a_folder_of_ones_own(folder):
    (folder / "mine/hydra/launcher").mkdir(parents=True)
    (folder / "mine/hydra/launcher/cluster.yaml").write_text("defaults: [processes]\nn_jobs: 3\n")
    check_overrides("train", ["hydra/launcher=cluster"], folder / "mine", sweep=True)


def test_a_search_for_small_errors_and_times_goes_on_with_its_study(folder, common, capsys):
    pytest.importorskip("optuna")
    arguments = [
        *common,
        "budget.max_steps=2",
        "hydra/sweeper=tpe",
        "optimizer.algorithm.lr=tag(log, interval(1e-3, 1e-2))",
        "optimized_metric=[forces_rmse_meV_A, train_seconds]",
    ]
    assert sweep(*arguments, "hydra.sweeper.n_trials=3", "--dry-run") == 0
    assert "3 trials in runs/sweeps/train" in capsys.readouterr().out
    assert not (folder / "runs").exists()

    assert sweep(*arguments, "hydra.sweeper.n_trials=2") == 0
    first = set(records(folder / "runs"))
    assert sweep(*arguments, "hydra.sweeper.n_trials=3", "hydra.sweeper.n_jobs=2") == 0
    said = capsys.readouterr().out
    assert "1 jobs: 1 done, 0 kept, 0 failed, 0 missing" in said
    assert "3 of 3 trials" in said
    names = set(records(folder / "runs"))
    assert len(names) == 3
    assert first < names
    assert all(name.startswith("optimizer.algorithm.lr=0.00") for name in names)


def without_times(record):
    """A record without what the clock says, when it was made, and what is edited meanwhile."""
    changed = ("created", "timings", "command", "git")
    kept = {key: value for key, value in record.items() if key not in changed}
    return kept | {"phases": [phase | {"seconds": None} for phase in record["phases"]]}


@pytest.mark.slow
def test_a_sweep_that_is_killed_and_begun_again_ends_with_the_same_records(folder, common):
    arguments = [*common, "seed=0,1", "budget.max_steps=60", "callbacks.checkpoints.every_steps=5"]
    assert sweep(*arguments, "hydra.sweep.dir=whole") == 0
    whole = records(folder / "whole")

    command = [sys.executable, "-m", "sus2bench", "sweep", *arguments, "hydra.sweep.dir=cut"]
    with (folder / "output").open("w") as output:
        process = subprocess.Popen(command, stdout=output, stderr=subprocess.STDOUT)
        checkpoint = folder / "cut/seed=1/checkpoints/last.ckpt"
        while not checkpoint.is_file() and process.poll() is None:
            time.sleep(0.01)
        os.kill(process.pid, signal.SIGKILL)
        process.wait()
    cut = records(folder / "cut")
    assert {name: r["status"] for name, r in cut.items()} == {
        "seed=0": "completed",
        "seed=1": "interrupted",
    }

    assert sweep(*arguments, "hydra.sweep.dir=cut") == 0
    again = records(folder / "cut")
    assert again["seed=0"] == cut["seed=0"]
    # Metrics to the bit: the numbers of a resumed run on a CPU are those of an undisturbed one.
    for name, record in whole.items():
        assert without_times(again[name]) == without_times(record) | {
            "config": again[name]["config"],
            "config_sha256": again[name]["config_sha256"],
        }
        assert record["timings"]["steps"] == again[name]["timings"]["steps"] == 60
