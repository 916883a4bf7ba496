"""Sums of losses of many batches: of the steps since the last log, or of a validation."""

from collections.abc import Sequence

import torch
from torch import Tensor

from sus2bench.training.distributed import sum_over_ranks
from sus2bench.training.loss import TERMS, LossSums, PotentialLoss


class RunningLoss:
    """Sums and numbers of labels of what this process has computed.

    Args:
        device: where the sums are.
    """

    def __init__(self, device: torch.device | str = "cpu") -> None:
        zeros = torch.zeros(3, dtype=torch.float64, device=device)
        self.local = LossSums(zeros, zeros.clone())

    def add(self, sums: LossSums) -> None:
        """Adds those of some frames."""
        self.local.sums.add_(sums.sums)
        self.local.counts.add_(sums.counts)

    def to(self, device: torch.device) -> None:
        """Moves the sums."""
        self.local = LossSums(*(value.to(device) for value in self.local))

    def clear(self) -> None:
        """Begins anew."""
        self.local.sums.zero_()
        self.local.counts.zero_()

    def total(self) -> LossSums:
        """Those of all processes together."""
        return LossSums(*(sum_over_ranks(value) for value in self.local))

    def terms(self) -> dict[str, float]:
        """Mean d(error) of each term that has labels, over all processes."""
        sums, counts = (value.tolist() for value in self.total())
        pairs = zip(TERMS, sums, counts, strict=True)
        return {term: total / count for term, total, count in pairs if count}

    def loss(self, loss: PotentialLoss) -> float:
        """The loss of all frames together."""
        return float(loss.total(*self.total()))

    def state(self) -> list[Tensor]:
        """Copies of the tensors, for a checkpoint."""
        return [value.clone() for value in self.local]

    def restore(self, state: Sequence[Tensor]) -> None:
        """Takes back what `state` has returned."""
        self.local = LossSums(*state)
