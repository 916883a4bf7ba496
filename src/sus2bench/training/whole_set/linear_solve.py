"""The linear readout at the minimum of the loss of the whole training set, everything else fixed.

For a loss of mean squares that is a least-squares problem for E0 and the linear coefficients, with
the weights w_q / n_q of the loss on the squares; `linear_readout.py` streams it. The terms of a
regularization that depend on them are further rows of it; all others are constants here.
"""

from typing import Any

import torch

from sus2bench.models.linear import TrainsLinearReadout
from sus2bench.models.potential import Potential
from sus2bench.training.linear_readout import LinearReport, Triangle, weighted_rows
from sus2bench.training.loss import TERMS, PotentialLoss
from sus2bench.training.whole_set.objective import Objective
from sus2bench.training.whole_set.optimizer import WholeSetOptimizer


def solvable_readout(potential: Potential, loss: PotentialLoss) -> TrainsLinearReadout:
    """The model of a potential, if its readout can be put to the minimum of a loss.

    Raises:
        ValueError: the model has no linear readout that is trained, or the loss is not one of mean
            squares.
    """
    model, name = potential.model, type(potential.model).__name__
    if not isinstance(model, TrainsLinearReadout):
        raise ValueError(
            f"{name} has no linear readout that could be solved for: choose another optimizer, "
            "or leave the phase out"
        )
    if not all(p.requires_grad for p in model.linear_parameters):
        raise ValueError(
            f"the linear readout of {name} is frozen, and there is nothing to solve: choose "
            "another optimizer, or leave the phase out"
        )
    others = [t for t in TERMS if loss.weights[t] and loss.functions[t] != "mse"]
    if others:
        raise ValueError(
            f"the linear readout is solved for mean squared errors only, and the loss has another "
            f"function for {others}: choose loss=default or another optimizer, or leave the phase "
            "out"
        )
    return model


class ReadoutSolver:
    """Sets the readout of a potential to the minimum of an objective.

    E0 is part of it if it is trained. What the data do not determine stays as it is.

    Args:
        objective: whose potential is changed.
        tolerance: singular values of the column-scaled problem below this part of the largest
            count as not determined.

    Raises:
        ValueError: as of `solvable_readout`.
    """

    def __init__(self, objective: Objective, tolerance: float = 1e-10) -> None:
        self.objective, self.potential, self.tolerance = objective, objective.potential, tolerance
        self.model = solvable_readout(objective.potential, objective.loss)

    @torch.no_grad()
    def solve(self) -> LinearReport:
        """Sets the readout to its optimum."""
        self.objective.passes += 1
        loss, potential, model = self.objective.loss, self.potential, self.model
        counts = self.objective.counts.tolist()
        weights = zip(TERMS, counts, strict=True)
        factors = [loss.weights[term] / count if count else 0.0 for term, count in weights]
        values = potential.atomic_energies.values
        species = len(values)
        energies = species if values.requires_grad else 0
        triangle = Triangle()
        for batch in self.objective.batches():
            design, target = weighted_rows(potential, model, batch, factors)
            triangle.add(design[:, species - energies :], target)
        triangle.add_ranks()
        rows, xi = triangle.rows, model.linear_coefficients
        regularization = self.objective.regularization
        if regularization is not None:
            derivatives, residuals = regularization.linear_rows(potential, xi, model.linear_units)
            triangle.add(derivatives[:, species - energies :], -residuals)
        solution, rank, residual = triangle.solve(self.tolerance)
        solution = solution.to(values.device)
        values[:energies] += solution[:energies]
        change = solution[energies:]
        model.set_linear_coefficients(xi + change)
        largest = max(map(abs, change.tolist()), default=0.0)
        return LinearReport(rows, len(solution), rank, residual, largest)


class LinearSolve(WholeSetOptimizer):
    """One exact solve of the linear readout; it has converged after that."""

    def check(self, potential: Potential, loss: PotentialLoss) -> None:
        """See `WholeSetOptimizer`."""
        solvable_readout(potential, loss)

    def iterate(self, objective: Objective) -> dict[str, float]:
        """See `WholeSetOptimizer`."""
        ReadoutSolver(objective).solve()
        self.converged = True
        return {"loss": objective.value(), **objective.terms}

    def own_state(self) -> dict[str, Any]:
        """Nothing."""
        return {}

    def load_own_state(self, state: dict[str, Any]) -> None:
        """Nothing."""
