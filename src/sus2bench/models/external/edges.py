"""The edges that an adapter hands over, and their mean number in the training data."""

from collections.abc import Iterable

import torch
from torch import Tensor
from torch_geometric.data import Data


def edges_within(frame: Data, cutoff: float) -> tuple[Tensor, Tensor]:
    """Vectors (E, 3) and index (2, E) of the edges shorter than a cutoff, Å.

    A frame may carry longer ones for another part of the potential, and envelopes of other
    packages do not always stay zero beyond their cutoff.
    """
    inside = torch.linalg.vector_norm(frame.edge_vectors.detach(), dim=-1) < cutoff
    if bool(inside.all()):
        return frame.edge_vectors, frame.edge_index
    chosen = inside.nonzero().squeeze(1)
    return frame.edge_vectors.index_select(0, chosen), frame.edge_index.index_select(1, chosen)


def mean_neighbours(
    batches: Iterable[Data], cutoff: float, *, lone_atoms: bool = True
) -> float | None:
    """Neighbours within the cutoff per atom; None where there is no pair.

    Args:
        batches: with `edge_vectors`.
        cutoff: Å.
        lone_atoms: whether atoms without neighbours count.
    """
    pairs = atoms = 0
    for batch in batches:
        centres = edges_within(batch, cutoff)[1][1]
        pairs += len(centres)
        atoms += len(batch.atomic_numbers) if lone_atoms else len(torch.unique(centres))
    return pairs / atoms if pairs else None
