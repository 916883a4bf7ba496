"""The part of a potential that is linear in parameters, as rows of a least-squares problem."""

from typing import NamedTuple, Protocol, runtime_checkable

from torch import Tensor, nn
from torch_geometric.data import Data


class LinearResponse(NamedTuple):
    """How predictions change with each of P linear coefficients, for B frames with N atoms."""

    energy: Tensor
    """(B, P) eV per unit of coefficient."""
    forces: Tensor
    """(N, 3, P) eV/Å per unit of coefficient."""
    virial: Tensor
    """(B, 3, 3, P) eV per unit of coefficient."""


@runtime_checkable
class HasLinearReadout(Protocol):
    """A model whose site energies are linear in some of its parameters."""

    def linear_response(self, frame: Data) -> LinearResponse:
        """Derivatives of energy, forces and virial by the linear coefficients (float64)."""

    @property
    def linear_coefficients(self) -> Tensor:
        """The P linear coefficients, float64."""

    def set_linear_coefficients(self, values: Tensor, units: Tensor | None = None) -> None:
        """Sets the P linear coefficients, and the units in which they are trained if given."""


@runtime_checkable
class TrainsLinearReadout(HasLinearReadout, Protocol):
    """A model whose linear coefficients are trained by steps, too."""

    @property
    def linear_parameters(self) -> list[nn.Parameter]:
        """The parameters that hold the linear coefficients, and nothing else."""

    @property
    def linear_units(self) -> Tensor:
        """The coefficients (P,), float64, that trained numbers of one stand for."""
