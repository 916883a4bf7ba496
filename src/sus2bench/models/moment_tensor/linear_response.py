"""Response of energy, forces and virial to the linear coefficients xi of moment tensor models.

E = sum_i w_i sum_q xi_q B_q(i), so dE/dxi_q = sum_i w_i B_q(i), and by the chain rule through the
basic moments of each atom, dB_q(i)/dr_ij = sum_b dB_q/dM_b(i) dphi_b(r_ij)/dr_ij, where phi_b is
what one edge adds to M_b. No reverse pass per scalar is needed.
"""

from typing import TYPE_CHECKING

import torch
from torch import Tensor
from torch_geometric.data import Data

from sus2bench.atoms.frame import frame_of_atom
from sus2bench.models.linear import LinearResponse

if TYPE_CHECKING:
    from sus2bench.models.moment_tensor.base import MomentTensorModel


@torch.no_grad()
def linear_response(model: "MomentTensorModel", frame: Data) -> LinearResponse:
    """Derivatives by xi for a frame or batch that carries `edge_vectors` (E, 3).

    Returns:
        Energy (B, P) eV, forces (N, 3, P) eV/Å and virial (B, 3, 3, P) eV, float64.
    """
    neighbour, centre = frame.edge_index
    types = model.types(frame.atomic_numbers)
    vectors = frame.edge_vectors
    values, slopes = _edge_terms(model, vectors, types[centre], types[neighbour])
    basic = values.new_zeros(len(values), len(types)).index_add(1, centre, values)
    scalars, jacobian = model.moments.jacobian(basic.to(torch.float64))
    weight = model.readout.weights(types)

    batch, frames = frame_of_atom(frame)
    site = (weight * scalars).t()
    energy = site.new_zeros(frames, len(scalars)).index_add(0, batch, site)
    jacobian = (jacobian * weight).permute(2, 0, 1)
    slopes = slopes.to(torch.float64)
    forces = _forces(jacobian, slopes, neighbour, centre)
    virial = jacobian @ _strain_slopes(slopes, vectors, centre, len(types))
    virial = virial.new_zeros(frames, *virial.shape[1:]).index_add(0, batch, virial)
    return LinearResponse(energy, forces, virial.transpose(1, 2).unflatten(1, (3, 3)))


def _edge_terms(
    model: "MomentTensorModel", vectors: Tensor, centre_types: Tensor, neighbour_types: Tensor
) -> tuple[Tensor, Tensor]:
    """Each edge's addition to the basic moments (basic, E) and its gradient (3, basic, E)."""

    def terms(vectors: Tensor) -> Tensor:
        distance = vectors.square().sum(-1).sqrt()
        radial = model.radial(distance, centre_types, neighbour_types)
        return model.moments.edge_terms(radial, vectors / distance.unsqueeze(-1))

    axes = torch.eye(3, dtype=vectors.dtype, device=vectors.device)
    along = [torch.func.jvp(terms, (vectors,), (axis.expand_as(vectors),)) for axis in axes]
    return along[0][0], torch.stack([pair[1] for pair in along])


def _forces(jacobian: Tensor, slopes: Tensor, neighbour: Tensor, centre: Tensor) -> Tensor:
    """F of an atom: what its own edges pull, minus what the edges that end at it push.

    Args:
        jacobian: (N, scalars, basic).
        slopes: (3, basic, E).
        neighbour: (E,).
        centre: (E,) ascending.

    Returns:
        (N, 3, scalars).
    """
    atoms, scalars, basic = jacobian.shape
    own = slopes.new_zeros(3, basic, atoms).index_add(2, centre, slopes)
    forces = (jacobian @ own.permute(2, 1, 0)).transpose(1, 2).contiguous()
    per_edge = slopes.permute(2, 0, 1).contiguous()
    counts = torch.bincount(centre, minlength=atoms).tolist()
    pushed = per_edge.new_empty(len(centre), 3, scalars)
    parts = zip(per_edge.split(counts), pushed.split(counts), jacobian.mT, strict=True)
    for edges, result, matrix in parts:
        torch.matmul(edges.flatten(0, 1), matrix, out=result.view(-1, scalars))
    return forces.index_add_(0, neighbour, pushed, alpha=-1)


def _strain_slopes(slopes: Tensor, vectors: Tensor, centre: Tensor, atoms: int) -> Tensor:
    """Sum over an atom's edges of dphi/dr_a r_b: (N, basic, 9)."""
    vectors = vectors.to(torch.float64).t()
    outer = slopes.unsqueeze(1) * vectors.view(1, 3, 1, -1)
    outer = outer.new_zeros(*outer.shape[:3], atoms).index_add(3, centre, outer)
    return outer.flatten(0, 1).permute(2, 1, 0)
