"""The contraction tables of levels 2, 4, .. 28: the scalars of MLIP-2's untrained files, in order.

The level of a moment tensor M[mu, nu] of radial function mu and rank nu is 2 + 4 mu + nu, that of
a contraction the sum over its factors (Novikov et al., Mach. Learn.: Sci. Technol. 2, 025002,
2021, doi 10.1088/2632-2153/abc9fe). A table has all contractions up to its level, whether or not
others determine them, with at most four factors, mu <= 5 and nu <= 10. These three bounds are not
in the paper; they are what the files have, which stop at level 28.
"""

from collections.abc import Iterator
from functools import cache
from itertools import permutations, product

from sus2bench.models.moment_tensor.contraction_graphs import Factor, Graph, all_graphs
from sus2bench.models.moment_tensor.contraction_products import table_of
from sus2bench.models.moment_tensor.contraction_table import (
    BasicMoment,
    ContractionTable,
    compositions,
)

LEVELS = range(2, 30, 2)
_MOST_FACTORS = 4
_HIGHEST_FUNCTION = 5
_HIGHEST_RANK = 10


@cache
def level_table(level: int) -> ContractionTable:
    """All contractions up to a level, in the order of MLIP-2's file of that level.

    Scalars and basic moments are those of the file, in its order; the products that lead to the
    scalars are fewer. Level 16 takes a tenth of a second, level 28 half a minute or more.

    Raises:
        ValueError: there is no such level.
    """
    graphs = level_graphs(level)
    used = {(factor.channel, factor.rank) for graph in graphs for factor in graph.factors}
    basic = [BasicMoment(mu, *e) for mu, rank in sorted(used) for e in compositions(rank)]
    scalars = [graph.connected_parts() for graph in graphs]
    return table_of(scalars, basic, lambda factor: factor.channel)


def level_graphs(level: int) -> list[Graph]:
    """The scalars of a level, in order, as graphs; a factor's channel is its mu.

    Raises:
        ValueError: there is no such level.
    """
    if level not in LEVELS:
        raise ValueError(
            f"no moment tensor potential of level {level}; levels are 2, 4, .. {LEVELS[-1]}"
        )
    graphs = [
        graph
        for count in range(1, _MOST_FACTORS + 1)
        for factors in _factors(level, count)
        for graph in all_graphs(tuple(sorted(factors)))
    ]
    return sorted(graphs, key=_place)


def moment_level(factor: Factor) -> int:
    """2 + 4 mu + nu."""
    return 2 + 4 * factor.channel + factor.rank


def _factors(level: int, count: int, first: int = 0) -> Iterator[tuple[Factor, ...]]:
    """Multisets of factors whose levels sum to at most `level`, as ascending choices."""
    if not count:
        yield ()
        return
    for number in range(first, len(_ALL_FACTORS)):
        factor = _ALL_FACTORS[number]
        left = level - moment_level(factor)
        if left >= (count - 1) * _LOWEST:
            for others in _factors(left, count - 1, number):
                yield (factor, *others)


_ALL_FACTORS = [
    Factor(rank, mu) for mu in range(_HIGHEST_FUNCTION + 1) for rank in range(_HIGHEST_RANK + 1)
]
_LOWEST = min(map(moment_level, _ALL_FACTORS))


def _place(graph: Graph) -> tuple[int, tuple[int, ...], tuple[tuple[int, ...], ...]]:
    """What the scalars of the files are sorted by.

    The number of factors, their radial functions, then for factor after factor its rank and the
    indices it shares with each later one; in the numbering of factors of equal radial function
    for which this is smallest.
    """
    nodes = range(len(graph))
    functions = sorted(factor.channel for factor in graph.factors)
    runs = [
        [node for node in nodes if graph.factors[node].channel == mu]
        for mu in sorted(set(functions))
    ]
    rows = []
    for arrangement in product(*(permutations(run) for run in runs)):
        order = [node for run in arrangement for node in run]
        rows.append(
            tuple(
                (graph.factors[i].rank, *(graph.bond(i, j) for j in order[place + 1 :]))
                for place, i in enumerate(order)
            )
        )
    return len(graph), tuple(functions), min(rows)
