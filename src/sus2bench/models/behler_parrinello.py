"""Behler-Parrinello network: symmetry functions into one feed-forward network per element.

J. Behler, M. Parrinello, Phys. Rev. Lett. 98, 146401 (2007), doi 10.1103/PhysRevLett.98.146401;
the functions as in J. Behler, J. Chem. Phys. 134, 074106 (2011), doi 10.1063/1.3553717:

    G2_i = sum_j exp(-eta (r_ij - r_s)^2) f_c(r_ij)
    G4_i = 2^(1-zeta) sum_{j<k} (1 + lambda cos theta_jik)^zeta
           exp(-eta (r_ij^2 + r_ik^2 + r_jk^2)) f_c(r_ij) f_c(r_ik) f_c(r_jk)

G2 for each element of j and G4 for each pair of elements of j and k, with the cosine cutoff f_c and
lambda = 1 and -1. The network of the element of i reads them mapped to -1 .. 1 over the training
data.
"""

from collections.abc import Iterable, Sequence
from itertools import pairwise
from typing import Any

import torch
from torch import Tensor, nn
from torch_geometric.data import Data

from sus2bench.models.base import SiteEnergyModel
from sus2bench.models.layers import GaussianBasis, cosine_cutoff, dense

FLAT = 1e-2
"""Half range below which a function says nothing about the training data and keeps its unit."""


def edge_pairs(centre: Tensor) -> tuple[Tensor, Tensor]:
    """Every two edges of one centre once, as indices (T,) and (T,); centres (E,) are sorted."""
    edges = torch.arange(len(centre), device=centre.device)
    following = torch.searchsorted(centre, centre, right=True) - edges - 1
    first = torch.repeat_interleave(following)
    skipped = following.cumsum(0) - following
    rank = torch.arange(len(first), device=centre.device) - skipped[first]
    return first, first + 1 + rank


def perceptron(sizes: Sequence[int], generator: torch.Generator) -> nn.Sequential:
    """Hidden layers with tanh, and one output."""
    layers: list[nn.Module] = []
    for inputs, outputs in pairwise(sizes):
        layers += [dense(inputs, outputs, generator), nn.Tanh()]
    return nn.Sequential(*layers, dense(sizes[-1], 1, generator))


class BehlerParrinello(SiteEnergyModel):
    """Symmetry functions G2 and G4 with element-wise networks.

    Args:
        species: chemical symbols or atomic numbers, in type order.
        cutoff: of radial and angular functions, Å.
        radial: number of G2 for each element; r_s from 0 to the cutoff, eta = 1 / (2 spacing^2).
        etas: of G4, 1/Å^2.
        zetas: of G4, whole numbers.
        hidden: nodes of each hidden layer.
        seed: of the initial weights.

    Raises:
        ValueError: no etas, zetas or hidden layers, a zeta or a layer that is no whole number
            above 0, fewer than 2 radial functions, or a bad species list or cutoff.
    """

    smoothness = 1  # f_c has a continuous slope, no more
    strictly_local = True
    mixed_precision = True
    centre: Tensor
    half_range: Tensor
    eta: Tensor

    def __init__(
        self,
        species: Sequence[str | int],
        cutoff: float = 6.0,
        *,
        radial: int = 8,
        etas: Sequence[float] = (0.01, 0.06),
        zetas: Sequence[int] = (1, 4),
        hidden: Sequence[int] = (30, 30),
        seed: int = 0,
    ) -> None:
        super().__init__(species, cutoff)
        for name, whole in (("zetas", zetas), ("hidden", hidden)):
            if not whole or any(value < 1 or value % 1 for value in whole):
                raise ValueError(f"{name} must be whole numbers above 0, not {list(whole)}")
        if not etas:
            raise ValueError("etas is empty: the angular functions need at least one")
        self.radial, self.seed = radial, seed
        self.etas, self.zetas, self.hidden = list(etas), list(zetas), list(hidden)
        elements = len(self.species)
        self.element_pairs = elements * (elements + 1) // 2
        angular = self.element_pairs * 2 * len(etas) * len(zetas)
        size = elements * radial + angular
        self.basis = GaussianBasis(radial, self.cutoff)
        self.register_buffer("eta", torch.tensor(self.etas, dtype=torch.float64), persistent=False)
        self.register_buffer("centre", torch.zeros(elements, size, dtype=torch.float64))
        self.register_buffer("half_range", torch.ones(elements, size, dtype=torch.float64))
        generator = torch.Generator().manual_seed(seed)
        self.networks = nn.ModuleList(
            perceptron([size, *self.hidden], generator) for _ in self.species
        )

    def forward(self, frame: Data) -> Tensor:
        """Site energies (N,), without atomic reference energies."""
        types = self.types(frame.atomic_numbers)
        x = (self.symmetry_functions(frame) - self.centre[types]) / self.half_range[types]
        site = x.new_zeros(len(x))
        for element, network in enumerate(self.networks):
            atoms = torch.nonzero(types == element).flatten()
            site = site.index_add(0, atoms, network(x[atoms]).squeeze(-1).to(site.dtype))
        return site

    def symmetry_functions(self, frame: Data) -> Tensor:
        """G2 and G4 of each atom, (N, size)."""
        types = self.types(frame.atomic_numbers)
        distance = torch.linalg.vector_norm(frame.edge_vectors, dim=-1)
        near = torch.nonzero(distance < self.cutoff).flatten()  # the frame's list may reach farther
        r, distance = frame.edge_vectors[near], distance[near]
        neighbour, centre = frame.edge_index[:, near]
        element, envelope = types[neighbour], cosine_cutoff(distance, self.cutoff)
        first, second = edge_pairs(centre)
        with torch.no_grad():  # of the other pairs, about half, f_c(r_jk) is 0
            close = (r[first] - r[second]).square().sum(-1) < self.cutoff**2
        first, second = first[close], second[close]
        low = torch.minimum(element[first], element[second])
        high = torch.maximum(element[first], element[second])

        def summed(values: Tensor, atoms: Tensor, kinds: Tensor, count: int) -> Tensor:
            total = values.new_zeros(len(types) * count, values.shape[1])
            total = total.index_add(0, atoms * count + kinds, values)
            return total.view(len(types), count * values.shape[1])

        edges = torch.cat((r, distance.unsqueeze(-1), envelope.unsqueeze(-1)), dim=-1)
        g4 = self.angular(edges.index_select(0, first), edges.index_select(0, second))
        g2 = self.basis(distance) * envelope.unsqueeze(-1)
        pair = high * (high + 1) // 2 + low
        radial = summed(g2, centre, element, len(self.species))
        return torch.cat((radial, summed(g4, centre[first], pair, self.element_pairs)), dim=-1)

    def angular(self, first: Tensor, second: Tensor) -> Tensor:
        """Terms of G4 (T, etas * 2 * zetas) from two edges each (T, 5): r, |r| and f_c(|r|)."""
        r_ij, r_ik = first[:, :3], second[:, :3]
        opposite = torch.linalg.vector_norm(r_ij - r_ik, dim=-1)
        cosine = (r_ij * r_ik).sum(-1) / (first[:, 3] * second[:, 3])
        squares = first[:, 3].square() + second[:, 3].square() + opposite.square()
        envelope = first[:, 4] * second[:, 4] * cosine_cutoff(opposite, self.cutoff)
        decay = torch.exp(-squares.unsqueeze(-1) * self.eta) * envelope.unsqueeze(-1)
        half = 0.5 * torch.stack((1 + cosine, 1 - cosine), dim=-1)
        angle = torch.cat([2 * half**zeta for zeta in self.zetas], dim=-1)
        return (decay.unsqueeze(2) * angle.unsqueeze(1)).flatten(1)

    def scale_to_data(self, batches: Iterable[Data]) -> dict[str, float]:
        """Maps each function of each element to -1 .. 1 over the frames; called before training."""
        low = torch.full_like(self.centre, torch.inf)
        high = -low
        with torch.no_grad():
            for batch in batches:
                types, x = self.types(batch.atomic_numbers), self.symmetry_functions(batch)
                for element in types.unique().tolist():
                    own = x[types == element]
                    low[element] = torch.minimum(low[element], own.amin(0))
                    high[element] = torch.maximum(high[element], own.amax(0))
        varies = (high - low) / 2 > FLAT
        self.centre.copy_(torch.where(low <= high, (low + high) / 2, 0.0))  # 0: element never seen
        self.half_range.copy_(torch.where(varies, (high - low) / 2, 1.0))
        return {"symmetry_functions": low.numel(), "of_which_vary": int(varies.sum())}

    def hyperparameters(self) -> dict[str, Any]:
        """The constructor's arguments."""
        return {
            "species": list(self.symbols),
            "cutoff": self.cutoff,
            "radial": self.radial,
            "etas": self.etas,
            "zetas": self.zetas,
            "hidden": self.hidden,
            "seed": self.seed,
        }
