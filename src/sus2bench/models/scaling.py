"""What a model takes from its training data before the first step."""

from collections.abc import Iterable
from typing import Any, Protocol, runtime_checkable

from torch_geometric.data import Data


@runtime_checkable
class ScalesToData(Protocol):
    """A model with numbers that are set from the training frames.

    Such are the average number of neighbours that sums are divided by, and the ranges of
    descriptors, which are never trained and belong to buffers, so that files and checkpoints hold
    them; or initial values of parameters.
    """

    def scale_to_data(self, batches: Iterable[Data]) -> dict[str, Any]:
        """Sets them from batches with `edge_vectors`; returns plain data for the record."""
