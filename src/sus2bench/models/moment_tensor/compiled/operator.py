"""The compiled functions as an operator of torch, of frames of any size."""

from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor
from torch.autograd import Function
from torch.autograd.function import once_differentiable
from torch.nn.functional import pad
from torch_geometric.data import Data

from sus2bench.models.derivatives import Derivatives, from_edge_gradient, with_edge_vectors
from sus2bench.models.moment_tensor.compiled.functions import PureFunctions
from sus2bench.models.moment_tensor.compiled.library import ADJOINT, ENERGIES, compiled
from sus2bench.models.moment_tensor.moments import pad_neighbours

if TYPE_CHECKING:
    from sus2bench.models.moment_tensor.base import MomentTensorModel

_FEWEST = 2
"""Sizes 0 and 1 are special to compilers; atoms and neighbour slots are filled up to this many."""

_PROCESSOR_BLOCK, _ACCELERATOR_BLOCK = 256, 2**16
"""About as many atoms are computed at once: what belongs to them stays in the processor's cache,
or in the accelerator's memory."""


def prepare(model: "MomentTensorModel") -> None:
    """Compiles what will be called, if it has not been: the adjoint where gradients are enabled.

    Raises:
        CompilationError: it cannot be compiled here.
    """
    compiled(model, ENERGIES)
    if torch.is_grad_enabled():
        compiled(model, ADJOINT)


def energies_and_gradient(model: "MomentTensorModel", frame: Data) -> tuple[Tensor, Tensor]:
    """Site energies (N,) in eV, without E0, and the gradient (E, 3) of their sum in eV/Å.

    Both can be differentiated, once: by the parameters, and by the edge vectors if they require
    gradients. The derivatives are exact.

    Args:
        model: on any device.
        frame: with `edge_vectors` (E, 3) of the model's dtype, edges sorted by centre.

    Raises:
        CompilationError: the functions cannot be compiled here.
    """
    types = model.types(frame.atomic_numbers)
    filled = pad(types, (0, max(0, _FEWEST - len(types))))
    around = pad_neighbours(frame.edge_vectors, frame.edge_index, filled, model.cutoff, _FEWEST)
    parameters = PureFunctions(model).inputs().values()
    site, gradient = _SiteEnergies.apply(  # type: ignore[no-untyped-call]
        model, around.vectors, filled, around.neighbour_types, *parameters
    )
    return site[: len(types)], gradient.flatten(0, 1).index_select(0, around.place)


def energies(model: "MomentTensorModel", frame: Data) -> Tensor:
    """Site energies (N,) in eV, not to be differentiated.

    Raises:
        CompilationError: the functions cannot be compiled here.
    """
    with torch.no_grad():
        return energies_and_gradient(model, with_edge_vectors(frame, model.dtype))[0]


def predict(model: "MomentTensorModel", frame: Data, *, virial: bool) -> Derivatives:
    """Site energies, forces and virial, to be differentiated where gradients are enabled.

    Args:
        model: on any device.
        frame: a frame or a batch, edges sorted by centre.
        virial: whether it is wanted.

    Raises:
        CompilationError: the functions cannot be compiled here.
    """
    graph = with_edge_vectors(frame, model.dtype)
    site, gradient = energies_and_gradient(model, graph)
    return from_edge_gradient(site, gradient, graph, virial=virial)


def runs_on(device: torch.device) -> bool:
    """Everywhere."""
    return True


class _SiteEnergies(Function):
    @staticmethod
    def forward(ctx: Any, model: "MomentTensorModel", *inputs: Tensor) -> tuple[Tensor, Tensor]:
        inputs = tuple(tensor.contiguous() for tensor in inputs)
        ctx.model = model
        ctx.save_for_backward(*inputs)
        around, parameters = inputs[:3], inputs[3:]
        function = compiled(model, ENERGIES)
        parts = [function([*block, *parameters]) for block in _blocks(*around)]
        site, gradient = (torch.cat(part) for part in zip(*parts, strict=True))
        return site, gradient

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, site: Tensor, gradient: Tensor) -> tuple[Tensor | None, ...]:
        around, parameters = ctx.saved_tensors[:3], ctx.saved_tensors[3:]
        function = compiled(ctx.model, ADJOINT)
        blocks = _blocks(*around, site.contiguous(), gradient.contiguous())
        parts = [function([*block, *parameters]) for block in blocks]
        of_vectors, *of_parameters = zip(*parts, strict=True)
        sums = (torch.stack(part).sum(0) for part in of_parameters)
        found = (None, torch.cat(of_vectors), None, None, *sums)
        return tuple(
            value if wanted else None
            for value, wanted in zip(found, ctx.needs_input_grad, strict=True)
        )


def _blocks(*arrays: Tensor) -> list[tuple[Tensor, ...]]:
    """Tensors of N atoms each, cut into blocks of nearly equal numbers of atoms."""
    first = arrays[0]
    largest = _PROCESSOR_BLOCK if first.device.type == "cpu" else _ACCELERATOR_BLOCK
    number = -(-len(first) // largest)
    return list(zip(*(array.tensor_split(number) for array in arrays), strict=True))
