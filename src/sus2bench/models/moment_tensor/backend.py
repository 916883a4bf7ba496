"""What a backend of moment tensor models is: a module that computes in place of plain torch."""

from typing import TYPE_CHECKING, Protocol

import torch
from torch import Tensor
from torch_geometric.data import Data

from sus2bench.models.derivatives import Derivatives

if TYPE_CHECKING:
    from sus2bench.models.moment_tensor.base import MomentTensorModel


class BackendMissingError(RuntimeError):
    """A backend cannot compute here; the message says why, and what to do."""


class Backend(Protocol):
    """The functions of such a module; each may raise `BackendMissingError`."""

    def runs_on(self, device: torch.device) -> bool:
        """Whether it computes there; elsewhere plain torch does."""

    def prepare(self, model: "MomentTensorModel") -> object:
        """Compiles what is needed, of training where gradients are enabled."""

    def energies_and_gradient(
        self, model: "MomentTensorModel", frame: Data
    ) -> tuple[Tensor, Tensor]:
        """Site energies (N,) in eV and the gradient (E, 3) of their sum, to be differentiated."""

    def energies(self, model: "MomentTensorModel", frame: Data) -> Tensor:
        """Site energies (N,) in eV of a frame without edge vectors, not to be differentiated."""

    def predict(self, model: "MomentTensorModel", frame: Data, *, virial: bool) -> Derivatives:
        """The same with forces and virial, to be differentiated where gradients are enabled."""
