"""Whether training works: losses are finite, and the first gradient is not zero."""

import math

import torch
from torch import Tensor, nn

from sus2bench.training.loss import LossSums, PotentialLoss

DEFERRED_CHECKS = 32
"""Steps after which losses are checked on an accelerator, where each check waits for the device."""


class FiniteLosses:
    """Losses of batches until they are checked, each with the frames it is of."""

    def __init__(self) -> None:
        self._unchecked: list[tuple[Tensor, Tensor]] = []

    def add(self, loss: Tensor, frames: Tensor, step: int) -> None:
        """Notes the loss of a batch, and checks if it is time to.

        Args:
            loss: scalar.
            frames: positions of its frames in the training set.
            step: that is being made.
        """
        self._unchecked.append((loss, frames))
        if loss.device.type == "cpu" or len(self._unchecked) >= DEFERRED_CHECKS:
            self.check(step)

    def check(self, step: int) -> None:
        """Raises FloatingPointError if a loss since the last check was not finite."""
        pending, self._unchecked = self._unchecked, []
        losses = torch.stack([loss for loss, _ in pending]) if pending else None
        if losses is None or bool(torch.isfinite(losses).all()):
            return
        first = int((~torch.isfinite(losses)).nonzero()[0])
        frames = pending[first][1].tolist()
        raise FloatingPointError(
            f"the training loss is {float(losses[first])} on the batch of frames {frames} "
            f"(positions in the training set) near step {step}. Look for wrong labels "
            "or atoms on top of each other there, lower the learning rate or clip gradients"
        )


def check_whole_set(loss: float, step: int) -> None:
    """Raises FloatingPointError if the loss of the training set is not finite."""
    if not math.isfinite(loss):
        raise FloatingPointError(
            f"the loss of the training set is {loss} near step {step}. Look for wrong "
            "labels or atoms on top of each other, or train by mini-batches first"
        )


def check_gradient(potential: nn.Module, loss: PotentialLoss, total: LossSums) -> None:
    """Raises ValueError if no parameter has a gradient though there are labels and errors.

    Args:
        potential: with the gradient of the first step.
        loss: that was differentiated.
        total: its sums over all processes.
    """
    sums, counts = (value.tolist() for value in total)
    weights = loss.weights.values()
    errors = [total for total, n, w in zip(sums, counts, weights, strict=True) if n and w]
    if errors and not any(errors):
        return  # a perfect fit, as of one isolated atom by its atomic energy
    gradients = (p.grad for p in potential.parameters() if p.grad is not None)
    if any(counts) and not any(bool(gradient.any()) for gradient in gradients):
        raise ValueError(
            "the gradient of the loss is zero for every parameter in the first step: no term "
            f"with a positive weight ({loss.weights}) has labels, or the model does not "
            "depend on its parameters"
        )
