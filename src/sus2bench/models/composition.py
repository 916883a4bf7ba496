"""The composition model: no interaction at all, so that atomic energies alone predict.

Its errors are those of knowing nothing about the positions. Every table needs them: an error says
something only beside the one that is left without a potential.
"""

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor
from torch_geometric.data import Data

from sus2bench.models.base import SiteEnergyModel
from sus2bench.models.linear import LinearResponse


class Composition(SiteEnergyModel):
    """Site energies of zero; E0 by least squares is all there is.

    A linear readout without coefficients: the exact solve finds E0, and nothing is left to train.

    Args:
        species: chemical symbols in type order.
        cutoff: of the neighbour lists, which are not used, Å.
    """

    strictly_local = True

    zero: Tensor

    def __init__(self, species: Sequence[str | int], cutoff: float = 5.0) -> None:
        super().__init__(species, cutoff)
        # Knows the dtype and the device, for want of parameters.
        self.register_buffer("zero", torch.zeros((), dtype=torch.float64), persistent=False)

    def forward(self, frame: Data) -> Tensor:
        """Zeros (N,), eV."""
        return self.zero.new_zeros(len(frame.atomic_numbers))

    def linear_response(self, frame: Data) -> LinearResponse:
        """Responses to no coefficients."""
        atoms, frames = len(frame.atomic_numbers), len(frame.cell)
        shapes = ((frames, 0), (atoms, 3, 0), (frames, 3, 3, 0))
        return LinearResponse(*(self.zero.new_zeros(s, dtype=torch.float64) for s in shapes))

    @property
    def linear_coefficients(self) -> Tensor:
        """None: (0,) float64."""
        return self.zero.new_zeros(0, dtype=torch.float64)

    def set_linear_coefficients(self, values: Tensor, units: Tensor | None = None) -> None:
        """Sets nothing: there are no coefficients."""

    def hyperparameters(self) -> dict[str, Any]:
        """Plain data that rebuilds the module."""
        return {"species": list(self.symbols), "cutoff": self.cutoff}
