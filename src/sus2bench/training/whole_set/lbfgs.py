"""Full-batch L-BFGS with a strong-Wolfe line search, in float64 and in units of the curvature.

torch's `LBFGS` does the work, one iteration at a time, on a vector z of which the parameters are
x = u z. The units u, one for each parameter tensor, make the mean curvature of all tensors one at
the start: the parameters of a potential differ by orders of magnitude in their effect, and L-BFGS
has to learn that otherwise.
"""

import copy
from collections.abc import Iterable
from typing import Any, NamedTuple, Protocol

import torch
from torch import Tensor

from sus2bench.training.whole_set.objective import Objective
from sus2bench.training.whole_set.optimizer import WholeSetOptimizer

# torch drops what it learns of the curvature where y.s < 1e-10, whatever the size of the loss: in
# units that make the first loss this large, that is below the rounding of float64.
FIRST_LOSS = 1e6
# Relative displacement in the finite difference that the units come from.
DISPLACEMENT = 1e-4
# Units are at most this many times the smallest: parameters of no effect have no curvature.
LARGEST_RATIO = 1e4
# Iterations without progress after which there is none to come.
PATIENCE = 10


class Problem(Protocol):
    """A function of a flat vector, with its gradient: an `Objective`, or a part of one."""

    @property
    def terms(self) -> dict[str, float]:
        """Means of d(error) of the last evaluation, by name."""

    @property
    def sizes(self) -> list[int]:
        """Lengths of the parts that have a unit each."""

    def get(self) -> Tensor:
        """The variables (P,), float64."""

    def set(self, values: Tensor) -> None:
        """Sets them."""

    def value_and_gradient(self) -> tuple[float, Tensor]:
        """The loss and its gradient (P,), float64."""


class Evaluation(NamedTuple):
    """What was found at a point."""

    point: Tensor
    """z (P,)."""
    loss: float
    gradient: Tensor
    """By z (P,)."""
    parameters: Tensor
    """All parameters of the objective there."""
    terms: dict[str, float]


TENSORS = ("point", "gradient", "parameters")


class LBFGS(WholeSetOptimizer):
    """One step is one iteration: a direction from up to `history` pairs, and its line search.

    A line search that finds nothing lower empties the history; if it finds nothing along the
    gradient either, or the loss has fallen by less than `tolerance` of itself in each of ten
    iterations, it has converged.

    Args:
        params: all trained parameters, as of any optimizer.
        history: pairs of steps and changes of the gradient that are kept.
        units: `curvature` (see the top of the file), or `one`.
        tolerance: relative decrease that counts as progress.

    Raises:
        ValueError: an argument is out of range.
    """

    def __init__(
        self,
        params: Iterable[Any],
        history: int = 100,
        *,
        units: str = "curvature",
        tolerance: float = 1e-7,
    ) -> None:
        super().__init__(params)
        if history < 1:
            raise ValueError(f"history is a number of pairs, at least 1, not {history}")
        if units not in ("curvature", "one"):
            raise ValueError(f"units are 'curvature' or 'one', not {units!r}")
        if not 0 <= tolerance < 1:
            raise ValueError(f"tolerance is a relative decrease in [0, 1), not {tolerance}")
        self.history, self.units, self.tolerance = history, units, tolerance
        self._descent: torch.optim.LBFGS | None = None
        self._point = torch.zeros(0, dtype=torch.float64)
        self._unit = self._point
        self._loss_unit = 1.0
        self._here: Evaluation | None = None
        self._slow = 0

    def problem(self, objective: Objective) -> Problem:
        """What is minimized by L-BFGS: the objective as a function of all its parameters."""
        return objective

    def iterate(self, objective: Objective) -> dict[str, float]:
        """One iteration; see `WholeSetOptimizer`."""
        problem = self.problem(objective)
        here = self._here
        if here is None or not torch.equal(objective.get(), here.parameters):
            here = self._begin(problem, objective)
        if not bool(here.gradient.any()):
            self.converged = True
            return self._report(here, 0)
        new, evaluations = self._search(problem, objective, here)
        self._judge(here, new)
        if not new.loss < here.loss:
            new = here
        self._here = new
        objective.set(new.parameters)
        with torch.no_grad():
            self._point.copy_(new.point)
        return self._report(new, evaluations)

    def _report(self, here: Evaluation, evaluations: int) -> dict[str, float]:
        slope = float(here.gradient.norm())
        return {"loss": here.loss, **here.terms, "gradient": slope, "evaluations": evaluations}

    def _begin(self, problem: Problem, objective: Objective) -> Evaluation:
        """Starts anew from where the parameters are."""
        start = problem.get()
        loss, gradient = problem.value_and_gradient()
        self._unit = torch.ones_like(start)
        if self.units == "curvature":
            self._unit = units_of_curvature(problem, start, gradient)
            problem.set(start)
        self._point = (start / self._unit).requires_grad_()
        self._loss_unit = loss / FIRST_LOSS if loss > 0 else 1.0
        self._slow = 0
        self._forget()
        return self._evaluate(problem, objective, self._point.detach())

    def _forget(self) -> None:
        self._descent = torch.optim.LBFGS(
            [self._point],
            max_iter=1,
            max_eval=1000,
            tolerance_grad=0,
            tolerance_change=0,
            history_size=self.history,
            line_search_fn="strong_wolfe",
        )

    def _evaluate(self, problem: Problem, objective: Objective, point: Tensor) -> Evaluation:
        problem.set(point * self._unit)
        loss, gradient = problem.value_and_gradient()
        terms = dict(problem.terms)
        return Evaluation(point.clone(), loss, gradient * self._unit, objective.get(), terms)

    def _search(
        self, problem: Problem, objective: Objective, here: Evaluation
    ) -> tuple[Evaluation, int]:
        """The point that the line search ends at, and the number of evaluations it took."""
        seen = [here]

        def closure() -> float:
            point = self._point.detach()
            at = next((known for known in seen if torch.equal(known.point, point)), None)
            if at is None:
                at = self._evaluate(problem, objective, point)
                finite = torch.isfinite(at.gradient).all() and abs(at.loss) < float("inf")
                if not finite:  # a wall, from which the search turns back
                    at = at._replace(loss=10 * abs(here.loss), gradient=-here.gradient)
                seen.append(at)
            self._point.grad = at.gradient / self._loss_unit
            return at.loss / self._loss_unit

        assert self._descent is not None
        self._descent.step(closure)
        point = self._point.detach()
        new = next((known for known in seen if torch.equal(known.point, point)), here)
        return new, len(seen) - 1

    def _judge(self, here: Evaluation, new: Evaluation) -> None:
        """Empties the history after a failure, and decides whether to go on."""
        assert self._descent is not None
        if new.loss < here.loss:
            slow = here.loss - new.loss <= self.tolerance * abs(here.loss)
            self._slow = self._slow + 1 if slow else 0
            self.converged = self._slow >= PATIENCE
            return
        state = self._descent.state[self._point]
        self.converged = int(state["n_iter"]) <= 1
        self._forget()

    def own_state(self) -> dict[str, Any]:
        """See `WholeSetOptimizer`."""
        if self._descent is None or self._here is None:
            return {}
        return {
            "point": self._point.detach().clone(),
            "unit": self._unit.clone(),
            "loss_unit": self._loss_unit,
            "here": self._here._asdict(),
            "slow": self._slow,
            "descent": copy.deepcopy(self._descent.state_dict()),
        }

    def load_own_state(self, state: dict[str, Any]) -> None:
        """See `WholeSetOptimizer`."""
        if not state:
            return
        device = self.param_groups[0]["params"][0].device
        self._point = state["point"].to(device, copy=True).requires_grad_()
        self._unit = state["unit"].to(device)
        self._loss_unit, self._slow = float(state["loss_unit"]), int(state["slow"])
        tensors = {name: state["here"][name].to(device) for name in TENSORS}
        self._here = Evaluation(**{**state["here"], **tensors})
        self._forget()
        assert self._descent is not None
        self._descent.load_state_dict(state["descent"])


def units_of_curvature(problem: Problem, start: Tensor, gradient: Tensor) -> Tensor:
    """Units u (P,) that make the mean second derivative of each part one; leaves it displaced.

    The trace of each diagonal block of the Hessian is estimated by the change of the gradient along
    a random vector of signs (Hutchinson), at the cost of one gradient for each part.

    Args:
        problem: of P variables in parts.
        start: its variables (P,).
        gradient: at `start` (P,).
    """
    generator = torch.Generator().manual_seed(0)
    curvatures = []
    first = 0
    for size in problem.sizes:
        part = slice(first, first + size)
        first += size
        signs = torch.randint(2, (size,), generator=generator).to(start) * 2 - 1
        length = DISPLACEMENT * float(start[part].square().mean().sqrt() or 1.0)
        displaced = start.clone()
        displaced[part] += length * signs
        problem.set(displaced)
        change = problem.value_and_gradient()[1][part] - gradient[part]
        curvatures.append(abs(float((signs * change).mean())) / length)
    largest = max(curvatures)
    if not 0 < largest < float("inf"):
        return torch.ones_like(start)
    smallest = largest / LARGEST_RATIO**2
    units = [max(curvature, smallest) ** -0.5 for curvature in curvatures]
    parts = zip(units, problem.sizes, strict=True)
    return torch.cat([start.new_full((size,), unit) for unit, size in parts])
