"""What a test module declares about the model that the contract tests examine."""

from abc import ABC, abstractmethod

import torch

from sus2bench.models.potential import Potential


class ContractBase(ABC):
    """The factory and the declared properties.

    Attributes:
        float32_energy: largest difference of float32 from float64, eV per atom.
        float32_forces: the same of a force component, eV/Å.
    """

    float32_energy: float = 1e-4
    float32_forces: float = 1e-3

    @abstractmethod
    def build(self, dtype: torch.dtype) -> Potential:
        """Returns the same small potential at each call, of two elements at least.

        Its parameters should all be generic (`perturb`), its cutoff about 4 Å and its size a few
        thousand parameters, so that the whole contract takes seconds.
        """

    def potential(self) -> Potential:
        """The potential in float64, in evaluation mode."""
        return self.build(torch.float64).eval()
