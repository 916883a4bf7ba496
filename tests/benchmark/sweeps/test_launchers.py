"""Launchers of several processes end with the records of a sweep in one process."""

import importlib.util
import json
import sys

import pytest

from sus2bench import cli

SWEEP = ("seed=0,1", "budget.max_steps=2")


def launch(launcher, *settings, expected=0):
    arguments = [*SWEEP, f"hydra/launcher={launcher}", *settings]
    try:
        code = cli.main(["sweep", *arguments])
    except SystemExit as stop:
        code = stop.code
    assert code == expected


def metrics(folder):
    found = {f.parent.name: json.loads(f.read_text()) for f in folder.rglob("record.json")}
    assert {record["status"] for record in found.values()} == {"completed"}
    return {name: record["metrics"] for name, record in found.items()}


@pytest.fixture
def in_one_process(folder, common):
    """Metrics of the sweep by Hydra's own launcher."""
    launch("basic", *common, "hydra.sweep.dir=basic")
    return metrics(folder / "basic")


def skip_without(plugin):
    if plugin and importlib.util.find_spec(f"hydra_plugins.{plugin}") is None:
        pytest.skip(f"{plugin} is not installed")


LAUNCHERS = {
    "processes": (None, ["hydra.launcher.n_jobs=2"]),
    "joblib": ("hydra_joblib_launcher", ["hydra.launcher.n_jobs=1"]),
    "submitit_local": ("hydra_submitit_launcher", []),
    "ray": ("hydra_ray_launcher", ["+hydra.launcher.ray.init.num_cpus=1"]),
}


@pytest.mark.slow  # processes that import torch
@pytest.mark.parametrize("launcher", LAUNCHERS)
def test_records_are_those_of_one_process(launcher, folder, common, in_one_process):
    plugin, settings = LAUNCHERS[launcher]
    skip_without(plugin)
    launch(launcher, *common, *settings, "hydra.sweep.dir=here")
    assert metrics(folder / "here") == in_one_process


def test_submitit_hands_jobs_over_as_it_does_to_slurm(folder, common, monkeypatch):
    skip_without("hydra_submitit_launcher")
    from hydra_plugins.hydra_submitit_launcher.submitit_launcher import LocalLauncher

    # Submitit's executor for debugging: everything but the queue, in this process.
    monkeypatch.setattr(LocalLauncher, "_EXECUTOR", "debug")
    launch("submitit_local", *common, "hydra.sweep.dir=here")
    assert set(metrics(folder / "here")) == {"seed=0", "seed=1"}


def test_a_command_that_fails_is_a_failed_job_and_its_output_is_kept(folder, common):
    start = f"hydra.launcher.start=\"{sys.executable} -c 'print(1)'\""
    launch("processes", *common, start, "hydra.sweep.dir=here", expected=1)
    assert (folder / "here/seed=0/process.log").read_text() == "1\n"
