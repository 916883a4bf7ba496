"""Contraction sets of the SUS2 model: the published ones, complete ones, levels, those in files.

Written v, T, W for moments of rank 1, 2, 3, s for rank 0, k for the radial channel.
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import combinations_with_replacement, product

from sus2bench.models.moment_tensor.contraction_graphs import Factor, Graph, Invariant, graph
from sus2bench.models.moment_tensor.contraction_products import table_of
from sus2bench.models.moment_tensor.contraction_table import (
    BasicMoment,
    ContractionError,
    ContractionTable,
    compositions,
    evaluate,
)
from sus2bench.models.moment_tensor.independent_invariants import independent_invariants
from sus2bench.models.moment_tensor.level_graphs import level_graphs
from sus2bench.models.sus2.mtp_file import table_from_file

__all__ = [
    "ContractionError",
    "ContractionTable",
    "basic_moments",
    "complete_table",
    "evaluate",
    "level_table",
    "published_table",
    "table_from_file",
]


def basic_moments(highest_rank: int, channels: int) -> tuple[BasicMoment, ...]:
    """All basic moments of ranks 0..L and K channels in the published order.

    Sorted by mu = k (L + 1) + l, then by descending p, then by descending q.
    """
    return tuple(
        BasicMoment(channel * (highest_rank + 1) + rank, *exponents)
        for channel in range(channels)
        for rank in range(highest_rank + 1)
        for exponents in compositions(rank)
    )


def published_table(highest_rank: int, channels: int) -> ContractionTable:
    """The published set `l{L}k{K}` (specification, section 8), in the published order.

    The sets are neither complete (no T:(v_1 v_2) of two channels) nor independent: the squares
    (v_k v_k):(v_k' v_k') and (v_k T_k):(v_k' T_k') are products of dot products that are there
    already. Such a scalar is listed, as in the published sets, as a moment of its own.

    Args:
        highest_rank: L, 2 or 3.
        channels: K >= 1, radial channels per rank; up to 3 were published.

    Raises:
        ValueError: there is no such set.
    """
    if highest_rank not in (2, 3) or channels < 1:
        raise ValueError(
            f"no published contraction set l{highest_rank}k{channels}: L is 2 or 3 and K at least "
            "1; complete_table offers other ranks"
        )
    return _table(highest_rank, channels, _published_invariants(highest_rank, channels))


def complete_table(highest_rank: int, channels: int, body_order: int) -> ContractionTable:
    """All linearly independent invariants up to a body order.

    Every full contraction of at most ``body_order - 1`` moments of ranks 0..L and channels 0..K-1
    is a linear combination of these scalars, which are sorted by their factors. Indices are
    contracted between different factors only. A trace within one moment, sum_a M_aa, would be a
    sum of single moments, which a table of products cannot express; it is also nothing new, being
    a rank-0 moment with another radial function.

    Args:
        highest_rank: L >= 0.
        channels: K >= 1, radial channels per rank.
        body_order: 2 or more; 5 is that of the published sets.

    Raises:
        ValueError: an argument is too small.
    """
    if highest_rank < 0 or channels < 1 or body_order < 2:
        raise ValueError(
            f"no contraction set of highest rank {highest_rank}, {channels} channels, body order "
            f"{body_order}; they have to be at least 0, 1 and 2"
        )
    invariants = independent_invariants(highest_rank, channels, body_order - 1)
    return _table(highest_rank, channels, invariants)


def level_table(highest_rank: int, channels: int, level: int) -> ContractionTable:
    """The contractions of an MTP of some level, of moments of ranks 0..L and channels 0..K-1.

    The channel is MTP's mu; here every rank has a radial function of its own for it. Products of
    two or three moments reach high ranks, which resolve angles finely, without the many products
    of four that a complete set of the same L has.

    Args:
        highest_rank: L >= 0.
        channels: K >= 1, radial channels per rank.
        level: 2, 4, .. 28; see `moment_tensor.level_graphs`.

    Raises:
        ValueError: an argument is too small, or there is no such level.
    """
    if highest_rank < 0 or channels < 1:
        raise ValueError(
            f"no contraction set of highest rank {highest_rank} and {channels} channels; they have "
            "to be at least 0 and 1"
        )
    graphs = level_graphs(level, highest_rank, channels)
    return _table(highest_rank, channels, [graph.connected_parts() for graph in graphs])


def _published_invariants(highest_rank: int, channels: int) -> list[Invariant]:
    """The scalars of a published set, family by family."""
    s, v, tensor, third = (
        [Factor(rank, channel) for channel in range(channels)] for rank in range(4)
    )
    scalars = [graph([factor], {}) for factor in s]
    dots = {
        rank: [
            graph([Factor(rank, k), Factor(rank, other)], {(0, 1): rank})
            for k, other in combinations_with_replacement(range(channels), 2)
        ]
        for rank in range(1, highest_rank + 1)
    }
    pairs = list(product(range(channels), repeat=2))
    unordered = list(combinations_with_replacement(range(channels), 2))

    invariants: list[Invariant] = [(scalar,) for scalar in scalars]
    invariants += _monomials(scalars)
    invariants += [(dot,) for rank in (1, 2) for dot in dots[rank]]
    invariants += [(a, dot) for rank in (1, 2) for a in scalars for dot in dots[rank]]
    invariants += list(combinations_with_replacement(dots[1], 2))
    invariants += list(product(dots[1], dots[2]))
    invariants += list(combinations_with_replacement(dots[2], 2))
    if highest_rank == 3:
        invariants += [(dot,) for dot in dots[3]]
        # v_k T_k : W_k', then (v_k T_k):(v_k' T_k')
        invariants += [
            (graph([v[k], tensor[k], third[other]], {(0, 2): 1, (1, 2): 2}),) for k, other in pairs
        ]
        invariants += [
            (_dot(v[k], v[other]), _dot(tensor[k], tensor[other])) for k, other in unordered
        ]
        # (W_k W_k) with two indices shared : T_k', then the same : the same of k'
        invariants += [(_square(third[k], tensor[other]),) for k, other in pairs]
        invariants += [(_squares(third[k], third[other]),) for k, other in unordered]
        invariants += list(product(dots[1], dots[3]))
        invariants += list(product(dots[2], dots[3]))
        invariants += list(combinations_with_replacement(dots[3], 2))
        invariants += list(product(scalars, dots[3]))
    # v_k v_k : T_k', then (v_k v_k):(v_k' v_k')
    invariants += [(_square(v[k], tensor[other]),) for k, other in pairs]
    invariants += [(_dot(v[k], v[other]),) * 2 for k, other in unordered]
    # (T_k T_k) with one index shared : T_k', then the same : the same of k'
    invariants += [(_square(tensor[k], tensor[other]),) for k, other in pairs]
    invariants += [(_squares(tensor[k], tensor[other]),) for k, other in unordered]
    return invariants


def _monomials(scalars: Sequence[Graph]) -> list[Invariant]:
    """Products of two and three scalars, each product before those that contain it."""
    monomials: list[Invariant] = []
    for first, second in combinations_with_replacement(range(len(scalars)), 2):
        pair = (scalars[first], scalars[second])
        monomials.append(pair)
        monomials += [(*pair, third) for third in scalars[second:]]
    return monomials


def _dot(first: Factor, second: Factor) -> Graph:
    """Two moments of equal rank, fully contracted."""
    return graph([first, second], {(0, 1): first.rank})


def _square(factor: Factor, tensor: Factor) -> Graph:
    """A moment with itself over all but one index, contracted with a moment of rank 2."""
    return graph([factor, factor, tensor], {(0, 1): factor.rank - 1, (0, 2): 1, (1, 2): 1})


def _squares(first: Factor, second: Factor) -> Graph:
    """Two moments, each with itself over all but one index, contracted with each other."""
    return graph(
        [first, first, second, second],
        {(0, 1): first.rank - 1, (2, 3): second.rank - 1, (0, 2): 1, (1, 3): 1},
    )


def _table(highest_rank: int, channels: int, invariants: Sequence[Invariant]) -> ContractionTable:
    """The table that computes products of connected graphs."""
    return table_of(
        invariants,
        basic_moments(highest_rank, channels),
        lambda factor: factor.channel * (highest_rank + 1) + factor.rank,
    )
