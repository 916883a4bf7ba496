"""Sums by frame, and blocks of frames."""

import tracemalloc

import numpy as np
import pytest

from sus2bench.statistics.frame_sums import METRICS, FrameSums, blocks_of_frames, frame_sums

FORCES = METRICS.index("forces_rmse_meV_A")


def example():
    """Three frames of 1, 2 and 3 atoms, in another order; one force and one stress missing."""
    generator = np.random.default_rng(5)
    arrays = {
        "frame_index": np.array([2, 0, 1]),
        "frame_offsets": np.array([0, 3, 4, 6]),
        "atomic_numbers": np.array([1, 1, 8, 8, 1, 1]),
        "energy": generator.normal(size=3),
        "forces": generator.normal(size=(6, 3)),
        "stress": generator.normal(size=(3, 3, 3)),
    }
    arrays |= {f"{name}_reference": np.zeros_like(arrays[name]) for name in ("energy", "stress")}
    arrays["forces_reference"] = np.zeros((6, 3))
    arrays["forces_reference"][4] = np.nan
    arrays["stress_reference"][1] = np.nan
    return arrays


def test_errors_of_all_frames_are_those_of_all_values():
    arrays = example()
    errors = dict(zip(METRICS, frame_sums(arrays).errors(), strict=True))
    forces = arrays["forces"][[0, 1, 2, 3, 5]]
    energies = arrays["energy"] / np.array([3, 1, 2])
    # Two orders of summation of a dozen numbers.
    assert errors["forces_rmse_meV_A"] == pytest.approx(1e3 * np.sqrt((forces**2).mean()), 1e-13)
    assert errors["forces_mae_meV_A"] == pytest.approx(1e3 * np.abs(forces).mean(), 1e-13)
    assert errors["energy_per_atom_mae_meV"] == pytest.approx(1e3 * np.abs(energies).mean(), 1e-13)
    assert frame_sums(arrays).count.sum(0).tolist() == [3, 15, 18]


def test_frames_stand_in_the_order_of_their_numbers():
    assert frame_sums(example()).count[:, 1].tolist() == [3, 3, 9]


def test_a_frame_taken_twice_counts_twice():
    sums = frame_sums(example())
    weighted = sums.errors(np.array([0.0, 2.0, 1.0]))[FORCES]
    square, count = sums.square[:, 1], sums.count[:, 1]
    expected = np.sqrt((2 * square[1] + square[2]) / (2 * count[1] + count[2]))
    assert weighted == pytest.approx(expected, 1e-13)


def test_frames_without_labels_have_no_error():
    sums = frame_sums(example())
    stress = METRICS.index("stress_mae_GPa")
    assert np.isnan(sums.errors_of_frames()[:, stress]).tolist() == [True, False, False]


def test_errors_of_frames_are_those_of_each_by_itself_and_take_no_square_of_their_number():
    sums = frame_sums(example())
    np.testing.assert_array_equal(sums.errors_of_frames(), sums.errors(np.eye(3)))
    many = FrameSums(*np.ones((3, 20_000, 3)), labels="")
    tracemalloc.start()
    many.errors_of_frames()
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 20_000 * 1000  # bytes: some numbers for each frame; a matrix would be 3.2 GB


def test_a_prediction_that_is_not_a_number_errs_infinitely():
    arrays = example()
    arrays["energy"][0] = np.nan
    errors = frame_sums(arrays).errors()
    assert np.isinf(errors[0])
    assert np.isfinite(errors[FORCES])


def test_joined_frames_have_the_same_error_in_all():
    sums = frame_sums(example())
    joined = sums.joined(np.array([0, 0, 1]))
    assert len(joined.count) == 2
    np.testing.assert_allclose(joined.errors(), sums.errors(), rtol=1e-13)


def test_blocks_end_where_the_atoms_change_and_are_as_equal_as_can_be():
    numbers = [29] * 7 + [28] * 3
    arrays = {
        "frame_index": np.arange(10),
        "frame_offsets": np.arange(11),
        "atomic_numbers": np.array(numbers),
    }
    assert blocks_of_frames(arrays, 4).tolist() == [0, 0, 0, 0, 1, 1, 1, 2, 2, 2]
    assert blocks_of_frames(arrays, 1).tolist() == list(range(10))
    with pytest.raises(ValueError, match="at least 1 frame"):
        blocks_of_frames(arrays, 0)
