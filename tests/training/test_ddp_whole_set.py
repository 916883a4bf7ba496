"""Two processes that share the whole training set do what one does."""

from pathlib import Path

import pytest
import torch
from ddp_whole_set_here import train
from two_processes import two_processes

pytestmark = pytest.mark.slow

SCRIPT = Path(__file__).with_name("ddp_whole_set_here.py")


@pytest.fixture(scope="module")
def runs(tmp_path_factory):
    """Results of one process and of two."""
    folder = tmp_path_factory.mktemp("ddp")
    with two_processes(SCRIPT, folder):
        train(folder / "1", 1)
    return [torch.load(folder / f"{count}.pt", weights_only=True) for count in (1, 2)]


def test_value_and_gradient_are_those_of_one_process(runs):
    one, two = runs
    assert two["frames"] < one["frames"], "each process has a part of the frames"
    assert two["value"] == pytest.approx(one["value"], rel=1e-10)
    largest = float(one["gradient"].abs().max())
    assert float((one["gradient"] - two["gradient"]).abs().max()) <= 1e-10 * largest


def test_normal_equations_are_those_of_one_process(runs):
    for one, two in zip(runs[0]["equations"], runs[1]["equations"], strict=True):
        assert float((one - two).abs().max()) <= 1e-10 * float(one.abs().max())


def test_products_with_the_matrix_are_those_of_one_process(runs):
    one, two = (run["product"] for run in runs)
    assert float((one - two).abs().max()) <= 1e-10 * float(one.abs().max())


@pytest.mark.parametrize("kind", ["LevenbergMarquardt", "GaussNewton"])
def test_damped_steps_are_the_same_in_both_processes(runs, kind):
    losses, found = runs[1]["steps"][kind]
    assert losses[0] > losses[1] > losses[2]
    for first, second in found:
        assert torch.equal(first, second)


def test_damped_steps_with_the_whole_matrix_are_those_of_one_process(runs):
    # Without it their units are an estimate, which depends on the division of the frames.
    one, two = (run["steps"]["LevenbergMarquardt"] for run in runs)
    # A readout that is hardly damped, 1e-10, carries the rounding of the first step far.
    for number, bound in enumerate((1e-10, 1e-8)):
        assert two[0][number + 1] == pytest.approx(one[0][number + 1], rel=bound)
        alone, first = one[1][number][0], two[1][number][0]
        assert float((alone - first).abs().max()) <= bound * float(alone.abs().max())


def test_the_linear_solve_is_that_of_one_process(runs):
    one, two = runs
    assert one["solved"][1] < one["solved"][0]
    assert two["solved"] == pytest.approx(one["solved"], rel=1e-10)


def test_the_iterates_are_those_of_one_process(runs):
    one, two = runs
    assert one["loss"] < one["value"]
    for name, tensor in one["iterates"].items():
        # Sums in another order, carried through six line searches.
        torch.testing.assert_close(two["iterates"][name], tensor, rtol=1e-8, atol=1e-9)
