"""The readout of a moment tensor potential: site energies linear in the scalars."""

import torch
from torch import Tensor, nn

from sus2bench.models.float64 import Float64Module


class Readout(Float64Module):
    """Site energies from scalars: sum_q xi[q] B_q, or w[t] (1 + sum_q xi[q] B_q).

    In float64 always: terms of opposite sign reach thousands of eV per atom in published models,
    so that float32 is good enough for edges but neither for xi nor for this sum.

    What is trained is xi in units that make all scalars of like effect, because an optimizer
    such as Adam takes steps of like size in all parameters, whereas products of four moments are
    orders of magnitude larger than single ones. Units are 1 unless a linear solve sets them.

    Args:
        scalar_count: number of coefficients xi.
        weighted_species: C, number of weights w, eV; None for the plain sum without w and 1.
    """

    units: Tensor
    species_weight: nn.Parameter | None

    def __init__(self, scalar_count: int, weighted_species: int | None = None) -> None:
        super().__init__()
        self.register_buffer("units", torch.ones(scalar_count, dtype=torch.float64))
        weight = None
        if weighted_species is not None:
            weight = nn.Parameter(torch.ones(weighted_species, dtype=torch.float64))
        self.register_parameter("species_weight", weight)
        self.coefficients = nn.Parameter(torch.zeros(scalar_count, dtype=torch.float64))

    @property
    def xi(self) -> Tensor:
        """Linear coefficients of the scalars (scalars,)."""
        return self.coefficients * self.units

    def weights(self, types: Tensor) -> Tensor:
        """What multiplies the sum for atoms of these types: (N,), w[t] or 1."""
        if self.species_weight is None:
            return torch.ones(len(types), dtype=torch.float64, device=types.device)
        return self.species_weight[types]

    def forward(self, moments: Tensor, scalar_rows: Tensor, types: Tensor) -> Tensor:
        """Returns (N,) eV.

        Args:
            moments: (rows, N) float64.
            scalar_rows: row of each scalar among the moments.
            types: (N,) type indices.
        """
        return read_out(self.xi, self.species_weight, moments, scalar_rows, types)


def read_out(
    xi: Tensor, species_weight: Tensor | None, moments: Tensor, scalar_rows: Tensor, types: Tensor
) -> Tensor:
    """Site energies (N,) in eV of given coefficients (scalars,) and weights (C,); see `Readout`."""
    by_row = moments.new_zeros(len(moments)).index_add(0, scalar_rows, xi)
    total = by_row @ moments
    if species_weight is None:
        return total
    return species_weight[types] * (1 + total)
