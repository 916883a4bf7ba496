"""A run in phases: one log, one best checkpoint, and resumed wherever it was cut."""

import csv
import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from lightning.pytorch.callbacks import Callback
from phases_here import STEPS, make_phases, train
from test_resume import assert_equal, assert_same_run

from sus2bench.training.budget import Budget
from sus2bench.training.phases import Phase
from sus2bench.training.whole_set.levenberg_marquardt import LevenbergMarquardt
from sus2bench.training.whole_set.linear_solve import LinearSolve
from sus2bench.training.whole_set.variable_projection import VariableProjection


class SignalAt(Callback):
    """Interrupts after a step, counted over all phases."""

    def __init__(self, step):
        self.step = step

    def on_train_batch_end(self, trainer, pl_module, *args, **kwargs):
        if pl_module.step == self.step:
            os.kill(os.getpid(), signal.SIGTERM)


class Watch(Callback):
    """Notes with which weights each phase begins."""

    starts: list

    def __init__(self):
        self.starts = []

    def on_train_start(self, trainer, pl_module):
        weights = {k: v.detach().clone() for k, v in pl_module.potential.state_dict().items()}
        best = Path(trainer.default_root_dir) / "checkpoints" / "best.ckpt"
        self.starts.append((weights, torch.load(best, weights_only=True) if self.starts else None))


@pytest.fixture(scope="module")
def reference(tmp_path_factory):
    folder, watch = tmp_path_factory.mktemp("phases"), Watch()
    potential, result = train(folder, extra=[watch])
    return folder, potential, result, watch


def rows(folder, column):
    with (folder / "metrics.csv").open() as file:
        return [row for row in csv.DictReader(file) if row[column]]


def test_the_budget_is_shared_and_what_is_left_over_goes_on(reference):
    _, _, result, _ = reference
    assert [report["name"] for report in result.phases] == ["batches", "polish", "again"]
    assert [report["steps"] for report in result.phases] == [8, 7, 5]
    assert (result.status, result.steps) == ("completed", STEPS)
    assert result.train_seconds == sum(report["seconds"] for report in result.phases)


def test_steps_of_the_log_go_on_over_phases(reference):
    folder, *_ = reference
    steps = [int(row["step"]) for row in rows(folder, "train/loss")]
    # Every second step of mini-batches, every step over the whole set.
    assert steps == [2, 4, 6, 8, *range(9, 16), 17, 19]
    assert [int(row["step"]) for row in rows(folder, "train/gradient")] == list(range(9, 16))
    # At the end of each epoch, which has six batches or is one step, and of each phase.
    validated = [int(row["step"]) for row in rows(folder, "valid/loss")]
    assert validated == [6, 8, *range(9, 16), 20]


def test_the_best_checkpoint_is_that_of_all_phases(reference):
    folder, potential, result, _ = reference
    losses = [float(row["valid/loss"]) for row in rows(folder, "valid/loss")]
    best = torch.load(folder / "checkpoints/best.ckpt", weights_only=True)
    assert_equal(dict(potential.state_dict()), best["potential"]["state_dict"])
    # Lightning keeps metrics in single precision.
    assert result.phases[-1]["best_valid_loss_after"] == pytest.approx(min(losses), rel=1e-7)
    for before, after in zip(result.phases, result.phases[1:], strict=False):
        assert after["best_valid_loss_before"] == before["best_valid_loss_after"]
    assert result.phases[0]["best_valid_loss_before"] is None


def test_a_phase_starts_from_the_best_weights_so_far(reference):
    *_, watch = reference
    assert len(watch.starts) == 3
    for weights, best in watch.starts[1:]:
        assert_equal(weights, dict(best["potential"]["state_dict"]))


def test_a_worse_phase_does_not_replace_the_best_checkpoint(tmp_path):
    phases = make_phases()
    bad = Phase(lambda groups: torch.optim.SGD(groups, lr=5.0), average=False, max_steps=6)
    train(tmp_path, phases={"batches": phases["batches"], "bad": bad})
    losses = [float(row["valid/loss"]) for row in rows(tmp_path, "valid/loss")]
    assert losses[-1] > losses[0]
    best = torch.load(tmp_path / "checkpoints/best.ckpt", weights_only=True)
    assert best["sus2bench"]["phase"]["name"] == "batches"


# In each phase: its first step, one within, and its last; an epoch of mini-batches has six.
@pytest.mark.parametrize("step", [1, 6, 7, 8, 9, 12, 15, 16, 19])
def test_resumed_after_a_signal(tmp_path, reference, step):
    _, result = train(tmp_path, extra=[SignalAt(step)])
    assert (result.status, result.steps) == ("interrupted", step)
    potential, result = train(tmp_path, resume="last")
    assert (result.status, result.steps) == ("completed", STEPS)
    assert_same(tmp_path, reference[0])
    assert_equal(dict(potential.state_dict()), dict(reference[1].state_dict()))


def test_resumed_in_every_phase(tmp_path, reference):
    for step in (3, 10, 11, 18):
        train(tmp_path, resume="last", extra=[SignalAt(step)])
    train(tmp_path, resume="last")
    assert_same(tmp_path, reference[0])


@pytest.mark.slow
def test_a_process_that_is_killed_can_be_resumed(tmp_path, reference):
    script = Path(__file__).with_name("phases_here.py")
    for step in (5, 9, 13, 17):
        folder = tmp_path / str(step)
        process = subprocess.Popen(
            [sys.executable, str(script), str(folder), str(step)],
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            text=True,
            env={**os.environ, "OMP_NUM_THREADS": "1"},
        )
        for line in process.stdout:
            if line.strip() == str(step):
                process.kill()
                break
        process.communicate(timeout=300)
        train(folder, resume="last")
        assert_same(folder, reference[0])


def test_a_finished_run_is_not_trained_further(tmp_path, reference):
    _, first = train(tmp_path)
    history = (tmp_path / "metrics.csv").read_text()
    potential, result = train(tmp_path, resume="last")
    assert (result.status, result.steps, result.epochs) == ("completed", STEPS, first.epochs)
    assert [report["steps"] for report in result.phases] == [8, 7, 5]
    assert (tmp_path / "metrics.csv").read_text() == history
    assert_equal(dict(potential.state_dict()), dict(reference[1].state_dict()))


def test_other_phases_than_those_of_the_checkpoint_are_refused(tmp_path):
    train(tmp_path, extra=[SignalAt(10)])
    phases = make_phases()
    del phases["polish"]
    with pytest.raises(ValueError, match="written in phase 'polish'"):
        train(tmp_path, phases=phases, resume="last")


def test_a_phase_without_budget_is_left_out(tmp_path, caplog):
    phases = make_phases()
    phases["late"] = Phase(phases["again"].algorithm, part=1e-9)
    phases["batches"] = Phase(phases["batches"].algorithm, part=1e12)
    _, result = train(tmp_path, phases=phases, steps=6)
    assert [report["name"] for report in result.phases] == ["batches"]
    assert "no budget is left for the phase 'polish'" in caplog.text


@pytest.mark.parametrize(
    ("optimizer", "solve_every", "message"),
    [
        (LevenbergMarquardt, None, "PairSum gives no Jacobian"),
        (LinearSolve, None, "PairSum has no linear readout"),
        (VariableProjection, None, "PairSum has no linear readout"),
        (torch.optim.AdamW, 5, "PairSum has no linear readout"),
    ],
)
def test_what_a_later_phase_would_refuse_is_found_before_the_first(
    tmp_path, optimizer, solve_every, message
):
    phases, watch = make_phases(), Watch()
    phases["again"] = Phase(optimizer, solve_every=solve_every)
    with pytest.raises(ValueError, match=message):
        train(tmp_path, phases=phases, extra=[watch])
    assert not watch.starts


def test_settings_that_make_no_phase_are_refused():
    with pytest.raises(ValueError, match="part of a phase must be positive"):
        Phase(torch.optim.SGD, part=0)
    with pytest.raises(ValueError, match="max_steps of a phase"):
        Phase(torch.optim.SGD, max_steps=0)


def test_a_budget_of_both_kinds_is_shared():
    budget = Budget(max_steps=100, max_time=50)
    share = budget.share(0.5, 20, 10.0)
    assert (share.max_steps, share.max_time) == (40, 20.0)
    assert budget.share(0.5, 20, 10.0, 7).max_steps == 7
    assert budget.share(1.0, 20, 50.0) is None
    assert budget.share(1.0, 100, 0.0) is None


def assert_same(folder, reference):
    """As `assert_same_run`, apart from the seconds in the reports of phases."""
    for path in (folder, reference):
        for name in ("last.ckpt", "best.ckpt"):
            file = path / "checkpoints" / name
            state = torch.load(file, weights_only=True)
            for report in state["sus2bench"]["phase"]["earlier"]:
                report["seconds"] = 0.0
            torch.save(state, file)
    assert_same_run(folder, reference)
