"""Derivatives of site energies and scalars by the basic moments of an atom, up to second order.

d E_i / dM_a = w_i sum_q xi_q dB_q / dM_a,   d2 E_i / dM_a dM_b = w_i sum_q xi_q d2 B_q / dM_a dM_b
"""

from typing import TYPE_CHECKING, NamedTuple

import torch
from torch import Tensor

if TYPE_CHECKING:
    from sus2bench.models.moment_tensor.base import MomentTensorModel


class Curvatures(NamedTuple):
    """Of N atoms, float64."""

    scalars: Tensor
    """B (N, scalars)."""
    jacobian: Tensor
    """dB/dM (N, basic, scalars)."""
    curvature: Tensor | None
    """d2E/dM dM (N, basic, basic), eV; None if it was not wanted."""


def curvatures(
    model: "MomentTensorModel", basic: Tensor, types: Tensor, *, second: bool
) -> Curvatures:
    """By automatic differentiation.

    Args:
        model: with its contractions and readout.
        basic: basic moments (N, basic), float64.
        types: (N,).
        second: whether second derivatives are wanted.
    """
    moments = model.moments
    basic = basic.detach().t().contiguous()
    scalars, jacobian = moments.jacobian(basic)
    curvature = _second(model, basic, types) if second else None
    return Curvatures(scalars.t(), jacobian.permute(2, 1, 0), curvature)


def _second(model: "MomentTensorModel", basic: Tensor, types: Tensor) -> Tensor:
    moments, readout = model.moments, model.readout
    weighted = readout.xi.detach().unsqueeze(1) * readout.weights(types).detach()

    def energy(basic: Tensor) -> Tensor:
        return (moments.products(basic).index_select(0, moments.scalar_rows) * weighted).sum()

    slope = torch.func.grad(energy)
    rows = []
    for moment in range(len(basic)):
        direction = torch.zeros_like(basic)
        direction[moment] = 1
        rows.append(torch.func.jvp(slope, (basic,), (direction,))[1])
    return torch.stack(rows).permute(2, 0, 1)
