"""What the radial functions of a moment tensor potential are to the rest of it."""

from abc import ABC, abstractmethod

from torch import Tensor, nn

from sus2bench.models.moment_tensor.cpp.form import RadialForm


class RadialFunctions(nn.Module, ABC):
    """All radial functions R_mu, differentiable to zero at the cutoff."""

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
        """What the C++ backend has to know of these functions."""
