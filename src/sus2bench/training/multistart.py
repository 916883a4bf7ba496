"""The best of several random initial values, found by successive halving.

What an exact linear solve leaves depends on the random radial functions it is made for, and so does
how far a descent from there has come after a given time. All starts are compared on the same few
training frames: first after the exact solve of the linear readout; the better half is trained for
some iterations and compared again, and so on with twice the iterations for half of the starts,
until one is left (K. Jamieson, A. Talwalkar, AISTATS 2016, arXiv 1502.07943). Every comparison but
the first costs about the same.
"""

import logging
import math
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np
import torch

from sus2bench.data.dataset import FrameDataset
from sus2bench.data.statistics import least_squares_atomic_energies
from sus2bench.models.linear import HasLinearReadout
from sus2bench.models.potential import Potential
from sus2bench.training.freezing import thawed
from sus2bench.training.initialise import (
    blocks_of_frames,
    fit_energies,
    initialise,
    label_counts,
    take_constants,
)
from sus2bench.training.linear_readout import LinearWeights, solve_linear_readout
from sus2bench.training.loss import PotentialLoss
from sus2bench.training.parameter_groups import parameter_groups
from sus2bench.training.regularization import Regularization
from sus2bench.training.whole_set.batches import FrameBlocks
from sus2bench.training.whole_set.lbfgs import LBFGS
from sus2bench.training.whole_set.objective import Objective
from sus2bench.training.whole_set.optimizer import WholeSetOptimizer

logger = logging.getLogger(__name__)

MakeOptimizer = Callable[[Iterable[Any]], WholeSetOptimizer]


class MultiStart:
    """Chooses among random initial values of a model with a linear readout.

    Args:
        starts: how many there are; with one there is no choice, and nothing is compared.
        atoms: in the training frames that starts are compared on, which are evenly spaced over the
            training set.
        steps: iterations of the optimizer before the second comparison.
        optimizer: makes the optimizer from parameter groups; `LBFGS` if not given.

    Raises:
        ValueError: a number is less than 1.
    """

    def __init__(
        self,
        starts: int = 16,
        *,
        atoms: int = 1024,
        steps: int = 10,
        optimizer: MakeOptimizer | None = None,
    ) -> None:
        for name, value in (("starts", starts), ("atoms", atoms), ("steps", steps)):
            if value < 1:
                raise ValueError(f"multistart.{name} must be at least 1, not {value}")
        self.starts, self.atoms, self.steps = starts, atoms, steps
        self._make_optimizer = optimizer or LBFGS

    def initialise(
        self,
        potential: Potential,
        make: Callable[[int], Potential],
        seed: int,
        train: FrameDataset,
        loss: PotentialLoss,
        *,
        atomic_energies: str | Mapping[str, float] = "least_squares",
        regularization: Regularization | None = None,
    ) -> dict[str, Any]:
        """Sets initial values: the best start, and the exact solve for all training frames.

        Starts are compared in float64 and on the CPU. What is cut off has to be begun again.

        Args:
            potential: gets the values.
            make: a potential like it, with the random initial values of a seed.
            seed: of the first start, and of the seeds of all others.
            train: training frames.
            loss: starts are compared by it.
            atomic_energies: as of `fit_energies`; while starts are compared E0 is always fitted.
            regularization: added to the loss, in all exact solves, too.

        Returns:
            The report of `initialise`, with the seeds and losses of each comparison.

        Raises:
            ValueError: the model has no linear readout, or no start has a finite loss.
        """
        if not isinstance(potential.model, HasLinearReadout):
            raise ValueError(
                "potential.multistart is for models with a linear readout such as SUS2 and MTP, "
                f"not for {type(potential.model).__name__}: leave it out"
            )
        regularization = regularization or Regularization()
        arguments: dict[str, Any] = {
            "atomic_energies": atomic_energies,
            "weights": LinearWeights(**loss.weights),
            "regularization": regularization,
        }
        if self.starts == 1:
            with thawed(potential):
                return initialise(potential, train, **arguments)
        course = self._course(train, potential.species, loss, regularization)
        rivals = [
            _Start(number, make(number), train, course, self._make_optimizer)
            for number in seeds(seed, self.starts)
        ]
        rungs, best = _eliminate(rivals, self.steps)
        potential.load_state_dict(best.potential.state_dict())
        with thawed(potential):
            report = fit_energies(potential, train, **arguments)
        constants: dict[str, Any] = {"scales": best.scales} if best.scales else {}
        choice = {"chosen_seed": best.seed, "frames": len(course.frames), "rungs": rungs}
        return constants | report | {"multistart": choice}

    def _course(
        self,
        train: FrameDataset,
        species: Sequence[str],
        loss: PotentialLoss,
        regularization: Regularization,
    ) -> "_Course":
        count = min(math.ceil(self.atoms / float(train.num_atoms.mean())), len(train))
        part = train.subset(np.arange(count) * len(train) // count, f"part of {train.name}")
        energies, _ = least_squares_atomic_energies(part, species)
        return _Course(part, FrameBlocks(part), energies, loss, regularization)


def seeds(first: int, count: int) -> list[int]:
    """The seed of a run without choice, and others that follow from it."""
    generator = torch.Generator().manual_seed(first)
    return [first, *torch.randint(2**31, (count - 1,), generator=generator).tolist()]


class _Course(NamedTuple):
    """What starts are compared on."""

    frames: FrameDataset
    batches: FrameBlocks
    """The same frames."""
    energies: Mapping[str, float]
    """Their atomic energies by composition alone, eV."""
    loss: PotentialLoss
    regularization: Regularization


class _Start:
    """One of the starts: solved for exactly, then trained as long as it is among the better.

    Args:
        seed: of its random values.
        potential: that has them.
        train: training frames, for constants of the model.
        course: what it is compared on.
        make_optimizer: of all trained parameters.
    """

    def __init__(
        self,
        seed: int,
        potential: Potential,
        train: FrameDataset,
        course: _Course,
        make_optimizer: MakeOptimizer,
    ) -> None:
        self.seed, self.potential = seed, potential.to(torch.float64)
        self.scales = take_constants(potential, train).get("scales")
        potential.atomic_energies.set_values(course.energies)
        with thawed(potential):
            solve_linear_readout(
                potential,
                blocks_of_frames(course.frames),
                LinearWeights(**course.loss.weights),
                counts=label_counts(course.frames),
                regularization=course.regularization,
            )
        extra = None if course.regularization.is_zero else course.regularization
        objective = Objective(potential, course.loss, course.batches, regularization=extra)
        self.optimizer = make_optimizer(parameter_groups(potential))
        self.optimizer.objective = objective
        self.loss = objective.value()

    def train(self, steps: int) -> None:
        """Takes so many iterations, or until none helps."""
        for _ in range(steps):
            if self.optimizer.converged:
                return
            self.loss = self.optimizer.step()


def _eliminate(rivals: Sequence[_Start], steps: int) -> tuple[list[dict[str, Any]], _Start]:
    """Halves the starts until one is left; returns what was compared, and the best."""
    rungs: list[dict[str, Any]] = []
    taken = 0
    while True:
        rivals = sorted(rivals, key=lambda start: (not math.isfinite(start.loss), start.loss))
        losses = {str(start.seed): start.loss for start in rivals if math.isfinite(start.loss)}
        if not losses:
            raise ValueError(
                "potential.multistart: the loss of no start is finite: look for wrong labels"
            )
        rungs.append({"steps": taken, "losses": losses})
        logger.info(
            "%d starts after %d steps: losses of %.4g to %.4g",
            *(len(rivals), taken, rivals[0].loss, rivals[-1].loss),
        )
        rivals = rivals[: (len(rivals) + 1) // 2]
        if len(rivals) == 1:
            return rungs, rivals[0]
        for start in rivals:
            start.train(steps)
        taken, steps = taken + steps, 2 * steps
