"""SUS2: the site energy of spec sections 2 to 5, E_i - E0 = w[t_i] (1 + sum_q xi[q] B_q(i))."""

from collections.abc import Mapping, Sequence
from os import PathLike
from typing import Any

import torch
from torch import Tensor, nn
from torch_geometric.data import Data

from sus2bench.models.base import SiteEnergyModel
from sus2bench.models.float64 import Float64Module
from sus2bench.models.linear import LinearResponse
from sus2bench.models.sus2.contraction_table import ContractionTable
from sus2bench.models.sus2.contractions import complete_table, published_table
from sus2bench.models.sus2.linear import linear_response
from sus2bench.models.sus2.moments import Moments, pad_neighbours
from sus2bench.models.sus2.mtp_file import table_from_file
from sus2bench.models.sus2.radial import UniversalRadial


class SUS2(SiteEnergyModel):
    """The ultra-small moment tensor potential of Hu et al., PNAS 2025.

    Args:
        species: chemical symbols in type order.
        cutoff: r_c, Å.
        basis: `published` for the set l{L}k{K} of the paper, `complete` for all independent
            invariants, the path of an `.mtp` file, or a table as plain data.
        max_rank: L, highest tensor rank.
        channels: K, radial functions per rank.
        body_order: of `complete`: at most body_order - 1 moments in a product.
        radial_basis_size: R, Chebyshev polynomials.
        scaling_map: which radial functions share a pair scaling: `K`, `L` or `LK`.
        radial_basis_type: `RBChebyshev_sss` (tanh), `_sss_lmp` (the same) or `_ss`.
        min_dist: sets the initial alpha and r0, Å.
        scaling: s, one factor on every radial function.
        seed: of the random initial c.

    Raises:
        ValueError: an argument is out of range or a file does not fit.
    """

    smoothness = 1

    def __init__(
        self,
        species: Sequence[str | int],
        cutoff: float = 6.0,
        *,
        basis: str | PathLike[str] | Mapping[str, Any] = "published",
        max_rank: int = 2,
        channels: int = 2,
        body_order: int = 5,
        radial_basis_size: int = 8,
        scaling_map: str = "K",
        radial_basis_type: str = "RBChebyshev_sss",
        min_dist: float = 1.45,
        scaling: float = 0.1,
        seed: int = 0,
    ) -> None:
        super().__init__(species, cutoff)
        table = _table(basis, max_rank, channels, body_order)
        highest = max(mu for mu, *_ in table.basic)
        if highest >= channels * (max_rank + 1):
            raise ValueError(
                f"the contraction table uses radial function {highest}, but L = {max_rank} and "
                f"K = {channels} give only {channels * (max_rank + 1)}: set max_rank and channels "
                "to those of the table"
            )
        self.min_dist = min_dist
        self.max_rank = max_rank
        self.moments = Moments(table)
        self.radial = UniversalRadial(
            len(self.species),
            max_rank,
            channels,
            radial_basis_size,
            self.cutoff,
            scaling_map=scaling_map,
            basis_type=radial_basis_type,
            scaling=scaling,
            min_dist=min_dist,
            generator=torch.Generator().manual_seed(seed),
        )
        self.readout = Readout(len(self.species), len(table.mapping))

    @property
    def table(self) -> ContractionTable:
        """The contraction table in the numbering of `.mtp` files."""
        return self.moments.table

    def forward(self, frame: Data) -> Tensor:
        """Site energies (N,) in eV without E0, summed in float64 whatever the parameters are."""
        types = self.types(frame.atomic_numbers)
        basic = self.basic_moments(frame.edge_vectors, frame.edge_index, types)
        rows = self.moments.products(basic.to(torch.float64))
        site: Tensor = self.readout(rows, self.moments.scalar_rows, types)
        return site

    def basic_moments(self, vectors: Tensor, edge_index: Tensor, types: Tensor) -> Tensor:
        """Basic moments (basic, N) of atoms with the given types (N,) and edges (E, 3)."""
        around = pad_neighbours(vectors, edge_index, types, self.cutoff)
        distance = around.vectors.square().sum(-1).sqrt()
        radial = self.radial(distance, around.centre_types, around.neighbour_types)
        return self.moments.basic(radial, around.vectors / distance.unsqueeze(-1))

    def linear_response(self, frame: Data) -> LinearResponse:
        """Derivatives of energy, forces and virial by xi; `frame` carries `edge_vectors`."""
        return linear_response(self, frame)

    @property
    def linear_coefficients(self) -> Tensor:
        """The coefficients xi (scalars,), float64."""
        return self.readout.xi.detach()

    def set_linear_coefficients(self, values: Tensor, units: Tensor | None = None) -> None:
        """Sets xi (scalars,), and the units (scalars,) of the trained numbers if given."""
        with torch.no_grad():
            if units is not None:
                self.readout.units.copy_(units)
            self.readout.coefficients.copy_(values / self.readout.units)

    def hyperparameters(self) -> dict[str, Any]:
        """Plain data that rebuilds the module; the contraction table is written out in full."""
        return {
            "species": list(self.symbols),
            "cutoff": self.cutoff,
            "basis": plain_table(self.table),
            "max_rank": self.max_rank,
            "channels": self.radial.channels,
            "radial_basis_size": self.radial.coefficients.shape[1],
            "scaling_map": self.radial.scaling_map,
            "radial_basis_type": self.radial.basis_type,
            "min_dist": self.min_dist,
            "scaling": self.radial.scaling,
        }

    def parameter_blocks(self, pairs: set[tuple[int, int]]) -> dict[str, dict[str, int]]:
        """Counts parameters as spec section 7 does, apart from E0.

        Args:
            pairs: (centre, neighbour) atomic numbers that meet within the cutoff in the training
                data; both orders of a pair.

        Returns:
            For each block `stored` (numbers in the file), `trainable` (without the columns no
            program uses) and `effective` (without the scalings of pairs that never meet).
        """
        known = {(a, b) for a, b in pairs if a in self.species and b in self.species}
        scalings, species = self.radial.alpha.shape[:2]
        functions, size = self.radial.coefficients.shape

        def block(stored: int, trainable: int, effective: int) -> dict[str, int]:
            return {"stored": stored, "trainable": trainable, "effective": effective}

        def whole(count: int) -> dict[str, int]:
            return block(count, count, count)

        scaling = 2 * scalings * species**2
        return {
            "pair_scaling": block(scaling, scaling, 2 * scalings * len(known)),
            "radial_coefficients": whole(functions * size),
            "species_factor": block(functions * species, species, species),
            "species_weight": whole(species),
            "scalar_coefficients": whole(len(self.readout.coefficients)),
        }


class Readout(Float64Module):
    """Site energies from scalars: w[t] (1 + sum_q xi[q] B_q).

    In float64 always: terms of opposite sign reach thousands of eV per atom in the published
    models, so that float32 is good enough for edges but neither for xi nor for this sum.

    What is trained is xi in units that make all scalars of like effect, because an optimizer
    such as Adam takes steps of like size in all parameters, whereas products of four moments are
    orders of magnitude larger than single ones. Units are 1 unless a linear solve sets them.

    Args:
        species_count: C, number of weights w, eV.
        scalar_count: number of coefficients xi.
    """

    units: Tensor

    def __init__(self, species_count: int, scalar_count: int) -> None:
        super().__init__()
        self.register_buffer("units", torch.ones(scalar_count, dtype=torch.float64))
        self.species_weight = nn.Parameter(torch.ones(species_count, dtype=torch.float64))
        self.coefficients = nn.Parameter(torch.zeros(scalar_count, dtype=torch.float64))

    @property
    def xi(self) -> Tensor:
        """Linear coefficients of the scalars (scalars,)."""
        return self.coefficients * self.units

    def forward(self, moments: Tensor, scalar_rows: Tensor, types: Tensor) -> Tensor:
        """Returns (N,) eV.

        Args:
            moments: (rows, N) float64.
            scalar_rows: row of each scalar among the moments.
            types: (N,) type indices.
        """
        by_row = moments.new_zeros(len(moments)).index_add(0, scalar_rows, self.xi)
        return self.species_weight[types] * (1 + by_row @ moments)


def _table(
    basis: str | PathLike[str] | Mapping[str, Any], max_rank: int, channels: int, body_order: int
) -> ContractionTable:
    if isinstance(basis, Mapping):
        return ContractionTable(**basis)
    if basis == "published":
        return published_table(max_rank, channels)
    if basis == "complete":
        return complete_table(max_rank, channels, body_order)
    if str(basis).endswith(".mtp"):
        return table_from_file(basis)
    raise ValueError(
        f"basis {str(basis)!r} is none of 'published', 'complete' or the path of an .mtp file"
    )


def plain_table(table: ContractionTable) -> dict[str, Any]:
    """The table as lists of integers: what `ContractionTable(**plain)` takes."""
    return {
        "basic": [list(moment) for moment in table.basic],
        "times": [list(product) for product in table.times],
        "mapping": list(table.mapping),
        "moment_count": table.moment_count,
    }
