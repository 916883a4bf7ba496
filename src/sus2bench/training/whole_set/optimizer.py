"""What optimizers of the whole training set have in common."""

from collections.abc import Callable, Iterable
from typing import Any

from torch.optim import Optimizer

from sus2bench.models.potential import Potential
from sus2bench.training.loss import PotentialLoss
from sus2bench.training.whole_set.objective import Objective


class WholeSetOptimizer(Optimizer):
    """Base of optimizers whose step is an outer iteration over all training frames.

    A subclass implements `iterate`, `check` if it cannot train everything, and `own_state` and
    `load_own_state` such that a resumed run equals one that has not been interrupted, to the bit.
    `objective` is set before the first step; a learning rate has no meaning and stays 1.

    Args:
        params: parameters or groups of them, as of any optimizer: those of the objective.
    """

    def __init__(self, params: Iterable[Any]) -> None:
        super().__init__(params, {"lr": 1.0, "weight_decay": 0.0})
        self.objective: Objective | None = None
        """What is minimized."""
        self.converged = False
        """Whether no further step helps."""
        self.report: dict[str, float] = {}
        """What the last step has to log: `loss` at the parameters it has left, and more."""

    def check(self, potential: Potential, loss: PotentialLoss) -> None:
        """Refuses what its steps could not train, before the first one.

        Raises:
            ValueError: the model or the loss is none that it can take.
        """

    def iterate(self, objective: Objective) -> dict[str, float]:
        """One outer iteration from the present parameters, with all its trials.

        Leaves the parameters at the new point, and sets `converged` if there will be no better.

        Returns:
            The report.
        """
        raise NotImplementedError

    def own_state(self) -> dict[str, Any]:
        """Tensors and plain data that the next iteration depends on."""
        raise NotImplementedError

    def load_own_state(self, state: dict[str, Any]) -> None:
        """Restores what `own_state` returned."""
        raise NotImplementedError

    def step(self, closure: Callable[[], Any] | None = None) -> float:  # type: ignore[override]
        """One outer iteration.

        Args:
            closure: ignored; it is evaluated by Lightning's convention only.

        Returns:
            The loss at the new parameters.

        Raises:
            ValueError: no objective is set, or one of other parameters.
        """
        if closure is not None:
            closure()
        if self.objective is None:
            raise ValueError(f"{type(self).__name__} needs its `objective` before the first step")
        mine = {id(p) for group in self.param_groups for p in group["params"]}
        if mine != {id(p) for p in self.objective.parameters}:
            raise ValueError("the parameters of optimizer and objective are not the same")
        self.report = self.iterate(self.objective)
        return self.report["loss"]

    def state_dict(self) -> dict[str, Any]:
        """The state of torch's optimizers, `converged` and the own state."""
        own = {"converged": self.converged, "own": self.own_state()}
        return {**super().state_dict(), "whole_set": own}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Restores what `state_dict` returned."""
        state_dict = dict(state_dict)
        own = state_dict.pop("whole_set")
        super().load_state_dict(state_dict)
        self.converged = bool(own["converged"])
        self.load_own_state(own["own"])
