"""Shortest distances of pairs of elements: those that data show, and a rule for all others."""

from collections.abc import Iterable, Sequence

import torch
from ase.data import covalent_radii
from torch import Tensor
from torch_geometric.data import Data


@torch.no_grad()
def shortest_distances(
    batches: Iterable[Data], species_index: Tensor, species_count: int, cutoff: float
) -> Tensor:
    """Shortest distance of each pair of elements in any of the frames.

    Args:
        batches: with `edge_vectors`.
        species_index: type of each atomic number.
        species_count: C.
        cutoff: longer distances do not count, Å.

    Returns:
        (C, C) Å, symmetric, float64, on the CPU; infinite for pairs that never meet.
    """
    shortest = torch.full((species_count**2,), torch.inf, dtype=torch.float64)
    for batch in batches:
        neighbour, centre = species_index[batch.atomic_numbers][batch.edge_index]
        distance = torch.linalg.vector_norm(batch.edge_vectors.to(torch.float64), dim=1)
        distance = torch.where(distance < cutoff, distance, torch.inf).cpu()
        pair = (centre * species_count + neighbour).cpu()
        shortest.scatter_reduce_(0, pair, distance, "amin")
    table = shortest.view(species_count, species_count)
    return torch.minimum(table, table.t())


def completed(shortest: Tensor, species: Sequence[int], cutoff: float) -> Tensor:
    """Fills in the pairs that never meet, and keeps all below the cutoff.

    The distance of a pair that never meets is the sum of its covalent radii (Cordero et al.,
    Dalton Trans. 2008, 2832), each times what the pairs of the element that do meet are longer than
    the sums of theirs, in the mean; an element without such a pair takes the mean of all. As a pair
    that is seen only now and then may come much closer than it was seen, no distance is more than
    half way from the shortest of all to the cutoff.

    Args:
        shortest: (C, C) Å, symmetric; infinite for pairs that never meet.
        species: atomic numbers of the C elements.
        cutoff: Å.

    Returns:
        (C, C) Å, symmetric.
    """
    radius = torch.as_tensor(covalent_radii[list(species)], dtype=torch.float64)
    seen = torch.isfinite(shortest)
    ratio = torch.where(seen, shortest / (radius.unsqueeze(1) + radius), 0.0)
    mean = ratio.sum() / seen.sum() if bool(seen.any()) else torch.ones(())
    partners = seen.sum(1)
    factor = torch.where(partners > 0, ratio.sum(1) / partners.clamp(min=1), mean)
    scaled = factor * radius
    filled = torch.where(seen, shortest, scaled.unsqueeze(1) + scaled)
    # Radii alone may exceed a short cutoff.
    least = filled.min().clamp(max=cutoff / 2)
    return filled.clamp(max=float(least + cutoff) / 2)
