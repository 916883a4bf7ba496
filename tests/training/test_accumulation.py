"""Batches in parts and divided over processes: the same steps as in one piece."""

import csv
import io
from pathlib import Path

import pytest
import torch
from standin import DataModule, make_module, make_potential
from steps_here import ACCUMULATED, STEPS, train_all
from two_processes import two_processes

from sus2bench.data.datamodule import FrameDataModule
from sus2bench.data.loader import FrameLoader
from sus2bench.data.samplers import FrameBatchSampler
from sus2bench.training.budget import Budget
from sus2bench.training.phases import Phase, fit_phases
from sus2bench.training.whole_set.lbfgs import LBFGS

SCRIPT = Path(__file__).with_name("steps_here.py")


def load(folder):
    return {path.stem: torch.load(path, weights_only=True) for path in folder.glob("*.pt")}


@pytest.fixture(scope="module")
def alone(tmp_path_factory):
    """Runs of one process by number of parts."""
    folder = tmp_path_factory.mktemp("alone")
    train_all(folder, 1)
    return load(folder)


@pytest.fixture(scope="module")
def together(tmp_path_factory):
    """Runs of two processes."""
    folder = tmp_path_factory.mktemp("together")
    with two_processes(SCRIPT, folder):
        pass
    return load(folder)


def rows(run):
    return [
        {name: float(text) for name, text in row.items() if text and name != "seconds"}
        for row in csv.DictReader(io.StringIO(run["log"]))
    ]


def assert_same_run(run, reference):
    """The same weights, averages and logs, but for the order in which gradients are added up.

    That order changes a gradient by some 1e-16 of its terms. After twenty steps weights, of order
    one, differed by 4e-16, and small ones by 1e-14 of themselves.
    """
    assert run["counted"] == reference["counted"]
    for kind in ("weights", "average"):
        assert run[kind].keys() == reference[kind].keys()
        for name, value in reference[kind].items():
            torch.testing.assert_close(run[kind][name], value, rtol=1e-12, atol=1e-14, msg=name)
    for row, expected in zip(rows(run), rows(reference), strict=True):
        assert row == pytest.approx(expected, rel=1e-10, abs=1e-12)


@pytest.mark.parametrize("parts", ACCUMULATED[1:])
def test_batches_in_parts_give_the_weights_of_whole_ones_after_20_steps(alone, parts):
    assert alone["1_1"]["counted"][0] == STEPS
    assert_same_run(alone[f"1_{parts}"], alone["1_1"])


@pytest.mark.slow
@pytest.mark.parametrize("parts", ACCUMULATED)
def test_two_processes_give_the_weights_of_one_after_20_steps(alone, together, parts):
    assert_same_run(together[f"2_{parts}"], alone["1_1"])


def test_weights_have_moved_and_labels_are_missing(alone):
    start, end = make_potential().state_dict(), alone["1_1"]["weights"]
    moved = max(float((end[f"potential.{k}"] - v).abs().max()) for k, v in start.items())
    assert moved > 1e-2
    log = rows(alone["1_1"])
    assert 0 < log[-1]["valid/energy_frames"] < 7


class Frames:
    """What a loader asks of a data set."""

    def __init__(self, edges):
        self.num_edges = torch.tensor(edges).numpy()

    def __len__(self):
        return len(self.num_edges)

    def batch(self, indices):
        return list(indices)


@pytest.mark.parametrize("parts", [2, 3, 5])
def test_the_parts_of_a_batch_have_each_of_its_frames_once_and_are_of_like_size(parts):
    edges = [10 * (1 + index % 6) for index in range(21)]
    sampler = FrameBatchSampler([1] * 21, edges, batch_size=6)
    batches = list(FrameLoader(Frames(edges), sampler, 0, parts))
    assert sorted(sum((sum(batch, []) for batch in batches), [])) == list(range(21))
    for batch in batches:
        assert len(batch) == min(parts, sum(map(len, batch)))
        numbers = [len(part) for part in batch]
        assert max(numbers) - min(numbers) <= 1
        loads = [sum(edges[frame] for frame in part) for part in batch]
        assert max(loads) - min(loads) <= max(edges)


@pytest.mark.parametrize("accumulate", [0, 9])
def test_parts_without_a_frame_are_refused(accumulate):
    with pytest.raises(ValueError, match=r"data\.accumulate=.* at most .*data\.batch_size=8"):
        FrameDataModule("frames.extxyz", batch_size=8, accumulate=accumulate)


def test_a_budget_of_edges_leaves_the_number_of_parts_free():
    module = FrameDataModule("frames.extxyz", max_edges=1000, accumulate=9)
    assert module.accumulate == 9


def test_a_run_without_mini_batches_refuses_parts(tmp_path):
    def module(phase):
        made = make_module()
        made._make_optimizer = phase.algorithm
        return made

    with pytest.raises(ValueError, match="data.accumulate=2 is for optimizers of mini-batches"):
        fit_phases(
            {"only": Phase(LBFGS)},
            module,
            DataModule(accumulate=2),
            Budget(max_steps=1),
            folder=tmp_path,
        )


def test_a_loss_that_is_not_finite_names_the_frames_of_the_whole_batch(tmp_path):
    data = DataModule(train=4, valid=2, accumulate=2)
    data.train[1].energy = torch.tensor([torch.inf], dtype=torch.float64)
    with pytest.raises(FloatingPointError, match=r"frames \[\d, \d, \d, \d\] \(positions"):
        fit_phases(
            {"only": Phase(torch.optim.Adam)},
            lambda phase: make_module(),
            data,
            Budget(max_steps=1),
            folder=tmp_path,
        )
