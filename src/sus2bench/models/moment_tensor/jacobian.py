"""Jacobian of energy, forces and virial by all parameters of a moment tensor model, by frames.

With M the basic moments of atom i, g = dE_i/dM, H = d2E_i/dM dM and phi_m(r) what an edge adds to
M_m,

    dE_i/dtheta = sum_m g_m dM_m/dtheta
    d/dtheta dE_i/dr_e = sum_m K_m dphi_m/dr_e + sum_m g_m d2 phi_m / dr_e dtheta,   K = H dM/dtheta

for the parameters theta of the radial functions, and K = w dB_q/dM for xi_q, K = g / w for w. The
first sum over all atoms is one product of matrices, so that a Jacobian of all forces costs little
more than a few gradients. Only parameters that a frame depends on have columns.
"""

from collections.abc import Iterator
from typing import TYPE_CHECKING, NamedTuple

import torch
from torch import Tensor, nn
from torch_geometric.data import Data

from sus2bench.models.moment_tensor.edge_sums import DirectSums, EdgeSums

if TYPE_CHECKING:
    from sus2bench.models.moment_tensor.base import MomentTensorModel


_BLOCK = 2**20
"""Derivatives of forces that are in memory at once before they are summed over neighbours."""


class FrameJacobian(NamedTuple):
    """Derivatives of one frame with N atoms by P of the parameters."""

    columns: Tensor
    """(P,) numbers of the parameters, as `NumberedParameter` numbers them."""
    energy: Tensor
    """(P,) eV per unit of parameter."""
    forces: Tensor
    """(N, 3, P) eV/Å per unit of parameter."""
    virial: Tensor | None
    """(3, 3, P) eV per unit of parameter."""


class NumberedParameter(NamedTuple):
    """What the next numbers of a Jacobian stand for: sums of elements of a trained parameter."""

    parameter: nn.Parameter
    elements: Tensor
    """(numbers, k): the elements of the parameter, flat, whose sum each number is."""
    unit: Tensor
    """Change of the number for one of its elements, (numbers,) or a scalar."""
    linear: bool
    """Whether energies are linear in it."""


@torch.no_grad()
def jacobian(
    model: "MomentTensorModel", frame: Data, *, virial: bool, radial: bool = True
) -> Iterator[FrameJacobian]:
    """Of each frame of a batch that carries `edge_vectors` (E, 3).

    Args:
        model: whose parameters are meant, as `numbered_parameters` numbers them.
        frame: batch, edges sorted by centre.
        virial: whether it is wanted.
        radial: whether derivatives by the radial functions' parameters are, or w and xi alone.
    """
    types = model.types(frame.atomic_numbers)
    centre = frame.edge_index[1]
    atoms = frame.ptr if "ptr" in frame else torch.tensor([0, len(types)])
    edges = torch.searchsorted(centre, atoms).tolist()
    for i, (begin, end) in enumerate(zip(atoms.tolist(), atoms.tolist()[1:], strict=False)):
        part = slice(edges[i], edges[i + 1])
        yield _of_frame(
            model,
            frame.edge_vectors[part].to(torch.float64),
            frame.edge_index[:, part] - begin,
            types[begin:end],
            virial=virial,
            radial=radial,
        )


def _of_frame(
    model: "MomentTensorModel",
    vectors: Tensor,
    edge_index: Tensor,
    types: Tensor,
    *,
    virial: bool,
    radial: bool,
) -> FrameJacobian:
    kinds, kind = torch.unique(types, return_inverse=True)
    edges = model.frame_edges(vectors, edge_index, types, kind)
    readout, weight = model.readout, model.readout.weights(types)
    found = model.curvatures(edges.moments(), types, second=radial)
    by_weight = found.jacobian @ readout.xi
    slopes = by_weight * weight.unsqueeze(1)
    sums = edges.sums(slopes, virial=virial, radial=radial)

    # d g / d theta (N, basic, P) of the parameters in each group, and their energies.
    kernels, energies = [found.jacobian * weight.view(-1, 1, 1)], [weight @ found.scalars]
    columns = _readout_columns(model, kinds)
    if readout.species_weight is not None:
        of_kind = torch.nn.functional.one_hot(kind, len(kinds)).to(slopes.dtype)
        kernels.insert(0, by_weight.unsqueeze(2) * of_kind.unsqueeze(1))
        energies.insert(0, (1 + found.scalars @ readout.xi) @ of_kind)
    if sums.direct is not None and found.curvature is not None:
        numbers, places = _columns(model, kinds)
        moments = _moments_by_parameter(model, sums.direct.moments, places[kind], len(numbers))
        kernels.insert(0, found.curvature @ moments)
        energies.insert(0, slopes.flatten() @ moments.flatten(0, 1))
        columns = torch.cat([numbers, columns])
    forces = torch.cat([_forces(sums, kernel) for kernel in kernels], dim=2)
    total = None
    if sums.strain is not None:
        strain = sums.strain.transpose(0, 1).flatten(1)
        total = torch.cat([strain @ kernel.flatten(0, 1) for kernel in kernels], dim=1)
    if sums.direct is not None:
        _add_direct(sums.direct, places, kind, forces, total)
    energy = torch.cat(energies)
    return FrameJacobian(columns, energy, forces, None if total is None else total.view(3, 3, -1))


def _columns(model: "MomentTensorModel", kinds: Tensor) -> tuple[Tensor, Tensor]:
    """Numbers (P,) of the radial parameters of a frame, and the place among them of each term.

    Returns:
        (P,), and (kinds, kinds, mu, S) for the kind of centre and neighbour.
    """
    index = model.radial.parameter_numbers[kinds][:, kinds]
    numbers, places = torch.unique(index, return_inverse=True)
    return numbers, places


def _readout_columns(model: "MomentTensorModel", kinds: Tensor) -> Tensor:
    """Numbers of the weights w of these kinds, if there are any, and of xi."""
    radial = sum(parameter.numel() for parameter in model.radial.kernel_form().parameters)
    scalars = torch.arange(len(model.readout.coefficients), device=kinds.device)
    weight = model.readout.species_weight
    if weight is None:
        return radial + scalars
    return torch.cat([radial + kinds, radial + len(weight) + scalars])


def _moments_by_parameter(
    model: "MomentTensorModel", sums: Tensor, places: Tensor, width: int
) -> Tensor:
    """dM/dtheta (N, basic, P) from (N, basic, kinds, S), with places (N, kinds, F, S)."""
    target = places[:, :, model.moments.function_of_basic].transpose(1, 2).flatten(2)
    sums = sums.flatten(2)
    return sums.new_zeros(*sums.shape[:2], width).scatter_add(2, target, sums)


def _forces(sums: EdgeSums, kernel: Tensor) -> Tensor:
    """The part that comes by the moments, (N, 3, P), for dg/dtheta (N, basic, P)."""
    atoms, slots, _, basic = sums.pulls.shape
    if slots == atoms:
        pulls = sums.pulls.permute(1, 2, 0, 3).reshape(3 * atoms, atoms * basic)
        return (pulls @ kernel.flatten(0, 1)).view(atoms, 3, -1)
    width = kernel.shape[2]
    forces = kernel.new_zeros(atoms, 3 * width)
    block = max(1, _BLOCK // (slots * 3 * width))
    parts = (sums.pulls.split(block), kernel.split(block), sums.atoms.split(block))
    for pulls, slopes, places in zip(*parts, strict=True):
        by_slot = pulls.flatten(1, 2) @ slopes
        forces.index_add_(0, places.flatten(), by_slot.view(-1, 3 * width))
    return forces.view(atoms, 3, width)


def _add_direct(
    sums: DirectSums, places: Tensor, kind: Tensor, forces: Tensor, virial: Tensor | None
) -> None:
    _scatter(forces, places[kind].flatten(1).unsqueeze(1), sums.own.flatten(2))
    of_neighbour = places.transpose(0, 1)[kind].flatten(1).unsqueeze(1)
    _scatter(forces, of_neighbour, sums.onto.flatten(2))
    if virial is not None and sums.outer is not None:
        outer = sums.outer.permute(2, 0, 1, 3, 4).flatten(1)
        _scatter(virial, places.flatten().unsqueeze(0), outer)


def _scatter(target: Tensor, places: Tensor, values: Tensor) -> None:
    target.scatter_add_(-1, places.expand_as(values), values)
