"""What is compiled: pure functions of padded neighbours and parameters, derivatives included.

The second one is the adjoint of the first. Both are traced through automatic differentiation, so
that what is compiled are sums and products only, and nothing has to be kept between the two.
"""

from typing import TYPE_CHECKING

import torch
from torch import Tensor, nn
from torch.func import functional_call

from sus2bench.models.moment_tensor.site_energies import site_energies

if TYPE_CHECKING:
    from sus2bench.models.moment_tensor.base import MomentTensorModel


class PureFunctions(nn.Module):
    """A model's functions of padded neighbours, with all parameters as arguments.

    Arguments that both have: vectors (N, n, 3) Å, with those of empty slots as long as the cutoff;
    types of the centres (N,) and of the neighbours (N, n); parameters as in `inputs`.

    Args:
        model: whose parts are used; stays as it is.
    """

    def __init__(self, model: "MomentTensorModel") -> None:
        super().__init__()
        self.radial, self.moments, self.readout = model.radial, model.moments, model.readout

    def inputs(self) -> dict[str, Tensor]:
        """Everything in the functions that differs between models of the same form, by name."""
        return {**dict(self.named_parameters()), "readout.units": self.readout.units}

    def forward(self, vectors: Tensor, centre_types: Tensor, neighbour_types: Tensor) -> Tensor:
        """Site energies (N,) eV."""
        parts = self.radial, self.moments, self.readout
        return site_energies(*parts, vectors, centre_types, neighbour_types)

    def energies(
        self,
        vectors: Tensor,
        centre_types: Tensor,
        neighbour_types: Tensor,
        *parameters: Tensor,
    ) -> tuple[Tensor, Tensor]:
        """Site energies (N,) eV and the gradient (N, n, 3) of their sum, eV/Å."""
        with torch.enable_grad():
            vectors = vectors.detach().requires_grad_()
            site = self._site(vectors, centre_types, neighbour_types, parameters)
            (gradient,) = torch.autograd.grad(site.sum(), vectors)
        return site.detach(), gradient

    def adjoint(
        self,
        vectors: Tensor,
        centre_types: Tensor,
        neighbour_types: Tensor,
        of_site: Tensor,
        of_gradient: Tensor,
        *parameters: Tensor,
    ) -> tuple[Tensor, ...]:
        """What `of_site` (N,) and `of_gradient` (N, n, 3) are to the arguments of `energies`.

        Returns:
            For the vectors, then for each of the parameters.
        """
        with torch.enable_grad():
            vectors = vectors.detach().requires_grad_()
            free = [parameter.detach().requires_grad_() for parameter in parameters]
            site = self._site(vectors, centre_types, neighbour_types, free)
            (gradient,) = torch.autograd.grad(site.sum(), vectors, create_graph=True)
            return torch.autograd.grad(
                [site, gradient],
                [vectors, *free],
                [of_site, of_gradient],
                materialize_grads=True,
            )

    def _site(
        self,
        vectors: Tensor,
        centre_types: Tensor,
        neighbour_types: Tensor,
        parameters: tuple[Tensor, ...] | list[Tensor],
    ) -> Tensor:
        named = dict(zip(self.inputs(), parameters, strict=True))
        site: Tensor = functional_call(self, named, (vectors, centre_types, neighbour_types))
        return site
