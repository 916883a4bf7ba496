"""The kernels of a model at work on a frame."""

from types import ModuleType
from typing import TYPE_CHECKING, Any, NamedTuple

import torch
from torch import Tensor
from torch_geometric.data import Data

from sus2bench.atoms.frame import frame_of_atom
from sus2bench.models.moment_tensor.readout import read_out
from sus2bench.models.moment_tensor.triton.library import interpreted, library

if TYPE_CHECKING:
    from sus2bench.models.moment_tensor.base import MomentTensorModel

ATOMS_AT_ONCE = 2**13
"""Whose moments are multiplied in one piece for the gradient of parameters: that takes several
float64 arrays of all products."""
NUMBERS_OF_COPIES = 2**20
"""Gradients are added up in so many numbers, copies of all parameters, lest additions to the few
parameters of a pair wait for each other; 8 MB."""


class Blocks(NamedTuple):
    """How much a program of a kernel does at once."""

    atoms: int
    """Of the kernels that go through edges."""
    neighbours: int
    """Edges of each of these atoms."""
    contracted: int
    """Atoms of the kernel that multiplies moments: one for each lane of a warp."""


ON_GPU = Blocks(16, 8, 32)
INTERPRETED = Blocks(2048, 32, 2048)
"""Large, as the interpreter's time goes into steps and not into numbers."""


class Parameters(NamedTuple):
    """What site energies are differentiated by, besides edges."""

    xi: Tensor
    """(scalars,) float64."""
    weight: Tensor | None
    """(C,) float64."""
    radial: tuple[Tensor, ...]
    """Those of the radial functions' kernel form, contiguous."""

    @classmethod
    def of(cls, tensors: "tuple[Tensor | None, ...]") -> "Parameters":
        """From xi, weight and the radial ones in turn."""
        xi, weight, *radial = tensors
        assert xi is not None
        return cls(xi, weight, tuple(p.contiguous() for p in radial if p is not None))


class Objective(NamedTuple):
    """sum_i a_i E_i + sum_e v_e . g_e, where g_e is the gradient of all energies by edge e."""

    sites: Tensor
    """a (N,), float64."""
    edges: Tensor | None
    """v (E, 3); or it comes from what multiplies forces and virial:"""
    forces: Tensor | None
    """(N, 3) float64, with F_i += g_e at the centre and F_j -= g_e at the neighbour of an edge."""
    virial: Tensor | None
    """(frames, 3, 3) float64, with W += g_e (x) r_e."""


def kernels_of(model: "MomentTensorModel") -> ModuleType:
    """The kernels of a model.

    Raises:
        NoKernelsError: there can be none.
    """
    return library(model.triton_source)


class Launch:
    """The kernels of a model at work on a frame.

    Args:
        model: on a GPU, or anywhere if Triton interprets.
        frame: edges sorted by centre.
        vectors: of the edges (E, 3), of the model's dtype and contiguous; None to take them from
            positions in float64.

    Raises:
        NoKernelsError: there can be no kernels.
    """

    def __init__(
        self, model: "MomentTensorModel", frame: Data, vectors: Tensor | None = None
    ) -> None:
        neighbour, centre = frame.edge_index.contiguous()
        types = model.types(frame.atomic_numbers)
        self.kernels = kernels_of(model)
        self.blocks = _blocks(len(types))
        self.moments = model.moments
        self.basic = len(model.table.basic)
        self.species = len(model.species)
        self.types, self.atoms = types, len(types)
        starts = torch.arange(len(types) + 1, device=types.device)
        structure = (None,) * 4 if vectors is not None else _structure(frame)
        self.edges = torch.searchsorted(centre, starts), neighbour, types, vectors, *structure

    def energies(self, at: Parameters) -> tuple[Tensor, Tensor]:
        """Site energies (N,), and their slopes by the basic moments (N, basic), float64."""
        site = torch.empty(self.atoms, dtype=torch.float64, device=self.types.device)
        moments = site.new_empty(self.atoms, self.basic)
        self._through_edges(self.kernels.basic_moments, at, moments)
        with torch.cuda.device_of(site):
            self.kernels.contract[_grid(self.atoms, self.blocks.contracted)](
                *(self.types, at.weight, at.xi, moments, site),
                self.atoms,
                A=self.blocks.contracted,
                MAPPED=not interpreted(),
                num_warps=1,
            )
        return site, moments

    def gradient(
        self,
        at: Parameters,
        slopes: Tensor,
        gradient: Tensor | None,
        forces: Tensor | None = None,
        virials: Tensor | None = None,
    ) -> None:
        """Fills the gradient (E, 3); or adds to forces (N, 3), and fills virials (N, 3, 3)."""
        self._through_edges(self.kernels.edge_gradient, at, slopes, gradient, forces, virials)

    def differentiate(
        self, objective: Objective, at: Parameters, of_vectors: Tensor | None = None
    ) -> list[Tensor | None]:
        """Derivatives of an objective by xi, weights and radial parameters, in their dtypes.

        Fills `of_vectors` (E, 3), the derivatives by the edge vectors, if it is given. Besides
        moments and their slopes nothing is made that grows with the atoms, and nothing with the
        edges.
        """
        along = objective.edges, objective.forces, objective.virial
        moments = objective.sites.new_empty(self.atoms, self.basic)
        changes = torch.empty_like(moments)
        self._through_edges(self.kernels.moments_and_changes, at, *along, moments, changes)
        of_xi = torch.zeros_like(at.xi)
        of_weight = None if at.weight is None else torch.zeros_like(at.weight)
        slopes, mixed = torch.empty_like(moments), torch.empty_like(moments)
        for first in range(0, self.atoms, ATOMS_AT_ONCE):
            block = slice(first, first + ATOMS_AT_ONCE)
            found = self._contracted(
                objective.sites[block],
                moments[block],
                changes[block],
                self.types[block],
                at,
            )
            slopes[block], mixed[block] = found[:2]
            of_xi += found[2]
            if of_weight is not None:
                of_weight += found[3]
        size = sum(parameter.numel() for parameter in at.radial)
        copies = max(1, min(NUMBERS_OF_COPIES // size, self.atoms))
        sums = moments.new_zeros(copies, size)
        self._through_edges(
            self.kernels.parameter_gradient,
            at,
            *(*along, slopes, mixed, sums, size, copies, of_vectors),
        )
        parts = sums.sum(0).split([parameter.numel() for parameter in at.radial])
        radial = [
            part.view(parameter.shape).to(parameter.dtype)
            for part, parameter in zip(parts, at.radial, strict=True)
        ]
        return [of_xi, of_weight, *radial]

    def _contracted(
        self, sites: Tensor, moments: Tensor, changes: Tensor, types: Tensor, at: Parameters
    ) -> tuple[Tensor, ...]:
        """Slopes dE/dM, derivatives of the objective by M, by xi and, if there are, by weights."""
        readout = [tensor for tensor in (at.xi, at.weight) if tensor is not None]
        inputs = [tensor.detach().requires_grad_() for tensor in (moments, *readout)]
        basic, xi, *weight = inputs
        with torch.enable_grad():
            rows = self.moments.products(basic.T)
            w = weight[0] if weight else None
            site = read_out(xi, w, rows, self.moments.scalar_rows, types)
            (slopes,) = torch.autograd.grad(site.sum(), basic, create_graph=True)
            total = (sites * site).sum() + (slopes * changes).sum()
        return slopes.detach(), *torch.autograd.grad(total, inputs)

    def _through_edges(self, kernel: Any, at: Parameters, *arguments: Tensor | int | None) -> None:
        atoms, neighbours, _ = self.blocks
        parameters = (*at.radial, None, None, None)[:4]
        with torch.cuda.device_of(self.types):
            kernel[_grid(self.atoms, atoms)](
                *self.edges,
                *parameters,
                self.species,
                *arguments,
                self.atoms,
                A=atoms,
                J=neighbours,
            )


def _structure(frame: Data) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """Positions, cells and shifts, and the frame of each atom."""
    of_atom, _ = frame_of_atom(frame)
    return (
        frame.pos.detach().to(torch.float64).contiguous(),
        frame.cell.detach().to(torch.float64).contiguous(),
        frame.shift.contiguous(),
        of_atom.contiguous(),
    )


def _grid(atoms: int, block: int) -> tuple[int]:
    return ((atoms + block - 1) // block,)


def _blocks(atoms: int) -> Blocks:
    if not interpreted():
        return ON_GPU
    needed = 1 << max(0, atoms - 1).bit_length()
    return INTERPRETED._replace(
        atoms=min(INTERPRETED.atoms, needed), contracted=min(INTERPRETED.contracted, needed)
    )
