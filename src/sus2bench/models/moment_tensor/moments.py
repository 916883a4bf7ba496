"""Moments of an atom's neighbourhood and their products: dense sums over padded neighbours.

    M[mu; p, q, s](i) = sum_j R_mu(r_ij) u_x^p u_y^q u_z^s
    M[o] += m M[a] M[b]

(SUS2 specification, sections 3 and 4; Novikov et al., Mach. Learn.: Sci. Technol. 2, 025002, 2021.)
"""

from typing import NamedTuple, cast

import torch
from torch import Tensor, nn

from sus2bench.models.moment_tensor.contraction_table import (
    ContractionTable,
    Product,
    compositions,
)
from sus2bench.models.moment_tensor.distinct_products import distinct_products

_LARGEST_JACOBIAN = 2**18
"""Derivatives of all moments are taken for so many atoms at once that there are about as many."""


class Neighbourhoods(NamedTuple):
    """Edges laid out as one row of neighbour slots per atom."""

    vectors: Tensor
    """(N, n, 3) Å; empty slots hold a vector as long as the cutoff, where every R_mu vanishes."""
    centre_types: Tensor
    """(N, n)."""
    neighbour_types: Tensor
    """(N, n)."""
    place: Tensor
    """(E,) the slot of each edge, among those of all atoms in turn."""


def pad_neighbours(
    vectors: Tensor, edge_index: Tensor, types: Tensor, cutoff: float, fewest: int = 0
) -> Neighbourhoods:
    """Lays out edges (E, 3), sorted by centre, as slots of each of N atoms.

    Args:
        vectors: (E, 3) Å.
        edge_index: (2, E), row 0 the neighbour, row 1 the centre in ascending order.
        types: (N,) type indices.
        cutoff: Å.
        fewest: slots that there are at least.
    """
    neighbour, centre = edge_index
    atoms = len(types)
    counts = torch.bincount(centre, minlength=atoms)
    slots = max(fewest, int(counts.max()) if len(centre) else 0)
    first = counts.cumsum(0) - counts
    place = torch.arange(len(centre), device=centre.device) + (
        torch.arange(atoms, device=centre.device) * slots - first
    ).index_select(0, centre)
    empty = vectors.new_zeros(atoms * slots, 3)
    empty[:, 0] = cutoff
    neighbour_types = types.new_zeros(atoms * slots).index_copy(0, place, types[neighbour])
    return Neighbourhoods(
        empty.index_copy(0, place, vectors).view(atoms, slots, 3),
        types.view(-1, 1).expand(-1, slots),
        neighbour_types.view(atoms, slots),
        place,
    )


def monomial_exponents(max_rank: int) -> list[tuple[int, int, int]]:
    """Exponents (p, q, s) of all ranks 0 .. max_rank, rank by rank."""
    return [exponents for rank in range(max_rank + 1) for exponents in compositions(rank)]


def direction_monomials(unit: Tensor, max_rank: int) -> Tensor:
    """u_x^p u_y^q u_z^s of unit vectors (..., 3) for all `monomial_exponents`: (monomials, ...)."""
    axes = unit.unbind(-1)
    monomials = {(0, 0, 0): torch.ones_like(axes[0])}
    for exponents in monomial_exponents(max_rank)[1:]:
        # One axis less is a monomial of lower rank, which is there already.
        axis = next(i for i in range(3) if exponents[i])
        lower = tuple(e - (i == axis) for i, e in enumerate(exponents))
        monomials[exponents] = (
            axes[axis] if sum(exponents) == 1 else monomials[lower] * axes[axis]  # type: ignore[index]
        )
    return torch.stack(list(monomials.values()))


class Moments(nn.Module):
    """The basic moments a contraction table names, then their products level by level.

    Args:
        table: what to compute, in the numbering of `.mtp` files.
    """

    basic_rows: Tensor
    function_of_basic: Tensor
    scalar_rows: Tensor

    def __init__(self, table: ContractionTable) -> None:
        super().__init__()
        self.table = table
        self.max_rank = max(p + q + s for _, p, q, s in table.basic)
        exponents = monomial_exponents(self.max_rank)
        rows = [mu * len(exponents) + exponents.index((p, q, s)) for mu, p, q, s in table.basic]
        self.register_buffer("basic_rows", torch.tensor(rows), persistent=False)
        functions = torch.tensor([mu for mu, *_ in table.basic])
        self.register_buffer("function_of_basic", functions, persistent=False)
        # Rows are renumbered in the order in which the levels produce them.
        row_of_moment = {moment: moment for moment in range(len(table.basic))}
        self.levels = nn.ModuleList()
        distinct = distinct_products(table)
        for terms in _levels(len(table.basic), distinct.times):
            outputs = sorted({o for *_, o in terms})
            self.levels.append(_Products(terms, outputs, row_of_moment))
            for output in outputs:
                row_of_moment[output] = len(row_of_moment)
        scalars = torch.tensor([row_of_moment[moment] for moment in distinct.mapping])
        self.register_buffer("scalar_rows", scalars, persistent=False)

    def basic(self, radial: Tensor, unit: Tensor) -> Tensor:
        """Basic moments (basic, N) from radial values (mu, N, n) and unit vectors (N, n, 3)."""
        monomials = direction_monomials(unit, self.max_rank)
        sums = radial.permute(1, 0, 2) @ monomials.permute(1, 2, 0)
        return sums.flatten(1).t().index_select(0, self.basic_rows)

    def edge_terms(self, radial: Tensor, unit: Tensor) -> Tensor:
        """What each edge adds to the basic moments of its centre: (basic, E).

        Args:
            radial: (mu, E).
            unit: (E, 3).
        """
        monomials = direction_monomials(unit, self.max_rank)
        terms = radial.unsqueeze(1) * monomials.unsqueeze(0)
        return terms.flatten(0, 1).index_select(0, self.basic_rows)

    def products(self, basic: Tensor) -> Tensor:
        """All moments (rows, N), basic ones first, from the basic ones (basic, N)."""
        moments = basic
        for level in self.levels:
            moments = torch.cat([moments, level(moments)])
        return moments

    def jacobian(self, basic: Tensor) -> tuple[Tensor, Tensor]:
        """Scalars (scalars, N) and their derivatives by the basic moments (scalars, basic, N)."""
        per_atom = self.table.moment_count * len(basic)
        blocks = basic.split(max(1, _LARGEST_JACOBIAN // per_atom), dim=1)
        scalars, slopes = zip(*map(self._jacobian, blocks), strict=True)
        return torch.cat(scalars, dim=-1), torch.cat(slopes, dim=-1)

    def _jacobian(self, basic: Tensor) -> tuple[Tensor, Tensor]:
        moments = basic
        count, atoms = basic.shape
        slopes = torch.eye(count, dtype=basic.dtype, device=basic.device)
        slopes = slopes.unsqueeze(-1).expand(-1, -1, atoms)
        for level in self.levels:
            slopes = torch.cat([slopes, cast(_Products, level).slopes(moments, slopes)])
            moments = torch.cat([moments, level(moments)])
        return moments[self.scalar_rows], slopes[self.scalar_rows]


class _Products(nn.Module):
    """One level of `M[o] += m M[a] M[b]`, all of whose inputs are complete."""

    left: Tensor
    right: Tensor
    output: Tensor
    factor: Tensor

    def __init__(
        self,
        terms: list[Product],
        outputs: list[int],
        row_of_moment: dict[int, int],
    ) -> None:
        super().__init__()
        self.rows = len(outputs)
        place = {output: number for number, output in enumerate(outputs)}
        columns = [(row_of_moment[a], row_of_moment[b], place[o]) for a, b, _, o in terms]
        for name, column in zip(
            ("left", "right", "output"), zip(*columns, strict=True), strict=True
        ):
            self.register_buffer(name, torch.tensor(column), persistent=False)
        factor = torch.tensor([[m] for *_, m, _ in terms])
        self.register_buffer("factor", factor, persistent=False)

    def forward(self, moments: Tensor) -> Tensor:
        left, right = moments.index_select(0, self.left), moments.index_select(0, self.right)
        products = left * right * self.factor
        return moments.new_zeros(self.rows, moments.shape[1]).index_add(0, self.output, products)

    def slopes(self, moments: Tensor, slopes: Tensor) -> Tensor:
        """Derivatives (rows, basic, N) of this level, by the product rule."""
        left = (moments[self.left] * self.factor).unsqueeze(1)
        right = (moments[self.right] * self.factor).unsqueeze(1)
        terms = slopes[self.left] * right + left * slopes[self.right]
        return terms.new_zeros(self.rows, *terms.shape[1:]).index_add(0, self.output, terms)


def _levels(basic: int, times: list[Product]) -> list[list[Product]]:
    """Groups the products so that each group needs only basic moments and earlier groups."""
    level = dict.fromkeys(range(basic), 0)
    for a, b, _, o in times:
        level[o] = max(level.get(o, 0), level[a] + 1, level[b] + 1)
    groups: list[list[Product]] = [[] for _ in range(max(level.values()))]
    for term in times:
        groups[level[term.output] - 1].append(term)
    return groups
