"""Pieces that message-passing networks share: radial bases, the cutoff function, dense layers.

Nothing here draws from a global random state: weights come from the generator that is passed in.
They are made in float64; `.to(dtype)` rounds them, so that both precisions start from one model.
"""

import math

import torch
from torch import Tensor, nn
from torch.nn import functional
from torch.nn.utils import skip_init

LOG_2 = math.log(2.0)


def dense(inputs: int, outputs: int, generator: torch.Generator, *, bias: bool = True) -> nn.Linear:
    """A linear layer, Glorot-uniform weights and zero biases, as both SchNet and PaiNN start."""
    layer: nn.Linear = skip_init(nn.Linear, inputs, outputs, bias=bias, dtype=torch.float64)
    nn.init.xavier_uniform_(layer.weight, generator=generator)
    if bias:
        nn.init.zeros_(layer.bias)
    return layer


def embedding(count: int, features: int, generator: torch.Generator) -> nn.Embedding:
    """One vector per species, standard normal."""
    layer: nn.Embedding = skip_init(nn.Embedding, count, features, dtype=torch.float64)
    nn.init.normal_(layer.weight, generator=generator)
    return layer


class ShiftedSoftplus(nn.Module):
    """ln(e^x / 2 + 1 / 2), zero at the origin (SchNet's activation)."""

    def forward(self, x: Tensor) -> Tensor:
        """Elementwise, any shape."""
        # torch's default threshold of 20 makes a step of 2e-9, which float64 forces can see.
        return functional.softplus(x, threshold=40.0) - LOG_2


def cosine_cutoff(distance: Tensor, cutoff: float) -> Tensor:
    """(1 + cos(pi r / r_c)) / 2 inside the cutoff, zero beyond; value and slope vanish at r_c."""
    return 0.5 * (torch.cos(distance.clamp(max=cutoff) * (math.pi / cutoff)) + 1.0)


class GaussianBasis(nn.Module):
    """exp(-gamma (r - mu_n)^2) on `count` equally spaced centres from 0 to the cutoff.

    gamma = 1 / (2 spacing^2), so that neighbouring functions overlap.
    """

    centres: Tensor

    def __init__(self, count: int, cutoff: float) -> None:
        super().__init__()
        if count < 2:
            raise ValueError(f"a Gaussian basis needs at least 2 functions, not {count}")
        self.gamma = 0.5 * ((count - 1) / cutoff) ** 2
        centres = torch.linspace(0.0, cutoff, count, dtype=torch.float64)
        self.register_buffer("centres", centres, persistent=False)

    def forward(self, distance: Tensor) -> Tensor:
        """Distances (E,) in Å to values (E, count)."""
        exponent = self.gamma * (distance.unsqueeze(-1) - self.centres).square()
        # e^-50 is nothing beside 1 even in float64. Smaller values reach the denormal numbers of
        # float32, with which processors multiply many times more slowly.
        return torch.exp(-exponent.clamp(max=50.0))


class BesselBasis(nn.Module):
    """sin(n pi r / r_c) / r for n = 1 .. count, in 1/Å."""

    frequencies: Tensor

    def __init__(self, count: int, cutoff: float) -> None:
        super().__init__()
        if count < 1:
            raise ValueError(f"a Bessel basis needs at least 1 function, not {count}")
        frequencies = torch.arange(1, count + 1, dtype=torch.float64) * (math.pi / cutoff)
        self.register_buffer("frequencies", frequencies, persistent=False)

    def forward(self, distance: Tensor) -> Tensor:
        """Distances (E,) in Å to values (E, count)."""
        r = distance.unsqueeze(-1)
        return torch.sin(r * self.frequencies) / r
