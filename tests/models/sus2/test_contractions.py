"""Contraction sets: equal to the published ones, invariant, complete, independent."""

from itertools import combinations, combinations_with_replacement, product

import numpy as np
import pytest
from numpy.typing import NDArray
from scipy.spatial.transform import Rotation

from sus2bench.models.moment_tensor.contraction_table import compositions
from sus2bench.models.moment_tensor.independent_invariants import (
    independent_invariants,
)
from sus2bench.models.mtp.levels import level_table as mtp_level_table
from sus2bench.models.sus2.contractions import (
    ContractionTable,
    basic_moments,
    complete_table,
    evaluate,
    level_table,
    published_table,
    table_from_file,
)

PUBLISHED = {(2, 1): 14, (2, 2): 62, (2, 3): 175, (3, 1): 23, (3, 2): 109, (3, 3): 322}


def neighbourhood(seed: int, count: int = 12) -> NDArray[np.float64]:
    """Unit vectors to neighbours, shape (count, 3)."""
    vectors = np.random.default_rng(seed).normal(size=(count, 3))
    return vectors / np.linalg.norm(vectors, axis=1, keepdims=True)


def moments_of(
    table: ContractionTable, directions: NDArray[np.float64], seed: int = 0
) -> NDArray[np.float64]:
    """M[mu; p,q,s] = sum_j R_mu(r_j) u_x^p u_y^q u_z^s with random values of R_mu."""
    functions = 1 + max(moment.mu for moment in table.basic)
    radial = np.random.default_rng(seed).normal(size=(functions, len(directions)))
    x, y, z = directions.T
    return np.array([np.sum(radial[mu] * x**p * y**q * z**s) for mu, p, q, s in table.basic])


def random_moments(table: ContractionTable, samples: int, seed: int = 0) -> NDArray[np.float64]:
    return np.random.default_rng(seed).normal(size=(samples, len(table.basic)))


def tensor(
    table: ContractionTable, moments: NDArray[np.float64], rank: int, channel: int
) -> NDArray[np.float64]:
    """The full symmetric tensor of a moment, shape (3, .., 3, samples)."""
    highest_rank = max(sum(moment[1:]) for moment in table.basic)
    mu = channel * (highest_rank + 1) + rank
    result = np.empty((*(3,) * rank, len(moments)))
    for axes in product(range(3), repeat=rank):
        exponents = (axes.count(0), axes.count(1), axes.count(2))
        result[axes] = moments[:, table.basic.index((mu, *exponents))]
    return result


def is_in_span(values: NDArray[np.float64], scalars: NDArray[np.float64]) -> bool:
    """Whether columns of values (samples, m) are combinations of those of scalars (samples, n)."""
    scalars = scalars / np.linalg.norm(scalars, axis=0)
    values = values / np.linalg.norm(values, axis=0)
    coefficients, *_ = np.linalg.lstsq(scalars, values, rcond=None)
    # A value outside the span keeps a residual of order 0.1 with twice as many samples as scalars.
    return bool(np.abs(values - scalars @ coefficients).max() < 1e-9)


@pytest.mark.parametrize(("highest_rank", "channels"), PUBLISHED)
def test_published_sets_have_the_published_size(highest_rank, channels):
    table = published_table(highest_rank, channels)
    assert table.scalar_count == PUBLISHED[highest_rank, channels]
    assert len(set(table.mapping)) == table.scalar_count


@pytest.mark.parametrize(("highest_rank", "channels"), PUBLISHED)
def test_published_sets_equal_the_published_tables(highest_rank, channels, shared, tmp_path):
    folder = shared / "reference"
    path = folder / "contractions" / f"l{highest_rank}k{channels}.mtp"
    if (highest_rank, channels) == (2, 1):  # announces 30 basic moments and lists 10
        text = path.read_text().replace("basic_count = 30", "basic_count = 10")
        path = tmp_path / "l2k1.mtp"
        path.write_text(text)
    elif (highest_rank, channels) == (3, 3):  # the table of that name is a later, larger one
        path = folder / "models" / "cathode.mtp"
    published = table_from_file(path)
    ours = published_table(highest_rank, channels)

    assert ours.basic == published.basic
    assert len(ours.times) <= len(published.times)
    assert ours.moment_count <= published.moment_count
    for seed in range(3):
        moments = moments_of(ours, neighbourhood(seed), seed)
        # Equal as they stand, and so sorted. Four factors and some 100 terms of both signs: 1e-12.
        np.testing.assert_allclose(
            evaluate(ours, moments), evaluate(published, moments), rtol=1e-10, atol=1e-12
        )
        np.testing.assert_allclose(
            np.sort(evaluate(ours, moments)),
            np.sort(evaluate(published, moments)),
            rtol=1e-10,
            atol=1e-12,
        )


@pytest.mark.parametrize(
    "table",
    [
        published_table(2, 2),
        published_table(3, 2),
        complete_table(3, 1, 5),
        complete_table(2, 2, 4),
        level_table(5, 2, 16),
    ],
    ids=["l2k2", "l3k2", "complete L=3", "complete K=2", "level 16"],
)
def test_scalars_are_invariant_under_rotation_and_reflection(table):
    directions = neighbourhood(3)
    turned = directions @ -Rotation.random(random_state=7).as_matrix()
    np.testing.assert_allclose(
        evaluate(table, moments_of(table, turned)),
        evaluate(table, moments_of(table, directions)),
        rtol=1e-9,
        atol=1e-11,
    )


def test_published_scalars_are_the_contractions_they_are_said_to_be():
    table = published_table(3, 2)
    moments = random_moments(table, 4)
    scalars = evaluate(table, moments)
    v, t, w = ([tensor(table, moments, rank, k) for k in range(2)] for rank in (1, 2, 3))

    def contraction(subscripts, *operands):
        return np.einsum(subscripts.replace(",", "...,").replace("->", "...->..."), *operands)

    # Places in the order of families: 0 .. 8 rank-0 monomials, 9 .. 14 dot products, and so on.
    np.testing.assert_allclose(scalars[:, 10], contraction("a,a->", v[0], v[1]))
    np.testing.assert_allclose(scalars[:, 13], contraction("ab,ab->", t[0], t[1]))
    np.testing.assert_allclose(scalars[:, 49], contraction("abc,abc->", w[0], w[1]))
    np.testing.assert_allclose(
        scalars[:, 53], contraction("a,bc,abc->", v[1], t[1], w[0]), rtol=1e-10
    )
    np.testing.assert_allclose(
        scalars[:, 59], contraction("acd,bcd,ab->", w[0], w[0], t[1]), rtol=1e-10
    )
    np.testing.assert_allclose(
        scalars[:, 63], contraction("acd,bcd,aef,bef->", w[0], w[0], w[1], w[1]), rtol=1e-10
    )
    np.testing.assert_allclose(
        scalars[:, 96], contraction("a,b,ab->", v[0], v[0], t[1]), rtol=1e-10
    )
    np.testing.assert_allclose(scalars[:, 100], contraction("a,a->", v[0], v[1]) ** 2)
    np.testing.assert_allclose(
        scalars[:, 103], contraction("ac,cb,ab->", t[0], t[0], t[1]), rtol=1e-10
    )


def test_repeated_scalars_have_moments_of_their_own():
    table = published_table(2, 1)
    scalars = evaluate(table, random_moments(table, 3))
    square, again = 7, 11  # (v.v)(v.v) and (v v):(v v)
    np.testing.assert_array_equal(scalars[:, square], scalars[:, again])
    assert table.mapping[square] != table.mapping[again]


@pytest.mark.parametrize(("highest_rank", "channels"), [(1, 2), (4, 1), (2, 0)])
def test_unpublished_sets_are_refused(highest_rank, channels):
    with pytest.raises(
        ValueError, match=f"no published contraction set l{highest_rank}k{channels}"
    ):
        published_table(highest_rank, channels)


def test_basic_moments_are_sorted_by_function_then_descending_exponents():
    assert basic_moments(2, 1) == (
        *((0, 0, 0, 0), (1, 1, 0, 0), (1, 0, 1, 0), (1, 0, 0, 1), (2, 2, 0, 0)),
        *((2, 1, 1, 0), (2, 1, 0, 1), (2, 0, 2, 0), (2, 0, 1, 1), (2, 0, 0, 2)),
    )
    assert basic_moments(1, 2)[4:] == ((2, 0, 0, 0), (3, 1, 0, 0), (3, 0, 1, 0), (3, 0, 0, 1))
    assert compositions(3)[:4] == [(3, 0, 0), (2, 1, 0), (2, 0, 1), (1, 2, 0)]


def all_contractions(table: ContractionTable, moments, factors) -> NDArray[np.float64]:
    """Values of every full contraction between different factors, equal ones not left out."""
    pairs = list(combinations(range(len(factors)), 2))
    columns = []
    for counts in product(*(range(min(factors[i][0], factors[j][0]) + 1) for i, j in pairs)):
        degrees = [
            sum(count for pair, count in zip(pairs, counts, strict=True) if node in pair)
            for node in range(len(factors))
        ]
        if degrees != [rank for rank, _ in factors]:
            continue
        letters = iter("abcdefghijkl")
        indices = [""] * len(factors)
        for (i, j), count in zip(pairs, counts, strict=True):
            for letter in (next(letters) for _ in range(count)):
                indices[i] += letter
                indices[j] += letter
        subscripts = ",".join(f"{i}..." for i in indices) + "->..."
        operands = [tensor(table, moments, *factor) for factor in factors]
        columns.append(np.einsum(subscripts, *operands, optimize=True))
    return np.array(columns).T.reshape(len(moments), -1)


@pytest.mark.parametrize(
    ("highest_rank", "channels", "body_order", "expected"),
    [(1, 1, 5, 8), (2, 1, 5, 19), (2, 2, 4, 37), (2, 2, 5, 117), (3, 1, 5, 39)],
)
def test_complete_sets_are_as_large_as_the_rank_of_all_contractions(
    highest_rank, channels, body_order, expected
):
    table = complete_table(highest_rank, channels, body_order)
    moments = random_moments(table, 40)
    factors = list(product(range(highest_rank + 1), range(channels)))
    total = 0
    for degree in range(1, body_order):
        for multiset in combinations_with_replacement(factors, degree):
            values = all_contractions(table, moments, multiset)
            if values.size:
                values = values / np.linalg.norm(values, axis=0)
                total += int(np.linalg.matrix_rank(values, tol=1e-9))
    assert table.scalar_count == total == expected


@pytest.mark.parametrize(
    ("channels", "body_order"), [(1, 3), (1, 4), (1, 5), (2, 3), (2, 4), (2, 5)]
)
def test_complete_sets_are_independent(channels, body_order):
    table = complete_table(2, channels, body_order)
    scalars = evaluate(table, random_moments(table, 3 * table.scalar_count))
    singular = np.linalg.svd(scalars / np.linalg.norm(scalars, axis=0), compute_uv=False)
    # A dependent scalar would give a singular value of rounding size, 1e-15.
    assert singular[-1] > 1e-4


@pytest.mark.parametrize(("highest_rank", "channels"), [(2, 1), (2, 2), (3, 1)])
def test_published_scalars_lie_in_the_span_of_the_complete_set(highest_rank, channels):
    published, complete = (
        published_table(highest_rank, channels),
        complete_table(highest_rank, channels, 5),
    )
    moments = random_moments(complete, 2 * complete.scalar_count + 50)
    assert is_in_span(evaluate(published, moments), evaluate(complete, moments))


def test_only_the_complete_set_contracts_a_tensor_with_vectors_of_two_channels():
    published, complete = published_table(2, 2), complete_table(2, 2, 5)
    moments = random_moments(complete, 2 * complete.scalar_count + 50)
    first, second = (tensor(complete, moments, 1, k) for k in range(2))
    mixed = np.einsum("abz,az,bz->z", tensor(complete, moments, 2, 0), first, second)[:, None]
    assert is_in_span(mixed, evaluate(complete, moments))
    assert not is_in_span(mixed, evaluate(published, moments))


def test_complete_tables_are_the_same_every_time():
    assert complete_table(2, 2, 4) == complete_table(2, 2, 4)
    assert independent_invariants(3, 2, 3) == independent_invariants(3, 2, 3)


def test_the_set_of_a_level_is_that_of_mtp_with_radial_functions_for_each_rank():
    # No contraction of level 12 has a rank above 4 or more than 3 radial functions.
    ours, theirs = level_table(4, 3, 12), mtp_level_table(12)
    assert ours.scalar_count == theirs.scalar_count
    values = random_moments(theirs, 3)
    numbers = {moment: number for number, moment in enumerate(theirs.basic)}
    same = np.zeros((3, len(ours.basic)))
    for number, (mu, *exponents) in enumerate(ours.basic):
        place = numbers.get((mu // 5, *exponents))
        if place is not None:
            same[:, number] = values[:, place]
    np.testing.assert_allclose(
        evaluate(ours, same), evaluate(theirs, values), rtol=1e-10, atol=1e-10
    )


def test_a_level_is_bounded_by_rank_and_channels():
    assert level_table(5, 2, 16).scalar_count == 80
    assert level_table(3, 1, 16).scalar_count == 31
    assert {moment.mu for moment in level_table(3, 1, 16).basic} == set(range(4))


@pytest.mark.parametrize("arguments", [(-1, 1, 16), (2, 0, 16), (2, 1, 15)])
def test_levels_that_are_none_are_refused(arguments):
    with pytest.raises(ValueError, match=r"no (contraction set|moment tensor potential)"):
        level_table(*arguments)


@pytest.mark.parametrize("arguments", [(-1, 1, 5), (2, 0, 5), (2, 1, 1)])
def test_empty_complete_sets_are_refused(arguments):
    with pytest.raises(ValueError, match="at least 0, 1 and 2"):
        complete_table(*arguments)


def test_evaluate_names_the_wrong_number_of_moments():
    table = published_table(2, 1)
    with pytest.raises(ValueError, match="length 9, but the table has 10 basic moments"):
        evaluate(table, np.zeros((4, 9)))
