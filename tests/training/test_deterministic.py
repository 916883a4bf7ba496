"""Deterministic algorithms within a block only, and a clear word on what a GPU needs for them."""

import pytest
import torch

from sus2bench.testing.state import process_state
from sus2bench.training.deterministic import WORKSPACE, deterministic


def test_block_is_deterministic_and_leaves_nothing_behind():
    before = process_state()
    with deterministic(True, gpu=False):
        assert torch.are_deterministic_algorithms_enabled()
        assert torch.backends.cudnn.deterministic
    assert process_state() == before
    assert not torch.backends.cudnn.deterministic


def test_error_within_the_block_leaves_nothing_behind_either():
    def fail():
        with deterministic(True, gpu=False):
            raise KeyError

    before = process_state()
    pytest.raises(KeyError, fail)
    assert process_state() == before


def test_nothing_changes_where_it_is_not_wanted():
    with deterministic(False, gpu=True):
        assert not torch.are_deterministic_algorithms_enabled()


def test_mode_that_was_set_outside_comes_back():
    torch.use_deterministic_algorithms(True, warn_only=True)
    try:
        with deterministic(True, gpu=False):
            assert not torch.is_deterministic_algorithms_warn_only_enabled()
        assert torch.is_deterministic_algorithms_warn_only_enabled()
    finally:
        torch.use_deterministic_algorithms(False)


@pytest.mark.parametrize("value", [None, "0"])
def test_gpu_without_its_variable_is_an_error_that_says_what_to_export(monkeypatch, value):
    monkeypatch.delenv(WORKSPACE, raising=False)
    if value is not None:
        monkeypatch.setenv(WORKSPACE, value)
    wanted = deterministic(True, gpu=True)
    with pytest.raises(ValueError, match=f"export {WORKSPACE}=:4096:8"), wanted:
        pytest.fail("the block must not start")
    monkeypatch.setenv(WORKSPACE, ":16:8")
    with deterministic(True, gpu=True):
        assert torch.are_deterministic_algorithms_enabled()
