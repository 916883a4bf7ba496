"""Ziegler-Biersack-Littmark (ZBL) repulsion of close pairs of atoms.

J. F. Ziegler, J. P. Biersack, U. Littmark, "The Stopping and Range of Ions in Solids" (Pergamon,
1985): the Coulomb repulsion of the nuclei with the universal screening function,

    V(r)   = k Z_i Z_j / r  phi(r / a),     k = e^2 / (4 pi eps0) = 14.399645 eV Å
    phi(x) = 0.18175 exp(-3.19980 x) + 0.50986 exp(-0.94229 x)
           + 0.28022 exp(-0.40290 x) + 0.02817 exp(-0.20162 x)
    a      = 0.46850 Å / (Z_i^0.23 + Z_j^0.23)

times a polynomial envelope (J. Gasteiger, J. Groß, S. Günnemann, ICLR 2020, arXiv 2003.03123,
equation 8, p = 6) which is 1 at the nucleus and ends with zero value, slope and curvature at
the sum of the two covalent radii (B. Cordero et al., Dalton Trans. 2008, 2832, from `ase.data`).
"""

from abc import ABC, abstractmethod
from collections.abc import Sequence
from typing import Any

import torch
from ase.data import chemical_symbols, covalent_radii
from torch import Tensor, nn
from torch_geometric.data import Data

from sus2bench.models.base import atomic_number

COULOMB = 14.399645  # eV Å
AMPLITUDES = (0.18175, 0.50986, 0.28022, 0.02817)
DECAYS = (3.19980, 0.94229, 0.40290, 0.20162)
SCREENING_LENGTH = 0.46850  # Å
SCREENING_POWER = 0.23
LAST_RADIUS = 96  # the reference gives covalent radii up to curium


def envelope(x: Tensor) -> Tensor:
    """1 - 28 x^6 + 48 x^7 - 21 x^8 below x = 1 and zero beyond; twice differentiable."""
    x = x.clamp(max=1.0)
    return 1.0 + x.pow(6) * (-28.0 + x * (48.0 - 21.0 * x))


class PairRepulsion(nn.Module, ABC):
    """A repulsion of close pairs of atoms, which a potential adds to its model.

    Attributes:
        cutoff: its range, Å.
    """

    cutoff: float

    @abstractmethod
    def forward(self, frame: Data) -> Tensor:
        """Site energies (N,) in eV, in the dtype of `frame.edge_vectors`."""

    @abstractmethod
    def hyperparameters(self) -> dict[str, Any]:
        """Plain data such that `type(self)(**hyperparameters())` rebuilds the module."""

    def for_species(self, species: Sequence[str]) -> "PairRepulsion":
        """The same repulsion between these elements."""
        return type(self)(**self.hyperparameters() | {"species": list(species)})


class ZBL(PairRepulsion):
    """Site energies of the screened nuclear repulsion, half of each pair's to either atom.

    Args:
        species: chemical symbols or atomic numbers that may occur.

    Attributes:
        cutoff: the longest range of any pair of these species, Å.

    Raises:
        ValueError: no species, an unknown element, or one without a covalent radius.
    """

    radius: Tensor
    screening: Tensor
    amplitudes: Tensor
    decays: Tensor

    def __init__(self, species: Sequence[str | int]) -> None:
        super().__init__()
        self.species = tuple(atomic_number(element) for element in species)
        if not self.species:
            raise ValueError("species is empty: ZBL needs at least one element")
        if max(self.species) > LAST_RADIUS:
            raise ValueError(
                f"ZBL has no covalent radius for {chemical_symbols[max(self.species)]}; the "
                f"reference ends at {chemical_symbols[LAST_RADIUS]}"
            )
        numbers = torch.arange(LAST_RADIUS + 1, dtype=torch.float64)
        radius = torch.as_tensor(covalent_radii[: LAST_RADIUS + 1], dtype=torch.float64)
        self.cutoff = 2.0 * max(float(radius[number]) for number in self.species)
        self.register_buffer("radius", radius, persistent=False)
        self.register_buffer("screening", numbers**SCREENING_POWER, persistent=False)
        for name, values in (("amplitudes", AMPLITUDES), ("decays", DECAYS)):
            self.register_buffer(name, torch.tensor(values, dtype=torch.float64), persistent=False)

    def forward(self, frame: Data) -> Tensor:
        """Site energies (N,) in eV, in the dtype of `frame.edge_vectors`."""
        distance = torch.linalg.vector_norm(frame.edge_vectors, dim=-1)
        neighbour, centre = frame.edge_index
        z_i, z_j = frame.atomic_numbers[centre], frame.atomic_numbers[neighbour]
        length = SCREENING_LENGTH / (self.screening[z_i] + self.screening[z_j])
        scaled = (distance / length.to(distance.dtype)).unsqueeze(-1)
        decay = torch.exp(-scaled * self.decays.to(distance.dtype))
        screened = (self.amplitudes.to(distance.dtype) * decay).sum(-1)
        reach = (self.radius[z_i] + self.radius[z_j]).to(distance.dtype)
        charges = (z_i * z_j).to(distance.dtype)
        pair = COULOMB * charges / distance * screened * envelope(distance / reach)
        site: Tensor = distance.new_zeros(len(frame.atomic_numbers))
        return site.index_add(0, centre, 0.5 * pair)

    def hyperparameters(self) -> dict[str, Any]:
        """The constructor's arguments."""
        return {"species": [chemical_symbols[number] for number in self.species]}
