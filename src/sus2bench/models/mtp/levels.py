"""The contraction tables of levels 2, 4, .. 28: the scalars of MLIP-2's untrained files, in order.

In MTP the ranks share their radial functions, so that a level alone says which moments there are.
"""

from functools import cache

from sus2bench.models.moment_tensor.contraction_products import table_of
from sus2bench.models.moment_tensor.contraction_table import (
    BasicMoment,
    ContractionTable,
    compositions,
)
from sus2bench.models.moment_tensor.level_graphs import level_graphs


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
