"""Two processes do what one does."""

from pathlib import Path

import pytest
import torch
from ddp_here import train_all
from two_processes import two_processes

pytestmark = pytest.mark.slow

SCRIPT = Path(__file__).with_name("ddp_here.py")


@pytest.fixture(scope="module")
def runs(tmp_path_factory):
    """Gradients and metrics by loss function and number of processes."""
    folder = tmp_path_factory.mktemp("ddp")
    with two_processes(SCRIPT, folder):
        train_all(folder, 1)
    return {path.stem: torch.load(path, weights_only=True) for path in folder.glob("*.pt")}


@pytest.mark.parametrize("function", ["mse", "mae", "huber"])
def test_gradient_of_a_global_batch_is_that_of_one_process(runs, function):
    one, two = runs[f"{function}1"][0], runs[f"{function}2"][0]
    assert one.keys() == two.keys()
    largest = max(float(value.abs().max()) for value in one.values())
    assert largest > 1e-3
    for name in one:
        difference = float((one[name] - two[name]).abs().max())
        assert difference <= 1e-12 * max(1.0, largest), name


def test_evaluation_counts_every_frame_once(runs):
    one, two = runs["mse1"][1], runs["mse2"][1]
    assert one["valid/energy_frames"] == 3  # of four, one has no energy
    assert one.keys() == two.keys()
    for name in one:
        # After a step that differs by the rounding of the gradient.
        assert one[name] == pytest.approx(two[name], rel=1e-9), name
