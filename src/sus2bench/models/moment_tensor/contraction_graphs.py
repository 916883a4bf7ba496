"""Invariants as multigraphs: a node is a factor, an edge a pair of contracted indices.

A full contraction of symmetric tensors M_1 .. M_n is fixed by how many indices each pair of factors
shares. Node i has the rank of M_i as its degree. There are no loops: the trace of one factor is
linear in it, and a contraction table has only products. Connected graphs do not factorize; the
others are products of their connected parts.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from itertools import permutations, product
from typing import NamedTuple


class Factor(NamedTuple):
    """One factor of an invariant: the moment tensor of a rank and a radial channel."""

    rank: int
    channel: int


@dataclass(frozen=True, order=True)
class Graph:
    """A contraction of moment tensors.

    Attributes:
        factors: the nodes, sorted.
        bonds: number of indices that nodes i < j share, in the order (0,1), (0,2), .. (1,2), ..;
            among equivalent numberings of equal factors the smallest.
    """

    factors: tuple[Factor, ...]
    bonds: tuple[int, ...]

    def __len__(self) -> int:
        """Number of factors."""
        return len(self.factors)

    def bond(self, first: int, second: int) -> int:
        """Number of indices that two different nodes share."""
        return self.bonds[_position(len(self), *sorted((first, second)))]

    def is_connected(self) -> bool:
        """Whether every node is reached from the first one."""
        return len(self._component(0)) == len(self)

    def connected_parts(self) -> tuple[Graph, ...]:
        """The connected graphs whose product this one is, sorted."""
        parts, left = [], set(range(len(self)))
        while left:
            nodes = sorted(self._component(min(left)))
            bonds = [self.bond(i, j) for place, i in enumerate(nodes) for j in nodes[place + 1 :]]
            parts.append(_canonical(tuple(self.factors[i] for i in nodes), tuple(bonds)))
            left -= set(nodes)
        return tuple(sorted(parts))

    def _component(self, start: int) -> set[int]:
        """The nodes that are reached from one."""
        reached, border = {start}, [start]
        while border:
            node = border.pop()
            new = {
                other
                for other in range(len(self))
                if other not in reached and self.bond(node, other)
            }
            reached |= new
            border += new
        return reached


# A scalar as the connected graphs of which it is the product.
Invariant = tuple[Graph, ...]


def graph(factors: list[Factor], shared: dict[tuple[int, int], int]) -> Graph:
    """The graph of factors in any order, where factors i and j share ``shared[i, j]`` indices.

    Raises:
        ValueError: a factor has more or fewer contracted indices than its rank.
    """
    degrees = [sum(m for pair, m in shared.items() if i in pair) for i in range(len(factors))]
    if degrees != [factor.rank for factor in factors]:
        raise ValueError(f"factors {factors} are not fully contracted by {shared}")
    order = sorted(range(len(factors)), key=lambda i: factors[i])
    bonds = [0] * (len(factors) * (len(factors) - 1) // 2)
    for (i, j), multiplicity in shared.items():
        first, second = sorted((order.index(i), order.index(j)))
        bonds[_position(len(factors), first, second)] += multiplicity
    return _canonical(tuple(factors[i] for i in order), tuple(bonds))


def all_graphs(factors: tuple[Factor, ...]) -> list[Graph]:
    """All contractions of sorted factors, each once, sorted."""
    return sorted({_canonical(factors, bonds) for bonds in _bonds([f.rank for f in factors])})


def connected_graphs(factors: tuple[Factor, ...]) -> list[Graph]:
    """All connected contractions of sorted factors, each once, sorted."""
    return [candidate for candidate in all_graphs(factors) if candidate.is_connected()]


def _bonds(degrees: list[int]) -> Iterator[tuple[int, ...]]:
    """Numbers of shared indices of all pairs that give every node its degree."""
    if len(degrees) < 2:
        if not any(degrees):
            yield ()
        return
    first, rest = degrees[0], degrees[1:]
    for row in product(*(range(min(first, degree) + 1) for degree in rest)):
        if sum(row) == first:
            left = [degree - shared for degree, shared in zip(rest, row, strict=True)]
            for others in _bonds(left):
                yield row + others


def _position(nodes: int, first: int, second: int) -> int:
    """Place of the pair first < second in ``bonds``."""
    return first * (2 * nodes - first - 1) // 2 + second - first - 1


def _canonical(factors: tuple[Factor, ...], bonds: tuple[int, ...]) -> Graph:
    """The graph in the numbering of equal factors that has the smallest ``bonds``."""
    nodes = len(factors)
    runs = [[i for i in range(nodes) if factors[i] == factor] for factor in sorted(set(factors))]
    smallest = bonds
    for arrangement in product(*(permutations(run) for run in runs)):
        order = [node for run in arrangement for node in run]
        renumbered = tuple(
            bonds[_position(nodes, *sorted((order[i], order[j])))]
            for i in range(nodes)
            for j in range(i + 1, nodes)
        )
        smallest = min(smallest, renumbered)
    return Graph(factors, smallest)
