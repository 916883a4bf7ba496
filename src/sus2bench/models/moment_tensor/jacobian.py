"""Jacobian of energy, forces and virial by all parameters of a moment tensor model, frame by frame.

With M the basic moments of atom i, g = dE_i/dM, H = d2E_i/dM dM and phi_m(r) what an edge adds to M_m,

    dE_i/dtheta = sum_m g_m dM_m/dtheta
    d/dtheta dE_i/dr_e = sum_m K_m dphi_m/dr_e + sum_m g_m d2 phi_m / dr_e dtheta,   K = H dM/dtheta

for the parameters theta of the radial functions, and K = w dB_q/dM for xi_q, K = g / w for w. The
first sum over all atoms is one product of matrices, so that a Jacobian of all forces costs little more
than a few gradients. Only parameters that a frame depends on have columns.
"""

from collections.abc import Iterator
from typing import TYPE_CHECKING, NamedTuple

import torch
from torch import Tensor
from torch_geometric.data import Data

from sus2bench.models.moment_tensor.moments import direction_monomials

if TYPE_CHECKING:
    from sus2bench.models.moment_tensor.base import MomentTensorModel


class FrameJacobian(NamedTuple):
    """Derivatives of one frame with N atoms by P of the parameters."""

    columns: Tensor
    """(P,) numbers of the parameters, see `form_parameters`."""
    energy: Tensor
    """(P,) eV per unit of parameter."""
    forces: Tensor
    """(N, 3, P) eV/Å per unit of parameter."""
    virial: Tensor | None
    """(3, 3, P) eV per unit of parameter."""


def form_parameters(model: "MomentTensorModel") -> list[Tensor]:
    """The parameters in the order of their numbers: radial functions, w if there is one, xi."""
    weight = model.readout.species_weight
    return [
        *model.radial.kernel_form().parameters,
        *([] if weight is None else [weight]),
        model.readout.xi,
    ]


@torch.no_grad()
def jacobian(model: "MomentTensorModel", frame: Data, *, virial: bool) -> Iterator[FrameJacobian]:
    """Of each frame of a batch that carries `edge_vectors` (E, 3).

    Args:
        model: whose parameters are meant, as `form_parameters` numbers them.
        frame: batch, edges sorted by centre.
        virial: whether it is wanted.
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
            virial,
        )


class _Edges:
    """Radial and angular parts of the E edges of a frame, and their slopes by the distance."""

    def __init__(
        self, model: "MomentTensorModel", vectors: Tensor, edge_index: Tensor, types: Tensor
    ) -> None:
        self.vectors = vectors
        self.neighbour, self.centre = edge_index
        self.atoms = len(types)
        self.kinds, self.kind = torch.unique(types, return_inverse=True)
        pair_types = types[self.centre], types[self.neighbour]
        distance = vectors.norm(dim=1)
        unit = vectors / distance.unsqueeze(1)
        radial, slope = torch.func.jvp(
            lambda r: model.radial(r, *pair_types).double(),
            (distance,),
            (torch.ones_like(distance),),
        )
        self.by_parameter, self.slope_by_parameter = model.radial.by_parameters(
            distance, *pair_types
        )
        monomials, monomial_slopes = _monomials(vectors, model.moments.max_rank)
        self.function = torch.tensor([mu for mu, *_ in model.table.basic], device=types.device)
        self.monomial = model.moments.basic_rows % monomials.shape[1]
        self.unit, self.monomials = unit, monomials
        # Each basic moment's own factors: (E, basic), their gradients by the vector (E, 3, basic).
        self.angular = monomials[:, self.monomial]
        self.angular_slope = monomial_slopes[:, :, self.monomial]
        self.value = radial.t()[:, self.function] * self.angular
        self.slope = (slope.t()[:, self.function] * self.angular).unsqueeze(1) * unit.unsqueeze(2)
        self.slope += radial.t()[:, self.function].unsqueeze(1) * self.angular_slope
        # Edges in rows: those of a centre with neighbours of a kind, or the other way round.
        kinds, rows = len(self.kinds), self.atoms * len(self.kinds)
        self.around = _padded(self.centre * kinds + self.kind[self.neighbour], rows)
        self.towards = _padded(self.neighbour * kinds + self.kind[self.centre], rows)


def _monomials(vectors: Tensor, max_rank: int) -> tuple[Tensor, Tensor]:
    """u_x^p u_y^q u_z^s (E, monomials) and their gradients by the vectors (E, 3, monomials)."""

    def of(vectors: Tensor) -> Tensor:
        unit = vectors / vectors.norm(dim=1, keepdim=True)
        return direction_monomials(unit, max_rank).t()

    axes = torch.eye(3, dtype=vectors.dtype, device=vectors.device)
    along = [torch.func.jvp(of, (vectors,), (axis.expand_as(vectors),)) for axis in axes]
    return along[0][0], torch.stack([slope for _, slope in along], dim=1)


def _padded(groups: Tensor, count: int) -> Tensor:
    """Edges of each group in a row, (count, most edges of one); E where a row has ended."""
    order = torch.argsort(groups, stable=True)
    counts = torch.bincount(groups, minlength=count)
    slots = int(counts.max()) if len(groups) else 0
    first = (counts.cumsum(0) - counts)[groups[order]]
    place = groups[order] * slots + torch.arange(len(groups), device=groups.device) - first
    rows = torch.full((count * slots,), len(groups), device=groups.device)
    return rows.index_copy(0, place, order).view(count, slots)


def _rows(values: Tensor, padded: Tensor) -> Tensor:
    """Values (E, ...) of the edges in each row: (rows, slots, ...), zero behind the end."""
    flat = torch.cat([values, torch.zeros_like(values[:1])]).flatten(1)
    return flat.index_select(0, padded.flatten()).view(*padded.shape, *values.shape[1:])


def _of_frame(
    model: "MomentTensorModel", vectors: Tensor, edge_index: Tensor, types: Tensor, virial: bool
) -> FrameJacobian:
    edges = _Edges(model, vectors, edge_index, types)
    readout, weight = model.readout, model.readout.weights(types)
    basic = edges.value.new_zeros(edges.atoms, len(edges.function))
    basic.index_add_(0, edges.centre, edges.value)
    scalars, by_scalar, curvature = model.curvatures(basic, types)
    slopes = (by_scalar @ readout.xi) * weight.unsqueeze(1)

    columns, places = _columns(model, edges.kinds)
    moments = _moments_by_parameter(edges, places, len(columns))
    by_readout = by_scalar * weight.view(-1, 1, 1)
    energy_by_readout = weight @ scalars
    if readout.species_weight is not None:
        of_kind = torch.nn.functional.one_hot(edges.kind, len(edges.kinds)).to(slopes.dtype)
        by_weight = by_scalar @ readout.xi
        by_readout = torch.cat([by_weight.unsqueeze(2) * of_kind.unsqueeze(1), by_readout], 2)
        energy_by_readout = torch.cat([(1 + scalars @ readout.xi) @ of_kind, energy_by_readout])
    kernel = torch.cat([curvature @ moments, by_readout], dim=2).flatten(0, 1)
    energy = torch.cat([slopes.flatten() @ moments.flatten(0, 1), energy_by_readout])

    forces, total = _forces(edges, kernel), _virial(edges, kernel) if virial else None
    _add_direct(edges, slopes, places, forces, total)
    return FrameJacobian(
        torch.cat([columns, _readout_columns(model, edges.kinds)]),
        energy,
        forces,
        None if total is None else total.unflatten(0, (3, 3)),
    )


def _columns(model: "MomentTensorModel", kinds: Tensor) -> tuple[Tensor, Tensor]:
    """Numbers (P,) of the radial parameters of a frame, and the place among them of each term.

    Returns:
        (P,), and (kinds, kinds, mu, S) for the kind of centre and neighbour.
    """
    index = model.radial.parameter_numbers[kinds][:, kinds]
    return torch.unique(index, return_inverse=True)


def _readout_columns(model: "MomentTensorModel", kinds: Tensor) -> Tensor:
    """Numbers of the weights w of these kinds, if there are any, and of xi."""
    radial = sum(parameter.numel() for parameter in model.radial.kernel_form().parameters)
    scalars = torch.arange(len(model.readout.coefficients), device=kinds.device)
    weight = model.readout.species_weight
    if weight is None:
        return radial + scalars
    return torch.cat([radial + kinds, radial + len(weight) + scalars])


def _moments_by_parameter(edges: _Edges, places: Tensor, width: int) -> Tensor:
    """dM/dtheta (N, basic, P)."""
    by_parameter = _rows(edges.by_parameter, edges.around)
    sums = torch.einsum("rnms,rnk->rmks", by_parameter, _rows(edges.monomials, edges.around))
    sums = sums.unflatten(0, (edges.atoms, len(edges.kinds)))
    sums = sums[:, :, edges.function, edges.monomial].transpose(1, 2).flatten(2)
    target = places[edges.kind][:, :, edges.function].transpose(1, 2).flatten(2)
    return sums.new_zeros(*sums.shape[:2], width).scatter_add(2, target, sums)


def _forces(edges: _Edges, kernel: Tensor) -> Tensor:
    """What comes by the moments: (N, 3, P). F_centre += dE/dr, F_neighbour -= dE/dr."""
    atoms, slope = edges.atoms, edges.slope
    own = slope.new_zeros(atoms, *slope.shape[1:]).index_add(0, edges.centre, slope)
    onto = slope.new_zeros(atoms * atoms, *slope.shape[1:])
    onto.index_add_(0, edges.neighbour * atoms + edges.centre, -slope)
    onto = onto.view(atoms, atoms, *slope.shape[1:])
    onto.diagonal().add_(own.permute(1, 2, 0))
    return (onto.transpose(1, 2).reshape(3 * atoms, -1) @ kernel).unflatten(0, (atoms, 3))


def _virial(edges: _Edges, kernel: Tensor) -> Tensor:
    """What comes by the moments: (9, P), W = sum of dE/dr (x) r."""
    outer = (edges.slope.unsqueeze(2) * edges.vectors.view(-1, 1, 3, 1)).flatten(1, 2)
    outer = outer.new_zeros(edges.atoms, *outer.shape[1:]).index_add(0, edges.centre, outer)
    return outer.transpose(0, 1).flatten(1) @ kernel


def _add_direct(
    edges: _Edges, slopes: Tensor, places: Tensor, forces: Tensor, virial: Tensor | None
) -> None:
    """Adds sum_m g_m d2 phi_m / dr dtheta of all edges to forces (N, 3, P) and virial (9, P).

    With Y_mu the sum of g times monomials over the moments that R_mu is in, it is
    dR_mu'/dtheta u Y_mu + dR_mu/dtheta dY_mu/dr.
    """
    kinds, of_edge = len(edges.kinds), slopes[edges.centre]
    across = of_edge.new_zeros(len(of_edge), 3, edges.by_parameter.shape[1])
    along = torch.zeros_like(across[:, 0])
    along.index_add_(1, edges.function, of_edge * edges.angular)
    across.index_add_(2, edges.function, of_edge.unsqueeze(1) * edges.angular_slope)
    parameter = torch.stack([edges.slope_by_parameter, edges.by_parameter], dim=1)
    factor = torch.stack([along.unsqueeze(1) * edges.unit.unsqueeze(2), across], dim=1)

    def summed(rows: Tensor, factor: Tensor) -> Tensor:
        left, right = _rows(parameter, rows).flatten(1, 2), _rows(factor, rows).flatten(1, 2)
        sums = torch.einsum("rnms,rnam->rams", left, right)
        return sums.flatten(2).unflatten(0, (edges.atoms, kinds)).transpose(1, 2)

    of_centre = places[edges.kind].flatten(1).unsqueeze(1)
    of_neighbour = places.transpose(0, 1)[edges.kind].flatten(1).unsqueeze(1)
    _scatter(forces, of_centre, summed(edges.around, factor).flatten(2))
    _scatter(forces, of_neighbour, -summed(edges.towards, factor).flatten(2))
    if virial is not None:
        outer = (factor.unsqueeze(3) * edges.vectors.view(-1, 1, 1, 3, 1)).flatten(2, 3)
        by_atom = summed(edges.around, outer)
        by_kind = by_atom.new_zeros(kinds, *by_atom.shape[1:]).index_add(0, edges.kind, by_atom)
        _scatter(virial, places.flatten().unsqueeze(0), by_kind.transpose(0, 1).flatten(1))


def _scatter(target: Tensor, places: Tensor, values: Tensor) -> None:
    target.scatter_add_(-1, places.expand_as(values), values)
