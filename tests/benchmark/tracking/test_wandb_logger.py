"""What W&B has of runs, read from the files that it writes offline; nothing is sent."""

import json
import logging
import os
import re
from fnmatch import fnmatch
from pathlib import Path

import pytest
import scalars
from lightning.pytorch.utilities import rank_zero_only
from small_runs import (
    PHASES,
    SCHNET,
    SETTINGS,
    configuration,
    interrupted_in,
    logging_every_step,
)

from sus2bench.benchmark import records, run, tracking, wandb_logger, wandb_parts
from sus2bench.benchmark.reporting import RunInterruptedError
from sus2bench.benchmark.tracking import scalars_of
from sus2bench.benchmark.wandb_logger import WandbLogger
from sus2bench.cli import main

wandb = pytest.importorskip("wandb", reason="wandb is not installed")
pytest.importorskip("tensorboard", reason="tensorboard is not installed")

from wandb_file import logged_runs  # noqa: E402


@pytest.fixture(scope="module")
def whole(folder):
    """A run in two phases: its folder, its record, and what W&B has."""
    before = {name for name in os.environ if name.startswith("WANDB")}
    with logging_every_step():
        run.train(configuration("whole", *SCHNET, *PHASES, logger="all"))
    # Where W&B's own process listens, for its next run.
    assert {name for name in os.environ if name.startswith("WANDB")} - before <= {"WANDB_SERVICE"}
    place = folder / "runs/whole"
    (logged,) = logged_runs(place)
    return place, records.load_record(place / "record.json"), logged


def test_csv_tensorboard_and_wandb_have_the_same_scalars_at_the_same_steps(whole):
    place, record, logged = whole
    assert len(record["phases"]) == 2
    assert logged.steps == list(range(1, 13))
    csv = scalars.of_csv(place)
    assert {"train/loss", "train/evaluations", "train/learning_rate", "epoch"} <= csv.keys()
    single, double = scalars.of_tensorboard(place), scalars.of_wandb(logged.rows)
    assert csv.keys() == single.keys() == double.keys()
    for name, values in csv.items():
        # TensorBoard's file holds float32.
        assert single[name] == pytest.approx(values, rel=1e-6, nan_ok=True), name
        assert double[name] == values, name


def test_wandb_has_the_configuration_with_parameters_machine_and_code(whole):
    _, record, logged = whole
    config = logged.config
    assert {name: config[name] for name in record["config"]} == record["config"]
    assert config["model"]["cutoff"] == 4.0
    for name in ("parameters", "hardware", "packages", "git", "seeds"):
        assert config["record"][name] == record[name]
    assert config["record"]["data"]["split_hash"] == record["data"]["split_hash"]


def test_every_scalar_has_a_unit(whole):
    _, record, logged = whole
    units = logged.config["units"]

    def unit(name):
        name = re.sub("/[A-Z][a-z]?$", "", name)
        found = [pattern for pattern in units if fnmatch(name, pattern)]
        return units[max(found, key=len, default="else")]

    names = scalars.of_wandb(logged.rows).keys() | scalars_of(record).keys()
    found = {name: unit(name) for name in names}
    assert found["valid/energy_per_atom_rmse_meV"] == "meV/atom"
    assert found["valid/forces_rmse_meV_A/Cu"] == "meV/Å"
    assert found["record/test/stress_mae_GPa"] == "GPa"
    assert found["seconds"] == found["record/timings/train_seconds"] == "s"
    assert found["train/loss"] == found["valid/loss"] == found["train/evaluations"] == "1"
    without = {re.sub(".*/", "", name) for name, unit in found.items() if unit == "1"}
    optimizer = {"evaluations", "gradient", "step_norm", "learning_rate"}
    counts = {"stored", "trainable", "effective", "steps", "epochs", "frames", "epoch"}
    assert without <= {"loss"} | optimizer | counts


def test_wandb_has_one_finished_run_with_its_tags(whole):
    _, _, logged = whole
    assert (logged.run.project, logged.run.display_name) == ("sus2bench", "whole")
    assert (logged.run.job_type, logged.run.run_group) == ("train", "")
    assert list(logged.run.tags) == ["one", "alloys"]
    assert logged.exit_code == 0


def test_the_summary_has_the_results_of_the_record_and_the_best_of_validation(whole):
    place, record, logged = whole
    summary = logged.summary
    assert (
        summary["record/test/forces_rmse_meV_A"] == record["metrics"]["test"]["forces_rmse_meV_A"]
    )
    results = scalars_of(record)
    assert {name: summary[name] for name in results} == results
    assert (summary["record/status"], summary["record/ended_by"]) == ("completed", "max_steps")
    best = min(scalars.of_csv(place)["valid/loss"].values())
    assert summary["valid/loss"]["min"] == best


def test_parity_plots_and_errors_are_panels_and_artifacts(whole):
    place, record, logged = whole
    last = logged.rows[max(logged.steps)]
    assert {"parity/test/path", "parity/valid/path", "record/errors/path"} <= last.keys()
    table = json.loads((logged.folder / "files" / last["record/errors/path"]).read_text())
    rows = [dict(zip(table["columns"], row, strict=True)) for row in table["data"]]
    (copper,) = (
        row
        for row in rows
        if (row["split"], row["element"], row["metric"]) == ("test", "Cu", "forces_rmse_meV_A")
    )
    assert copper["value"] == record["metrics"]["test"]["forces_rmse_meV_A/Cu"]
    assert copper["composition fit"] == record["baseline"]["test"]["forces_rmse_meV_A/Cu"]
    assert copper["unit"] == "meV/Å"
    files = {name: Path(entry.local_path) for name, entry in logged.artifacts["results"].items()}
    assert files.pop("errors.table.json") == Path()  # is in the artifact of the panel
    of_splits = {f"{kind}_test.{end}" for kind, end in (("parity", "png"), ("predictions", "npz"))}
    assert files.keys() > of_splits | {"metrics.csv", "record.json"}
    assert all(path == place / name for name, path in files.items())
    assert all((place / name).stat().st_size for name in files)


def test_system_metrics_are_logged_offline(whole):
    assert "memory_percent" in whole[2].system[0]


def test_everything_that_wandb_writes_is_in_the_folder_of_the_run(whole, folder):
    runs = folder / "runs"
    assert [path for path in folder.rglob("*wandb*") if not path.is_relative_to(runs)] == []


def test_a_resumed_run_is_the_same_run_whose_steps_go_on(folder):
    with logging_every_step():
        with interrupted_in(5), pytest.raises(RunInterruptedError):
            run.train(configuration("cut", *SCHNET, logger="all"))
        run.train(configuration("cut", *SCHNET, "resume=true", logger="all"))
    first, second = logged_runs(folder / "runs/cut")
    assert first.run.run_id == second.run.run_id
    assert second.run.resume
    assert (first.exit_code, second.exit_code) == (1, 0)
    assert first.summary["record/status"] == "interrupted"
    assert first.artifacts == {}
    assert first.steps == [1, 2, 3, 4, 5]
    assert second.steps == [6, 7, 8, 9, 10, 11, 12]
    values = scalars.of_csv(folder / "runs/cut")["train/loss"]
    assert scalars.of_wandb(first.rows | second.rows)["train/loss"] == values
    # TensorBoard's file holds float32.
    assert scalars.of_tensorboard(folder / "runs/cut")["train/loss"] == pytest.approx(values, 1e-6)


def test_of_a_killed_part_the_rows_up_to_the_checkpoint_are_logged_anew(folder):
    place, settings = folder / "runs/killed", (*SCHNET, "test=false")
    with logging_every_step():
        with interrupted_in(3), pytest.raises(RunInterruptedError):
            run.train(configuration("killed", *settings))
        with pytest.MonkeyPatch.context() as patch, interrupted_in(4):
            patch.setattr(wandb_parts, "end_part", lambda folder: None)
            with pytest.raises(RunInterruptedError):
                run.train(configuration("killed", *settings, "resume=true"))
        _, lost = logged_runs(place)
        assert lost.steps == [4, 5, 6, 7]
        run.train(configuration("killed", *settings, "resume=true"))
    assert not lost.folder.exists()
    first, second = logged_runs(place)
    assert first.run.run_id == second.run.run_id == lost.run.run_id
    assert first.steps == [1, 2, 3]
    assert second.steps == [4, 5, 6, 7, 8, 9, 10, 11, 12]
    csv = scalars.of_csv(place)
    assert scalars.of_wandb(first.rows | second.rows) == csv
    assert second.summary["valid/loss"]["min"] == min(
        v for s, v in csv["valid/loss"].items() if s > 3
    )


def test_a_killed_part_that_was_sent_stays_as_it_is(tmp_path):
    part = tmp_path / "wandb/offline-run-1-a"
    part.mkdir(parents=True)
    wandb_parts.begin_part(tmp_path, part.name, 7)
    (part / "run-a.wandb.syncstate").touch()
    assert wandb_parts.remove_killed_part(tmp_path) is None
    assert part.exists()
    wandb_parts.begin_part(tmp_path, part.name, None)
    (part / "run-a.wandb.syncstate").unlink()
    assert wandb_parts.remove_killed_part(tmp_path) is None
    assert not part.exists()


def test_a_new_run_in_a_folder_is_another_run_and_overwriting_takes_the_old_one_away(folder):
    settings = (*SCHNET, "test=false")
    with interrupted_in(2), pytest.raises(RunInterruptedError):
        run.train(configuration("again", *settings))
    (folder / "runs/again/checkpoints/last.ckpt").unlink()
    run.train(configuration("again", *settings, "resume=true"))
    first, second = logged_runs(folder / "runs/again")
    assert first.run.run_id != second.run.run_id
    run.train(configuration("again", *settings, "overwrite=true"))
    (only,) = logged_runs(folder / "runs/again")
    assert only.run.run_id not in (first.run.run_id, second.run.run_id)


def test_jobs_of_a_sweep_are_runs_of_a_group_and_one_that_fails_says_so(folder):
    swept = ("dtype=float32,float16", "test=false", "logger=wandb")
    arguments = [*SETTINGS, *SCHNET, *swept, "hydra.sweep.dir=runs/sweeps/mine"]
    with pytest.raises(SystemExit):
        main(["sweep", *arguments])
    runs = {}
    for path in (folder / "runs/sweeps/mine").glob("dtype=*"):
        (runs[path.name],) = logged_runs(path)
    good, bad = runs["dtype=float32"], runs["dtype=float16"]
    assert good.run.run_id != bad.run.run_id
    for name, logged in runs.items():
        assert (logged.run.run_group, logged.run.display_name) == ("mine", name)
        assert list(logged.run.tags) == ["schnet_small", "extxyz"]
    assert (good.exit_code, bad.exit_code) == (0, 1)
    assert (good.summary["record/status"], bad.summary["record/status"]) == ("completed", "failed")
    assert "float16" in bad.summary["record/traceback"]


@pytest.mark.parametrize("doing", ["begin", "log", "store the results", "finish"])
def test_a_run_goes_on_when_wandb_fails(folder, monkeypatch, caplog, doing):
    def failing(*args, **kwargs):
        raise OSError("no space left")

    place = {
        "begin": (wandb, "init"),
        "log": (wandb.Run, "log"),
        "store the results": (tracking, "scalars_of"),
        "finish": (wandb.Run, "finish"),
    }
    monkeypatch.setattr(*place[doing], failing)
    name = doing.replace(" ", "_")
    with caplog.at_level(logging.WARNING):
        record = run.train(configuration(name, *SCHNET, "test=false"))
    assert record["status"] == "completed"
    assert f"W&B failed to {doing} (OSError: no space left)" in caplog.text
    if doing in ("log", "store the results"):
        (logged,) = logged_runs(folder / "runs" / name)
        assert logged.exit_code == 0


def test_only_the_first_of_several_processes_has_a_run(folder, monkeypatch):
    monkeypatch.setattr(rank_zero_only, "rank", 1)
    logger = WandbLogger()
    logger.begin_run({}, folder, goes_on=False)
    logger.log_metrics({"train/loss": 1.0}, 1)
    logger.end_run({}, folder)
    assert not (folder / "wandb").exists()


def test_scalars_before_a_run_has_begun_are_an_error():
    with pytest.raises(RuntimeError, match="between begin_run and end_run"):
        WandbLogger().log_metrics({"train/loss": 1.0}, 1)


def test_without_wandb_the_remedy_is_named(monkeypatch):
    monkeypatch.setattr(wandb_logger, "find_spec", lambda name: None)
    with pytest.raises(ImportError, match=r"pip install 'sus2bench\[wandb\]'"):
        WandbLogger()
