"""Constants that a model takes from its training data before the first step."""

from collections.abc import Iterable
from typing import Protocol, runtime_checkable

from torch_geometric.data import Data


@runtime_checkable
class ScalesToData(Protocol):
    """A model with numbers that are set from the training frames and never trained.

    Such are the average number of neighbours that sums are divided by, and the ranges of
    descriptors. They belong to buffers, so that files and checkpoints hold them.
    """

    def scale_to_data(self, batches: Iterable[Data]) -> dict[str, float]:
        """Sets the constants from batches with `edge_vectors`; returns them for the record."""
