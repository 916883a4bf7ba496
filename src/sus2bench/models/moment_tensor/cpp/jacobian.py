"""What Jacobians are made of, by the kernels: derivatives by basic moments, sums over edges."""

from typing import TYPE_CHECKING

import torch
from torch import Tensor

from sus2bench.models.moment_tensor.cpp.library import Problem
from sus2bench.models.moment_tensor.cpp.operator import prepare
from sus2bench.models.moment_tensor.curvature import Curvatures
from sus2bench.models.moment_tensor.edge_sums import DirectSums, EdgeSums, slots_of

if TYPE_CHECKING:
    from sus2bench.models.moment_tensor.base import MomentTensorModel


def curvatures(
    model: "MomentTensorModel", basic: Tensor, types: Tensor, *, second: bool
) -> Curvatures:
    """Derivatives by the basic moments; see `moment_tensor.curvature.curvatures`."""
    readout = model.readout
    atoms, scalars, moments = len(types), len(readout.coefficients), basic.shape[1]
    basic, types, xi = basic.detach().contiguous(), types.contiguous(), readout.xi.detach()
    found = Curvatures(
        basic.new_empty(atoms, scalars),
        basic.new_empty(atoms, moments, scalars),
        basic.new_empty(atoms, moments, moments) if second else None,
    )
    problem = Problem(atoms=atoms, species=len(model.species), threads=torch.get_num_threads())
    problem.types, problem.basic, problem.xi = types.data_ptr(), basic.data_ptr(), xi.data_ptr()
    if readout.species_weight is not None:
        problem.weight = readout.species_weight.data_ptr()
    problem.scalars, problem.jacobian, problem.curvature = (
        None if part is None else part.data_ptr() for part in found
    )
    prepare(model).curvatures(problem)
    return found


class KernelEdges:
    """The edges of one frame; arguments as of `TorchEdges`."""

    def __init__(
        self,
        model: "MomentTensorModel",
        vectors: Tensor,
        edge_index: Tensor,
        types: Tensor,
        kind: Tensor,
    ) -> None:
        form = model.radial.kernel_form()
        counts = torch.bincount(edge_index[1], minlength=len(types))
        first = torch.cat([counts.new_zeros(1), counts.cumsum(0)])
        parameters = [p.detach().to(torch.float64).contiguous() for p in form.parameters]
        self._model, self._kinds = model, int(kind.max()) + 1
        # Pointers are good as long as the tensors live.
        self._kept = tuple(
            t.contiguous() for t in (first, edge_index[0], types, vectors.double(), kind)
        )
        self._parameters = parameters
        self._slots = slots_of(edge_index, len(types))
        self._basic, self._functions = len(model.table.basic), len(form.scaling_of)
        problem = Problem(
            atoms=len(types),
            species=len(model.species),
            threads=1,
            longest=int(counts.max()),
            cutoff=model.cutoff,
            scaling=form.scaling,
            min_dist=form.min_dist,
            kinds=self._kinds,
        )
        problem.first, problem.neighbour, problem.types, problem.vectors, problem.kind = (
            tensor.data_ptr() for tensor in self._kept
        )
        for i, parameter in enumerate(parameters):
            problem.parameters[i] = parameter.data_ptr()
        self._problem = problem

    def moments(self) -> Tensor:
        """See `FrameEdges`."""
        found = torch.empty(self._problem.atoms, self._basic, dtype=torch.float64)
        self._problem.moments = found.data_ptr()
        prepare(self._model).moments(self._problem)
        return found

    def sums(self, slopes: Tensor, *, virial: bool, radial: bool) -> EdgeSums:
        """See `FrameEdges`."""
        atoms, kinds, basic = self._problem.atoms, self._kinds, self._basic
        slopes, slots = slopes.contiguous(), self._slots
        pulls = slopes.new_zeros(*slots.atoms.shape, 3, basic)
        strain = slopes.new_zeros(atoms, 9, basic) if virial else None
        direct = None
        problem = Problem.from_buffer_copy(self._problem)
        problem.basic, problem.pulls = slopes.data_ptr(), pulls.data_ptr()
        problem.slots = slots.atoms.shape[1]
        problem.own_slot, problem.slot = slots.of_centre.data_ptr(), slots.of_edge.data_ptr()
        problem.strain = None if strain is None else strain.data_ptr()
        if radial:
            block = self._functions, self._model.radial.parameter_numbers.shape[3]
            direct = DirectSums(
                slopes.new_zeros(atoms, basic, kinds, block[1]),
                slopes.new_zeros(atoms, 3, kinds, *block),
                slopes.new_zeros(atoms, 3, kinds, *block),
                slopes.new_zeros(kinds, kinds, 9, *block) if virial else None,
            )
            problem.moment_sums, problem.own, problem.onto, problem.outer = (
                None if part is None else part.data_ptr() for part in direct
            )
        prepare(self._model).sums(problem)
        return EdgeSums(pulls, slots.atoms, strain, direct)
