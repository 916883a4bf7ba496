"""What the radial functions of a moment tensor potential are to the rest of it."""

from abc import ABC, abstractmethod
from collections.abc import Callable
from typing import NamedTuple, cast

import torch
from torch import Tensor, nn


class RadialForm(NamedTuple):
    """What kernels have to know of radial functions."""

    kind: str
    """`sus2`: one series for all pairs of species, with arguments of their own; `mtp`: a series of
    its own for every pair."""
    scaling_of: tuple[int, ...]
    """Of each function, which of the arguments of polynomials it is made of."""
    size: int
    """Number of polynomials."""
    embedding: str
    """Function of the argument: `tanh` or `rational`."""
    parameters: tuple[Tensor, ...]
    """What is trained, in the order in which the kernels of this kind expect it."""
    scaling: float
    """One factor on all functions."""
    min_dist: float
    """Å."""


def along(function: Callable[[Tensor], Tensor], argument: Tensor) -> tuple[Tensor, Tensor]:
    """A function that acts element by element, and its derivative."""
    value, slope = torch.func.jvp(function, (argument,), (torch.ones_like(argument),))[:2]
    return value, slope


class RadialFunctions(nn.Module, ABC):
    """All radial functions R_mu, differentiable to zero at the cutoff.

    Attributes:
        coefficients: of Chebyshev polynomials T_0 .. T_{R-1}, (..., R).
    """

    coefficients: nn.Parameter

    @abstractmethod
    def forward(self, distance: Tensor, centre_type: Tensor, neighbour_type: Tensor) -> Tensor:
        """Evaluates every R_mu.

        Args:
            distance: (...,) Å; beyond the cutoff every function is zero.
            centre_type: (...,) types of the central atoms.
            neighbour_type: (...,) types of the neighbours.

        Returns:
            (mu, ...).
        """

    def by_parameters(
        self, distance: Tensor, centre_type: Tensor, neighbour_type: Tensor
    ) -> tuple[Tensor, Tensor]:
        """Derivatives of each R_mu by the S parameters that it depends on at an edge.

        Args:
            distance: (E,) Å, float64.
            centre_type: (E,).
            neighbour_type: (E,).

        Returns:
            Two of (E, mu, S), float64: the derivatives, and their derivatives by the distance.

        Raises:
            NotImplementedError: these functions have no parameters that are trained.
        """
        raise NotImplementedError(f"{type(self).__name__} has no parameters that are trained")

    @property
    def parameter_numbers(self) -> Tensor:
        """Which parameters these are: (C, C, mu, S), by the types of centre and neighbour.

        Numbers count through the parameters of `kernel_form` one after the other. A parameter may
        stand at several places, whose derivatives add up.
        """
        raise NotImplementedError(f"{type(self).__name__} has no parameters that are trained")

    def trained_parameters(self) -> list[tuple[nn.Parameter, Tensor]]:
        """What each of the kernel form's parameters is made of.

        Returns:
            For each, what is trained, and (elements, k): the elements of it, flat, whose sum an
            element of the form's parameter is.
        """
        parameters = [cast(nn.Parameter, p) for p in self.kernel_form().parameters]
        return [(p, torch.arange(p.numel()).unsqueeze(1)) for p in parameters]

    @abstractmethod
    def kernel_form(self) -> RadialForm:
        """What kernels have to know of these functions."""
