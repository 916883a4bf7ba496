"""Contractions that all moment tensor potentials share: graphs, their products, tables."""

from itertools import combinations, product

import numpy as np
import pytest
from numpy.typing import NDArray

from sus2bench.models.moment_tensor.contraction_graphs import Factor, connected_graphs, graph
from sus2bench.models.moment_tensor.contraction_products import ProductBuilder
from sus2bench.models.moment_tensor.contraction_table import (
    BasicMoment,
    ContractionError,
    ContractionTable,
    compositions,
    evaluate,
)
from sus2bench.models.moment_tensor.independent_invariants import _invariants_of

# Ranks up to 4 of two radial functions, each with all ranks.
BASIC = [BasicMoment(mu, *e) for mu in range(2) for rank in range(5) for e in compositions(rank)]


def tensor(moments: NDArray[np.float64], factor: Factor) -> NDArray[np.float64]:
    """The full symmetric tensor of a moment, shape (3, .., 3, samples)."""
    result = np.empty((*(3,) * factor.rank, len(moments)))
    for axes in product(range(3), repeat=factor.rank):
        exponents = (axes.count(0), axes.count(1), axes.count(2))
        result[axes] = moments[:, BASIC.index((factor.channel, *exponents))]
    return result


@pytest.mark.parametrize(
    ("factors", "shared"),
    [
        ([Factor(4, 0), Factor(4, 0)], {(0, 1): 4}),
        ([Factor(4, 0), Factor(2, 1), Factor(2, 0)], {(0, 1): 2, (0, 2): 2}),
        ([Factor(4, 1), Factor(3, 0), Factor(3, 0)], {(0, 1): 2, (0, 2): 2, (1, 2): 1}),
        (
            [Factor(1, 0), Factor(2, 0), Factor(3, 0), Factor(4, 0)],
            {(0, 3): 1, (1, 2): 1, (1, 3): 1, (2, 3): 2},
        ),
        ([Factor(3, 0)] * 4, {pair: 1 for pair in combinations(range(4), 2)}),
        ([Factor(2, k) for k in (0, 1, 0, 1, 0)], {(i, (i + 1) % 5): 1 for i in range(5)}),
    ],
)
def test_products_give_the_value_of_any_graph(factors, shared):
    builder = ProductBuilder(BASIC, lambda factor: factor.channel)
    wanted = graph(factors, shared)
    table = builder.table(builder.contract([wanted]).values())
    moments = np.random.default_rng(0).normal(size=(5, len(BASIC)))
    letters = iter("abcdefghijkl")
    indices = [""] * len(factors)
    for (i, j), count in shared.items():
        for letter in (next(letters) for _ in range(count)):
            indices[i] += letter
            indices[j] += letter
    operands = [tensor(moments, factor) for factor in factors]
    expected = np.einsum(",".join(f"{i}..." for i in indices) + "->...", *operands, optimize=True)
    # Sums of up to 3^6 products of both signs, so relative to the largest of the samples.
    np.testing.assert_allclose(
        evaluate(table, moments)[:, 0], expected, rtol=1e-11, atol=1e-12 * np.abs(expected).max()
    )


def test_graphs_of_equal_factors_are_listed_once():
    # Four rank-2 tensors of one channel: a ring of four is the only connected contraction.
    assert len(connected_graphs((Factor(2, 0),) * 4)) == 1
    # Of two channels, equal ones are neighbours or opposite.
    assert len(connected_graphs((Factor(2, 0),) * 2 + (Factor(2, 1),) * 2)) == 2


def test_graph_that_is_not_fully_contracted_is_refused():
    with pytest.raises(ValueError, match="not fully contracted"):
        graph([Factor(2, 0), Factor(1, 0)], {(0, 1): 1})


def test_dependent_invariants_are_left_out():
    # Four vectors in three dimensions: their Gram determinant is zero, which ties the 17 products
    # of dot products that hold each vector twice.
    factors = tuple(Factor(1, k) for k in range(4) for _ in range(2))
    assert len(_invariants_of(factors, {})) == 16


@pytest.mark.parametrize(
    ("changes", "field"),
    [
        ({"times": ((0, 0, 1),)}, "alpha_index_times"),
        ({"times": ((0, 2, 1, 1),)}, "alpha_index_times"),
        ({"times": ((0, 0, 1, 2),)}, "alpha_index_times"),
        ({"times": ((0, 0, 1, 0),)}, "alpha_index_times"),
        ({"times": ((0, 0, 1, 1), (1, 1, 1, 1))}, "alpha_index_times"),
        ({"times": ()}, "alpha_moments_count"),
        ({"moment_count": 0}, "alpha_moments_count"),
        ({"mapping": ()}, "alpha_moment_mapping"),
        ({"mapping": (2,)}, "alpha_moment_mapping"),
        ({"mapping": (1, 1)}, "alpha_moment_mapping"),
        ({"basic": ()}, "alpha_index_basic"),
    ],
)
def test_inconsistent_tables_are_refused(changes, field):
    right = {"basic": ((0, 0, 0, 0),), "times": ((0, 0, 1, 1),), "mapping": (0, 1)}
    ContractionTable(**right, moment_count=2)
    with pytest.raises(ContractionError) as caught:
        ContractionTable(**({"moment_count": 2} | right | changes))
    assert caught.value.field == field
