"""The network of NEP4: for each element, one hidden layer that turns descriptors into energy.

    U_i = sum_h w1[a, h] tanh(sum_d w0[a, h, d] q_d - b0[a, h]) - b1

with a the type of the atom and b1 common to all elements, and both biases subtracted, as GPUMD has
them (K. Song et al., Nat. Commun. 15, 10208 (2024), doi 10.1038/s41467-024-54554-x; documentation
of GPUMD, "Neuroevolution potential").
"""

import torch
from torch import Tensor, nn

from sus2bench.models.nep.descriptor import uniform_parameter


class Networks(nn.Module):
    """One network with a hidden layer for each of C elements.

    Args:
        species_count: C.
        inputs: D, components of the descriptor.
        neurons: H, of the hidden layer.
        generator: random numbers for the initial weights.
    """

    def __init__(
        self, species_count: int, inputs: int, neurons: int, generator: torch.Generator
    ) -> None:
        super().__init__()
        self.w0 = uniform_parameter((species_count, neurons, inputs), generator)
        self.b0 = uniform_parameter((species_count, neurons), generator)
        self.w1 = uniform_parameter((species_count, neurons), generator)
        self.b1 = nn.Parameter(torch.zeros((), dtype=torch.float64))

    def forward(self, q: Tensor, types: Tensor) -> Tensor:
        """Energies (N,) from descriptors (N, D) and types (N,)."""
        w0, b0, w1 = (p.index_select(0, types) for p in (self.w0, self.b0, self.w1))
        hidden = torch.tanh((w0 @ q.unsqueeze(-1)).squeeze(-1) - b0)
        energy: Tensor = (w1 * hidden).sum(-1) - self.b1
        return energy
