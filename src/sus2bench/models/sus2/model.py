"""SUS2: the site energy of spec sections 2 to 5, E_i - E0 = w[t_i] (1 + sum_q xi[q] B_q(i))."""

from collections.abc import Iterable, Mapping, Sequence
from os import PathLike
from typing import Any

import torch
from torch import nn
from torch_geometric.data import Data

from sus2bench.models.moment_tensor.base import EAGER, MomentTensorModel, parameter_counts
from sus2bench.models.moment_tensor.contraction_table import ContractionTable, plain_table
from sus2bench.models.moment_tensor.readout import Readout
from sus2bench.models.species import SpeciesTensor
from sus2bench.models.sus2.contractions import complete_table, level_table, published_table
from sus2bench.models.sus2.mtp_file import table_from_file
from sus2bench.models.sus2.pair_distances import element_radii, shortest_distances
from sus2bench.models.sus2.radial import UniversalRadial

INITIAL_SCALINGS = ("default", "observed")


class SUS2(MomentTensorModel):
    """The ultra-small moment tensor potential of Hu et al., PNAS 2025.

    Args:
        species: chemical symbols in type order.
        cutoff: r_c, Å.
        basis: `published` for the set l{L}k{K} of the paper, `complete` for all independent
            invariants, `level` for those of an MTP's level, the path of an `.mtp` file, or a table
            as plain data.
        max_rank: L, highest tensor rank.
        channels: K, radial functions per rank.
        body_order: of `complete`: at most body_order - 1 moments in a product.
        level: of `level`: 2, 4, .. 28.
        radial_basis_size: R, Chebyshev polynomials.
        scaling_map: which radial functions share a pair scaling: `K`, `L` or `LK`.
        radial_basis_type: `RBChebyshev_sss` (tanh), `_sss_lmp` (the same) or `_ss`.
        parametrization: of the pair scaling alpha and r0: `pair` for numbers of each ordered pair,
            `element_ordered` or `element_symmetric` for sums of numbers of its two elements, see
            `pair_scaling.py`.
        min_dist: sets the initial alpha and r0, Å.
        initial_scaling: `default` for the same alpha and r0 everywhere, or `observed` for a
            `min_dist` of each pair, by radii from the shortest distances in the training data.
        scaling: s, one factor on every radial function.
        seed: of the random initial c.
        backend: `eager`, `cpp`, `triton` or `compile`, see `MomentTensorModel`.

    Raises:
        ValueError: an argument is out of range or a file does not fit.
    """

    radial: UniversalRadial

    def __init__(
        self,
        species: Sequence[str | int],
        cutoff: float = 6.0,
        *,
        basis: str | PathLike[str] | Mapping[str, Any] = "published",
        max_rank: int = 2,
        channels: int = 2,
        body_order: int = 5,
        level: int = 16,
        radial_basis_size: int = 8,
        scaling_map: str = "K",
        parametrization: str = "pair",
        radial_basis_type: str = "RBChebyshev_sss",
        min_dist: float = 1.45,
        initial_scaling: str = "default",
        scaling: float = 0.1,
        seed: int = 0,
        backend: str = EAGER,
    ) -> None:
        table = _table(basis, max_rank, channels, body_order, level)
        super().__init__(species, cutoff, table, backend)
        highest = max(mu for mu, *_ in table.basic)
        if highest >= channels * (max_rank + 1):
            raise ValueError(
                f"the contraction table uses radial function {highest}, but L = {max_rank} and "
                f"K = {channels} give only {channels * (max_rank + 1)}: set max_rank and channels "
                "to those of the table"
            )
        if initial_scaling not in INITIAL_SCALINGS:
            raise ValueError(
                f"initial_scaling {initial_scaling!r} is none of {', '.join(INITIAL_SCALINGS)}"
            )
        self.initial_scaling = initial_scaling
        self.max_rank = max_rank
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
            parametrization=parametrization,
        )
        self.readout = Readout(len(table.mapping), weighted_species=len(self.species))

    @property
    def species_weight(self) -> nn.Parameter:
        """The weights w (C,), eV, float64."""
        return self.readout.get_parameter("species_weight")

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
            "parametrization": self.radial.parametrization,
            "radial_basis_type": self.radial.basis_type,
            "min_dist": self.radial.min_dist,
            "initial_scaling": self.initial_scaling,
            "scaling": self.radial.scaling,
            "backend": self.backend,
        }

    def scale_to_data(self, batches: Iterable[Data]) -> dict[str, Any]:
        """Sets the initial alpha and r0 if they are to be those of the observed distances.

        Args:
            batches: the training frames with `edge_vectors`; not read for `default`.

        Returns:
            Pairs (without order) that never meet, `unseen_pairs`, and how many pairs there are.
        """
        if self.initial_scaling == "default":
            return {}
        count = len(self.species)
        shortest = shortest_distances(batches, self.species_index, count, self.cutoff)
        self.radial.start_from_radii(element_radii(shortest, self.species))
        unseen = [
            f"{self.symbols[a]}-{self.symbols[b]}"
            for a, b in torch.isinf(shortest).triu().nonzero().tolist()
        ]
        return {"pairs": count * (count + 1) // 2, "unseen_pairs": unseen}

    def parameter_blocks(self, pairs: set[tuple[int, int]]) -> dict[str, dict[str, int]]:
        """Counts parameters as spec section 7 does, apart from E0.

        Args:
            pairs: (centre, neighbour) atomic numbers that meet within the cutoff in the training
                data; both orders of a pair.

        Returns:
            For each block `stored` (numbers in the file), `trainable` (without the columns no
            program uses) and `effective` (without the scalings of pairs, or elements, that never
            meet).
        """
        met = self.known_pairs(pairs)
        elements = {element for pair in met for element in pair}
        species, scalings = len(self.species), self.radial.scalings
        reached = self.radial.expand.reached(len(met), len(elements))
        functions, size = self.radial.coefficients.shape
        return {
            "pair_scaling": parameter_counts(
                2 * self.radial.alpha.numel(), effective=2 * scalings * reached
            ),
            "radial_coefficients": parameter_counts(functions * size),
            "species_factor": parameter_counts(functions * species, species),
            "species_weight": parameter_counts(species),
            "scalar_coefficients": parameter_counts(len(self.readout.coefficients)),
        }

    def block_parameters(self) -> dict[str, tuple[str, ...]]:
        """The parameters of each block of `parameter_blocks`."""
        return {
            "pair_scaling": ("radial.alpha", "radial.r0"),
            "radial_coefficients": ("radial.coefficients",),
            "species_factor": ("radial.species_factor",),
            "species_weight": ("readout.species_weight",),
            "scalar_coefficients": ("readout.coefficients",),
        }

    def species_tensors(self) -> dict[str, SpeciesTensor]:
        """Which numbers belong to which element or pair, see `models.species`."""
        scaling = {
            "pair": SpeciesTensor((1, 2)),
            "element_ordered": SpeciesTensor((1,), blocks=2),
            "element_symmetric": SpeciesTensor((1,)),
        }[self.radial.parametrization]
        return {
            "radial.alpha": scaling,
            "radial.r0": scaling._replace(distance=True),
            "radial.species_factor": SpeciesTensor((0,)),
            "radial.unused_species_factors": SpeciesTensor((1,)),
            "readout.species_weight": SpeciesTensor((0,)),
        }


def _table(
    basis: str | PathLike[str] | Mapping[str, Any],
    max_rank: int,
    channels: int,
    body_order: int,
    level: int,
) -> ContractionTable:
    if isinstance(basis, Mapping):
        return ContractionTable(**basis)
    if basis == "published":
        return published_table(max_rank, channels)
    if basis == "complete":
        return complete_table(max_rank, channels, body_order)
    if basis == "level":
        return level_table(max_rank, channels, level)
    if str(basis).endswith(".mtp"):
        return table_from_file(basis)
    raise ValueError(
        f"basis {str(basis)!r} is none of 'published', 'complete', 'level' or the path of an .mtp "
        "file"
    )
