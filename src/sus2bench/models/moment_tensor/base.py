"""What every moment tensor potential computes, whatever its radial functions are."""

import copy
import functools
import logging
from collections.abc import Iterator, Sequence

import torch
from torch import Tensor, nn
from torch_geometric.data import Data

from sus2bench.models.base import SiteEnergyModel
from sus2bench.models.derivatives import Derivatives
from sus2bench.models.linear import LinearResponse
from sus2bench.models.moment_tensor import compiled, cpp, triton
from sus2bench.models.moment_tensor.backend import Backend, BackendMissingError
from sus2bench.models.moment_tensor.contraction_table import ContractionTable
from sus2bench.models.moment_tensor.curvature import Curvatures, curvatures
from sus2bench.models.moment_tensor.edge_sums import FrameEdges, TorchEdges
from sus2bench.models.moment_tensor.jacobian import (
    FrameJacobian,
    NumberedParameter,
    jacobian,
)
from sus2bench.models.moment_tensor.linear_response import linear_response
from sus2bench.models.moment_tensor.moments import Moments, pad_neighbours
from sus2bench.models.moment_tensor.radial import RadialFunctions
from sus2bench.models.moment_tensor.readout import Readout
from sus2bench.models.moment_tensor.site_energies import site_energies

logger = logging.getLogger(__name__)

EAGER, CPP, TRITON, COMPILE = "eager", "cpp", "triton", "compile"
BACKENDS: dict[str, Backend | None] = {EAGER: None, CPP: cpp, TRITON: triton, COMPILE: compiled}
"""What computes in place of plain torch, by name."""
FASTEST = {"cpu": CPP, "cuda": TRITON}
"""By type of device."""


class MomentTensorModel(SiteEnergyModel):
    """Moments of radial functions, contracted to scalars, summed with linear coefficients.

        M[mu; p,q,s](i) = sum_j R_mu(r_ij; t_i, t_j) u_x^p u_y^q u_z^s

    A subclass sets `radial` and `readout` (Shapeev, Multiscale Model. Simul. 14, 1153, 2016).

    Args:
        species: chemical symbols in type order.
        cutoff: r_c, Å.
        table: the contractions.
        backend: what computes: `eager`, plain torch operations; kernels that are compiled for the
            form of the model at their first use, `cpp` on CPUs and `triton` on GPUs; or `compile`,
            the torch operations compiled by TorchInductor at their first use. Where there is no
            compiler, no Triton, or a device of the other kind, `eager` computes.

    Raises:
        ValueError: there is no such backend.
    """

    smoothness = 1
    strictly_local = True

    radial: RadialFunctions
    readout: Readout

    def __init__(
        self,
        species: Sequence[str | int],
        cutoff: float,
        table: ContractionTable,
        backend: str = EAGER,
    ) -> None:
        super().__init__(species, cutoff)
        self.moments = Moments(table)
        self.backend = backend

    @property
    def backend(self) -> str:
        """What computes; ValueError if it is set to what there is not."""
        return self._backend

    @backend.setter
    def backend(self, name: str) -> None:
        if name not in BACKENDS:
            raise ValueError(f"backend {name!r} is none of {', '.join(BACKENDS)}")
        self._backend = name

    @property
    def table(self) -> ContractionTable:
        """The contraction table in the numbering of `.mtp` files."""
        return self.moments.table

    def forward(self, frame: Data) -> Tensor:
        """Site energies (N,) in eV without E0, summed in float64 whatever the parameters are."""
        kernel = self._kernel()
        if kernel is not None:
            return kernel.energies_and_gradient(self, frame)[0]
        types = self.types(frame.atomic_numbers)
        around = pad_neighbours(frame.edge_vectors, frame.edge_index, types, self.cutoff)
        parts = self.radial, self.moments, self.readout
        return site_energies(*parts, around.vectors, types, around.neighbour_types)

    def energies(self, frame: Data, *, differentiable: bool) -> Tensor:
        """See `SiteEnergyModel`."""
        if differentiable:
            return super().energies(frame, differentiable=True)
        with torch.no_grad():
            kernel = self._kernel()
            if kernel is None:
                return super().energies(frame, differentiable=False)
            return kernel.energies(self, frame)

    def predict(self, frame: Data, *, differentiable: bool, virial: bool) -> Derivatives:
        """See `SiteEnergyModel`; kernels compute everything in one sweep."""
        with torch.set_grad_enabled(differentiable):
            kernel = self._kernel()
            if kernel is not None:
                return kernel.predict(self, frame, virial=virial)
        return super().predict(frame, differentiable=differentiable, virial=virial)

    def _kernel(self) -> Backend | None:
        """What computes in place of torch; if it cannot, says why and goes on without it."""
        kernel = BACKENDS[self.backend]
        try:
            if kernel is None or not kernel.runs_on(self.readout.coefficients.device):
                return None
            kernel.prepare(self)
            return kernel
        except BackendMissingError as error:
            logger.warning("%s. Going on with backend=eager", error)
            self.backend = EAGER
        return None

    @functools.cached_property
    def kernel_header(self) -> str:
        """What the kernels of the backend `cpp` are compiled for, as text of C++."""
        weighted = self.readout.species_weight is not None
        return cpp.form_header(self.table, self.radial.kernel_form(), weighted)

    @functools.cached_property
    def triton_source(self) -> str:
        """The kernels of the backend `triton`, as text."""
        return triton.module_source(self.table, self.radial.kernel_form(), self.cutoff)

    def for_tracing(self) -> "MomentTensorModel":
        """This model in plain torch operations."""
        if self.backend == EAGER:
            return self
        plain = copy.copy(self)
        plain.backend = EAGER
        return plain

    def for_inference(self) -> tuple[SiteEnergyModel, str]:
        """The backend of the device; BackendMissingError if what it needs is not installed."""
        device = self.readout.coefficients.device.type
        if device not in FASTEST or self.backend == FASTEST[device]:
            return self, self.backend
        fast = copy.copy(self)
        fast.backend = FASTEST[device]
        kernel = BACKENDS[fast.backend]
        if kernel is not None:
            with torch.no_grad():
                kernel.prepare(fast)
        return fast, fast.backend

    def curvatures(self, basic: Tensor, types: Tensor, *, second: bool) -> Curvatures:
        """Derivatives by the basic moments (N, basic), of first and if wanted `second` order."""
        if self._kernel() is cpp:
            return cpp.curvatures(self, basic, types, second=second)
        return curvatures(self, basic, types, second=second)

    def frame_edges(
        self, vectors: Tensor, edge_index: Tensor, types: Tensor, kind: Tensor
    ) -> FrameEdges:
        """What the Jacobian of a frame needs of its edges; see `TorchEdges`."""
        if self._kernel() is cpp:
            return cpp.KernelEdges(self, vectors, edge_index, types, kind)
        return TorchEdges(self, vectors, edge_index, types, kind)

    def jacobian(
        self, frame: Data, *, virial: bool, radial: bool = True
    ) -> Iterator[FrameJacobian]:
        """Derivatives by all parameters, or those of the readout, frame by frame.

        Args:
            frame: a batch that carries `edge_vectors`.
            virial: whether its derivatives are wanted.
            radial: whether derivatives by the radial functions' parameters are wanted.
        """
        return jacobian(self, frame, virial=virial, radial=radial)

    def numbered_parameters(self) -> list[NumberedParameter]:
        """The parameters in the order in which the Jacobian numbers their elements."""
        readout, one = self.readout, self.readout.units.new_ones(())
        rest = [] if readout.species_weight is None else [readout.species_weight]

        def own(parameter: nn.Parameter, unit: Tensor, linear: bool) -> NumberedParameter:
            elements = torch.arange(parameter.numel()).unsqueeze(1)
            return NumberedParameter(parameter, elements, unit, linear)

        return [
            *(NumberedParameter(*part, one, False) for part in self.radial.trained_parameters()),
            *(own(weight, one, False) for weight in rest),
            own(readout.coefficients, readout.units, True),
        ]

    def linear_response(self, frame: Data) -> LinearResponse:
        """Derivatives of energy, forces and virial by xi; `frame` carries `edge_vectors`."""
        return linear_response(self, frame)

    @property
    def linear_coefficients(self) -> Tensor:
        """The coefficients xi (scalars,), float64."""
        return self.readout.xi.detach()

    @property
    def linear_parameters(self) -> list[nn.Parameter]:
        """The trained numbers that xi comes from."""
        return [self.readout.coefficients]

    @property
    def linear_units(self) -> Tensor:
        """The units (scalars,) of the trained numbers, float64."""
        return self.readout.units

    def set_linear_coefficients(self, values: Tensor, units: Tensor | None = None) -> None:
        """Sets xi (scalars,), and the units (scalars,) of the trained numbers if given."""
        with torch.no_grad():
            if units is not None:
                self.readout.units.copy_(units)
            self.readout.coefficients.copy_(values / self.readout.units)

    def known_pairs(self, pairs: set[tuple[int, int]]) -> set[tuple[int, int]]:
        """Those of the pairs of atomic numbers that consist of species of the model."""
        return {(a, b) for a, b in pairs if a in self.species and b in self.species}


def parameter_counts(
    stored: int, trainable: int | None = None, effective: int | None = None
) -> dict[str, int]:
    """One block of `parameter_blocks`; what is not given is the number before it."""
    trainable = stored if trainable is None else trainable
    effective = trainable if effective is None else effective
    return {"stored": stored, "trainable": trainable, "effective": effective}
