"""Checkpoints are plain, small, never half-written, and readable for ever."""

import importlib.util
import json
import os
from pathlib import Path

import pytest
import torch
from train_here import train

from sus2bench.atoms.frame import build_frame, collate
from sus2bench.models.loading import load_potential
from sus2bench.training.checkpoints import AtomicCheckpointIO, Checkpoints
from sus2bench.training.resume import CHECKPOINT_VERSION, read_checkpoint

FIXTURES = Path(__file__).parents[1] / "fixtures"


def plain(value):
    """Whether a value is of tensors and plain data only."""
    if isinstance(value, dict):
        return all(isinstance(key, str | int) and plain(item) for key, item in value.items())
    if isinstance(value, list | tuple):
        return all(plain(item) for item in value)
    return type(value) in (torch.Tensor, str, int, float, bool, type(None))


def test_a_checkpoint_has_tensors_and_plain_data_only(tmp_path):
    _, result = train(tmp_path, steps=7)
    for path in (result.best_checkpoint, result.last_checkpoint):
        state = torch.load(path, weights_only=True)
        assert plain(state)
        assert state["sus2bench"]["version"] == CHECKPOINT_VERSION
    assert {path.name for path in result.last_checkpoint.parent.iterdir()} == {
        "best.ckpt",
        "last.ckpt",
    }


def test_the_best_checkpoint_is_that_of_the_lowest_loss(tmp_path):
    _, result = train(tmp_path, steps=21)
    best = read_checkpoint(result.best_checkpoint)
    rows = [row.split(",") for row in result.history.read_text().splitlines()]
    column = rows[0].index("valid/loss")
    losses = {int(row[0]): float(row[column]) for row in rows[1:] if row[column]}
    assert best["global_step"] == min(losses, key=losses.get)


def test_a_crash_while_writing_leaves_the_file_as_it_was(tmp_path, monkeypatch):
    path = tmp_path / "last.ckpt"
    io = AtomicCheckpointIO()
    io.save_checkpoint({"a": torch.ones(3)}, path)
    before = path.read_bytes()

    def crash(checkpoint, file):
        file.write(before[:20])
        raise OSError("disk full")

    monkeypatch.setattr(torch, "save", crash)
    with pytest.raises(OSError, match="disk full"):
        io.save_checkpoint({"a": torch.zeros(3)}, path)
    assert path.read_bytes() == before
    assert os.listdir(tmp_path) == ["last.ckpt"]


def test_a_process_killed_while_writing_leaves_the_file_as_it_was(tmp_path):
    path = tmp_path / "last.ckpt"
    io = AtomicCheckpointIO()
    io.save_checkpoint({"a": torch.ones(3)}, path)
    child = os.fork()
    if child == 0:

        def killed(checkpoint, file):
            file.write(b"half")
            file.flush()
            os.kill(os.getpid(), 9)

        torch.save = killed
        io.save_checkpoint({"a": torch.zeros(3)}, path)
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == -9
    assert torch.equal(torch.load(path, weights_only=True)["a"], torch.ones(3))
    io.save_checkpoint({"a": torch.zeros(3)}, path)
    assert os.listdir(tmp_path) == ["last.ckpt"]


def test_a_newer_version_is_refused(tmp_path):
    torch.save({"sus2bench": {"version": CHECKPOINT_VERSION + 1}}, tmp_path / "new.ckpt")
    with pytest.raises(ValueError, match="upgrade sus2bench"):
        read_checkpoint(tmp_path / "new.ckpt")


def test_impossible_intervals_are_refused():
    for name in ("every_steps", "every_seconds"):
        with pytest.raises(ValueError, match=name):
            Checkpoints(**{name: 0})


def test_an_unknown_monitor_names_the_metrics(tmp_path):
    with pytest.raises(KeyError, match="valid/loss"):
        train(tmp_path, steps=2, monitor="valid/los")


def test_the_stored_checkpoint_of_version_1_predicts_the_stored_numbers():
    script = FIXTURES / "make_checkpoint_v1.py"
    spec = importlib.util.spec_from_file_location("make_checkpoint_v1", script)
    maker = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(maker)
    assert read_checkpoint(FIXTURES / "checkpoint_v1.ckpt")["sus2bench"]["version"] == 1
    potential = load_potential(FIXTURES / "checkpoint_v1.ckpt")
    prediction = potential(collate([build_frame(maker.atoms(), maker.CUTOFF)]))
    stored = json.loads((FIXTURES / "checkpoint_v1.json").read_text())
    for name, numbers in stored.items():
        expected = torch.tensor(numbers, dtype=torch.float64)
        # Another machine may sum in another order; eV, eV/Å, eV/Å^3.
        assert torch.allclose(getattr(prediction, name), expected, rtol=1e-12, atol=1e-12)
