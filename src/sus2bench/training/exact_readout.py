"""The linear readout of a run in mini-batches, solved exactly now and then.

It is solved for after every so many steps, and for the weights that are validated and deployed. An
average of weights needs that: its readout is an average of solved ones, each of which belongs to
other values of the nonlinear parameters. Validation then sees the exact readout of the weights that
it judges, and training never sees what was solved for a validation.
"""

import torch
from torch import Tensor, nn

from sus2bench.training.whole_set.linear_solve import ReadoutSolver
from sus2bench.training.whole_set.objective import Objective


class ExactReadout:
    """Solves for the readout of a potential; see the top of the file.

    Args:
        objective: of the whole training set.
        every: steps between two solves.

    Raises:
        ValueError: as of `ReadoutSolver`.
    """

    def __init__(self, objective: Objective, every: int) -> None:
        self._solver, self._every = ReadoutSolver(objective), every
        solved = {id(p) for p in self._solver.model.linear_parameters}
        solved.add(id(objective.potential.atomic_energies.values))
        named = objective.potential.named_parameters()
        self._parameters: dict[str, nn.Parameter] = {
            name: p for name, p in named if id(p) in solved and p.requires_grad
        }
        self._trained: dict[str, Tensor] = {}
        self.deployed: dict[str, Tensor] = {}
        """What was solved for the last validation, by name, until the next step."""

    def after_step(self, step: int) -> None:
        """Solves if it is time to."""
        self.deployed = {}
        if step % self._every == 0:
            self._solver.solve()

    def begin_validation(self) -> None:
        """Solves for the weights that the potential has now, and keeps what it had."""
        objective = self._solver.objective
        self._trained, passes = self._copies(), objective.passes
        self._solver.solve()
        objective.passes = passes  # a validation is no part of the training
        self.deployed = self._copies()

    @torch.no_grad()
    def end_validation(self) -> None:
        """Gives the potential back what it had."""
        for name, values in self._trained.items():
            self._parameters[name].copy_(values)
        self._trained = {}

    def _copies(self) -> dict[str, Tensor]:
        return {name: p.detach().clone() for name, p in self._parameters.items()}
