"""Site energies and their gradient by the edge vectors as an operator of torch."""

from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor
from torch.autograd import Function
from torch.autograd.function import once_differentiable
from torch_geometric.data import Data

from sus2bench.atoms.frame import frame_of_atom
from sus2bench.models.derivatives import Derivatives
from sus2bench.models.moment_tensor.cpp.library import Library, Problem, library
from sus2bench.models.moment_tensor.radial import RadialForm

if TYPE_CHECKING:
    from sus2bench.models.moment_tensor.base import MomentTensorModel


def energies_and_gradient(model: "MomentTensorModel", frame: Data) -> tuple[Tensor, Tensor]:
    """Site energies (N,) in eV, without E0, and the gradient (E, 3) of their sum in eV/Å.

    Both can be differentiated, once: by the parameters, and by the edge vectors if they require
    gradients. The derivatives are exact, and those of both together cost one sweep.

    Args:
        model: on the CPU.
        frame: with `edge_vectors` (E, 3) of the model's dtype, edges sorted by centre.

    Raises:
        CompilerMissingError: the kernel cannot be compiled here.
    """
    settings = _settings(model, frame)
    readout = model.readout
    site, gradient = _SiteEnergies.apply(  # type: ignore[no-untyped-call]
        settings, frame.edge_vectors, readout.xi, readout.species_weight, *settings.parameters
    )
    return site, gradient


def predict(model: "MomentTensorModel", frame: Data, *, virial: bool) -> Derivatives:
    """Site energies, forces and virial, not to be differentiated, from positions.

    No array of the size of the edges is made.

    Args:
        model: on the CPU.
        frame: a frame or a batch, edges sorted by centre.
        virial: whether it is wanted.

    Raises:
        CompilerMissingError: the kernel cannot be compiled here.
    """
    settings = _settings(model, frame)
    of_atom, frames = frame_of_atom(frame)
    precise, dtype = torch.float64, model.dtype
    with torch.no_grad():
        xi, weight = model.readout.xi, model.readout.species_weight
        positions = frame.pos.to(precise).contiguous()
        cells = frame.cell.to(precise).contiguous()
        shifts = frame.shift.to(torch.int32).contiguous()
        parameters = [parameter.contiguous() for parameter in settings.parameters]
        of_atom = of_atom.contiguous()
        site = torch.zeros(len(positions), dtype=precise)
        forces = torch.zeros(len(positions), 3, dtype=precise)
        total = torch.zeros(frames, 3, 3, dtype=precise) if virial else None
        problem = settings.problem(None, xi, weight, parameters)
        problem.positions, problem.cells = positions.data_ptr(), cells.data_ptr()
        problem.shifts, problem.frame_of = shifts.data_ptr(), of_atom.data_ptr()
        problem.frames = frames
        problem.site, problem.forces = site.data_ptr(), forces.data_ptr()
        problem.virial = _address(total)
        settings.kernels.forces(problem, dtype)
    return Derivatives(site, forces.to(dtype), None if total is None else total.to(dtype))


def prepare(model: "MomentTensorModel") -> Library:
    """The kernels of a model, compiled if they have not been.

    Raises:
        CompilerMissingError: they cannot be.
    """
    return library(model.kernel_header)


def _settings(model: "MomentTensorModel", frame: Data) -> "_Settings":
    graph = _Graph(frame.edge_index, model.types(frame.atomic_numbers))
    form = model.radial.kernel_form()
    return _Settings(prepare(model), graph, form, model.cutoff, len(model.species))


class _Graph:
    """Edges by centre, as the kernel reads them."""

    def __init__(self, edge_index: Tensor, types: Tensor) -> None:
        self.types = types.contiguous()
        self.neighbour = edge_index[0].contiguous()
        counts = torch.bincount(edge_index[1], minlength=len(types))
        self.first = torch.cat([counts.new_zeros(1), counts.cumsum(0)])
        self.longest = int(counts.max()) if len(counts) else 0


class _Settings:
    """Everything but tensors that are differentiated."""

    def __init__(
        self, kernels: Library, graph: _Graph, form: RadialForm, cutoff: float, species: int
    ) -> None:
        self.kernels = kernels
        self.graph = graph
        self.parameters = form.parameters
        self.fixed = Problem(
            atoms=len(graph.types),
            species=species,
            longest=graph.longest,
            cutoff=cutoff,
            scaling=form.scaling,
            min_dist=form.min_dist,
        )

    def problem(
        self, vectors: Tensor | None, xi: Tensor, weight: Tensor | None, parameters: list[Tensor]
    ) -> Problem:
        """The inputs; pointers are good as long as the tensors live."""
        graph = self.graph
        problem = Problem.from_buffer_copy(self.fixed)
        problem.threads = torch.get_num_threads()
        problem.first, problem.neighbour = graph.first.data_ptr(), graph.neighbour.data_ptr()
        problem.types, problem.vectors = graph.types.data_ptr(), _address(vectors)
        problem.xi, problem.weight = xi.data_ptr(), _address(weight)
        for i, parameter in enumerate(parameters):
            problem.parameters[i] = parameter.data_ptr()
        return problem


def _address(tensor: Tensor | None) -> int | None:
    return None if tensor is None else tensor.data_ptr()


class _SiteEnergies(Function):
    @staticmethod
    def forward(
        ctx: Any,
        settings: _Settings,
        vectors: Tensor,
        xi: Tensor,
        weight: Tensor | None,
        *parameters: Tensor,
    ) -> tuple[Tensor, Tensor]:
        vectors = vectors.contiguous()
        fixed = [parameter.contiguous() for parameter in parameters]
        site = xi.new_zeros(len(settings.graph.types))
        gradient = torch.zeros_like(vectors)
        problem = settings.problem(vectors, xi, weight, fixed)
        problem.site, problem.gradient = site.data_ptr(), gradient.data_ptr()
        settings.kernels.energies(problem, vectors.dtype)
        ctx.settings = settings
        ctx.save_for_backward(vectors, xi, weight, *fixed)
        return site, gradient

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, site: Tensor, gradient: Tensor) -> tuple[Tensor | None, ...]:
        vectors, xi, weight, *parameters = ctx.saved_tensors
        _, by_vectors, by_xi, by_weight, *by_parameters = ctx.needs_input_grad
        settings: _Settings = ctx.settings
        problem = settings.problem(vectors, xi, weight, parameters)
        site, gradient = site.contiguous(), gradient.contiguous()
        problem.site_cotangent, problem.gradient_cotangent = site.data_ptr(), gradient.data_ptr()
        sums = [torch.zeros_like(p, dtype=torch.float64) for p in parameters]
        for i, total in enumerate(sums):
            problem.parameter_gradients[i] = total.data_ptr()
        of_xi = torch.zeros_like(xi)
        of_weight = None if weight is None else torch.zeros_like(weight)
        of_vectors = torch.zeros_like(vectors) if by_vectors else None
        problem.xi_gradient, problem.weight_gradient = of_xi.data_ptr(), _address(of_weight)
        problem.vector_gradient = _address(of_vectors)
        settings.kernels.gradients(problem, vectors.dtype)
        return (
            None,
            of_vectors,
            of_xi if by_xi else None,
            of_weight if by_weight else None,
            *(
                total.to(parameter.dtype) if wanted else None
                for total, parameter, wanted in zip(sums, parameters, by_parameters, strict=True)
            ),
        )
