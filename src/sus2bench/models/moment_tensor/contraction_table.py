"""The list of products that turns an atom's basic moments into invariant scalars.

A table holds what the ``alpha_*`` fields of an ``.mtp`` file hold (SUS2 specification, sections
3 and 4). Moments are numbered: the basic ones first, in the order of ``basic``; every other moment
is a sum of products of two earlier ones.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple, TypeVar

import numpy as np
from numpy.typing import NDArray

# The authors' program keeps every entry of a table in a C int.
_LARGEST_INTEGER = 2**31 - 1


class ContractionError(ValueError):
    """A contraction table contradicts itself; ``field`` is the ``.mtp`` field at fault."""

    def __init__(self, field: str, message: str) -> None:
        super().__init__(f"{field}: {message}")
        self.field = field
        self.message = message


class BasicMoment(NamedTuple):
    """M[mu; p,q,s] = sum_j R_mu(r_j) u_x^p u_y^q u_z^s, of rank p + q + s."""

    mu: int
    p: int
    q: int
    s: int


class Product(NamedTuple):
    """One step M[output] += multiplicity * M[first] * M[second]."""

    first: int
    second: int
    multiplicity: int
    output: int


@dataclass(frozen=True)
class ContractionTable:
    """Contractions in the numbering of an ``.mtp`` file.

    Attributes:
        basic: (mu, p, q, s) of each basic moment (``alpha_index_basic``).
        times: (first, second, multiplicity, output) of each product, in an order in which the
            inputs are complete before they are used (``alpha_index_times``).
        mapping: moment number of each scalar, all different (``alpha_moment_mapping``).
        moment_count: number of moments, basic ones included (``alpha_moments_count``).

    Raises:
        ContractionError: an index is out of range, a moment is used before it is complete, a
            moment is never computed, or a scalar is listed twice.
    """

    basic: tuple[BasicMoment, ...]
    times: tuple[Product, ...]
    mapping: tuple[int, ...]
    moment_count: int

    def __post_init__(self) -> None:
        """Accept plain tuples, and refuse a table that does not hold together."""
        object.__setattr__(self, "basic", _rows(BasicMoment, self.basic, "alpha_index_basic"))
        object.__setattr__(self, "times", _rows(Product, self.times, "alpha_index_times"))
        object.__setattr__(self, "mapping", tuple(self.mapping))
        self._check_basic()
        self._check_times()
        self._check_mapping()

    @property
    def scalar_count(self) -> int:
        """Number of invariant scalars."""
        return len(self.mapping)

    def _check_basic(self) -> None:
        field = "alpha_index_basic"
        if not self.basic:
            raise ContractionError(field, "lists no moment; give at least one {mu, p, q, s}")
        seen: set[BasicMoment] = set()
        for position, moment in enumerate(self.basic):
            if min(moment) < 0:
                raise ContractionError(field, f"entry {position} {_braces(moment)} is negative")
            if moment in seen:
                raise ContractionError(field, f"entry {position} {_braces(moment)} occurs twice")
            seen.add(moment)

    def _check_times(self) -> None:
        field = "alpha_index_times"
        basic_count = len(self.basic)
        if not basic_count <= self.moment_count <= _LARGEST_INTEGER:
            raise ContractionError(
                "alpha_moments_count",
                f"is {self.moment_count}, but there are already {basic_count} basic moments; "
                "it counts all moments, basic ones included",
            )
        computed = set(range(basic_count))
        used: set[int] = set()
        for position, product in enumerate(self.times):
            where = f"entry {position} {_braces(product)}"
            if not 0 < abs(product.multiplicity) <= _LARGEST_INTEGER:
                raise ContractionError(field, f"{where}: the multiplicity is 0 or too large")
            if not basic_count <= product.output < self.moment_count:
                raise ContractionError(
                    field,
                    f"{where}: output {product.output} is not between {basic_count} (the number "
                    f"of basic moments) and {self.moment_count - 1} (the last moment)",
                )
            for index in (product.first, product.second):
                if index not in computed:
                    raise ContractionError(
                        field,
                        f"{where}: moment {index} is used before anything is added to it; "
                        f"moments are numbered 0 to {self.moment_count - 1} and an input has "
                        "to be complete before its use",
                    )
            used.update((product.first, product.second))
            if product.output in used:
                raise ContractionError(
                    field,
                    f"{where}: moment {product.output} was used before this entry completes it; "
                    "move the entry before the first use",
                )
            computed.add(product.output)
        if len(computed) != self.moment_count:
            missing = next(i for i in range(self.moment_count) if i not in computed)
            raise ContractionError(
                "alpha_moments_count",
                f"is {self.moment_count}, but only {len(computed)} moments are computed (moment "
                f"{missing} never is); correct the count or add the missing products",
            )

    def _check_mapping(self) -> None:
        field = "alpha_moment_mapping"
        if not self.mapping:
            raise ContractionError(field, "lists no scalar; give at least one moment")
        seen: set[int] = set()
        for position, moment in enumerate(self.mapping):
            if not 0 <= moment < self.moment_count:
                raise ContractionError(
                    field,
                    f"entry {position} names moment {moment}, but moments are numbered 0 to "
                    f"{self.moment_count - 1}",
                )
            if moment in seen:
                # The authors' program assigns dE/dM per entry, so the first of two would be lost.
                raise ContractionError(
                    field,
                    f"entry {position} names moment {moment} a second time; give a repeated "
                    "scalar a moment of its own",
                )
            seen.add(moment)


def plain_table(table: ContractionTable) -> dict[str, Any]:
    """The table as lists of integers: what `ContractionTable(**plain)` takes."""
    return {
        "basic": [list(moment) for moment in table.basic],
        "times": [list(product) for product in table.times],
        "mapping": list(table.mapping),
        "moment_count": table.moment_count,
    }


def compositions(rank: int) -> list[tuple[int, int, int]]:
    """Exponents (p, q, s) with p + q + s = rank, p descending, then q descending."""
    return [(p, q, rank - p - q) for p in range(rank, -1, -1) for q in range(rank - p, -1, -1)]


def evaluate(table: ContractionTable, moments: NDArray[np.float64]) -> NDArray[np.float64]:
    """Scalars of a table by its definition, product after product; plain rather than fast.

    Args:
        table: the contractions.
        moments: basic moments, shape (..., number of basic moments).

    Returns:
        The scalars, shape (..., number of scalars), in the order of ``table.mapping``.
    """
    moments = np.asarray(moments)
    if moments.shape[-1] != len(table.basic):
        raise ValueError(
            f"the last axis of moments has length {moments.shape[-1]}, but the table has "
            f"{len(table.basic)} basic moments"
        )
    values = np.zeros((*moments.shape[:-1], table.moment_count), dtype=moments.dtype)
    values[..., : len(table.basic)] = moments
    for first, second, multiplicity, output in table.times:
        values[..., output] += multiplicity * values[..., first] * values[..., second]
    return values[..., list(table.mapping)]


_Row = TypeVar("_Row", BasicMoment, Product)


def _rows(kind: type[_Row], entries: Iterable[Sequence[int]], field: str) -> tuple[_Row, ...]:
    """The entries of a list of quadruples as named tuples."""
    rows = []
    for position, entry in enumerate(entries):
        if len(entry) != 4:
            raise ContractionError(
                field, f"entry {position} has {len(entry)} numbers; it needs four"
            )
        rows.append(kind(*entry))
    return tuple(rows)


def _braces(numbers: Sequence[int]) -> str:
    """Numbers as an ``.mtp`` file writes them."""
    return "{" + ", ".join(str(number) for number in numbers) + "}"
