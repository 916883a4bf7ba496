"""Site energies, forces and derivatives by the kernels of `kernels.py.txt`."""

import copy
from types import ModuleType
from typing import TYPE_CHECKING, Any, NamedTuple

import torch
from torch import Tensor
from torch.autograd import Function
from torch.autograd.function import once_differentiable
from torch.func import functional_call
from torch_geometric.data import Data

from sus2bench.atoms.frame import frame_of_atom
from sus2bench.models.derivatives import Derivatives, from_edge_gradient, with_edge_vectors
from sus2bench.models.moment_tensor.triton.library import interpreted, library

if TYPE_CHECKING:
    from sus2bench.models.moment_tensor.base import MomentTensorModel


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


def energies_and_gradient(model: "MomentTensorModel", frame: Data) -> tuple[Tensor, Tensor]:
    """Site energies (N,) in eV, without E0, and the gradient (E, 3) of their sum in eV/Å.

    Both can be differentiated, once: by the parameters, and by the edge vectors if they require
    gradients. Only the values are those of the kernels; the derivatives are exact, but taken
    through plain torch operations, which compute the values once more with arrays of edges times
    functions. So a training step is no faster than with `eager`.

    Args:
        model: on a GPU, or anywhere if Triton interprets.
        frame: with `edge_vectors` (E, 3) of the model's dtype, edges sorted by centre.

    Raises:
        NoKernelsError: there can be no kernels.
    """
    site, gradient = _SiteEnergies.apply(  # type: ignore[no-untyped-call]
        model, frame, frame.edge_vectors, *model.parameters()
    )
    return site, gradient


@torch.no_grad()
def energies(model: "MomentTensorModel", frame: Data) -> Tensor:
    """Site energies (N,) in eV, as those of `predict`, not to be differentiated."""
    site, _ = _from_positions(model, frame).energies()
    return site


def predict(model: "MomentTensorModel", frame: Data, *, virial: bool) -> Derivatives:
    """Site energies, forces and virial from positions.

    Where gradients are disabled, no array of the size of the edges is made: an atom takes
    8 bytes for each basic moment, about 60 otherwise, and 72 for the virial. Forces and
    virial are summed in float64, on a GPU in an order that varies. The host waits for nothing.

    Args:
        model: on a GPU, or anywhere if Triton interprets.
        frame: a frame or a batch, edges sorted by centre.
        virial: whether it is wanted.

    Raises:
        NoKernelsError: there can be no kernels.
    """
    if torch.is_grad_enabled():
        graph = with_edge_vectors(frame, model.dtype)
        site, gradient = energies_and_gradient(model, graph)
        return from_edge_gradient(site, gradient, graph, virial=virial)
    launch = _from_positions(model, frame)
    site, moments = launch.energies()
    forces = site.new_zeros(len(site), 3)
    virials = site.new_empty(len(site), 3, 3) if virial else None
    launch.gradient(moments, None, forces, virials)
    total = None
    if virials is not None:
        # Additions to one place would wait for each other.
        total = virials.sum(0, keepdim=True)
        of_atom, frames = frame_of_atom(frame)
        if frames > 1:
            total = total.new_zeros(frames, 3, 3).index_add(0, of_atom, virials)
        total = total.to(model.dtype)
    return Derivatives(site, forces.to(model.dtype), total)


def _from_positions(model: "MomentTensorModel", frame: Data) -> "_Launch":
    of_atom, _ = frame_of_atom(frame)
    return _Launch(
        model,
        frame,
        positions=frame.pos.to(torch.float64).contiguous(),
        cells=frame.cell.to(torch.float64).contiguous(),
        shifts=frame.shift.contiguous(),
        frame_of=of_atom.contiguous(),
    )


def prepare(model: "MomentTensorModel") -> ModuleType:
    """The kernels of a model.

    Raises:
        NoKernelsError: there can be none.
    """
    return library(model.triton_source)


class _Launch:
    """The kernels of a model at work on a frame."""

    def __init__(
        self,
        model: "MomentTensorModel",
        frame: Data,
        *,
        vectors: Tensor | None = None,
        positions: Tensor | None = None,
        cells: Tensor | None = None,
        shifts: Tensor | None = None,
        frame_of: Tensor | None = None,
    ) -> None:
        neighbour, centre = frame.edge_index.contiguous()
        types = model.types(frame.atomic_numbers)
        parameters = [p.contiguous() for p in model.radial.kernel_form().parameters]
        self.kernels = prepare(model)
        self.blocks = _blocks(len(types))
        self.readout = model.readout
        self.basic = len(model.table.basic)
        self.types, self.atoms = types, len(types)
        starts = torch.arange(len(types) + 1, device=types.device)
        self.edges = (
            *(torch.searchsorted(centre, starts), neighbour, types),
            *(vectors, positions, cells, shifts, frame_of),
            *(*parameters, None, None, None)[:4],
            len(model.species),
        )

    def energies(self) -> tuple[Tensor, Tensor]:
        """Site energies (N,), and their slopes by the basic moments (N, basic), float64."""
        site = torch.empty(self.atoms, dtype=torch.float64, device=self.types.device)
        moments = site.new_empty(self.atoms, self.basic)
        self._through_edges(self.kernels.basic_moments, moments)
        with torch.cuda.device_of(site):
            self.kernels.contract[_grid(self.atoms, self.blocks.contracted)](
                *(self.types, self.readout.species_weight, self.readout.xi, moments, site),
                self.atoms,
                A=self.blocks.contracted,
                MAPPED=not interpreted(),
                num_warps=1,
            )
        return site, moments

    def gradient(
        self,
        slopes: Tensor,
        gradient: Tensor | None,
        forces: Tensor | None = None,
        virials: Tensor | None = None,
    ) -> None:
        """Fills the gradient (E, 3); or adds to forces (N, 3), and fills virials (N, 3, 3)."""
        self._through_edges(self.kernels.edge_gradient, slopes, gradient, forces, virials)

    def _through_edges(self, kernel: Any, *tensors: Tensor | None) -> None:
        atoms, neighbours, _ = self.blocks
        with torch.cuda.device_of(self.types):
            kernel[_grid(self.atoms, atoms)](
                *self.edges, *tensors, self.atoms, A=atoms, J=neighbours
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


class _SiteEnergies(Function):
    @staticmethod
    def forward(
        ctx: Any, model: "MomentTensorModel", frame: Data, vectors: Tensor, *parameters: Tensor
    ) -> tuple[Tensor, Tensor]:
        ctx.model, ctx.frame = model, frame
        ctx.save_for_backward(vectors, *parameters)
        vectors = vectors.contiguous()
        launch = _Launch(model, frame, vectors=vectors)
        site, slopes = launch.energies()
        gradient = torch.empty_like(vectors)
        launch.gradient(slopes, gradient)
        return site, gradient

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, site: Tensor, gradient: Tensor) -> tuple[Tensor | None, ...]:
        wanted = ctx.needs_input_grad[2:]
        inputs = [tensor.detach().requires_grad_() for tensor in ctx.saved_tensors]
        vectors, *parameters = inputs
        names = [name for name, _ in ctx.model.named_parameters()]
        graph = copy.copy(ctx.frame)
        graph.edge_vectors = vectors
        plain = ctx.model.for_tracing()
        with torch.enable_grad():
            energies = functional_call(plain, dict(zip(names, parameters, strict=True)), (graph,))
            (slopes,) = torch.autograd.grad(
                energies.sum(), vectors, create_graph=True, materialize_grads=True
            )
            total = (site * energies).sum() + (gradient * slopes).sum()
        chosen = [tensor for tensor, want in zip(inputs, wanted, strict=True) if want]
        found = iter(torch.autograd.grad(total, chosen, materialize_grads=True))
        return None, None, *(next(found) if want else None for want in wanted)
