"""The contractions of a level are those of MLIP-2's file of that level, in its order."""

import numpy as np
import pytest
from scipy.spatial.transform import Rotation

from sus2bench.models.moment_tensor.contraction_table import compositions, evaluate
from sus2bench.models.moment_tensor.level_graphs import level_graphs
from sus2bench.models.mtp.levels import level_table

# alpha_scalar_moments, radial_funcs_count and alpha_index_basic_count of MLIP-2's untrained files.
SIZES = {
    2: (1, 1, 1),
    4: (2, 1, 1),
    6: (5, 2, 5),
    8: (9, 2, 11),
    10: (16, 3, 25),
    12: (29, 3, 46),
    14: (52, 4, 81),
    16: (92, 4, 130),
    18: (163, 5, 201),
    20: (288, 5, 295),
    22: (500, 6, 421),
    24: (864, 6, 581),
    26: (1464, 6, 706),
}
# alpha_moments_count and alpha_index_times_count of the same files.
PRODUCTS = {
    2: (1, 0),
    6: (8, 5),
    8: (18, 14),
    10: (41, 42),
    12: (84, 117),
    14: (174, 348),
    16: (350, 969),
    18: (718, 2634),
    20: (1352, 6349),
}


@pytest.mark.parametrize("level", SIZES)
def test_a_level_has_the_published_size(level):
    graphs = level_graphs(level)
    used = {factor for graph in graphs for factor in graph.factors}
    functions = {factor.channel for factor in used}
    components = sum(len(compositions(factor.rank)) for factor in used)
    assert (len(graphs), len(functions), components) == SIZES[level]
    assert functions == set(range(len(functions)))


def test_the_highest_level_has_the_published_number_of_scalars():
    assert len(level_graphs(28)) == 2445


@pytest.mark.parametrize("level", PRODUCTS)
def test_a_table_has_no_more_moments_and_products_than_the_published_one(level):
    table = level_table(level)
    moments, products = PRODUCTS[level]
    assert (table.scalar_count, len(table.basic)) == (SIZES[level][0], SIZES[level][2])
    assert table.moment_count <= moments
    assert len(table.times) <= products


def test_scalars_of_level_10_are_these_contractions_in_this_order():
    table = level_table(10)
    values = dict(zip(table.basic, np.random.default_rng(0).normal(size=25), strict=True))

    def tensor(mu: int, rank: int) -> np.ndarray:
        result = np.empty((3,) * rank)
        for axes in np.ndindex(result.shape):
            result[axes] = values[mu, axes.count(0), axes.count(1), axes.count(2)]
        return result

    s, s1, s2 = (float(tensor(mu, 0)) for mu in range(3))
    v, T, W, v1 = tensor(0, 1), tensor(0, 2), tensor(0, 3), tensor(1, 1)
    vv, TT = v @ v, np.sum(T * T)
    two = (s * s, vv, TT, np.sum(W * W), s * s1, v @ v1)
    three = (s**3, s * vv, s * TT, v @ T @ v, s * s * s1)
    expected = [s, s1, s2, *two, *three, s**4, s * s * vv]
    np.testing.assert_allclose(
        evaluate(table, np.array(list(values.values()))), expected, rtol=1e-12
    )


def test_four_factors_are_sorted_by_what_they_share():
    table = level_table(14)
    v, T, W = (np.zeros(3), np.zeros((3, 3)), np.zeros((3, 3, 3)))
    generator = np.random.default_rng(1)
    moments = np.zeros(len(table.basic))
    for tensor, rank in ((v, 1), (T, 2), (W, 3)):
        for exponents in compositions(rank):
            moments[table.basic.index((0, *exponents))] = value = generator.normal()
            for axes in np.ndindex(tensor.shape):
                if (axes.count(0), axes.count(1), axes.count(2)) == exponents:
                    tensor[axes] = value
    # The last ones that are not zero without scalars: four factors, and no radial function but 0.
    scalars = evaluate(table, moments)
    four = [np.einsum("a,b,c,abc", v, v, v, W), (v @ v) ** 2, v @ T @ T @ v, v @ v * np.sum(T * T)]
    np.testing.assert_allclose(scalars[scalars != 0][-4:], four, rtol=1e-12)


def test_scalars_are_invariant_under_rotation_and_reflection():
    table = level_table(16)
    generator = np.random.default_rng(2)
    directions = generator.normal(size=(9, 3))
    directions /= np.linalg.norm(directions, axis=1, keepdims=True)
    radial = generator.normal(size=(4, 9))

    def moments(directions: np.ndarray) -> np.ndarray:
        x, y, z = directions.T
        return np.array([np.sum(radial[mu] * x**p * y**q * z**s) for mu, p, q, s in table.basic])

    turned = directions @ -Rotation.random(random_state=7).as_matrix()
    # Products of four moments of order ten, up to 1e4, of terms of both signs.
    np.testing.assert_allclose(
        evaluate(table, moments(turned)), evaluate(table, moments(directions)), rtol=1e-9, atol=1e-9
    )


@pytest.mark.parametrize("level", [0, 7, 30])
def test_other_levels_are_refused(level):
    with pytest.raises(ValueError, match=f"level {level}; levels are 2, 4, .. 28"):
        level_table(level)
