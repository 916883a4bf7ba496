"""A run leaves a record however it ends, and never takes the place of another silently."""

from contextlib import suppress

import pytest
from omegaconf import OmegaConf

from sus2bench.benchmark import records
from sus2bench.benchmark.reporting import RunInterruptedError, recorded, refuse_to_lose_a_run


@pytest.fixture
def cfg(tmp_path):
    settings = {
        "name": "small",
        "seed": 4,
        "model": {"seed": "${seed}", "cutoff": 4.0},
        "overwrite": False,
        "resume": False,
        "paths": {"output": str(tmp_path / "run")},
    }
    return OmegaConf.create(settings)


def read(tmp_path):
    return records.load_record(tmp_path / "run" / "record.json")


def finish(record):
    record["parameters"] = dict.fromkeys(("stored", "trainable", "effective")) | {"blocks": {}}


def test_completed_run_has_its_resolved_config_and_seeds(cfg, tmp_path):
    with recorded(cfg, "train") as record:
        finish(record)
        record["metrics"] = {"valid": {"forces_rmse_meV_A": 1.0}}
    found = read(tmp_path)
    assert found["status"] == "completed"
    assert found["traceback"] is None
    assert found["seeds"] == {"run": 4, "model": 4}
    assert found["config"]["model"] == {"seed": 4, "cutoff": 4.0}
    assert found["units"] == {"forces_rmse_meV_A": "meV/Å"}
    assert str(tmp_path) not in (tmp_path / "run" / "record.json").read_text()


def test_failed_run_keeps_its_traceback_and_the_error_goes_on(cfg, tmp_path):
    with pytest.raises(ValueError, match="bad label"), recorded(cfg, "train"):
        raise ValueError("bad label in /somewhere/else/frames.extxyz")
    found = read(tmp_path)
    assert found["status"] == "failed"
    assert found["traceback"].endswith("ValueError: bad label in frames.extxyz\n")


@pytest.mark.parametrize("error", [KeyboardInterrupt, SystemExit, RunInterruptedError])
def test_interrupted_run_says_so(cfg, tmp_path, error):
    with pytest.raises(error), recorded(cfg, "train"):
        raise error
    assert read(tmp_path)["status"] == "interrupted"


def test_completed_run_is_kept_unless_overwriting_is_asked_for(cfg, tmp_path):
    with recorded(cfg, "train") as record:
        finish(record)
    with pytest.raises(records.RecordError, match="overwrite=true"), recorded(cfg, "train"):
        pytest.fail("the run must not start")
    asked = OmegaConf.merge(cfg, {"overwrite": True, "name": "again"})
    with recorded(asked, "train") as record:
        finish(record)
    assert read(tmp_path)["name"] == "again"


def test_a_run_that_replaces_another_goes_on_with_itself_only(cfg, tmp_path):
    both = OmegaConf.merge(cfg, {"overwrite": True, "resume": True})
    last = tmp_path / "run/checkpoints/last.ckpt"

    def one_run(config, ending):
        with suppress(ending), recorded(config, "train"):
            left = last.is_file()
            last.parent.mkdir(exist_ok=True)
            last.touch()
            raise ending
        return left

    assert not one_run(cfg, KeyboardInterrupt)
    assert one_run(both, KeyboardInterrupt)  # the same command with resume=true
    assert not one_run(OmegaConf.merge(both, {"seed": 5}), KeyboardInterrupt)
    assert not one_run(OmegaConf.merge(cfg, {"overwrite": True}), ValueError)


def test_an_evaluation_leaves_the_training_run_in_whose_folder_it_writes(cfg, tmp_path):
    (tmp_path / "run/checkpoints").mkdir(parents=True)
    (tmp_path / "run/checkpoints/best.ckpt").touch()
    with recorded(OmegaConf.merge(cfg, {"overwrite": True}), "evaluate") as record:
        finish(record)
    assert (tmp_path / "run/checkpoints/best.ckpt").is_file()


def test_checkpoint_of_a_run_that_did_not_end_is_kept(tmp_path):
    (tmp_path / "checkpoints").mkdir()
    (tmp_path / "checkpoints" / "last.ckpt").touch()
    with pytest.raises(records.RecordError, match="resume=true"):
        refuse_to_lose_a_run(tmp_path, {"overwrite": False, "resume": False})
    refuse_to_lose_a_run(tmp_path, {"overwrite": False, "resume": True})
    refuse_to_lose_a_run(tmp_path, {"overwrite": True, "resume": False})
