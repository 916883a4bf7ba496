"""Measurements are added to completed runs, and leave everything else in their records."""

import json
import shutil

import pytest
from ase.io import write
from hydra import compose, initialize_config_dir

from sus2bench.benchmark import additions, measure, records, run
from sus2bench.benchmark.records import RecordError
from sus2bench.cli.configuration import configuration_folder

RUN = (
    *("name=small", "data_name=alloys", "paths.output=runs/small", "paths.cache=cache"),
    *("data=extxyz", "data.train_file=alloys.extxyz", "data.test_fraction=0.25"),
    *("data.valid_fraction=0.25", "data.batch_size=4", "model=schnet_small", "model.features=8"),
    *("model.interactions=1", "model.cutoff=4.0", "trainer=cpu", "threads=1"),
    *("budget.max_time=null", "budget.max_steps=2"),
)
BARE = ("test=false", "speed=false")
CHECKS = "stability={nve: {steps: 10}, hot: null, eos: {points: 5}, dimers: {points: 10}}"


@pytest.fixture(scope="module")
def bare(tmp_path_factory, small_alloys):
    """A working folder with sixteen small Al-Cu cells and a run of which nothing is measured."""
    folder = tmp_path_factory.mktemp("bare")
    write(folder / "alloys.extxyz", small_alloys(16))
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(folder)
        train(*BARE)
    return folder


@pytest.fixture
def folder(bare, tmp_path, monkeypatch):
    """A copy of it to work in."""
    shutil.copytree(bare, tmp_path, dirs_exist_ok=True)
    monkeypatch.chdir(tmp_path)
    return tmp_path


def train(*overrides):
    with initialize_config_dir(str(configuration_folder()), version_base="1.3"):
        config = compose("train", [*RUN, *overrides])
    return run.train(config)


def stored(folder):
    return records.load_record(folder / "runs/small/record.json")


def without(record, *keys):
    return {key: value for key, value in record.items() if key not in keys}


def refuse_to_train(*arguments, **settings):
    raise AssertionError("no training is repeated")


def test_what_is_asked_for_later_is_measured_from_the_checkpoint_and_added(folder, monkeypatch):
    before = stored(folder)
    monkeypatch.setattr(run, "fit_phases", refuse_to_train)
    train("test=true", "speed=true", CHECKS, "resume=true")
    after = stored(folder)
    changing = ("config", "config_sha256", "timings", "metrics", "baseline", "units", "stability")
    changing += ("speed", "additions")
    assert without(after, *changing) == without(before, *changing)
    assert without(after["config"], "test", "speed", "stability") == without(
        before["config"], "test", "speed", "stability"
    )
    assert after["config"]["stability"]["nve"] == {"steps": 10}
    assert (after["config"]["test"], after["config"]["speed"]) == (True, True)
    own = ("total_seconds", "evaluate_seconds", "stability_seconds")
    assert without(after["timings"], *own) == without(before["timings"], *own)
    assert after["timings"]["total_seconds"] > before["timings"]["total_seconds"]
    assert after["additions"][0]["measured"] == ["test", "stability", "speed"]
    assert set(after["speed"]) == {"small"}
    assert (folder / "runs/small/predictions_test.npz").is_file()
    with pytest.raises(RecordError, match="overwrite=true"):  # nothing is lacking any more
        train("test=true", "speed=true", CHECKS, "resume=true")


def test_added_numbers_are_those_of_a_run_that_had_them_from_the_beginning(folder):
    train("speed=false", CHECKS, "paths.output=runs/whole")
    whole = records.load_record(folder / "runs/whole/record.json")
    train("speed=false", CHECKS, "resume=true")
    parts = stored(folder)
    assert parts["metrics"] == whole["metrics"]
    assert parts["baseline"] == whole["baseline"]
    assert parts["units"] == whole["units"]
    assert parts["stability"] == whole["stability"]


def test_what_is_there_already_stays_and_is_not_measured_again(folder, monkeypatch):
    train("test=true", "speed=false", "resume=true")
    before = stored(folder)
    monkeypatch.setattr(measure, "measure_accuracy", refuse_to_train)
    train("test=false", "speed=false", CHECKS, "resume=true")
    after = stored(folder)
    assert after["metrics"] == before["metrics"]
    assert after["config"]["test"] is True
    assert "stability" in after


@pytest.mark.parametrize("error", [KeyboardInterrupt, RuntimeError])
def test_a_measurement_that_does_not_end_leaves_the_record_as_it_was(folder, monkeypatch, error):
    file = folder / "runs/small/record.json"
    before = file.read_bytes()

    def ends(*arguments, **settings):
        raise error

    monkeypatch.setattr(measure, "check_stability", ends)
    with pytest.raises(error):
        train("speed=false", CHECKS, "resume=true")
    assert file.read_bytes() == before


def test_the_refusal_of_a_completed_run_says_what_could_be_added(folder):
    with pytest.raises(RecordError, match="resume=true to add test and stability to it"):
        train("speed=false", CHECKS)
    for other in (("seed=1", "resume=true"), ()):
        with pytest.raises(RecordError, match="another name, or overwrite=true"):
            train(*BARE, *other)


def test_nothing_is_added_from_other_data_or_without_the_checkpoint(folder, small_alloys):
    write(folder / "alloys.extxyz", small_alloys(16)[::-1])
    with pytest.raises(ValueError, match="the data are not those of the completed run"):
        train("speed=false", "resume=true")
    (folder / "runs/small/checkpoints/best.ckpt").unlink()
    with pytest.raises(ValueError, match="without its checkpoint"):
        train("speed=false", "resume=true")


def test_times_of_another_processor_are_not_added(folder):
    file = folder / "runs/small/record.json"
    record = json.loads(file.read_text())
    record["hardware"]["cpu"] = "another"
    file.write_text(json.dumps(record))
    with pytest.raises(ValueError, match="cannot take times of"):
        train("test=false", "speed=true", "resume=true")


def test_only_the_first_of_several_processes_measures(folder, monkeypatch):
    before = stored(folder)
    monkeypatch.setattr(additions.rank_zero_only, "rank", 1)
    assert train("speed=false", CHECKS, "resume=true") == before
    assert stored(folder) == before
