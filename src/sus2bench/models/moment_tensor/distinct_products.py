"""The products of a contraction table without those that compute the same moment again."""

from collections import defaultdict
from typing import NamedTuple

from sus2bench.models.moment_tensor.contraction_table import ContractionTable, Product


class DistinctProducts(NamedTuple):
    """What remains of a table's products, in its numbering of moments, renumbered without gaps."""

    times: list[Product]
    """In an order in which inputs are complete before they are used."""
    mapping: list[int]
    """Moment of each scalar; two scalars may be the same moment."""
    moment_count: int


def distinct_products(table: ContractionTable) -> DistinctProducts:
    """Leaves out moments that are the same sum of products as an earlier one, or of no use.

    The published sets have (v.v)^2 twice, for example, since two of their families contain it.
    """
    terms: dict[int, list[Product]] = defaultdict(list)
    last: dict[int, int] = {}
    for position, product in enumerate(table.times):
        terms[product.output].append(product)
        last[product.output] = position
    same = {moment: moment for moment in range(len(table.basic))}
    known: dict[tuple[tuple[int, int, int], ...], int] = {}
    for output in sorted(last, key=lambda moment: last[moment]):
        factors: dict[tuple[int, int], int] = defaultdict(int)
        for first, second, multiplicity, _ in terms[output]:
            low, high = sorted((same[first], same[second]))
            factors[low, high] += multiplicity
        definition = tuple(sorted((*pair, m) for pair, m in factors.items() if m))
        same[output] = known.setdefault(definition, output)
    definitions = {moment: definition for definition, moment in known.items()}

    needed = set()
    border = [same[moment] for moment in table.mapping]
    while border:
        moment = border.pop()
        if moment not in needed and moment in definitions:
            needed.add(moment)
            border += [i for first, second, _ in definitions[moment] for i in (first, second)]
    number = {moment: moment for moment in range(len(table.basic))}
    times = []
    for moment in (moment for moment in definitions if moment in needed):
        number[moment] = len(number)
        for first, second, multiplicity in definitions[moment]:
            times.append(Product(number[first], number[second], multiplicity, number[moment]))
    return DistinctProducts(times, [number[same[moment]] for moment in table.mapping], len(number))
