"""What a folder says of its job, what runs will take, and what a sweep makes small."""

import json
import math
from copy import deepcopy

import pytest

from sus2bench.benchmark import lock
from sus2bench.benchmark.identity import identity
from sus2bench.benchmark.sweeps.estimates import GUESSED_BYTES, earlier_runs, estimate
from sus2bench.benchmark.sweeps.jobs import Job, check_folders, check_processes
from sus2bench.benchmark.sweeps.objectives import objective_names, objectives
from sus2bench.benchmark.sweeps.reporting import show_plan
from sus2bench.benchmark.sweeps.running import problem, run_missing

CONFIG = {
    "name": "schnet",
    "data_name": "alloys",
    "seed": 0,
    "resume": False,
    "overwrite": False,
    "test": True,
    "stability": False,
    "speed": True,
    "mode": "eager",
    "data": {"cutoff": 6.0, "cache_dir": None, "source": {"name": "alloys", "folder": None}},
    "model": {"cutoff": 5.0},
    "budget": {"max_steps": 100, "max_time": None, "max_frames": None},
    "paths": {"output": "runs/a"},
    "trainer": {"devices": 1},
}


@pytest.fixture
def job(tmp_path):
    folder = tmp_path / "job"
    folder.mkdir()
    return Job(("seed=0",), folder, CONFIG)


def write(job, **content):
    record = {
        "kind": "train",
        "name": "schnet",
        "status": "completed",
        "traceback": None,
        "config": CONFIG,
        "data": {"name": "alloys"},
        "timings": {},
        **content,
    }
    (job.folder / "record.json").write_text(json.dumps(record))


def changed(**content):
    return {**deepcopy(CONFIG), **content}


def test_a_configuration_is_the_same_wherever_its_files_lie_and_however_it_was_begun(job):
    moved = changed(paths={"output": "elsewhere"}, resume=True, logger={"csv": {}})
    moved["data"] |= {"cutoff": 5.0, "cache_dir": "cache"}
    moved["data"]["source"]["folder"] = "elsewhere"
    write(job, config=moved)
    assert identity(moved) == identity(CONFIG)
    assert job.state == "completed"


def test_any_other_difference_is_another_configuration_and_is_named(job):
    write(job, config=changed(seed=1, model={"cutoff": 4.0}))
    assert job.state == "other"
    assert job.differences == ["model.cutoff", "seed"]
    assert "other model.cutoff, seed" in problem(job)


@pytest.mark.parametrize(
    ("made", "lacking"),
    [
        ({"stability": {"hot": None}}, ["stability"]),
        ({"test": False}, ["test"]),
        ({"speed": False}, ["speed"]),
        ({"mode": "compile"}, ["speed"]),
        ({"test": False, "speed": False}, ["test", "speed"]),
    ],
)
def test_a_completed_run_without_a_measurement_that_is_asked_for_is_to_be_completed(
    job, made, lacking
):
    asked = Job(job.overrides, job.folder, changed(stability=True))
    write(
        job, config=changed(stability=True, **made) if "stability" not in made else changed(**made)
    )
    assert asked.state == "incomplete"
    assert asked.lacking == lacking
    assert problem(asked) == f"completed, but without {', '.join(lacking)}"
    launched = []
    assert run_missing(Launcher(launched), [asked]) == ["missing"]
    assert launched == [["seed=0", "resume=true"]]


def test_measurements_that_nobody_asks_for_change_nothing(job):
    write(job, config=changed(stability=True))
    assert job.state == "completed"
    of_speed = {key: value for key, value in CONFIG.items() if key != "resume"}
    write(job, config={**of_speed, "mode": "compile"})
    assert Job((), job.folder, of_speed).differences == ["mode"]


def test_states_of_jobs_that_have_not_completed(job):
    assert job.state == "missing"
    (job.folder / "checkpoints").mkdir()
    (job.folder / "checkpoints/last.ckpt").touch()
    assert job.state == "interrupted"
    write(job, status="interrupted")
    assert job.state == "interrupted"
    write(job, status="failed", traceback="Traceback:\nValueError: no forces")
    assert job.state == "failed"
    assert problem(job) == "ValueError: no forces"
    (job.folder / "record.json").write_text("half a rec")
    assert job.state == "interrupted"


def test_a_failed_run_of_another_configuration_is_neither_repeated_nor_cleared(job):
    write(job, status="failed", traceback="ValueError", config=changed(seed=1))
    (job.folder / "checkpoints").mkdir()
    launched = []
    assert run_missing(Launcher(launched), [job]) == ["failed"]
    assert not launched
    assert "other seed" in problem(job)
    assert (job.folder / "checkpoints").is_dir()


def test_a_job_without_a_record_points_to_what_its_process_has_printed(job):
    assert problem(job) == "missing"
    (job.folder / "process.log").touch()
    assert problem(job) == "missing; see process.log there"


@pytest.mark.parametrize(
    ("found", "said"),
    [
        ({}, "to replace"),
        ({"status": "interrupted"}, "to replace"),
        ({"config": changed(seed=1)}, "to replace"),
        ({"config": changed(test=False)}, "to replace"),
        ({"status": "failed", "traceback": "ValueError"}, "to repeat"),
        (None, "to run"),
    ],
)
def test_the_plan_of_a_sweep_that_overwrites_is_what_it_does(job, found, said, capsys):
    config = changed(overwrite=True, budget={"max_time": "2 min"})
    overwriting = Job(job.overrides, job.folder, config)
    if found is not None:
        write(job, **{"config": config, **found})
    show_plan([overwriting], [])
    text = capsys.readouterr().out
    assert f"1 jobs: 1 {said}" in text
    assert "time: 2 min" in text
    launched = []
    run_missing(Launcher(launched), [overwriting])
    assert launched == [["seed=0"]]


def test_a_job_in_whose_folder_a_process_is_at_work_is_running_and_left_alone(job):
    launched = []
    with lock.held(job.folder):
        assert job.state == "running"
        with pytest.raises(ValueError, match="another process is running"), lock.held(job.folder):
            pass
        assert run_missing(Launcher(launched), [job]) == ["missing"]
    assert not launched
    assert job.state == "missing"


class Launcher:
    """Notes what it was given, and breaks."""

    def __init__(self, launched):
        self.launched = launched

    def launch(self, job_overrides, initial_job_idx):
        self.launched += job_overrides
        raise RuntimeError("the queue is gone")


def test_a_launcher_that_breaks_leaves_its_jobs_missing_and_the_kept_ones_kept(job, tmp_path):
    other = Job(("seed=1",), tmp_path / "other", changed(seed=1))
    write(job)
    launched = []
    assert run_missing(Launcher(launched), [job, other]) == ["kept", "missing"]
    assert launched == [["seed=1", "resume=true"]]


def test_two_jobs_in_one_folder_are_refused(job):
    other = Job(("seed=1",), job.folder, changed(seed=1))
    with pytest.raises(ValueError, match=r"seed=1 and seed=0 would both run in"):
        check_folders([job, other])


@pytest.mark.parametrize(
    "trainer", [{"devices": 2}, {"devices": "auto", "strategy": {"_target_": "DDP"}}]
)
def test_jobs_of_several_processes_need_a_launcher_of_processes(job, trainer):
    several = Job((), job.folder, changed(trainer=trainer))
    check_processes([several], "processes")
    check_processes([job], "basic")
    with pytest.raises(ValueError, match="no jobs for hydra/launcher=basic"):
        check_processes([several], "basic")


def test_without_earlier_runs_only_a_budget_of_time_is_known(job):
    guess = estimate(job, [])
    assert guess.seconds is None
    assert (guess.bytes, guess.of_bytes) == (GUESSED_BYTES, "a guess")
    timed = Job((), job.folder, changed(budget={"max_time": "2 min", "max_steps": 10**9}))
    assert estimate(timed, []).seconds == 120.0
    write(timed, status="interrupted", config=timed.config, timings={"train_seconds": 90.0})
    assert estimate(timed, []).seconds == 30.0


def test_earlier_runs_of_the_same_model_and_data_tell_time_and_disk(job, tmp_path):
    for number, step_seconds in enumerate([0.1, 0.3, 0.2]):
        earlier = Job((), tmp_path / "runs" / str(number), CONFIG)
        (earlier.folder / "checkpoints").mkdir(parents=True)
        (earlier.folder / "checkpoints/best.ckpt").write_bytes(b"0" * 5000)
        timings = {
            "steps": 50,
            "frames": 400,
            "train_seconds": 50 * step_seconds,
            "step_seconds": step_seconds,
            "initialise_seconds": 1.0,
            "total_seconds": 50 * step_seconds + 8.0,
        }
        write(earlier, timings=timings)
    earlier = earlier_runs([tmp_path])
    guess = estimate(job, earlier)
    # 100 steps of the median 0.2 s, and 7 s of everything beside initial values and training.
    assert guess.seconds == pytest.approx(27.0)
    assert 5000 < guess.bytes < 7000
    frames = Job((), job.folder, changed(budget={"max_frames": 800}))
    assert estimate(frames, earlier).seconds == pytest.approx(27.0)
    assert estimate(Job((), job.folder, changed(name="painn")), earlier).of_bytes == "other runs"


def test_what_is_added_to_a_completed_run_is_known_by_earlier_additions_only(job, tmp_path):
    write(job)
    asked = Job((), job.folder, changed(stability=True))
    assert asked.state == "incomplete"
    assert (estimate(asked, []).seconds, estimate(asked, []).bytes) == (None, 0)
    other = Job((), tmp_path / "other", CONFIG)
    other.folder.mkdir()
    write(other, timings={"train_seconds": 50.0, "data_seconds": 1.0, "stability_seconds": 4.0})
    assert estimate(asked, earlier_runs([tmp_path])).seconds == 5.0


def test_objectives_are_errors_in_validation_medians_of_speed_and_timings():
    record = {
        "name": "schnet",
        "metrics": {"valid": {"forces_rmse_meV_A": 5.0}, "test": {"forces_rmse_meV_A": 6.0}},
        "speed": {"schnet": {"energy_and_forces_us_per_atom": {"median": 7.0}}},
        "timings": {"train_seconds": 8.0},
    }
    names = ["forces_rmse_meV_A", "energy_and_forces_us_per_atom", "train_seconds", "nothing"]
    *numbers, missing = objectives(record, objective_names(names))
    assert numbers == [5.0, 7.0, 8.0]
    assert math.isnan(missing)
    assert objective_names("a") == ["a"]
    assert objective_names(None) == []
