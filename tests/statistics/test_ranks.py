"""Corrected p values, ranks, and the models that nothing sets apart from the best."""

import numpy as np
import pytest

from sus2bench.statistics.ranks import best_and_worse, holm, rank_distribution, two_sided_p


def test_holm_multiplies_by_the_number_of_hypotheses_left():
    # The example of R's p.adjust(c(0.01, 0.02, 0.03, 0.04), "holm").
    assert holm([0.01, 0.02, 0.03, 0.04]) == pytest.approx([0.04, 0.06, 0.06, 0.06])
    assert holm([0.04, 0.01, np.nan, 0.9]) == pytest.approx([0.08, 0.03, np.nan, 0.9], nan_ok=True)


def test_p_of_replicates_is_never_zero_and_at_most_one():
    assert two_sided_p(np.ones(999)) == pytest.approx(2 / 1000)
    assert two_sided_p(np.zeros(999)) == 1
    assert two_sided_p(np.array([-1.0, 1.0] * 500)) == 1
    assert np.isnan(two_sided_p(np.array([1.0, np.nan])))


def test_equal_models_share_a_rank():
    ranks = rank_distribution(np.array([[1.0, 2.0, 2.0, 3.0]]))
    assert ranks.tolist() == [[1, 2, 2, 4]]


def test_only_the_models_that_are_surely_worse_are_not_among_the_best():
    generator = np.random.default_rng(0)
    errors = np.array([10.0, 10.1, 14.0, np.nan])
    values = errors + generator.normal(size=(2000, 4))
    known = np.ones(4, dtype=bool)
    best, worse = best_and_worse(errors, values, known)
    assert best.tolist() == [True, True, False, False]
    assert worse.tolist() == [False, False, True, False]


def test_there_is_no_best_where_nothing_is_known_of_the_best():
    errors = np.array([10.0, 14.0])
    values = np.repeat(errors[None], 100, axis=0)
    known = np.array([False, True])
    assert not np.any(best_and_worse(errors, values, known))


def test_a_model_of_unknown_uncertainty_is_neither_among_the_best_nor_worse():
    errors = np.array([10.0, 14.0])
    values = errors + np.random.default_rng(0).normal(size=(100, 2))
    best, worse = best_and_worse(errors, values, np.array([True, False]))
    assert best.tolist() == [True, False]
    assert not worse.any()
