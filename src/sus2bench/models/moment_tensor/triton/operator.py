"""Site energies, forces and derivatives by Triton, as operators of torch."""

from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor
from torch.autograd import Function
from torch.autograd.function import once_differentiable
from torch_geometric.data import Data

from sus2bench.atoms.frame import frame_of_atom
from sus2bench.models.derivatives import Derivatives
from sus2bench.models.moment_tensor.triton.launch import (
    Launch,
    Objective,
    Parameters,
    kernels_of,
)

if TYPE_CHECKING:
    from sus2bench.models.moment_tensor.base import MomentTensorModel

prepare = kernels_of


def energies_and_gradient(model: "MomentTensorModel", frame: Data) -> tuple[Tensor, Tensor]:
    """Site energies (N,) in eV, without E0, and the gradient (E, 3) of their sum in eV/Å.

    Both can be differentiated, once: by the parameters, and by the edge vectors if they require
    gradients. The derivatives are exact.

    Args:
        model: on a GPU, or anywhere if Triton interprets.
        frame: with `edge_vectors` (E, 3) of the model's dtype, edges sorted by centre.

    Raises:
        NoKernelsError: there can be no kernels.
    """
    launch = Launch(model, frame, frame.edge_vectors.detach().contiguous())
    site, gradient = _SiteEnergies.apply(  # type: ignore[no-untyped-call]
        launch, frame.edge_vectors, *_parameters(model)
    )
    return site, gradient


@torch.no_grad()
def energies(model: "MomentTensorModel", frame: Data) -> Tensor:
    """Site energies (N,) in eV, as those of `predict`, not to be differentiated."""
    site, _ = Launch(model, frame).energies(Parameters.of(_parameters(model)))
    return site


def predict(model: "MomentTensorModel", frame: Data, *, virial: bool) -> Derivatives:
    """Site energies, forces and virial from positions.

    They can be differentiated by the parameters, once; the derivatives are exact. No array of the
    size of the edges is made: an atom takes 8 bytes for each basic moment, about 60 otherwise, and
    72 for the virial; derivatives by parameters take four times the moments besides. Forces and
    virial are summed in float64, on a GPU in an order that varies. The host waits for nothing.

    Args:
        model: on a GPU, or anywhere if Triton interprets.
        frame: a frame or a batch, edges sorted by centre.
        virial: whether it is wanted.

    Raises:
        NoKernelsError: there can be no kernels.
    """
    of_atom, frames = frame_of_atom(frame)
    site, forces, virials = _Prediction.apply(  # type: ignore[no-untyped-call]
        Launch(model, frame), of_atom, frames, virial, *_parameters(model)
    )
    return Derivatives(site, forces, virials)


def _parameters(model: "MomentTensorModel") -> tuple[Tensor | None, ...]:
    readout = model.readout
    return readout.xi, readout.species_weight, *model.radial.kernel_form().parameters


class _SiteEnergies(Function):
    @staticmethod
    def forward(
        ctx: Any, launch: Launch, vectors: Tensor, *parameters: Tensor | None
    ) -> tuple[Tensor, Tensor]:
        ctx.launch = launch
        ctx.save_for_backward(vectors, *parameters)
        at = Parameters.of(parameters)
        site, slopes = launch.energies(at)
        gradient = torch.empty_like(vectors, memory_format=torch.contiguous_format)
        launch.gradient(at, slopes, gradient)
        return site, gradient

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, site: Tensor, gradient: Tensor) -> tuple[Tensor | None, ...]:
        vectors, *parameters = ctx.saved_tensors
        of_vectors = None
        if ctx.needs_input_grad[1]:
            of_vectors = torch.empty_like(vectors, memory_format=torch.contiguous_format)
        objective = Objective(site, gradient.contiguous(), None, None)
        found = ctx.launch.differentiate(objective, Parameters.of(parameters), of_vectors)
        return None, of_vectors, *_wanted(found, ctx.needs_input_grad[2:])


class _Prediction(Function):
    @staticmethod
    def forward(
        ctx: Any,
        launch: Launch,
        of_atom: Tensor,
        frames: int,
        with_virial: bool,
        *parameters: Tensor | None,
    ) -> tuple[Tensor, Tensor, Tensor | None]:
        ctx.launch = launch
        ctx.save_for_backward(*parameters)
        ctx.set_materialize_grads(False)
        at = Parameters.of(parameters)
        site, moments = launch.energies(at)
        forces = site.new_zeros(len(site), 3)
        virials = site.new_empty(len(site), 3, 3) if with_virial else None
        launch.gradient(at, moments, None, forces, virials)
        total = None
        if virials is not None:
            # Additions to one place would wait for each other.
            total = virials.sum(0, keepdim=True)
            if frames > 1:
                total = total.new_zeros(frames, 3, 3).index_add(0, of_atom, virials)
            total = total.to(at.radial[0].dtype)
        return site, forces.to(at.radial[0].dtype), total

    @staticmethod
    @once_differentiable
    def backward(
        ctx: Any, site: Tensor | None, forces: Tensor | None, virial: Tensor | None
    ) -> tuple[Tensor | None, ...]:
        at = Parameters.of(ctx.saved_tensors)
        atoms = ctx.launch.atoms
        objective = Objective(
            sites=at.xi.new_zeros(atoms) if site is None else site,
            edges=None,
            forces=at.xi.new_zeros(atoms, 3) if forces is None else forces.double().contiguous(),
            virial=None if virial is None else virial.double().contiguous(),
        )
        found = ctx.launch.differentiate(objective, at)
        return None, None, None, None, *_wanted(found, ctx.needs_input_grad[4:])


def _wanted(gradients: list[Tensor | None], wanted: tuple[bool, ...]) -> list[Tensor | None]:
    return [g if want else None for g, want in zip(gradients, wanted, strict=True)]
