"""SchNet: continuous-filter convolutions on distances, for periodic frames.

K. T. Schütt, H. E. Sauceda, P.-J. Kindermans, A. Tkatchenko, K.-R. Müller, "SchNet - a deep
learning architecture for molecules and materials", J. Chem. Phys. 148, 241722 (2018),
doi 10.1063/1.5019779.

With x_i the features of atom i, one interaction block (the paper's figure 2) is

    W(r)  = ssp(ssp(e(r) A + a) B + b) f_cut(r)        filter from Gaussians e(r)
    m_i   = sum_j (x_j C) * W(r_ij)                     elementwise product, neighbours j
    x_i  <- x_i + ssp(m_i D + d) F + f

and the site energy is ssp(x_i G + g) h + h0. The paper ends its filters with the cutoff of its
neighbour list alone, which leaves a step in the energy; f_cut is the cosine cutoff that the
authors' own SchNetPack puts there, so that energy and force are continuous.
"""

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor, nn
from torch_geometric.data import Data

from sus2bench.models.base import SiteEnergyModel
from sus2bench.models.layers import (
    GaussianBasis,
    ShiftedSoftplus,
    cosine_cutoff,
    dense,
    embedding,
)


class Interaction(nn.Module):
    """One continuous-filter convolution with its atom-wise layers."""

    def __init__(self, features: int, basis_size: int, generator: torch.Generator) -> None:
        super().__init__()
        self.filter = nn.Sequential(
            dense(basis_size, features, generator),
            ShiftedSoftplus(),
            dense(features, features, generator),
            ShiftedSoftplus(),
        )
        self.enter = dense(features, features, generator, bias=False)
        self.leave = nn.Sequential(
            dense(features, features, generator),
            ShiftedSoftplus(),
            dense(features, features, generator),
        )

    def forward(self, x: Tensor, basis: Tensor, envelope: Tensor, edge_index: Tensor) -> Tensor:
        """Features (N, F), radial basis (E, G) and cutoff function (E, 1) to an update (N, F)."""
        neighbour, centre = edge_index
        weights = self.filter(basis) * envelope
        messages = self.enter(x).index_select(0, neighbour) * weights
        update: Tensor = self.leave(torch.zeros_like(x).index_add(0, centre, messages))
        return update


class SchNet(SiteEnergyModel):
    """SchNet with an energy readout.

    Defaults: six interaction blocks as in the paper; 128 features and 50 Gaussians, the sizes of
    the reference implementations (the paper takes 64 features, and a Gaussian every 0.1 Å).

    Args:
        species: chemical symbols or atomic numbers, in type order.
        cutoff: Å.
        features: F, length of the feature vectors and of the filters.
        interactions: number of interaction blocks.
        gaussians: number of radial functions.
        seed: of the initial weights.

    Raises:
        ValueError: sizes below 1 (Gaussians: 2), or a bad species list or cutoff.
    """

    mixed_precision = True

    def __init__(
        self,
        species: Sequence[str | int],
        cutoff: float = 5.0,
        *,
        features: int = 128,
        interactions: int = 6,
        gaussians: int = 50,
        seed: int = 0,
    ) -> None:
        super().__init__(species, cutoff)
        if features < 2 or interactions < 1:
            raise ValueError(
                f"SchNet needs features >= 2 and interactions >= 1, not {features}, {interactions}"
            )
        self.features, self.gaussians, self.seed = features, gaussians, seed
        generator = torch.Generator().manual_seed(seed)
        self.embedding = embedding(len(self.species), features, generator)
        self.basis = GaussianBasis(gaussians, self.cutoff)
        self.interactions = nn.ModuleList(
            Interaction(features, gaussians, generator) for _ in range(interactions)
        )
        self.readout = nn.Sequential(
            dense(features, features // 2, generator),
            ShiftedSoftplus(),
            dense(features // 2, 1, generator),
        )

    def forward(self, frame: Data) -> Tensor:
        """Site energies (N,), without atomic reference energies."""
        distance = torch.linalg.vector_norm(frame.edge_vectors, dim=-1)
        basis = self.basis(distance)
        envelope = cosine_cutoff(distance, self.cutoff).unsqueeze(-1)
        x = self.embedding(self.types(frame.atomic_numbers))
        for interaction in self.interactions:
            x = x + interaction(x, basis, envelope, frame.edge_index)
        site: Tensor = self.readout(x).squeeze(-1)
        return site

    def hyperparameters(self) -> dict[str, Any]:
        """The constructor's arguments."""
        return {
            "species": list(self.symbols),
            "cutoff": self.cutoff,
            "features": self.features,
            "interactions": len(self.interactions),
            "gaussians": self.gaussians,
            "seed": self.seed,
        }
