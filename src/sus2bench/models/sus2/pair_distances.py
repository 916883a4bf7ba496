"""Shortest distances of pairs of elements in data, and radii of elements that sum up to them."""

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


def element_radii(shortest: Tensor, species: Sequence[int]) -> Tensor:
    """Radii whose sums are the shortest distances of pairs, in the mean over an element's partners.

    The radius of an element is its covalent one (Cordero et al., Dalton Trans. 2008, 2832), times
    the mean, over the partners that it meets, of the shortest distance by the sum of the two
    covalent radii. An element that meets nobody takes the mean over all pairs; without any pair,
    radii are the covalent ones. Unlike a distance by itself, this is known for pairs that never
    meet, and steady for those that are seen only now and then.

    Args:
        shortest: (C, C) Å, symmetric; infinite for pairs that never meet.
        species: atomic numbers of the C elements.

    Returns:
        (C,) Å.
    """
    radius = torch.as_tensor(covalent_radii[list(species)], dtype=torch.float64)
    seen = torch.isfinite(shortest)
    if not bool(seen.any()):
        return radius
    ratio = torch.where(seen, shortest / (radius.unsqueeze(1) + radius), 0.0)
    partners = seen.sum(1)
    own = ratio.sum(1) / partners.clamp(min=1)
    return radius * torch.where(partners > 0, own, ratio.sum() / seen.sum())
