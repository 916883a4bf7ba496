"""Replicates: what they cover, and that they can be had again."""

import numpy as np
import pytest
from scipy import stats

from sus2bench.statistics.frame_sums import METRICS, FrameSums
from sus2bench.statistics.resampling import interval, replicates

KEY = "0123456789abcdef"


def sums_of(square, labels=KEY):
    """One number per frame, the same for all quantities."""
    columns = np.repeat(np.asarray(square)[:, None], 3, axis=1)
    return FrameSums(columns, np.sqrt(columns), np.ones_like(columns), labels)


def test_replicates_are_the_same_again_and_whoever_stands_beside():
    generator = np.random.default_rng(0)
    one, other = ([sums_of(generator.chisquare(3, 30)) for _ in range(3)] for _ in range(2))
    alone = replicates([one], [KEY], samples=1200)
    beside = replicates([one, other], [KEY, KEY[::-1]], samples=1200)
    assert alone.shape == (1200, 1, len(METRICS))
    np.testing.assert_array_equal(alone[:, 0], beside[:, 0])
    assert not np.array_equal(alone, replicates([one], [KEY], samples=1200, seed=1))


def test_models_are_tested_on_the_same_frames_in_each_replicate():
    square = np.random.default_rng(1).chisquare(3, 40)
    values = replicates([[sums_of(square)], [sums_of(4 * square)]], [KEY, KEY[::-1]], samples=300)
    # Twice the error on every draw of frames, whatever the draw.
    np.testing.assert_allclose(values[:, 1], 2 * values[:, 0], rtol=1e-12)


def test_intervals_over_frames_are_those_of_scipy():
    absolute = np.abs(np.random.default_rng(2).normal(size=80))
    found = replicates([[sums_of(absolute**2)]], [KEY])[:, 0, METRICS.index("forces_mae_meV_A")]
    settings = {"method": "percentile", "n_resamples": 10_000}
    expected = stats.bootstrap((absolute,), np.mean, rng=np.random.default_rng(3), **settings)
    # Ends of two sets of 10^4 random replicates: each is known to some 2 % of the width.
    width = np.ptp(expected.confidence_interval)
    assert interval(found) == pytest.approx(tuple(expected.confidence_interval), abs=0.06 * width)


def test_on_frames_that_are_all_alike_the_interval_is_that_of_student_over_seeds():
    errors = np.array([10.0, 11.0, 13.0])
    runs = [sums_of(np.full(20, error**2)) for error in errors]
    low, high = interval(replicates([runs], [KEY])[:, 0, 0])
    half = stats.t.ppf(0.975, 2) * stats.sem(errors)
    # 10^4 draws know the 2.5 % tail of Student's distribution with 2 degrees to about 5 %.
    assert (high - low) / 2 == pytest.approx(half, rel=0.1)


def test_intervals_hold_the_truth_as_often_as_they_say():
    """Three seeds that differ as much as frames do; 200 repetitions of the whole experiment."""
    generator, seeds, frames, spread = np.random.default_rng(4), 3, 60, 0.1
    truth = np.exp(spread**2 / 2) * np.exp(0.5**2)
    held = 0
    for trial in range(200):
        hardness = np.exp(0.5 * generator.normal(size=frames))
        of_seed = np.exp(spread * generator.normal(size=seeds))
        noise = generator.chisquare(30, size=(seeds, frames)) / 30
        square = (of_seed[:, None] * hardness) ** 2 * noise
        runs = [sums_of(one, f"{trial:016x}") for one in square]
        low, high = interval(replicates([runs], [f"{trial:016x}"], samples=400)[:, 0, 0])
        held += low <= truth <= high
    # 95 % within three standard deviations of 200 trials, and more is no fault: seeds and frames
    # together have more degrees of freedom than the seeds that Student's distribution is given.
    assert held / 200 > 0.95 - 3 * np.sqrt(0.95 * 0.05 / 200)
