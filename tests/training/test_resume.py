"""An interrupted and resumed run is the uninterrupted one, to the bit."""

import csv
import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from lightning.pytorch.callbacks import Callback
from train_here import STEPS, train


def assert_equal(value, other, path=""):
    """Tensors bit for bit, everything else by ==."""
    assert type(value) is type(other), path
    if isinstance(value, dict):
        assert value.keys() == other.keys(), path
        for key in value:
            assert_equal(value[key], other[key], f"{path}/{key}")
    elif isinstance(value, list | tuple):
        assert len(value) == len(other), path
        for i, (a, b) in enumerate(zip(value, other, strict=True)):
            assert_equal(a, b, f"{path}/{i}")
    elif isinstance(value, torch.Tensor):
        assert value.dtype == other.dtype, path
        assert torch.equal(value, other), path
    else:
        assert value == other, path


def content(checkpoint):
    """A checkpoint without the wall time, and without counters that no one resumes from."""
    state = torch.load(checkpoint, weights_only=True)
    state["callbacks"].pop("RunControl", None)
    for key in [key for key in state["callbacks"] if "RunControl" in key]:
        del state["callbacks"][key]
    loops = state.pop("loops")["fit_loop"]
    state["loops"] = {key: loops[key] for key in ("epoch_progress", "epoch_loop.batch_progress")}
    return state


def assert_same_run(folder, reference):
    for name in ("last.ckpt", "best.ckpt"):
        assert_equal(
            content(folder / "checkpoints" / name), content(reference / "checkpoints" / name)
        )
    assert history(folder) == history(reference)


def history(folder):
    """What was logged, apart from the times."""
    with (folder / "metrics.csv").open(newline="") as file:
        return [{**row, "seconds": None} for row in csv.DictReader(file)]


class SignalAt(Callback):
    def __init__(self, step, number):
        self.step, self.number = step, number

    def on_train_batch_end(self, trainer, *args, **kwargs):
        if trainer.global_step == self.step:
            os.kill(os.getpid(), self.number)


VARIANTS = {
    "epochs": {},
    "plateau": {"schedule": "plateau"},
    "validation_by_steps": {"val_check_interval": 4, "check_val_every_n_epoch": None},
    "validation_within_epochs": {"val_check_interval": 3},
    "batches_in_parts": {"accumulate": 3},
}


@pytest.fixture(scope="module")
def references(tmp_path_factory):
    finished = {}

    def reference(variant):
        if variant not in finished:
            finished[variant] = tmp_path_factory.mktemp(variant)
            train(finished[variant], **VARIANTS[variant])
        return finished[variant]

    return reference


# An epoch has 6 batches: interrupted in the first epoch, at an end of an epoch, just after it,
# at a validation within, and before the last batch.
@pytest.mark.parametrize(
    ("variant", "step"),
    [
        *(("epochs", step) for step in (1, 6, 7, 11, 20)),
        *(("plateau", step) for step in (12, 14)),
        *(("validation_by_steps", step) for step in (4, 6, 13)),
        *(("validation_within_epochs", step) for step in (3, 6, 10)),
        *(("batches_in_parts", step) for step in (6, 10)),
    ],
)
def test_resumed_after_a_signal(tmp_path, references, variant, step):
    settings = VARIANTS[variant]
    before = signal.getsignal(signal.SIGTERM)
    _, result = train(tmp_path, extra=[SignalAt(step, signal.SIGTERM)], **settings)
    assert (result.status, result.steps) == ("interrupted", step)
    assert signal.getsignal(signal.SIGTERM) is before
    _, result = train(tmp_path, resume="last", **settings)
    assert (result.status, result.steps) == ("completed", STEPS)
    assert_same_run(tmp_path, references(variant))


def test_resumed_twice(tmp_path, references):
    for step in (5, 13):
        train(tmp_path, resume="last", extra=[SignalAt(step, signal.SIGINT)])
    _, result = train(tmp_path, resume="last")
    assert result.status == "completed"
    assert_same_run(tmp_path, references("epochs"))


@pytest.mark.slow
def test_processes_that_are_killed_can_be_resumed(tmp_path, references):
    numbers = {"SIGKILL": signal.SIGKILL, "SIGINT": signal.SIGINT, "SIGTERM": signal.SIGTERM}
    script = Path(__file__).with_name("train_here.py")
    processes = {
        name: subprocess.Popen(
            [sys.executable, str(script), str(tmp_path / name)],
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            text=True,
            env={**os.environ, "OMP_NUM_THREADS": "1"},
        )
        for name in numbers
    }
    for name, process in processes.items():
        for line in process.stdout:
            if line.strip() == "10":
                process.send_signal(numbers[name])
                break
        rest = process.communicate(timeout=300)[0].split()
        if name == "SIGKILL":
            assert process.returncode == -signal.SIGKILL
        else:
            assert process.returncode == 0
            assert rest[-1] == "interrupted"
    for name in numbers:
        step = torch.load(tmp_path / name / "checkpoints/last.ckpt", weights_only=True)
        assert step["global_step"] == (8 if name == "SIGKILL" else 10)
        _, result = train(tmp_path / name, resume="last")
        assert result.steps == STEPS
        assert_same_run(tmp_path / name, references("epochs"))


def test_a_finished_run_is_not_trained_further(tmp_path):
    _, first = train(tmp_path, steps=9)
    history = (tmp_path / "metrics.csv").read_text()
    module, result = train(tmp_path, steps=9, resume="last")
    assert (result.status, result.steps, result.epochs) == ("completed", 9, 1.5)
    assert result.train_seconds == pytest.approx(first.train_seconds, abs=0.5)
    assert (tmp_path / "metrics.csv").read_text() == history
    best = torch.load(result.best_checkpoint, weights_only=True)["potential"]["state_dict"]
    assert_equal(dict(module.potential.state_dict()), best)


def test_a_larger_budget_goes_on_as_if_it_had_been_given_at_once(tmp_path):
    once, extended = tmp_path / "once", tmp_path / "extended"
    # Nothing may depend on the budget: a constant rate, and a validation that is due at its end.
    settings = {"schedule": "constant", "val_check_interval": 5, "check_val_every_n_epoch": None}
    train(once, steps=20, **settings)
    train(extended, steps=10, **settings)
    half = torch.load(extended / "checkpoints/last.ckpt", weights_only=True)
    assert half["sus2bench"]["position"] == {"epoch": 1, "batch": 4}
    train(extended, steps=20, resume="last", **settings)
    assert_same_run(extended, once)


def test_a_new_run_does_not_need_a_checkpoint(tmp_path):
    _, result = train(tmp_path, steps=2, resume="last")
    assert result.steps == 2


def test_a_file_that_is_no_checkpoint_of_ours_is_refused(tmp_path):
    torch.save({"state_dict": {}}, tmp_path / "other.ckpt")
    with pytest.raises(ValueError, match="not a checkpoint of a training run"):
        train(tmp_path, resume=tmp_path / "other.ckpt")
