"""Damped Gauss-Newton steps without the matrix: conjugate gradients, for any number of parameters.

From the gradient on, products with A (`products.py`) span a Krylov space, in which the damped
equations are solved: in exact arithmetic these are the iterates of conjugate gradients. The space
is the same for all dampings (in units of D^1/2), so that a trial with a larger one costs no further
product (Gould, Lucidi, Roma & Toint, SIAM J. Optim. 9, 504, 1999).
"""

import math
from collections.abc import Callable, Iterable
from typing import Any

import torch
from torch import Tensor

from sus2bench.training.whole_set.damped import DampedGaussNewton, Step, unit_of
from sus2bench.training.whole_set.levenberg_marquardt import solve_readout
from sus2bench.training.whole_set.normal_equations import HasJacobian
from sus2bench.training.whole_set.objective import Objective
from sus2bench.training.whole_set.products import GaussNewtonProducts

# Of the diagonal's estimate.
PROBES = 4


class KrylovModel:
    """The loss about the present parameters, in a growing space of steps; a `QuadraticModel`.

    Args:
        product: with A, (P,) to (P,).
        loss: at the present parameters.
        gradient: g (P,) there.
        diagonal: of A, or an estimate (P,).
        largest: number of products at most.
        forcing: part of the gradient's norm, in units of D^1/2, that the residual may have.
    """

    def __init__(
        self,
        product: Callable[[Tensor], Tensor],
        loss: float,
        gradient: Tensor,
        diagonal: Tensor,
        *,
        largest: int,
        forcing: float,
    ) -> None:
        self.loss, self.gradient = loss, gradient
        self._product, self._largest, self._forcing = product, largest, forcing
        self._unit = unit_of(diagonal) if bool(diagonal.any()) else torch.ones_like(diagonal)
        first = self._unit * gradient
        self._slope = float(first.norm())
        self._basis = [first / self._slope] if 0 < self._slope < math.inf else []
        self._matrix = gradient.new_zeros(largest + 1, largest + 1)
        self._done = 0

    @property
    def costs(self) -> dict[str, float]:
        """Products with A so far."""
        return {"products": self._done}

    def step(self, damping: float) -> Step:
        """See `damped.py`; takes as many products as it needs."""
        if not self._basis:
            return Step(torch.zeros_like(self.gradient), 0.0)
        place = self._solve(damping) if self._done else None
        while place is None or not self._is_solved(place):
            self._extend()
            place = self._solve(damping)
        inner = self._matrix[: len(place), : len(place)]
        change = -self._slope * float(place[0]) + 0.5 * float(place @ inner @ place)
        return Step(-self._unit * self._combine(place), change)

    def _solve(self, damping: float) -> Tensor:
        """Minus the step, in the basis."""
        inner = self._matrix[: self._done, : self._done].clone()
        inner.diagonal().add_(damping)
        right = inner.new_zeros(self._done)
        right[0] = self._slope
        solution: Tensor = torch.linalg.solve(inner, right)
        return solution

    def _is_solved(self, place: Tensor) -> bool:
        residual = float(self._matrix[self._done, self._done - 1] * place[-1].abs())
        return self._done >= self._largest or residual <= self._forcing * self._slope

    def _extend(self) -> None:
        """One more vector of the space, orthogonal to all others, and its part of the matrix."""
        last, number = self._basis[self._done], self._done
        new = self._unit * self._product(self._unit * last)
        found = self._project(new)
        new -= self._combine(found)
        new -= self._combine(self._project(new))  # what rounding has left
        self._matrix[: number + 1, number] = self._matrix[number, : number + 1] = found
        rest = float(new.norm())
        self._matrix[number + 1, number] = rest
        self._basis.append(new / rest if rest > 0 else new)
        self._done += 1

    def _project(self, vector: Tensor) -> Tensor:
        return torch.stack([basis @ vector for basis in self._basis])

    def _combine(self, place: Tensor) -> Tensor:
        total = torch.zeros_like(self._unit)
        for factor, basis in zip(place.tolist(), self._basis, strict=False):
            total.add_(basis, alpha=factor)
        return total


class GaussNewton(DampedGaussNewton):
    """See `DampedGaussNewton`, without the matrix A; for any model whose forces autograd makes.

    The readout of SUS2 and MTP is solved for in each trial, as `LevenbergMarquardt` does.

    Args:
        params: as there.
        damping: as there.
        products: with A for a step, at most; each takes as long as two gradients of the loss. So
            many vectors of the size of all parameters are kept.
        forcing: part of the gradient's norm that the solution for a step may leave as residual.
        tolerance: as there.

    Raises:
        ValueError: an argument is out of range.
    """

    def __init__(
        self,
        params: Iterable[Any],
        damping: float = 1e-3,
        *,
        products: int = 100,
        forcing: float = 0.03,
        tolerance: float = 1e-7,
    ) -> None:
        super().__init__(params, damping, tolerance=tolerance)
        if products < 1:
            raise ValueError(f"products is their largest number, at least 1, not {products}")
        if not 0 <= forcing < 1:
            raise ValueError(f"forcing is a part of the gradient's norm in [0, 1), not {forcing}")
        self.products, self.forcing = products, forcing

    def quadratic_model(self, objective: Objective) -> KrylovModel:
        """See `DampedGaussNewton`."""
        loss, gradient = objective.value_and_gradient()
        product = GaussNewtonProducts(objective)
        return KrylovModel(
            product,
            loss,
            gradient,
            product.diagonal(PROBES),
            largest=self.products,
            forcing=self.forcing,
        )

    def follow(self, objective: Objective) -> None:
        """Solves for the readout of a model that gives its Jacobian."""
        if isinstance(objective.potential.model, HasJacobian):
            solve_readout(objective)
