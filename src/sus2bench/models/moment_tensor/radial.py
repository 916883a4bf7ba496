"""What the radial functions of a moment tensor potential are to the rest of it."""

from abc import ABC, abstractmethod
from typing import NamedTuple

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

    @abstractmethod
    def kernel_form(self) -> RadialForm:
        """What kernels have to know of these functions."""
