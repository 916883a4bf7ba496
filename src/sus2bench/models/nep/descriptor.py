"""Descriptors of NEP: radial sums, and angular invariants of three, four and five bodies.

Z. Fan et al., Phys. Rev. B 104, 104309 (2021), doi 10.1103/PhysRevB.104.104309, and J. Chem. Phys.
157, 114801 (2022), doi 10.1063/5.0106617. With a, b the types of centre i and neighbour j,

    f_k(r)  = (T_k(2 (r / r_c - 1)^2 - 1) + 1) / 2  f_c(r),   f_c(r) = (1 + cos(pi r / r_c)) / 2
    g_n(r)  = sum_k c[a, b, k, n] f_k(r),   k = 0 .. basis_size,   n = 0 .. n_max
    q_n     = sum_j g_n(r_ij)
    A_nlm   = sum_j g_n(r_ij) Y_lm,   Y orthonormal real spherical harmonics
    q_nl    = sum_m A_nlm^2,   l = 1 .. l_max
    q_n^4   = sum over m, m', m'' of the 3j symbols (2 2 2; m m' m'') times A_n2m A_n2m' A_n2m''
    q_n^5   = 7/15 q_n1^2

Radial sums and angular ones have their own c, cutoff, n_max and basis_size. The last two lines
are the invariants of the 2022 paper (4-body l = 2, 5-body l = 1) in closed form: with the
traceless tensor Q = sum_j g (u u^T - 1/3) of the unit vectors u, the 4-body one is a number times
the trace of Q^3, and that of five bodies is a number times |sum_j g u|^4.
"""

import math
from collections.abc import Sequence

import torch
from torch import Tensor, nn

from sus2bench.models.layers import cosine_cutoff
from sus2bench.models.moment_tensor.chebyshev import chebyshev
from sus2bench.models.moment_tensor.moments import pad_neighbours

INITIAL_RANGE = 0.5
"""Initial parameters are uniform in +-0.5, as GPUMD's search starts (`main_nep/snes.cu`)."""

FIVE_BODY = 7.0 / 15.0
"""1/3 + 2/15: four vectors coupled in pairs to l = 0 and to l = 2, and these to a scalar."""

FOUR_BODY = -36.0 * math.sqrt(2.0 / 35.0) * (5.0 / (16.0 * math.pi)) ** 1.5
"""Factor of the trace of Q^3. Where A_n20 alone is not zero, Q is diag(-1/2, -1/2, 1) Q_zz, and the
sum has one term: (2 2 2; 0 0 0) = -sqrt(2/35) times the cube of A_n20 = 3 Q_zz sqrt(5 / 16 pi)."""


class RadialFunctions(nn.Module):
    """The functions g_n of all ordered pairs of types.

    Args:
        species_count: C.
        n_max: highest n.
        basis_size: highest k.
        cutoff: r_c, Å.
        generator: random numbers for the initial c.

    Attributes:
        coefficients: c, (C, C, basis_size + 1, n_max + 1) by centre, neighbour, k, n.
    """

    def __init__(
        self,
        species_count: int,
        n_max: int,
        basis_size: int,
        cutoff: float,
        generator: torch.Generator,
    ) -> None:
        super().__init__()
        self.cutoff = cutoff
        shape = (species_count, species_count, basis_size + 1, n_max + 1)
        self.coefficients = uniform_parameter(shape, generator)

    @property
    def count(self) -> int:
        """n_max + 1, the number of functions."""
        return self.coefficients.shape[-1]

    def basis(self, distance: Tensor) -> Tensor:
        """f_k of distances (...) in Å, (..., basis_size + 1); zero beyond the cutoff."""
        reduced = distance.clamp(max=self.cutoff) / self.cutoff - 1.0
        x = 2.0 * reduced.square() - 1.0
        polynomials = chebyshev(x, torch.ones_like(x), self.coefficients.shape[2])
        half_envelope = 0.5 * cosine_cutoff(distance, self.cutoff)
        return (torch.stack(polynomials, dim=-1) + 1.0) * half_envelope.unsqueeze(-1)

    def of_pairs(self, distance: Tensor, centre: Tensor, neighbour: Tensor) -> Tensor:
        """g_n (..., n_max + 1) of distances (...) between atoms of given types (...)."""
        species_count = len(self.coefficients)
        pair = (centre * species_count + neighbour).flatten()
        c = self.coefficients.flatten(0, 1).index_select(0, pair)
        values = (self.basis(distance).flatten(0, -2).unsqueeze(-1) * c).sum(1)
        return values.view(*distance.shape, self.count)

    def sums(self, distance: Tensor, edge_index: Tensor, types: Tensor) -> Tensor:
        """sum_j g_n(r_ij) of each atom (N, n_max + 1), from the distances (E,) of all edges.

        The f_k are summed by type of neighbour before they meet c, of which each atom then needs
        one block per type that is there, not one per edge.
        """
        neighbour, centre = edge_index
        present, column = torch.unique(types, return_inverse=True)
        atoms, kinds = len(types), len(present)
        basis = self.basis(distance)
        place = centre * kinds + column.index_select(0, neighbour)
        size = basis.shape[1]
        by_kind = basis.new_zeros(atoms * kinds, size).index_add(0, place, basis)
        c = self.coefficients.index_select(1, present).flatten(1, 2).index_select(0, types)
        return (by_kind.view(atoms, kinds * size, 1) * c).sum(1)


class Descriptor(nn.Module):
    """All components of an atom: radial, then angular by l, then of four and five bodies.

    Args:
        species_count: C.
        cutoff: of the radial components, Å.
        angular_cutoff: of the others, Å.
        n_max: highest n, radial and angular.
        basis_size: highest k, radial and angular.
        l_max: highest l; 2 where there are 4-body components, else 0; 1 where there are 5-body
            components, else 0.
        generator: random numbers for the initial c.
    """

    def __init__(
        self,
        species_count: int,
        cutoff: float,
        angular_cutoff: float,
        n_max: Sequence[int],
        basis_size: Sequence[int],
        l_max: Sequence[int],
        generator: torch.Generator,
    ) -> None:
        super().__init__()
        self.l_max = tuple(l_max)
        self.radial = RadialFunctions(species_count, n_max[0], basis_size[0], cutoff, generator)
        self.angular = RadialFunctions(
            species_count, n_max[1], basis_size[1], angular_cutoff, generator
        )
        self.size = self.radial.count + self.angular.count * (
            self.l_max[0] + bool(self.l_max[1]) + bool(self.l_max[2])
        )

    def forward(self, vectors: Tensor, edge_index: Tensor, types: Tensor) -> Tensor:
        """Components (N, size) of atoms of types (N,), from edges (E, 3) in Å sorted by centre."""
        distance = vectors.square().sum(-1).sqrt()
        radial = self.radial.sums(distance, edge_index, types)
        near = (distance < self.angular.cutoff).nonzero().squeeze(-1)
        return torch.cat((radial, self._invariants(vectors[near], edge_index[:, near], types)), 1)

    def _invariants(self, vectors: Tensor, edge_index: Tensor, types: Tensor) -> Tensor:
        around = pad_neighbours(vectors, edge_index, types, self.angular.cutoff)
        distance = around.vectors.square().sum(-1).sqrt()
        g = self.angular.of_pairs(distance, around.centre_types, around.neighbour_types)
        harmonics = spherical_harmonics(around.vectors / distance.unsqueeze(-1), self.l_max[0])
        a = g.transpose(1, 2) @ harmonics
        ranks = a.split([2 * rank + 1 for rank in range(1, self.l_max[0] + 1)], dim=-1)
        q = [rank.square().sum(-1) for rank in ranks]
        if self.l_max[1]:
            q.append(four_body(ranks[1]))
        if self.l_max[2]:
            q.append(FIVE_BODY * q[0].square())
        return torch.cat(q, dim=1)


def uniform_parameter(shape: Sequence[int], generator: torch.Generator) -> nn.Parameter:
    """A parameter in float64 with the initial distribution of the original."""
    values = torch.empty(tuple(shape), dtype=torch.float64)
    return nn.Parameter(values.uniform_(-INITIAL_RANGE, INITIAL_RANGE, generator=generator))


def spherical_harmonics(unit: Tensor, l_max: int) -> Tensor:
    """Orthonormal real Y_lm of unit vectors (..., 3) for l = 1 .. l_max: (..., l_max (l_max + 2)).

    Each l begins with m = 0; then come the real and the imaginary part of m = 1, of m = 2, ...
    """
    x, y, z = unit.unbind(-1)
    powers = [(torch.ones_like(x), torch.zeros_like(x))]
    for _ in range(l_max):
        real, imaginary = powers[-1]
        powers.append((x * real - y * imaginary, x * imaginary + y * real))
    legendre = _legendre(z, l_max)
    harmonics = []
    for rank in range(1, l_max + 1):
        for order in range(rank + 1):
            value = legendre[rank, order] * _normalisation(rank, order)
            if order == 0:
                harmonics.append(value)
            else:
                harmonics += [value * part for part in powers[order]]
    return torch.stack(harmonics, dim=-1)


def _legendre(z: Tensor, l_max: int) -> dict[tuple[int, int], Tensor]:
    """Associated Legendre functions of cos(theta) = z without their factor sin(theta)^m."""
    values: dict[tuple[int, int], Tensor] = {}
    for m in range(l_max + 1):
        values[m, m] = torch.full_like(z, math.prod(range(1, 2 * m, 2)))
        if m < l_max:
            values[m + 1, m] = (2 * m + 1) * z * values[m, m]
        for rank in range(m + 2, l_max + 1):
            above, below = values[rank - 1, m], values[rank - 2, m]
            values[rank, m] = ((2 * rank - 1) * z * above - (rank + m - 1) * below) / (rank - m)
    return values


def _normalisation(rank: int, order: int) -> float:
    factor = (2 * rank + 1) / (4.0 * math.pi) * (2 if order else 1)
    return math.sqrt(factor * math.factorial(rank - order) / math.factorial(rank + order))


def four_body(a: Tensor) -> Tensor:
    """The invariant of third degree of A_n2m (..., 5)."""
    # Components of Q from those of A: Y_20 is (3 z^2 - 1) / sqrt(12) in these units, and so on.
    in_units = a * math.sqrt(4.0 * math.pi / 15.0)
    axial, xz, yz, half_difference, xy = in_units.unbind(-1)
    zz = axial * (2.0 / math.sqrt(3.0))
    xx, yy = half_difference - 0.5 * zz, -half_difference - 0.5 * zz
    determinant = xx * (yy * zz - yz * yz) - xy * (xy * zz - yz * xz) + xz * (xy * yz - yy * xz)
    # A traceless symmetric tensor has tr Q^3 = 3 det Q.
    invariant: Tensor = 3.0 * FOUR_BODY * determinant
    return invariant
