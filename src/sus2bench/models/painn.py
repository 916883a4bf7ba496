"""PaiNN: equivariant message passing with scalar and vector features, for periodic frames.

K. T. Schütt, O. T. Unke, M. Gastegger, "Equivariant message passing for the prediction of
tensorial properties and molecular spectra", ICML 2021, arXiv 2102.03150.

Each atom carries scalars s (F) and vectors v (3, F). With u = r_ij / |r_ij| and filters
W(r) = (Bessel(r) A + a) f_cut(r), one interaction is (the paper's equations 7 to 10)

    message   (p_s, p_vv, p_vs) = MLP(s_j) * W(r_ij)
              s_i <- s_i + sum_j p_s
              v_i <- v_i + sum_j (v_j * p_vv + u p_vs)
    update    (a_ss, a_sv, a_vv) = MLP(s_i, |V v_i|)
              s_i <- s_i + a_ss + a_sv <U v_i, V v_i>
              v_i <- v_i + a_vv U v_i

The first message finds v = 0 and the last update's vectors are never read; the weights which
would serve there cannot change the energy and are not stored.
"""

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor, nn
from torch_geometric.data import Data

from sus2bench.models.base import SiteEnergyModel
from sus2bench.models.layers import BesselBasis, cosine_cutoff, dense, embedding

NORM_FLOOR = 1e-8
"""Added under the root of |V v|: v = 0 in isolated atoms and at centres of symmetry, where the
derivative of a bare norm does not exist."""


class Message(nn.Module):
    """Scalars and vectors from the neighbours."""

    def __init__(
        self, features: int, basis_size: int, generator: torch.Generator, *, first: bool
    ) -> None:
        super().__init__()
        self.features = features
        parts = 2 if first else 3
        self.scalars = nn.Sequential(
            dense(features, features, generator),
            nn.SiLU(),
            dense(features, parts * features, generator),
        )
        self.filter = dense(basis_size, parts * features, generator)

    def forward(
        self,
        s: Tensor,
        v: Tensor | None,
        basis: Tensor,
        directions: Tensor,
        edge_index: Tensor,
    ) -> tuple[Tensor, Tensor]:
        """Features s (N, F), v (N, 3, F) or None for zero, to their new values.

        `basis` (E, basis_size + 1) holds the radial functions and, last, 1, all times f_cut.
        """
        neighbour, centre = edge_index
        # One matrix product gives (Bessel A + a) f_cut: a pass over (E, 3F) less than its factors.
        weights = basis @ torch.cat((self.filter.weight.T, self.filter.bias.unsqueeze(0)))
        messages = self.scalars(s).index_select(0, neighbour) * weights
        parts = messages.split(self.features, dim=-1)
        s = s.index_add(0, centre, parts[0].to(s.dtype))
        direction, along = directions.unsqueeze(-1), parts[1].unsqueeze(1)
        if v is None:
            zero = s.new_zeros(len(s), 3, self.features)
            return s, zero.index_add(0, centre, direction * along)
        turned = v.index_select(0, neighbour) * parts[2].unsqueeze(1)
        return s, v.index_add(0, centre, torch.addcmul(turned, direction, along))


class Update(nn.Module):
    """Mixing of scalars and vectors within one atom."""

    def __init__(self, features: int, generator: torch.Generator, *, last: bool) -> None:
        super().__init__()
        self.features = features
        self.u = dense(features, features, generator, bias=False)
        self.v = dense(features, features, generator, bias=False)
        self.mix = nn.Sequential(
            dense(2 * features, features, generator),
            nn.SiLU(),
            dense(features, (2 if last else 3) * features, generator),
        )

    def forward(self, s: Tensor, v: Tensor) -> tuple[Tensor, Tensor]:
        """Features s (N, F) and v (N, 3, F) to their new values."""
        u_v, v_v = self.u(v), self.v(v)
        norm = (v_v.to(s.dtype).square().sum(1) + NORM_FLOOR).sqrt()  # the floor is 0 in float16
        parts = self.mix(torch.cat((s, norm), dim=-1)).split(self.features, dim=-1)
        s = s + parts[0] + parts[1] * (u_v * v_v).sum(1)
        return s, v + u_v * parts[2].unsqueeze(1) if len(parts) == 3 else v


class PaiNN(SiteEnergyModel):
    """PaiNN with an energy readout; the defaults are the paper's.

    Args:
        species: chemical symbols or atomic numbers, in type order.
        cutoff: Å.
        features: F, length of the scalar and vector features.
        interactions: number of message and update pairs.
        bessels: number of radial functions.
        seed: of the initial weights.

    Raises:
        ValueError: sizes below 1, or a bad species list or cutoff.
    """

    mixed_precision = True

    def __init__(
        self,
        species: Sequence[str | int],
        cutoff: float = 5.0,
        *,
        features: int = 128,
        interactions: int = 3,
        bessels: int = 20,
        seed: int = 0,
    ) -> None:
        super().__init__(species, cutoff)
        if features < 2 or interactions < 1:
            raise ValueError(
                f"PaiNN needs features >= 2 and interactions >= 1, not {features}, {interactions}"
            )
        self.features, self.bessels, self.seed = features, bessels, seed
        generator = torch.Generator().manual_seed(seed)
        self.embedding = embedding(len(self.species), features, generator)
        self.basis = BesselBasis(bessels, self.cutoff)
        self.messages = nn.ModuleList(
            Message(features, bessels, generator, first=n == 0) for n in range(interactions)
        )
        self.updates = nn.ModuleList(
            Update(features, generator, last=n == interactions - 1) for n in range(interactions)
        )
        self.readout = nn.Sequential(
            dense(features, features // 2, generator),
            nn.SiLU(),
            dense(features // 2, 1, generator),
        )

    def forward(self, frame: Data) -> Tensor:
        """Site energies (N,), without atomic reference energies."""
        distance = torch.linalg.vector_norm(frame.edge_vectors, dim=-1)
        directions = frame.edge_vectors / distance.unsqueeze(-1)
        envelope = cosine_cutoff(distance, self.cutoff).unsqueeze(-1)
        basis = torch.cat((self.basis(distance) * envelope, envelope), dim=-1)
        s = self.embedding(self.types(frame.atomic_numbers))
        v: Tensor | None = None
        for message, update in zip(self.messages, self.updates, strict=True):
            s, v = message(s, v, basis, directions, frame.edge_index)
            s, v = update(s, v)
        site: Tensor = self.readout(s).squeeze(-1)
        return site

    def hyperparameters(self) -> dict[str, Any]:
        """The constructor's arguments."""
        return {
            "species": list(self.symbols),
            "cutoff": self.cutoff,
            "features": self.features,
            "interactions": len(self.messages),
            "bessels": self.bessels,
            "seed": self.seed,
        }
