"""Exact least squares for atomic energies and linear coefficients, streamed over batches.

Minimizes, over E0 (one number per element) and the model's linear coefficients xi,

    w_E / n_E sum (dE / N)^2 + w_F / n_F sum dF^2 + w_S / n_S sum dS^2

with n the numbers of labelled frames, force and stress components (the squared loss of `loss.py`),
all other parameters fixed, and the terms of a regularization that depend on them. Rows are
folded into one triangular factor (QR of QRs, float64), so that memory does not grow with the data
and no normal equations square the condition number.
"""

import copy
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor
from torch_geometric.data import Data

from sus2bench.atoms.frame import edge_vectors
from sus2bench.models.linear import HasLinearReadout
from sus2bench.models.potential import Potential
from sus2bench.training.distributed import gather_from_ranks
from sus2bench.training.freezing import atomic_energies_are_held, readout_is_held
from sus2bench.training.regularization import Regularization


@dataclass(frozen=True)
class LinearWeights:
    """Weights of energy per atom (1/eV^2), force components (Å^2/eV^2) and stress (Å^6/eV^2)."""

    energy: float = 1.0
    forces: float = 1.0
    stress: float = 0.0

    def per_label(self, counts: Tensor) -> list[float]:
        """Factors on the squares of single errors, for numbers (3,) of labels of each kind."""
        kinds = zip((self.energy, self.forces, self.stress), counts.tolist(), strict=True)
        return [weight / max(count, 1.0) for weight, count in kinds]


@dataclass(frozen=True)
class LinearReport:
    """What a solve did: number of rows and columns, numerical rank, and the residual it left.

    The residual is the square root of what is minimized: the loss and those terms that depend on E0
    or xi.
    """

    rows: int
    columns: int
    rank: int
    residual: float
    largest_coefficient: float


def solve_linear_readout(
    potential: Potential,
    batches: Iterable[Data],
    weights: LinearWeights,
    *,
    counts: Tensor,
    fit_atomic_energies: bool = True,
    regularization: Regularization | None = None,
    relative_tolerance: float = 1e-8,
) -> LinearReport:
    """Sets E0 and xi of a potential to the least-squares optimum for the labels in `batches`.

    Also sets the units of xi by the effect of each coefficient, for the steps that follow. What is
    frozen stays, to the bit.

    Args:
        potential: its model must be `HasLinearReadout`; E0 should be close to right already, so
            that residuals are small numbers.
        batches: all labelled frames, in each process of several; NaN labels are left out.
        weights: of the three kinds of labels.
        counts: (3,) numbers of labels that all batches have of each kind, as of `count_labels`.
        fit_atomic_energies: whether E0 is solved for too, or stays as it is, as it does in any
            case where the energies of isolated atoms are held.
        regularization: of the loss, whose coefficients of xi are in the units that the solve sets.
        relative_tolerance: singular values of the column-scaled problem below this part of the
            largest are treated as zero; the solution of least norm is taken.

    Raises:
        ValueError: the model has no linear readout, there is no label, or nothing is unknown.
    """
    model = potential.model
    if not isinstance(model, HasLinearReadout):
        raise ValueError(f"{type(model).__name__} has no linear readout to solve for")
    was_training = potential.training
    potential.eval()
    factor = Triangle()
    fit_atomic_energies &= potential.atomic_energies.isolated is None
    species, count = len(potential.species), model.linear_coefficients.numel()
    energies = species if fit_atomic_energies and not atomic_energies_are_held(potential) else 0
    coefficients = 0 if readout_is_held(potential) else count
    columns = slice(species - energies, species + coefficients)
    factors = weights.per_label(counts)
    for batch in batches:
        design, target = weighted_rows(potential, model, batch, factors)
        factor.add(design[:, columns], target)
    if not factor.rows:
        raise ValueError("no frame has a label: nothing determines the linear coefficients")
    if not energies + coefficients:
        raise ValueError("there is nothing to solve for: no coefficients, and E0 is to stay")
    rows, xi = factor.rows, model.linear_coefficients
    effect = factor.column_norms()[energies:].to(xi.device) if coefficients else torch.ones_like(xi)
    units = _units(effect)
    if regularization is not None:
        derivatives, residuals = regularization.linear_rows(potential, xi, units)
        factor.add(derivatives[:, columns], -residuals)
    solution, rank, residual = factor.solve(relative_tolerance)
    with torch.no_grad():
        if energies:
            potential.atomic_energies.values.add_(solution[:energies])
    if coefficients:
        model.set_linear_coefficients(xi + solution[energies:].to(xi.device), units)
    potential.train(was_training)
    largest = max(map(abs, solution[energies:].tolist()), default=0.0)
    return LinearReport(rows, len(solution), rank, residual, largest)


@torch.no_grad()
def set_readout_units(
    potential: Potential, batches: Iterable[Data], weights: LinearWeights, *, counts: Tensor
) -> None:
    """Sets the units of xi as `solve_linear_readout` does; xi itself stays, but for rounding.

    Args:
        potential: its model must be `HasLinearReadout`.
        batches: as there.
        weights: as there.
        counts: as there.
    """
    model = potential.model
    if not isinstance(model, HasLinearReadout):
        raise ValueError(f"{type(model).__name__} has no linear readout that could have units")
    was_training, species = potential.training, len(potential.species)
    potential.eval()
    factors, xi = weights.per_label(counts), model.linear_coefficients
    squares = torch.zeros_like(xi)
    for batch in batches:
        design, _ = weighted_rows(potential, model, batch, factors)
        squares += design[:, species:].square().sum(0)
    model.set_linear_coefficients(xi, _units(squares.sqrt()))
    potential.train(was_training)


def _units(effect: Tensor) -> Tensor:
    """Units (P,) in which a change by one changes predictions by one, in the norm of the loss.

    Args:
        effect: norm of the change of predictions with each coefficient (P,), 0 where there is none.
    """
    return torch.where(effect > 0, 1 / effect, 1.0)


def weighted_rows(
    potential: Potential, model: HasLinearReadout, batch: Data, factors: Sequence[float]
) -> tuple[Tensor, Tensor]:
    """What is left to fit of a batch, as rows of a least-squares problem for E0 and xi.

    Args:
        potential: its predictions are those that the labels are compared with.
        model: its own.
        batch: labelled frames on its device; NaN labels are left out.
        factors: on the squares of the errors of energy per atom, force and stress components.

    Returns:
        Design (M, C + P) by C atomic energies and P coefficients, and targets (M,).
    """
    scale = potential.atomic_energies.scale
    graph = copy.copy(batch)
    graph.edge_vectors = edge_vectors(batch).to(potential.dtype)
    response = model.linear_response(graph)
    now = potential(batch)
    composition = _composition(potential, batch)
    atoms = composition.sum(1)
    volume = torch.linalg.det(batch.cell).abs().view(-1, 1, 1, 1)
    energy = torch.cat([composition, response.energy * scale], dim=1) / atoms.unsqueeze(1)
    forces = (response.forces * scale).flatten(0, 1)
    stress = (response.virial * scale / volume).flatten(0, 2)
    parts = (
        (factors[0], energy, (batch.energy - now.energy) / atoms),
        (
            factors[1],
            _without_energies(forces, composition),
            (batch.forces - now.forces).flatten(),
        ),
        (
            factors[2],
            _without_energies(stress, composition),
            (batch.stress - now.stress).flatten(),
        ),
    )
    design, target = [energy[:0]], [atoms[:0]]
    for weight, rows, values in parts:
        known = torch.isfinite(values)
        if weight > 0:
            design.append(rows[known] * weight**0.5)
            target.append(values[known] * weight**0.5)
    return torch.cat(design), torch.cat(target)


def _composition(potential: Potential, batch: Data) -> Tensor:
    """Number of atoms of each species in each frame: (B, C) float64."""
    types = potential.model.types(batch.atomic_numbers)
    composition = torch.zeros(
        batch.num_graphs, len(potential.species), dtype=torch.float64, device=types.device
    )
    ones = torch.ones(len(types), dtype=torch.float64, device=types.device)
    return composition.index_put((batch.batch, types), ones, accumulate=True)


def _without_energies(rows: Tensor, composition: Tensor) -> Tensor:
    """Forces and stress do not depend on E0: zeros in its columns."""
    return torch.cat([rows.new_zeros(len(rows), composition.shape[1]), rows], dim=1)


class Triangle:
    """The triangular factor of all rows seen so far, the target as its last column."""

    def __init__(self) -> None:
        self.rows = 0
        self._folded = torch.zeros(0, 0, dtype=torch.float64)
        self._waiting: list[Tensor] = []

    def add(self, design: Tensor, target: Tensor) -> None:
        """Folds rows (M, P) with targets (M,) in."""
        if not len(target):
            return
        block = torch.cat([design, target.unsqueeze(1)], dim=1).to("cpu")
        self.rows += len(target)
        self._waiting.append(block)
        # Each folding costs as much for the factor as for as many rows.
        if sum(map(len, self._waiting)) >= 2 * block.shape[1]:
            self._fold()

    def add_ranks(self) -> None:
        """Folds in what all processes have seen; each then has the same."""
        parts = gather_from_ranks((self.rows, self.factor))
        self.rows = sum(rows for rows, _ in parts)
        self._folded, self._waiting = (
            parts[0][1],
            [factor for _, factor in parts[1:] if len(factor)],
        )

    @property
    def factor(self) -> Tensor:
        """The factor (at most P + 1, P + 1)."""
        self._fold()
        return self._folded

    def _fold(self) -> None:
        if self._waiting:
            blocks = [*([self._folded] if len(self._folded) else []), *self._waiting]
            self._folded = torch.linalg.qr(torch.cat(blocks), mode="r").R
            self._waiting = []

    def column_norms(self) -> Tensor:
        """Norm of each design column (P,)."""
        norms: Tensor = self.factor[:, :-1].norm(dim=0)
        return norms

    def solve(self, tolerance: float) -> tuple[Tensor, int, float]:
        """The least-norm solution (P,), the rank, and the norm of the residual."""
        matrix, target = self.factor[:, :-1], self.factor[:, -1]
        norm = self.column_norms()
        scale = torch.where(norm > 0, norm, torch.ones_like(norm))
        left, values, right = torch.linalg.svd(matrix / scale, full_matrices=False)
        kept = values > tolerance * values.max()
        inverse = torch.where(kept, 1 / values, 0.0)
        solution = (right.t() @ (inverse * (left.t() @ target))) / scale
        residual = float((matrix @ solution - target).norm())
        return solution, int(kept.sum()), residual
