"""Energies, forces and virials of systems of any size: block of atoms by block of atoms.

Edges are sorted by centre, so that those of a block of centres are a slice. Of a neighbour a
strictly local function knows the element and the vector to it, no more. So a block consists of its
centres and one atom of each element, which stands in for all neighbours of that element. What will
be differentiated again is evaluated in one piece.
"""

from collections.abc import Callable, Iterator
from typing import NamedTuple

import torch
from torch import Tensor
from torch_geometric.data import Data

from sus2bench.atoms.frame import edge_vectors
from sus2bench.models.derivatives import (
    Derivatives,
    EdgeSums,
    derivatives,
    edge_gradient,
    with_edge_vectors,
)

LARGEST_BLOCK, LARGEST_BLOCK_OF_ACCELERATORS = 2**15, 2**20
"""Atoms and edges of a block together. On a CPU larger blocks would be slower, too: arrays of their
size are given back to the system and asked for again all the time."""


class Extent(NamedTuple):
    """What a function of a frame depends on."""

    dtype: torch.dtype
    """Of the edge vectors it takes."""
    cutoff: float
    """Å; longer edges, as a neighbour list with a skin has them, are left out."""
    strictly_local: bool
    """Whether the energy of an atom depends on its own edges alone. If not, there is one block."""


def energies(
    function: Callable[[Data], Tensor],
    frame: Data,
    extent: Extent,
    *,
    differentiable: bool,
    largest: int | None = None,
) -> Tensor:
    """Site energies (N,) by a function of frames with edge vectors.

    Args:
        function: from `edge_vectors` (E, 3), `edge_index` (2, E) and `atomic_numbers` (N,) of a
            frame to site energies (N,).
        frame: a frame or a batch without edge vectors.
        extent: what the function depends on.
        differentiable: whether the results will be differentiated by parameters.
        largest: number of atoms and edges of a block together, if not `LARGEST_BLOCK`.
    """
    if differentiable:
        return function(with_edge_vectors(frame, extent.dtype))
    with torch.no_grad():
        parts = [
            function(block.graph)[: block.centres] for block in _blocks(frame, extent, largest)
        ]
    return torch.cat(parts)


def predict(
    function: Callable[[Data], Tensor],
    frame: Data,
    extent: Extent,
    *,
    differentiable: bool,
    virial: bool,
    largest: int | None = None,
) -> Derivatives:
    """Site energies, forces and, if wanted, the virial; arguments as those of `energies`."""
    if differentiable:
        graph = with_edge_vectors(frame, extent.dtype)
        return derivatives(function, graph, differentiable=True, virial=virial)
    parts, sums = [], EdgeSums(frame, extent.dtype, virial=virial)
    for block in _blocks(frame, extent, largest):
        site, gradient = edge_gradient(function, block.graph, differentiable=False)
        parts.append(site[: block.centres])
        sums.add(gradient, block.edge_index, block.graph.edge_vectors)
    return sums.derivatives(torch.cat(parts))


class _Block(NamedTuple):
    graph: Data
    """What the function reads; its centres are the first of its atoms."""
    centres: int
    edge_index: Tensor
    """(2, E) of the edges, in the numbers of the whole frame."""


def _blocks(frame: Data, extent: Extent, largest: int | None) -> Iterator[_Block]:
    if largest is None:
        on_cpu = frame.pos.device.type == "cpu"
        largest = LARGEST_BLOCK if on_cpu else LARGEST_BLOCK_OF_ACCELERATORS
    numbers, edge_index = frame.atomic_numbers, frame.edge_index
    atoms, edges = len(numbers), edge_index.shape[1]
    if not extent.strictly_local or atoms + edges <= largest:
        vectors, inside = _edges_within(frame, slice(None), extent)
        graph = Data(edge_vectors=vectors, edge_index=inside, atomic_numbers=numbers)
        yield _Block(graph, atoms, inside)
        return
    elements, element_of = torch.unique(numbers, return_inverse=True)
    ends = torch.bincount(edge_index[1], minlength=atoms).cumsum(0)
    for first, last in _bounds(ends, largest):
        edges_before = int(ends[first - 1]) if first else 0
        part = slice(edges_before, int(ends[last - 1]))
        vectors, inside = _edges_within(frame, part, extent)
        neighbour, centre = inside
        graph = Data(
            edge_vectors=vectors,
            edge_index=torch.stack([element_of[neighbour] + (last - first), centre - first]),
            atomic_numbers=torch.cat([numbers[first:last], elements]),
        )
        yield _Block(graph, last - first, inside)


def _bounds(ends: Tensor, largest: int) -> Iterator[tuple[int, int]]:
    """First and last + 1 of consecutive atoms that have at most so many edges and atoms together.

    Args:
        ends: number of edges of each atom and all before it (N,).
        largest: a single atom may have more.
    """
    size = ends + torch.arange(1, len(ends) + 1, device=ends.device)
    first, before = 0, 0
    while first < len(ends):
        last = max(int(torch.searchsorted(size, before + largest, right=True)), first + 1)
        yield first, last
        first, before = last, int(size[last - 1])


def _edges_within(frame: Data, part: slice, extent: Extent) -> tuple[Tensor, Tensor]:
    """Vectors and index of those edges of a slice that are shorter than the cutoff."""
    shift, edge_index = frame.shift[part], frame.edge_index[:, part]
    selected = Data(pos=frame.pos, cell=frame.cell, edge_index=edge_index, shift=shift)
    if "batch" in frame:
        selected.batch = frame.batch
    vectors = edge_vectors(selected).detach().to(extent.dtype)
    inside = vectors.square().sum(1) < extent.cutoff**2
    if bool(inside.all()):
        return vectors, edge_index
    chosen = inside.nonzero().squeeze(1)
    return vectors.index_select(0, chosen), edge_index.index_select(1, chosen)
