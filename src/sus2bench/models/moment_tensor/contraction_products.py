"""Turns graphs of contractions into sums of products of two moments, sharing what is common.

A tensor component whose Cartesian indices hold x, y, z p, q, s times is labelled by its composition
(p, q, s). To sum over m shared indices is to sum over the compositions e of m with the weight
m! / (e_x! e_y! e_z!). A graph is contracted two parts at a time, and every order of doing so is a
candidate. Components that are the same sum of products up to an integer factor are one moment;
the order for each graph is chosen so that all graphs together need few products.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from functools import cache
from itertools import combinations, product
from math import factorial, gcd, prod

from sus2bench.models.moment_tensor.contraction_graphs import Factor, Graph, Invariant
from sus2bench.models.moment_tensor.contraction_table import (
    BasicMoment,
    ContractionTable,
    Product,
    compositions,
)

Composition = tuple[int, int, int]
Label = tuple[Composition, ...]
Components = dict[Label, tuple[int, int]]
Sum = dict[tuple[int, int], int]  # {(first <= second): multiplicity} of products of two moments

_SWEEPS = 10


@dataclass(frozen=True)
class _Tensor:
    """A contracted part of a graph.

    Attributes:
        nodes: the nodes it consists of.
        groups: sets of nodes whose open indices are exchangeable: one node, or several whose open
            indices all go to the same node outside. In a group of several, the multinomial weights
            of the coming contraction are part of the components already.
        components: {composition of each group: (integer factor, moment number)}.
    """

    nodes: tuple[int, ...]
    groups: tuple[tuple[int, ...], ...]
    components: Components


class ProductBuilder:
    """Collects the moments that invariants need.

    Moments have provisional numbers, inputs before outputs; ``table`` gives the final ones.

    Args:
        basic: all basic moments, in the order of the table to be made.
        radial_function: number mu of the radial function of a factor, by which the basic moments
            of its tensor are found.
    """

    def __init__(
        self, basic: Sequence[BasicMoment], radial_function: Callable[[Factor], int]
    ) -> None:
        self._basic = tuple(basic)
        self._radial_function = radial_function
        self._basic_number = {moment: number for number, moment in enumerate(self._basic)}
        # Of each moment its products (first, second, multiplicity); none for a basic one.
        self._definitions: list[tuple[tuple[int, int, int], ...]] = [()] * len(self._basic)
        self._number_of: dict[tuple[tuple[int, int, int], ...], int] = {}

    def contract(self, graphs: Iterable[Graph]) -> dict[Graph, int]:
        """Moment number of the value of each connected graph."""
        return self._choose({graph: self._candidates(graph) for graph in graphs})

    def multiply(self, first: int, second: int) -> int:
        """Moment number of the product of two moments."""
        return self._number({(min(first, second), max(first, second)): 1})

    def table(self, scalars: Iterable[int]) -> ContractionTable:
        """The table of these scalars, in their order; a product listed twice is computed twice."""
        final = {number: number for number in range(len(self._basic))}
        times: list[Product] = []
        mapping: dict[int, None] = {}
        moment_count = len(self._basic)

        def add(number: int) -> int:
            nonlocal moment_count
            for first, second, multiplicity in self._definitions[number]:
                low, high = sorted((final[first], final[second]))
                times.append(Product(low, high, multiplicity, moment_count))
            moment_count += 1
            return moment_count - 1

        for scalar in scalars:
            for number in self._needed(scalar):
                if number not in final:
                    final[number] = add(number)
            mapping[add(scalar) if final[scalar] in mapping else final[scalar]] = None
        return ContractionTable(self._basic, tuple(times), tuple(mapping), moment_count)

    def _candidates(self, graph: Graph) -> list[int]:
        """Moments with the graph's value, one for each order of contracting its nodes."""
        parts = self._parts(graph, tuple(range(len(graph))), {})
        numbers = set()
        for part in parts:
            factor, number = part.components[(((0, 0, 0),) if len(graph) == 1 else ())]
            if factor != 1:
                number = self._number({(a, b): factor * m for a, b, m in self._definitions[number]})
            numbers.add(number)
        return sorted(numbers)

    def _parts(
        self, graph: Graph, nodes: tuple[int, ...], known: dict[tuple[int, ...], list[_Tensor]]
    ) -> list[_Tensor]:
        """The different tensors that contracting these nodes in all possible orders gives."""
        if nodes not in known:
            if len(nodes) == 1:
                known[nodes] = [self._basic_tensor(graph, nodes[0])]
            else:
                tensors = [
                    self._join(graph, left, right)
                    for left_nodes, right_nodes in _splits(nodes)
                    for left in self._parts(graph, left_nodes, known)
                    for right in self._parts(graph, right_nodes, known)
                ]
                known[nodes] = [t for i, t in enumerate(tensors) if t not in tensors[:i]]
        return known[nodes]

    def _basic_tensor(self, graph: Graph, node: int) -> _Tensor:
        factor = graph.factors[node]
        mu = self._radial_function(factor)
        components: Components = {
            (exponents,): (1, self._basic_number[BasicMoment(mu, *exponents)])
            for exponents in compositions(factor.rank)
        }
        return _Tensor((node,), ((node,),), components)

    def _join(self, graph: Graph, left: _Tensor, right: _Tensor) -> _Tensor:
        """Contract two parts over all indices that they share."""
        nodes = left.nodes + right.nodes
        groups = left.groups + right.groups
        targets = [_targets(graph, group, nodes) for group in groups]
        pools = _pools(targets)
        terms = _terms(
            len(left.groups),
            tuple(
                (i, j, count)
                for i, j in product(range(len(left.groups)), range(len(left.groups), len(groups)))
                if (count := _bond(graph, groups[i], groups[j]))
            ),
            tuple(sum(counts.values()) for counts in targets),
            tuple(len(group) > 1 for group in groups),
            pools,
        )
        sums: dict[Label, Sum] = defaultdict(Counter)
        for left_key, right_key, key, weight in terms:
            left_factor, first = left.components[left_key]
            right_factor, second = right.components[right_key]
            pair = (first, second) if first < second else (second, first)
            sums[key][pair] += weight * left_factor * right_factor
        return _Tensor(
            nodes,
            tuple(tuple(node for g in pool for node in groups[g]) for pool in pools),
            {key: self._component(total) for key, total in sums.items()},
        )

    def _component(self, total: Sum) -> tuple[int, int]:
        """A sum of products as an integer factor and a moment number."""
        factor = gcd(*total.values())
        return factor, self._number({pair: m // factor for pair, m in total.items()})

    def _number(self, total: Sum) -> int:
        """Number of the moment that is this sum of products, a new one if there is none yet."""
        definition = tuple(sorted((*pair, m) for pair, m in total.items()))
        if definition not in self._number_of:
            self._number_of[definition] = len(self._definitions)
            self._definitions.append(definition)
        return self._number_of[definition]

    def _needed(self, number: int) -> list[int]:
        """The moments, apart from basic ones, that this one is made of, inputs first."""
        found: set[int] = set()
        border = [number]
        while border:
            moment = border.pop()
            if moment not in found and self._definitions[moment]:
                found.add(moment)
                border += [
                    i for first, second, _ in self._definitions[moment] for i in (first, second)
                ]
        return sorted(found)

    def _choose(self, candidates: dict[Graph, list[int]]) -> dict[Graph, int]:
        """One candidate for each graph such that all moments needed cost few products.

        The products of a moment are charged in equal shares to the graphs that use it, at first to
        all that could. Then graph after graph changes to the candidate that is cheapest beside
        the present choices of the others.
        """
        needed = {n: self._needed(n) for numbers in candidates.values() for n in numbers}
        users: Counter[int] = Counter()
        for numbers in candidates.values():
            users.update({moment for number in numbers for moment in needed[number]})

        def price(number: int, further_users: int) -> tuple[float, int]:
            shares = (
                len(self._definitions[m]) / (users[m] + further_users) for m in needed[number]
            )
            return sum(shares), number

        chosen = {
            graph: min(numbers, key=lambda number: price(number, 0))
            for graph, numbers in candidates.items()
        }
        users = Counter(moment for number in chosen.values() for moment in needed[number])
        best = (sum(len(self._definitions[m]) for m in users), dict(chosen))
        for _ in range(_SWEEPS):
            for graph, numbers in candidates.items():
                users.subtract(needed[chosen[graph]])
                chosen[graph] = min(numbers, key=lambda number: price(number, 1))
                users.update(needed[chosen[graph]])
            cost = sum(len(self._definitions[m]) for m, count in users.items() if count)
            if cost >= best[0]:
                break
            best = (cost, dict(chosen))
        return best[1]


def table_of(
    invariants: Sequence[Invariant],
    basic: Sequence[BasicMoment],
    radial_function: Callable[[Factor], int],
) -> ContractionTable:
    """The table that computes products of connected graphs, in their order.

    Args:
        invariants: the scalars.
        basic: as `ProductBuilder` takes it.
        radial_function: the same.
    """
    builder = ProductBuilder(basic, radial_function)
    connected = dict.fromkeys(part for invariant in invariants for part in invariant)
    numbers = builder.contract(connected)
    scalars = []
    for first, *others in invariants:
        number = numbers[first]
        for other in others:
            number = builder.multiply(number, numbers[other])
        scalars.append(number)
    return builder.table(scalars)


@cache
def _terms(
    split: int,
    shared: tuple[tuple[int, int, int], ...],
    open_counts: tuple[int, ...],
    merged: tuple[bool, ...],
    pools: tuple[tuple[int, ...], ...],
) -> tuple[tuple[Label, Label, Label, int], ...]:
    """Component of left and right part, component of their contraction, and weight of each product.

    Args:
        split: number of groups of the left part; the others are those of the right part.
        shared: (group of the left part, group of the right part, number of shared indices).
        open_counts: number of indices that stay open, by group.
        merged: whether a group's components hold the weights of its open indices, by group.
        pools: groups whose open indices become one group of the result.
    """
    # Weights of open indices enter as groups merge, those of summed ones now unless they did so.
    weighted = [g for pool in pools if len(pool) > 1 for g in pool if not merged[g]]
    terms = []
    for summed in product(*(compositions(count) for *_, count in shared)):
        weight = prod(
            _multinomial(exponents)
            for (i, j, _), exponents in zip(shared, summed, strict=True)
            if not (merged[i] or merged[j])
        )
        for free in product(*(compositions(count) for count in open_counts)):
            indices = list(free)
            for (i, j, _), exponents in zip(shared, summed, strict=True):
                indices[i] = _add(indices[i], exponents)
                indices[j] = _add(indices[j], exponents)
            key = tuple(_add(*(free[g] for g in pool)) for pool in pools)
            open_weight = prod(_multinomial(free[g]) for g in weighted)
            left, right = tuple(indices[:split]), tuple(indices[split:])
            terms.append((left, right, key, weight * open_weight))
    return tuple(terms)


def _splits(nodes: tuple[int, ...]) -> Iterator[tuple[tuple[int, ...], tuple[int, ...]]]:
    """All ways to part nodes in two."""
    first, *rest = nodes
    for size in range(len(rest)):
        for others in combinations(rest, size):
            left = (first, *others)
            yield left, tuple(node for node in nodes if node not in left)


def _bond(graph: Graph, first: Sequence[int], second: Sequence[int]) -> int:
    """Number of indices that two groups of nodes share."""
    return sum(graph.bond(i, j) for i, j in product(first, second))


def _targets(graph: Graph, group: Sequence[int], inside: Sequence[int]) -> dict[int, int]:
    """Number of open indices of a group by the node outside that they go to."""
    outside = (node for node in range(len(graph)) if node not in inside)
    return {node: count for node in outside if (count := _bond(graph, group, (node,)))}


def _pools(targets: Sequence[dict[int, int]]) -> tuple[tuple[int, ...], ...]:
    """Groups with open indices; those that all go to the same one node are taken together."""
    pools: dict[object, list[int]] = defaultdict(list)
    for group, counts in enumerate(targets):
        if len(counts) == 1:
            pools["to", next(iter(counts))].append(group)
        elif counts:
            pools["alone", group].append(group)
    return tuple(tuple(pool) for pool in pools.values())


@cache
def _add(*exponents: Composition) -> Composition:
    p, q, s = (sum(column) for column in zip(*exponents, strict=True))
    return p, q, s


@cache
def _multinomial(exponents: Composition) -> int:
    return factorial(sum(exponents)) // prod(factorial(e) for e in exponents)
