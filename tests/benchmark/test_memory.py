"""Peak memory of a call is what it adds while it runs."""

import sys

import pytest
import torch

from sus2bench.benchmark import memory

CPU = torch.device("cpu")
HUNDRED_MB = 100_000_000 // 8


@pytest.mark.skipif(sys.platform != "linux", reason="only Linux counts the peak")
@pytest.mark.parametrize("blocks", [1, 400], ids=["mapped", "heap"])
def test_memory_that_is_freed_within_the_call_is_seen_every_time(blocks):
    def job() -> None:
        [torch.ones(HUNDRED_MB // blocks, dtype=torch.float64) for _ in range(blocks)]

    for _ in range(3):
        # Pages are rounded, and the interpreter takes a little.
        assert memory.peak_memory(job, CPU) == pytest.approx(100, abs=3)


@pytest.mark.skipif(sys.platform != "linux", reason="only Linux counts the peak")
def test_memory_that_was_there_before_does_not_count():
    kept = torch.ones(HUNDRED_MB, dtype=torch.float64)
    assert memory.peak_memory(lambda: kept.sum(), CPU) < 3


def test_memory_is_unknown_where_nobody_counts_it(monkeypatch, tmp_path):
    monkeypatch.setattr(memory, "_PROCESS", tmp_path / "proc")
    assert memory.peak_memory(lambda: None, CPU) is None
    assert memory.peak_memory(lambda: None, torch.device("meta")) is None


def test_an_error_of_the_call_is_not_taken_for_a_missing_count():
    def job() -> None:
        raise FileNotFoundError("a defect of the call")

    with pytest.raises(FileNotFoundError, match="a defect"):
        memory.peak_memory(job, CPU)
