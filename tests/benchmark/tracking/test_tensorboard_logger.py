"""What TensorBoard has of a run beside the scalars, and of a run that was killed."""

import pytest
import scalars
from small_runs import SCHNET, configuration, logging_every_step

from sus2bench.benchmark import run, tensorboard_logger
from sus2bench.benchmark.tensorboard_logger import TensorBoardLogger
from sus2bench.training.csv_logger import CSVLogger

pytest.importorskip("tensorboard", reason="tensorboard is not installed")


def accumulated(folder):
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    events = EventAccumulator(str(folder))
    events.Reload()
    return events


def test_configuration_is_a_text_and_results_are_beside_it_in_hparams(folder):
    record = run.train(configuration("tensorboard", *SCHNET, logger="tensorboard"))
    events = accumulated(folder / "runs/tensorboard/tensorboard")
    (text,) = events.Tensors("config/text_summary")
    assert "cutoff: 4.0" in text.tensor_proto.string_val[0].decode()
    (error,) = events.Scalars("record/test/forces_mae_meV_A")
    # The file holds float32.
    assert error.value == pytest.approx(record["metrics"]["test"]["forces_mae_meV_A"], rel=1e-6)
    assert error.step == record["timings"]["steps"] == 12
    hparams = events.summary_metadata["_hparams_/session_start_info"].plugin_data
    assert b"model/cutoff" in hparams.content


def test_steps_after_the_last_checkpoint_of_a_killed_run_do_not_stay(folder):
    csv, board = CSVLogger(folder), TensorBoardLogger()
    board.folder = folder
    csv.begin(0)
    for step in range(1, 8):
        for logger in (csv, board):
            logger.log_metrics({"train/loss": 1.0 / step}, step)
    csv.save()
    board.finalize("killed")
    for logger in (csv, board):
        logger.begin(4)
        logger.log_metrics({"train/loss": 0.5}, 6)
        logger.finalize("success")
    of_board = accumulated(folder / "tensorboard").Scalars("train/loss")
    assert [event.step for event in of_board] == [1, 2, 3, 4, 6]
    assert {event.step: event.value for event in of_board} == pytest.approx(
        scalars.of_csv(folder)["train/loss"], rel=1e-6
    )


def test_overwriting_a_run_leaves_nothing_of_the_old_one(folder):
    settings = (*SCHNET, "test=false")
    with logging_every_step():
        run.train(configuration("replaced", *settings, logger="tensorboard"))
        shorter = ("budget.max_steps=3", "overwrite=true")
        run.train(configuration("replaced", *settings, *shorter, logger="tensorboard"))
    place = folder / "runs/replaced"
    assert sorted(scalars.of_tensorboard(place)["train/loss"]) == [1, 2, 3]


def test_without_a_run_there_is_no_folder():
    with pytest.raises(ValueError, match="set its folder"):
        _ = TensorBoardLogger().experiment


def test_without_tensorboard_the_remedy_is_named(monkeypatch):
    monkeypatch.setattr(tensorboard_logger, "find_spec", lambda name: None)
    with pytest.raises(ImportError, match=r"pip install 'sus2bench\[tensorboard\]'"):
        TensorBoardLogger()
