"""Gradient and Gauss-Newton matrix of the loss over a whole set of frames, summed frame by frame.

With errors e_k, their Jacobian J and the loss L = sum_k w_k d(e_k),

    g = J^T W e,   A = J^T W J,   W = diag(w_k d'(e_k) / e_k)

For squared errors A is the Hessian without the curvature of the model; for Huber's function and
absolute errors it is the matrix of iteratively reweighted least squares. Memory is that of one
frame, and of A.
"""

from collections.abc import Iterator
from typing import NamedTuple, Protocol, runtime_checkable

import torch
from torch import Tensor
from torch_geometric.data import Batch, Data

from sus2bench.models.derivatives import with_edge_vectors
from sus2bench.models.moment_tensor.jacobian import FrameJacobian, NumberedParameter
from sus2bench.models.potential import Potential
from sus2bench.training.distributed import sum_over_ranks
from sus2bench.training.whole_set.objective import Objective

_LARGEST_KEPT = 2**26
"""Numbers in sums for single sets of parameters, before they are added to the whole matrix."""


@runtime_checkable
class HasJacobian(Protocol):
    """A model that gives derivatives by its parameters."""

    def jacobian(
        self, frame: Data, *, virial: bool, radial: bool = True
    ) -> Iterator[FrameJacobian]:
        """Of each frame of a batch with `edge_vectors`; see `moment_tensor.jacobian`."""

    def numbered_parameters(self) -> list[NumberedParameter]:
        """The parameters in the order in which the Jacobian numbers their elements."""


class NormalEquations(NamedTuple):
    """Of P parameters."""

    parameters: Tensor
    """(P,) their numbers in the objective, ascending."""
    matrix: Tensor
    """A (P, P), float64."""
    gradient: Tensor
    """g (P,)."""
    loss: float
    """L, with regularization."""


def model_with_jacobian(potential: Potential) -> HasJacobian:
    """The model of a potential, if it gives derivatives by its parameters.

    Raises:
        ValueError: it does not.
    """
    model = potential.model
    if not isinstance(model, HasJacobian):
        raise ValueError(
            f"{type(model).__name__} gives no Jacobian by its parameters, which this optimizer "
            "needs: choose optimizer=gauss_newton, lbfgs or adamw"
        )
    return model


def normal_equations(objective: Objective, *, readout: bool = False) -> NormalEquations:
    """At the present parameters, over all frames of all processes.

    Args:
        objective: the loss.
        readout: only with respect to xi and E0.

    Raises:
        ValueError: as of `model_with_jacobian`.
    """
    potential, virial = objective.potential, objective.loss.needs_stress
    model = model_with_jacobian(potential)
    columns = _Columns(objective, model, linear=readout)
    sums = _Sums(len(columns.parameters), potential.device)
    losses = torch.zeros_like(objective.counts)
    objective.passes += 1
    for batch in objective.batches():
        errors, of_batch = objective.weighted_errors(batch)
        losses += of_batch
        graph = with_edge_vectors(batch, torch.float64)
        for number, found in enumerate(model.jacobian(graph, virial=virial, radial=not readout)):
            place, rows = columns.rows(batch, number, found)
            weight, error = errors[number]
            root = weight.sqrt()
            sums.add(place, rows * root.unsqueeze(1), error * root)
    sums.flush()
    both = sum_over_ranks(torch.cat([sums.matrix, sums.gradient.unsqueeze(0)]))
    matrix, gradient = both[:-1], both[-1]
    if objective.regularization is not None:
        jacobian, residuals = objective.regularization_jacobian()
        jacobian = jacobian[:, columns.parameters]
        matrix += 2 * jacobian.t() @ jacobian
        gradient = gradient + 2 * jacobian.t() @ residuals
    return NormalEquations(columns.parameters, matrix, gradient, objective.total(losses))


class _Columns:
    """Where the parameters that the Jacobian numbers are among those of the objective."""

    def __init__(self, objective: Objective, model: HasJacobian, *, linear: bool) -> None:
        potential = objective.potential
        self._types, self._scale = potential.model.types, potential.atomic_energies.scale
        self._forces = objective.loss.needs_forces
        first, begins = 0, {}
        for parameter, size in zip(objective.parameters, objective.sizes, strict=True):
            begins[id(parameter)] = first
            first += size
        places, units = [], []
        numbered = model.numbered_parameters()
        most = max(number.elements.shape[1] for number in numbered)
        for parameter, elements, unit, is_linear in numbered:
            begin = begins.get(id(parameter)) if is_linear or not linear else None
            place = torch.full((len(elements), most), -1)
            if begin is not None:
                place[:, : elements.shape[1]] = begin + elements
            places.append(place)
            units.append(unit.to(torch.float64).expand(len(elements)))
        place = torch.cat(places).to(potential.device)
        self._unit = torch.cat(units)
        values = potential.atomic_energies.values
        energies = torch.arange(values.numel(), device=place.device)
        energies = begins[id(values)] + energies if id(values) in begins else energies[:0]
        self.parameters = torch.unique(torch.cat([place[place >= 0], energies]))
        """Which parameters of the objective have columns, ascending."""
        number_of = torch.full((first + 1,), -1, device=place.device)
        number_of[self.parameters] = torch.arange(len(self.parameters), device=place.device)
        self._place, self._energies = number_of[place], number_of[energies]
        self._reference: Tensor | None = None
        if potential.atomic_energies.isolated is not None:
            self._reference = objective.reference_jacobian()[:, self.parameters]

    def rows(self, batch: Batch, number: int, found: FrameJacobian) -> tuple[Tensor, Tensor]:
        """The parameters that a frame depends on, and its rows: of energy per atom, forces, stress.

        Returns:
            (P,) numbers among `parameters`, and (1 + 3 N + 9, P) or without what the loss lacks.
        """
        begin, end = batch.ptr[number], batch.ptr[number + 1]
        kinds, counts = torch.unique(
            self._types(batch.atomic_numbers[begin:end]), return_counts=True
        )
        parts = [found.energy.unsqueeze(0) / (end - begin)]
        if self._forces:
            parts.append(found.forces.flatten(0, 1))
        if found.virial is not None:
            volume = torch.linalg.det(batch.cell[number]).abs()
            parts.append(found.virial.flatten(0, 1) / torch.where(volume > 0, volume, 1.0))
        place = self._place[found.columns]
        kept = place >= 0
        rows = torch.cat(parts) * (self._unit[found.columns] * self._scale)
        column, _ = torch.nonzero(kept, as_tuple=True)
        place, which = torch.unique(place[kept], return_inverse=True)
        if len(place) == len(which):
            rows = rows[:, column[torch.argsort(which)]]
        else:  # several numbers are sums of the same elements
            sums = rows.new_zeros(len(rows), len(place))
            rows = sums.index_add(1, which, rows[:, column])
        share = (counts / (end - begin)).to(rows)
        if self._reference is not None:
            rows[0] += share @ self._reference[kinds][:, place]
        if len(self._energies):
            composition = rows.new_zeros(len(rows), len(kinds))
            composition[0] = share
            rows = torch.cat([rows, composition], dim=1)
            place = torch.cat([place, self._energies[kinds]])
        return place, rows


class _Sums:
    """A and g; frames with the same parameters are summed apart, as their matrix is small."""

    def __init__(self, count: int, device: torch.device) -> None:
        self.matrix = torch.zeros(count, count, dtype=torch.float64, device=device)
        self.gradient = torch.zeros(count, dtype=torch.float64, device=device)
        self._kept: dict[tuple[int, ...], tuple[Tensor, Tensor]] = {}
        self._size = 0

    def add(self, place: Tensor, rows: Tensor, error: Tensor) -> None:
        """Adds weighted rows (M, p) with weighted errors (M,)."""
        key = tuple(place.tolist())
        if key not in self._kept:
            self._size += len(key) ** 2
            if self._size > _LARGEST_KEPT:
                self.flush()
                self._size = len(key) ** 2
            self._kept[key] = rows.new_zeros(len(key), len(key)), rows.new_zeros(len(key))
        matrix, gradient = self._kept[key]
        matrix.addmm_(rows.t(), rows)
        gradient.addmv_(rows.t(), error)

    def flush(self) -> None:
        """Adds what has been kept apart to the whole."""
        for key, (matrix, gradient) in self._kept.items():
            place = torch.tensor(key, device=self.matrix.device)
            self.matrix.index_put_((place.unsqueeze(1), place), matrix, accumulate=True)
            self.gradient.index_add_(0, place, gradient)
        self._kept, self._size = {}, 0
