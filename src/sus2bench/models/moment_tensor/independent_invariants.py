"""Linearly independent products of contractions of moment tensors, found numerically.

Invariants of different factors (different degrees in some moment) are independent, so each multiset
of factors is treated alone: candidates are products of connected graphs found for fewer factors,
then the connected graphs of all factors. A candidate is kept if its values on random tensors are no
linear combination of those kept before.
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import combinations, combinations_with_replacement, product
from string import ascii_lowercase

import numpy as np
from numpy.typing import NDArray

from sus2bench.models.moment_tensor.contraction_graphs import (
    Factor,
    Graph,
    Invariant,
    connected_graphs,
)
from sus2bench.models.moment_tensor.contraction_table import compositions

Factors = tuple[Factor, ...]

# Relative distance from the span of the others: about 1e-13 for a dependent invariant, above 1e-3
# for an independent one.
_INDEPENDENT = 1e-8
_SEED = 20250207


def independent_invariants(
    highest_rank: int, channels: int, largest_degree: int
) -> list[Invariant]:
    """A basis of the invariants of at most ``largest_degree`` moments of ranks 0..L, K channels.

    Sorted by number of factors, then by the factors (rank first, then channel).
    """
    factors = [
        Factor(rank, channel) for rank in range(highest_rank + 1) for channel in range(channels)
    ]
    known: dict[Factors, list[Invariant]] = {}
    return [
        invariant
        for degree in range(1, largest_degree + 1)
        for multiset in combinations_with_replacement(factors, degree)
        for invariant in _invariants_of(multiset, known)
    ]


def _invariants_of(factors: Factors, known: dict[Factors, list[Invariant]]) -> list[Invariant]:
    """Independent invariants that contain each of the sorted factors once."""
    # The names of the channels do not matter: number them by first appearance in each rank.
    pattern, channels = _renumber_channels(factors)
    if pattern not in known:
        if sum(factor.rank for factor in pattern) % 2:
            known[pattern] = []
        elif pattern[0].rank == 0 and len(pattern) > 1:
            scalar = Graph(pattern[:1], ())
            known[pattern] = [(scalar, *rest) for rest in _invariants_of(pattern[1:], known)]
        else:
            connected = [(graph,) for graph in connected_graphs(pattern)]
            known[pattern] = _select(pattern, [*_products(pattern, known), *connected])
    return [
        tuple(
            Graph(tuple(Factor(f.rank, channels[f]) for f in graph.factors), graph.bonds)
            for graph in invariant
        )
        for invariant in known[pattern]
    ]


def _renumber_channels(factors: Factors) -> tuple[Factors, dict[Factor, int]]:
    """Factors with channels 0, 1, .. in each rank, and the true channel of each of them."""
    pattern: list[Factor] = []
    channels: dict[Factor, int] = {}
    for rank in dict.fromkeys(factor.rank for factor in factors):
        of_rank = [factor.channel for factor in factors if factor.rank == rank]
        names = list(dict.fromkeys(of_rank))
        channels |= {Factor(rank, number): channel for number, channel in enumerate(names)}
        pattern += [Factor(rank, names.index(channel)) for channel in of_rank]
    return tuple(pattern), channels


def _products(factors: Factors, known: dict[Factors, list[Invariant]]) -> list[Invariant]:
    """Products of a connected graph with the first factor and an invariant of the other factors."""
    found = set()
    for size in range(1, len(factors)):
        for others in combinations(range(1, len(factors)), size - 1):
            part = tuple(factors[i] for i in (0, *others))
            rest = tuple(factors[i] for i in range(1, len(factors)) if i not in others)
            connected = [graphs for graphs in _invariants_of(part, known) if len(graphs) == 1]
            found |= {
                tuple(sorted(graphs + more))
                for graphs, more in product(connected, _invariants_of(rest, known))
            }
    return sorted(found)


def _select(factors: Factors, candidates: Sequence[Invariant]) -> list[Invariant]:
    """The candidates, in their order, that are independent of those selected before."""
    generator = np.random.default_rng(_SEED)
    samples = 2 * len(candidates) + 8
    tensors = {
        factor: _random_symmetric_tensors(generator, samples, factor.rank)
        for factor in sorted(set(factors))
    }
    basis = np.zeros((0, samples))
    selected = []
    for candidate in candidates:
        values = np.prod([_contract(graph, tensors) for graph in candidate], axis=0)
        values /= np.linalg.norm(values)
        residual = values - (values @ basis.T) @ basis
        residual -= (residual @ basis.T) @ basis  # the second pass removes rounding of the first
        distance = np.linalg.norm(residual)
        if distance > _INDEPENDENT:
            basis = np.vstack([basis, residual / distance])
            selected.append(candidate)
    return selected


def _random_symmetric_tensors(
    generator: np.random.Generator, samples: int, rank: int
) -> NDArray[np.float64]:
    """Totally symmetric tensors, shape (3, .., 3, samples), otherwise without structure."""
    values = {exponents: generator.standard_normal(samples) for exponents in compositions(rank)}
    tensors = np.empty((*(3,) * rank, samples))
    for indices in product(range(3), repeat=rank):
        exponents = (indices.count(0), indices.count(1), indices.count(2))
        tensors[indices] = values[exponents]
    return tensors


def _contract(graph: Graph, tensors: dict[Factor, NDArray[np.float64]]) -> NDArray[np.float64]:
    """Value of a connected graph for each sample."""
    letters = iter(ascii_lowercase)
    indices = [""] * len(graph)
    for first, second in combinations(range(len(graph)), 2):
        for _ in range(graph.bond(first, second)):
            letter = next(letters)
            indices[first] += letter
            indices[second] += letter
    subscripts = ",".join(f"{names}..." for names in indices) + "->..."
    operands = [tensors[factor] for factor in graph.factors]
    values: NDArray[np.float64] = np.einsum(subscripts, *operands, optimize=True)
    return values
