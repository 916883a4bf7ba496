"""Sums over the edges of one frame that a Jacobian is made of, in plain torch."""

import copy
from typing import TYPE_CHECKING, NamedTuple, Protocol

import torch
from torch import Tensor

from sus2bench.models.moment_tensor.moments import direction_monomials
from sus2bench.models.moment_tensor.radial import along

if TYPE_CHECKING:
    from sus2bench.models.moment_tensor.base import MomentTensorModel


class EdgeSums(NamedTuple):
    """Of a frame with N atoms of some kinds; each of F radial functions has S parameters."""

    pulls: Tensor
    """(N, slots, 3, basic): minus derivatives of an atom's moments by the positions of the atoms in
    its slots."""
    atoms: Tensor
    """(N, slots) which atoms these are; slots left over have pulls of zero."""
    strain: Tensor | None
    """(N, 9, basic): derivatives of basic moments by the strain; None without virial."""
    direct: "DirectSums | None"
    """None where derivatives by the radial parameters are not wanted."""


class DirectSums(NamedTuple):
    """Those with derivatives by the radial parameters."""

    moments: Tensor
    """(N, basic, kind of neighbour, S): derivatives of basic moments by these parameters."""
    own: Tensor
    """(N, 3, kind of neighbour, F, S): sum_m g_m d2 phi_m / dr dtheta over an atom's edges."""
    onto: Tensor
    """(N, 3, kind of centre, F, S): minus that over the edges that end at an atom."""
    outer: Tensor | None
    """(kind of centre, kind of neighbour, 9, F, S): that (x) r over all edges, with virial."""


class Slots(NamedTuple):
    """Places for each atom itself and its neighbours, each once however many images it has."""

    atoms: Tensor
    """(N, slots); 0 where there are slots left over."""
    of_centre: Tensor
    """(N,) the slot of the atom itself."""
    of_edge: Tensor
    """(E,) the slot of the neighbour among those of the centre."""


def slots_of(edge_index: Tensor, atoms: int) -> Slots:
    """Slots for the neighbours of each of N atoms, or for all atoms where that is hardly more.

    Args:
        edge_index: (2, E), row 0 the neighbour, row 1 the centre.
        atoms: N.
    """
    neighbour, centre = edge_index
    every = torch.arange(atoms, device=centre.device)
    keys, place = torch.unique(
        torch.cat([centre * atoms + neighbour, every * (atoms + 1)]), return_inverse=True
    )
    counts = torch.bincount(keys // atoms, minlength=atoms)
    most = int(counts.max())
    if 2 * most > atoms:
        return Slots(every.expand(atoms, atoms), every, neighbour.contiguous())
    first = counts.cumsum(0) - counts
    slot = torch.arange(len(keys), device=keys.device) - first[keys // atoms]
    found = torch.zeros(atoms, most, dtype=torch.long, device=keys.device)
    found[keys // atoms, slot] = keys % atoms
    of_edge, of_centre = slot[place].split([len(centre), atoms])
    return Slots(found, of_centre.contiguous(), of_edge.contiguous())


class FrameEdges(Protocol):
    """The edges of one frame."""

    def moments(self) -> Tensor:
        """Basic moments (N, basic), float64."""

    def sums(self, slopes: Tensor, *, virial: bool, radial: bool) -> EdgeSums:
        """For the derivatives g of site energies by the basic moments (N, basic)."""


class TorchEdges:
    """Radial and angular parts of E edges, and their slopes.

    Args:
        model: of moment tensors.
        vectors: (E, 3) Å, float64.
        edge_index: (2, E).
        types: (N,).
        kind: (N,) number of the type among those of the frame.
    """

    def __init__(
        self,
        model: "MomentTensorModel",
        vectors: Tensor,
        edge_index: Tensor,
        types: Tensor,
        kind: Tensor,
    ) -> None:
        self._vectors, self._kind = vectors, kind
        self._neighbour, self._centre = edge_index
        self._atoms, self._kinds = len(types), int(kind.max()) + 1
        pair_types = types[self._centre], types[self._neighbour]
        distance = vectors.norm(dim=1)
        self._unit = vectors / distance.unsqueeze(1)
        functions = model.radial
        if model.dtype != torch.float64:
            functions = copy.deepcopy(functions).to(torch.float64)
        radial, slope = along(lambda r: functions(r, *pair_types), distance)
        self._by_parameter = model.radial.by_parameters(distance, *pair_types)
        self._monomials, monomial_slopes = _monomials(vectors, model.moments.max_rank)
        self._function = model.moments.function_of_basic
        self._monomial = model.moments.basic_rows % self._monomials.shape[1]
        # Each basic moment's own factors: (E, basic), their gradients by the vector (E, 3, basic).
        self._angular = self._monomials[:, self._monomial]
        self._angular_slope = monomial_slopes[:, :, self._monomial]
        radial, slope = radial.t()[:, self._function], slope.t()[:, self._function]
        self._value = radial * self._angular
        self._slope = (slope * self._angular).unsqueeze(1) * self._unit.unsqueeze(2)
        self._slope += radial.unsqueeze(1) * self._angular_slope

    def moments(self) -> Tensor:
        """See `FrameEdges`."""
        zeros = self._value.new_zeros(self._atoms, len(self._function))
        basic: Tensor = zeros.index_add(0, self._centre, self._value)
        return basic

    def sums(self, slopes: Tensor, *, virial: bool, radial: bool) -> EdgeSums:
        """See `FrameEdges`."""
        strain = None
        if virial:
            strain = (self._slope.unsqueeze(2) * self._vectors.view(-1, 1, 3, 1)).flatten(1, 2)
            zeros = strain.new_zeros(self._atoms, *strain.shape[1:])
            strain = zeros.index_add(0, self._centre, strain)
        direct = self._direct_sums(slopes, virial) if radial else None
        return EdgeSums(*self._pulls(), strain, direct)

    def _direct_sums(self, slopes: Tensor, virial: bool) -> DirectSums:
        # Edges in rows: those of a centre with neighbours of a kind, or the other way round.
        rows = self._atoms * self._kinds
        around = _padded(self._centre * self._kinds + self._kind[self._neighbour], rows)
        towards = _padded(self._neighbour * self._kinds + self._kind[self._centre], rows)
        factor, outer = self._direct_factor(slopes), None
        if virial:
            outer = (factor.unsqueeze(3) * self._vectors.view(-1, 1, 1, 3, 1)).flatten(2, 3)
            outer = self._direct(around, outer)
            by_kind = outer.new_zeros(self._kinds, *outer.shape[1:])
            outer = by_kind.index_add(0, self._kind, outer).transpose(1, 2)
        return DirectSums(
            self._moments_by_parameter(around),
            self._direct(around, factor),
            -self._direct(towards, factor),
            outer,
        )

    def _moments_by_parameter(self, around: Tensor) -> Tensor:
        by_parameter, monomials = (
            _rows(self._by_parameter[0], around),
            _rows(self._monomials, around),
        )
        sums: Tensor = torch.einsum("rnms,rnk->rmks", by_parameter, monomials)
        sums = sums.unflatten(0, (self._atoms, self._kinds))
        of_basic: Tensor = sums[:, :, self._function, self._monomial].transpose(1, 2)
        return of_basic

    def _pulls(self) -> tuple[Tensor, Tensor]:
        """Pulls and the atoms of their slots."""
        slots, slope = (
            slots_of(torch.stack([self._neighbour, self._centre]), self._atoms),
            self._slope,
        )
        atoms, of_centre, of_edge = slots
        pulls = slope.new_zeros(atoms.numel(), *slope.shape[1:])
        first = torch.arange(self._atoms, device=atoms.device) * atoms.shape[1]
        pulls.index_add_(0, (first + of_centre)[self._centre], slope)
        pulls.index_add_(0, first[self._centre] + of_edge, -slope)
        return pulls.unflatten(0, atoms.shape), atoms

    def _direct_factor(self, slopes: Tensor) -> Tensor:
        """What multiplies dR_mu'/dtheta and dR_mu/dtheta: (E, 2, 3, F).

        With Y_mu the sum of g times monomials over the moments that R_mu is in, these are
        u Y_mu and dY_mu/dr.
        """
        of_edge, functions = slopes[self._centre], self._by_parameter[0].shape[1]
        across = of_edge.new_zeros(len(of_edge), 3, functions)
        along = torch.zeros_like(across[:, 0])
        along.index_add_(1, self._function, of_edge * self._angular)
        across.index_add_(2, self._function, of_edge.unsqueeze(1) * self._angular_slope)
        return torch.stack([along.unsqueeze(1) * self._unit.unsqueeze(2), across], dim=1)

    def _direct(self, rows: Tensor, factor: Tensor) -> Tensor:
        """Sums over rows of edges: (N, axes, kind, F, S)."""
        left = torch.stack([self._by_parameter[1], self._by_parameter[0]], dim=1)
        left = _rows(left, rows).flatten(1, 2)
        sums = torch.einsum("rnms,rnam->rams", left, _rows(factor, rows).flatten(1, 2))
        by_atom: Tensor = sums.unflatten(0, (self._atoms, self._kinds)).transpose(1, 2)
        return by_atom


def _monomials(vectors: Tensor, max_rank: int) -> tuple[Tensor, Tensor]:
    """u_x^p u_y^q u_z^s (E, monomials) and their gradients by the vectors (E, 3, monomials)."""

    def of(vectors: Tensor) -> Tensor:
        unit = vectors / vectors.norm(dim=1, keepdim=True)
        return direction_monomials(unit, max_rank).t()

    axes = torch.eye(3, dtype=vectors.dtype, device=vectors.device)
    slopes = [torch.func.jvp(of, (vectors,), (axis.expand_as(vectors),))[1] for axis in axes]
    return of(vectors), torch.stack(slopes, dim=1)


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
