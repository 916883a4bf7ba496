"""What every architecture is: a function from edge vectors and elements to site energies."""

from abc import ABC, abstractmethod
from collections.abc import Sequence
from itertools import chain
from typing import Any, ClassVar

import torch
from ase.data import atomic_numbers as number_of_symbol
from ase.data import chemical_symbols
from torch import Tensor, nn
from torch_geometric.data import Data

from sus2bench.models import blocks
from sus2bench.models.blocks import Extent
from sus2bench.models.derivatives import Derivatives


def atomic_number(element: str | int) -> int:
    """Returns the atomic number of a chemical symbol (or of an atomic number, which is checked).

    Raises:
        ValueError: no such element.
    """
    if isinstance(element, str):
        if element in number_of_symbol and number_of_symbol[element] > 0:
            return int(number_of_symbol[element])
    elif 0 < element < len(chemical_symbols):
        return int(element)
    raise ValueError(f"{element!r} is not a chemical element; give symbols such as 'Cu'")


class SiteEnergyModel(nn.Module, ABC):
    """Base class of all architectures.

    A model reads `frame.edge_vectors` (E, 3) in Å and in the dtype of its parameters,
    `frame.edge_index` (2, E; row 0 neighbour, row 1 centre, sorted by centre) and
    `frame.atomic_numbers` (N,), and nothing else. Atomic reference energies, forces, stress and
    precision are the business of `Potential`.

    Args:
        species: chemical symbols or atomic numbers, in the order of the model's type indices.
        cutoff: radius of the neighbour list the model needs, Å.

    Raises:
        ValueError: unknown or repeated element, no element, or a cutoff that is not positive.
    """

    smoothness: ClassVar[int] = 1
    """Number of continuous derivatives of the energy at the cutoff (1: the force is continuous)."""

    strictly_local: bool = False
    """Whether the energy of an atom depends on its own edges alone, unlike in message passing, so
    that large systems can be evaluated block by block."""

    mixed_precision: ClassVar[bool] = False
    """Whether its matrix products may be taken in half precision while it is trained, by autocast:
    whatever it adds up or multiplies then has to allow for factors of either type."""

    species_index: Tensor

    def __init__(self, species: Sequence[str | int], cutoff: float) -> None:
        super().__init__()
        self.species: tuple[int, ...] = tuple(atomic_number(element) for element in species)
        if not self.species:
            raise ValueError("species is empty: a model needs at least one element")
        if len(set(self.species)) != len(self.species):
            raise ValueError(f"species names an element twice: {list(species)}")
        if not cutoff > 0:
            raise ValueError(f"cutoff must be a positive distance in Å, not {cutoff}")
        self.cutoff = float(cutoff)
        index = torch.full((len(chemical_symbols),), -1, dtype=torch.long)
        index[list(self.species)] = torch.arange(len(self.species))
        self.register_buffer("species_index", index, persistent=False)

    @property
    def symbols(self) -> tuple[str, ...]:
        """Chemical symbols in type order."""
        return tuple(chemical_symbols[number] for number in self.species)

    def types(self, atomic_numbers: Tensor) -> Tensor:
        """Maps atomic numbers (N,) to type indices (N,), -1 where the model lacks the element."""
        return self.species_index[atomic_numbers]

    @abstractmethod
    def forward(self, frame: Data) -> Tensor:
        """Returns site energies (N,) in eV without atomic reference energies."""

    @property
    def dtype(self) -> torch.dtype:
        """Floating-point type in which the model computes."""
        tensors = chain(self.parameters(), self.buffers())
        return next(tensor.dtype for tensor in tensors if tensor.is_floating_point())

    def energies(self, frame: Data, *, differentiable: bool) -> Tensor:
        """Site energies (N,) of a frame or a batch, as `forward`.

        Args:
            frame: without edge vectors.
            differentiable: whether the results will be differentiated by the parameters.
        """
        return blocks.energies(self, frame, self._extent, differentiable=differentiable)

    def predict(self, frame: Data, *, differentiable: bool, virial: bool) -> Derivatives:
        """Site energies of a frame or a batch, as `forward`, with forces and virial.

        By automatic differentiation; a model that has derivatives of its own returns those.

        Args:
            frame: without edge vectors.
            differentiable: whether the results will be differentiated by the parameters.
            virial: whether it is wanted.
        """
        return blocks.predict(
            self, frame, self._extent, differentiable=differentiable, virial=virial
        )

    @property
    def _extent(self) -> Extent:
        return Extent(self.dtype, self.cutoff, self.strictly_local)

    def for_inference(self) -> tuple["SiteEnergyModel", str]:
        """The fastest equal model on the device of its parameters, and what makes it fast.

        Adapters return their package's accelerated form where what it needs is installed.
        """
        return self, "eager"

    def for_tracing(self) -> "SiteEnergyModel":
        """An equal model that consists of torch operations only."""
        return self

    @abstractmethod
    def hyperparameters(self) -> dict[str, Any]:
        """Plain data such that `type(self)(**hyperparameters())` rebuilds the module."""
