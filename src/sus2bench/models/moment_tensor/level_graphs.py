"""The contractions of moment tensors up to a level, which weighs radial functions and ranks.

The level of a moment tensor M[mu, nu] of radial function mu and rank nu is 2 + 4 mu + nu, that of
a contraction the sum over its factors (Novikov et al., Mach. Learn.: Sci. Technol. 2, 025002,
2021, doi 10.1088/2632-2153/abc9fe). Bounded so, a set reaches high ranks in products of two and
three moments, where they are cheap, and many moments of low rank in products of four.
"""

from collections.abc import Iterator
from itertools import permutations, product

from sus2bench.models.moment_tensor.contraction_graphs import Factor, Graph, all_graphs

LEVELS = range(2, 30, 2)
HIGHEST_FUNCTION, HIGHEST_RANK = 5, 10
"""Of the files of MLIP-2, which stop at level 28. These bounds, and four factors at most, are not
in the paper."""
_MOST_FACTORS = 4


def level_graphs(
    level: int, highest_rank: int = HIGHEST_RANK, functions: int = HIGHEST_FUNCTION + 1
) -> list[Graph]:
    """All contractions up to a level, whether or not others determine them.

    Args:
        level: 2, 4, .. 28.
        highest_rank: of a factor.
        functions: radial functions mu = 0, 1, .. that factors may have.

    Returns:
        Graphs whose factors' channels are mu, in the order of MLIP-2's file of that level.

    Raises:
        ValueError: there is no such level.
    """
    if level not in LEVELS:
        raise ValueError(
            f"no moment tensor potential of level {level}; levels are 2, 4, .. {LEVELS[-1]}"
        )
    moments = [Factor(rank, mu) for mu in range(functions) for rank in range(highest_rank + 1)]
    graphs = [
        graph
        for count in range(1, _MOST_FACTORS + 1)
        for factors in _multisets(moments, level, count)
        for graph in all_graphs(tuple(sorted(factors)))
    ]
    return sorted(graphs, key=_place)


def moment_level(factor: Factor) -> int:
    """2 + 4 mu + nu."""
    return 2 + 4 * factor.channel + factor.rank


def _multisets(
    moments: list[Factor], level: int, count: int, first: int = 0
) -> Iterator[tuple[Factor, ...]]:
    """Multisets of factors whose levels sum to at most `level`, as ascending choices."""
    if not count:
        yield ()
        return
    for number in range(first, len(moments)):
        factor = moments[number]
        left = level - moment_level(factor)
        if left >= (count - 1) * moment_level(moments[0]):
            for others in _multisets(moments, left, count - 1, number):
                yield (factor, *others)


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
