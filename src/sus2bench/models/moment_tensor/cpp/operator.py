"""Site energies and their gradient by the edge vectors as an operator of torch."""

from collections.abc import Sequence
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


def energies(model: "MomentTensorModel", frame: Data) -> Tensor:
    """Site energies (N,) in eV, as those of `predict`, not to be differentiated."""
    settings, readout = _settings(model, frame), model.readout
    with torch.no_grad():
        inputs = readout.xi, readout.species_weight, [p.contiguous() for p in settings.parameters]
        return _evaluate(settings, _Structure(frame), *inputs, None, None)


def predict(model: "MomentTensorModel", frame: Data, *, virial: bool) -> Derivatives:
    """Site energies, forces and virial from positions.

    They can be differentiated by the parameters, once; the derivatives are exact, and those of all
    together cost one sweep. No array of the size of the edges is made, by neither.

    Args:
        model: on the CPU.
        frame: a frame or a batch, edges sorted by centre.
        virial: whether it is wanted.

    Raises:
        CompilerMissingError: the kernel cannot be compiled here.
    """
    settings, readout = _settings(model, frame), model.readout
    site, forces, total = _Prediction.apply(  # type: ignore[no-untyped-call]
        settings,
        _Structure(frame),
        virial,
        readout.xi,
        readout.species_weight,
        *settings.parameters,
    )
    return Derivatives(site, forces, total)


def runs_on(device: torch.device) -> bool:
    """On CPUs."""
    return device.type == "cpu"


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


class _Structure:
    """Positions, cells and shifts, as the kernel reads them."""

    def __init__(self, frame: Data) -> None:
        of_atom, self.frames = frame_of_atom(frame)
        self.positions = frame.pos.to(torch.float64).contiguous()
        self.cells = frame.cell.to(torch.float64).contiguous()
        self.shifts = frame.shift.to(torch.int32).contiguous()
        self.of_atom = of_atom.contiguous()

    def enter(self, problem: Problem) -> None:
        """Writes the pointers, which are good as long as this lives."""
        problem.positions, problem.cells = self.positions.data_ptr(), self.cells.data_ptr()
        problem.shifts, problem.frame_of = self.shifts.data_ptr(), self.of_atom.data_ptr()
        problem.frames = self.frames


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
        settings: _Settings = ctx.settings
        problem = settings.problem(vectors, xi, weight, parameters)
        gradient = gradient.contiguous()
        problem.gradient_cotangent = gradient.data_ptr()
        of_vectors = torch.zeros_like(vectors) if ctx.needs_input_grad[1] else None
        problem.vector_gradient = _address(of_vectors)
        sums = _parameter_gradients(
            settings, problem, site, xi, weight, parameters, ctx.needs_input_grad[2:]
        )
        return None, of_vectors, *sums


def _evaluate(
    settings: _Settings,
    structure: _Structure,
    xi: Tensor,
    weight: Tensor | None,
    parameters: list[Tensor],
    forces: Tensor | None,
    virial: Tensor | None,
) -> Tensor:
    """Returns site energies; adds to forces and virial, which are zero, where they are given."""
    site = xi.new_zeros(len(structure.positions))
    problem = settings.problem(None, xi, weight, parameters)
    structure.enter(problem)
    problem.site, problem.forces = site.data_ptr(), _address(forces)
    problem.virial = _address(virial)
    settings.kernels.forces(problem, parameters[0].dtype)
    return site


class _Prediction(Function):
    @staticmethod
    def forward(
        ctx: Any,
        settings: _Settings,
        structure: _Structure,
        with_virial: bool,
        xi: Tensor,
        weight: Tensor | None,
        *parameters: Tensor,
    ) -> tuple[Tensor, Tensor, Tensor | None]:
        fixed = [parameter.contiguous() for parameter in parameters]
        forces = torch.zeros_like(structure.positions)
        virial = torch.zeros_like(structure.cells) if with_virial else None
        site = _evaluate(settings, structure, xi, weight, fixed, forces, virial)
        ctx.settings, ctx.structure = settings, structure
        ctx.save_for_backward(xi, weight, *fixed)
        ctx.set_materialize_grads(False)
        dtype = fixed[0].dtype
        return site, forces.to(dtype), None if virial is None else virial.to(dtype)

    @staticmethod
    @once_differentiable
    def backward(
        ctx: Any, site: Tensor | None, forces: Tensor | None, virial: Tensor | None
    ) -> tuple[Tensor | None, ...]:
        xi, weight, *parameters = ctx.saved_tensors
        settings: _Settings = ctx.settings
        structure: _Structure = ctx.structure
        atoms = len(structure.positions)
        site = xi.new_zeros(atoms) if site is None else site
        forces = xi.new_zeros(atoms, 3) if forces is None else forces.double().contiguous()
        virial = None if virial is None else virial.double().contiguous()
        problem = settings.problem(None, xi, weight, parameters)
        structure.enter(problem)
        problem.force_cotangent, problem.virial_cotangent = forces.data_ptr(), _address(virial)
        wanted = ctx.needs_input_grad[3:]
        gradients = _parameter_gradients(settings, problem, site, xi, weight, parameters, wanted)
        return None, None, None, *gradients


def _parameter_gradients(
    settings: _Settings,
    problem: Problem,
    site: Tensor,
    xi: Tensor,
    weight: Tensor | None,
    parameters: list[Tensor],
    wanted: Sequence[bool],
) -> tuple[Tensor | None, ...]:
    """Of xi, the weights and the radial parameters, as far as they are wanted."""
    site = site.contiguous()
    problem.site_cotangent = site.data_ptr()
    sums = [torch.zeros_like(parameter, dtype=torch.float64) for parameter in parameters]
    for i, total in enumerate(sums):
        problem.parameter_gradients[i] = total.data_ptr()
    of_xi = torch.zeros_like(xi)
    of_weight = None if weight is None else torch.zeros_like(weight)
    problem.xi_gradient, problem.weight_gradient = of_xi.data_ptr(), _address(of_weight)
    settings.kernels.gradients(problem, parameters[0].dtype)
    of_parameters = (
        total.to(parameter.dtype) for total, parameter in zip(sums, parameters, strict=True)
    )
    return tuple(
        gradient if needed else None
        for gradient, needed in zip((of_xi, of_weight, *of_parameters), wanted, strict=True)
    )
