"""The ZBL repulsion as GPUMD adds it to NEP: universal or with parameters of each pair.

The formula is that of `sus2bench.models.zbl`, but GPUMD has the screening length
1 / (2.134563 (Z_i^0.23 + Z_j^0.23)) Å, and ends the repulsion with half a cosine,

    f(r) = 1 below the inner cutoff, (1 + cos(pi (r - inner) / (outer - inner))) / 2 to the outer,

whose curvature has a step at both ends. The "flexible" form has its own cutoffs and screening
function for each pair of elements (GPUMD's documentation, keyword `zbl`; J. Liu et al., Phys. Rev.
B 108, 054312 (2023), doi 10.1103/PhysRevB.108.054312).
"""

import math
from collections.abc import Sequence
from typing import Any

import torch
from ase.data import chemical_symbols
from torch import Tensor
from torch_geometric.data import Data

from sus2bench.models.base import atomic_number
from sus2bench.models.zbl import AMPLITUDES, COULOMB, DECAYS, SCREENING_POWER, PairRepulsion

INVERSE_LENGTH = 2.134563  # 1/Å
PAIR_COLUMNS = 10
"""Of a flexible table: inner and outer cutoff, then amplitude and decay of four exponentials."""

# fmt: off
RADII = (
    0.32, 0.46, 1.20, 0.94, 0.77, 0.75, 0.71, 0.63, 0.64, 0.67, 1.40, 1.25, 1.13, 1.04, 1.10, 1.02,
    0.99, 0.96, 1.76, 1.54, 1.33, 1.22, 1.21, 1.10, 1.07, 1.04, 1.00, 0.99, 1.01, 1.09, 1.12, 1.09,
    1.15, 1.10, 1.14, 1.17, 1.89, 1.67, 1.47, 1.39, 1.32, 1.24, 1.15, 1.13, 1.13, 1.08, 1.15, 1.23,
    1.28, 1.26, 1.26, 1.23, 1.32, 1.31, 2.09, 1.76, 1.62, 1.47, 1.58, 1.57, 1.56, 1.55, 1.51, 1.52,
    1.51, 1.50, 1.49, 1.49, 1.48, 1.53, 1.46, 1.37, 1.31, 1.23, 1.18, 1.16, 1.11, 1.12, 1.13, 1.32,
    1.30, 1.30, 1.36, 1.31, 1.38, 1.42, 2.01, 1.81, 1.67, 1.58, 1.52, 1.53, 1.54, 1.55,
)
# fmt: on
"""Covalent radii of hydrogen to plutonium, Å: S. Grimme et al., J. Chem. Phys. 132, 154104 (2010),
doi 10.1063/1.3382344, after P. Pyykkö and M. Atsumi, Chem. Eur. J. 15, 186 (2009)."""


class NEPRepulsion(PairRepulsion):
    """Site energies of the repulsion in a `nep4_zbl` file, half of each pair's to either atom.

    Args:
        species: chemical symbols or atomic numbers, in type order.
        outer: where the repulsion ends, Å.
        inner: up to where it is whole, Å; half of the outer cutoff if not given, as GPUMD trains.
        factor: if given, the outer cutoff of a pair is at most this times 4/3 the sum of its
            covalent radii, and the inner one is zero.
        pairs: the flexible form, in place of all of the above: a row of ten numbers (inner and
            outer cutoff, Å, then amplitude and decay of four exponentials) for each pair of types
            11, 12, ..., 22, 23, ...

    Raises:
        ValueError: cutoffs out of order, a table of the wrong size, or an element without radius.
    """

    table: Tensor
    row: Tensor
    screening: Tensor
    type_of: Tensor

    def __init__(
        self,
        species: Sequence[str | int],
        outer: float | None = None,
        *,
        inner: float | None = None,
        factor: float | None = None,
        pairs: Sequence[Sequence[float]] | None = None,
    ) -> None:
        super().__init__()
        self.species = tuple(atomic_number(element) for element in species)
        if (outer is None) == (pairs is None):
            raise ValueError("give either the outer cutoff of the repulsion or a table of pairs")
        self.outer, self.factor = outer, factor
        self.inner = 0.5 * outer if inner is None and outer is not None else inner
        self.pairs = None if pairs is None else [[float(x) for x in line] for line in pairs]
        table = torch.tensor(self.pairs or self._universal_table(), dtype=torch.float64)
        _check_table(table, len(self.species))
        self.cutoff = float(table[:, 1].max())
        first, second = torch.triu_indices(len(self.species), len(self.species))
        row = torch.zeros(len(self.species), len(self.species), dtype=torch.long)
        row[first, second] = row[second, first] = torch.arange(len(first))
        type_of = torch.full((len(chemical_symbols),), -1, dtype=torch.long)
        type_of[list(self.species)] = torch.arange(len(self.species))
        screening = torch.arange(len(chemical_symbols), dtype=torch.float64) ** SCREENING_POWER
        for name, value in (("row", row), ("type_of", type_of), ("screening", screening)):
            self.register_buffer(name, value, persistent=False)
        self.register_buffer("table", table, persistent=False)

    def _universal_table(self) -> list[list[float]]:
        """The same ten numbers for each pair, apart from cutoffs that depend on its radii."""
        if self.inner is None or self.outer is None:
            raise ValueError("the universal repulsion needs an outer cutoff")
        exponentials = [x for pair in zip(AMPLITUDES, DECAYS, strict=True) for x in pair]
        rows = []
        for n, first in enumerate(self.species):
            for second in self.species[n:]:
                inner, outer = self.inner, self.outer
                if self.factor is not None:
                    reach = self.factor * (_scaled_radius(first) + _scaled_radius(second))
                    inner, outer = 0.0, min(outer, reach)
                rows.append([inner, outer, *exponentials])
        return rows

    def forward(self, frame: Data) -> Tensor:
        """Site energies (N,) in eV, in the dtype of `frame.edge_vectors`."""
        distance = torch.linalg.vector_norm(frame.edge_vectors, dim=-1)
        close = (distance < self.cutoff).nonzero().squeeze(-1)
        r, dtype = distance[close], distance.dtype
        neighbour, centre = frame.edge_index[:, close]
        z_i, z_j = frame.atomic_numbers[centre], frame.atomic_numbers[neighbour]
        table = self.table.to(dtype)[self.row[self.type_of[z_i], self.type_of[z_j]]]
        inner, outer = table[:, 0], table[:, 1]
        amplitudes, decays = table[:, 2::2], table[:, 3::2]
        inverse_length = INVERSE_LENGTH * (self.screening[z_i] + self.screening[z_j])
        scaled = (r * inverse_length.to(dtype)).unsqueeze(-1)
        screened = (amplitudes * torch.exp(-scaled * decays)).sum(-1)
        place = ((r - inner) / (outer - inner)).clamp(0.0, 1.0)
        switch = 0.5 * (1.0 + torch.cos(math.pi * place))
        pair = COULOMB * (z_i * z_j).to(dtype) / r * screened * switch
        site: Tensor = distance.new_zeros(len(frame.atomic_numbers))
        return site.index_add(0, centre, 0.5 * pair)

    def hyperparameters(self) -> dict[str, Any]:
        """The constructor's arguments."""
        symbols = [chemical_symbols[number] for number in self.species]
        if self.pairs is not None:
            return {"species": symbols, "pairs": self.pairs}
        return {
            "species": symbols,
            "outer": self.outer,
            "inner": self.inner,
            "factor": self.factor,
        }

    def for_species(self, species: Sequence[str]) -> "NEPRepulsion":
        """The same repulsion between these elements.

        Raises:
            ValueError: an element that the table of the flexible form does not have.
        """
        arguments = self.hyperparameters() | {"species": list(species)}
        if self.pairs is not None:
            types = self.type_of[[atomic_number(symbol) for symbol in species]]
            if bool((types < 0).any()):
                known = ", ".join(chemical_symbols[number] for number in self.species)
                raise ValueError(
                    f"the repulsion has a table of pairs of {known} alone: it cannot be extended"
                )
            first, second = torch.triu_indices(len(types), len(types))
            arguments["pairs"] = self.table[self.row[types[first], types[second]]].tolist()
        return NEPRepulsion(**arguments)


def _scaled_radius(number: int) -> float:
    """4/3 of a covalent radius, Å, with the six digits that GPUMD keeps of it."""
    if number > len(RADII):
        raise ValueError(
            f"there is no covalent radius for {chemical_symbols[number]}; the reference ends at "
            f"{chemical_symbols[len(RADII)]}: leave the factor of the radii out"
        )
    return float(f"{RADII[number - 1] * 4.0 / 3.0:.6g}")


def _check_table(table: Tensor, species_count: int) -> None:
    rows = species_count * (species_count + 1) // 2
    if table.shape != (rows, PAIR_COLUMNS):
        raise ValueError(
            f"the repulsion of {species_count} elements needs {rows} rows of {PAIR_COLUMNS} "
            f"numbers, not the shape {tuple(table.shape)}"
        )
    if not bool(((table[:, 0] >= 0) & (table[:, 0] < table[:, 1])).all()):
        raise ValueError("the cutoffs of the repulsion must be 0 <= inner < outer for each pair")
