"""Structures to flat arrays of graphs, in this process or divided over several."""

from __future__ import annotations

import multiprocessing
import os
from collections.abc import Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from itertools import chain

import numpy as np
import numpy.typing as npt

from sus2bench.atoms.neighbours import neighbour_list

# Starting a process costs as much as the graphs of this many atoms (about five seconds).
ATOMS_PER_PROCESS = 500_000

FINGERPRINT_CENTRES = np.linspace(1.0, 5.0, 9)
FINGERPRINT_WIDTH = 0.5


@dataclass(frozen=True)
class Structure:
    """What a graph is made of: numbers (N,), positions (N,3) Å, cell (3,3) Å, pbc (3,)."""

    numbers: npt.NDArray[np.int64]
    positions: npt.NDArray[np.float64]
    cell: npt.NDArray[np.float64]
    pbc: npt.NDArray[np.bool_]


@dataclass(frozen=True)
class Graph:
    """Edges of one structure and two things that follow from them.

    ``edge_index`` (2,E) int32 (neighbour, centre); ``shift`` (E,3) int32; ``shortest`` the
    shortest distance in Å, infinite without edges; ``fingerprint`` (18,) numbers that neither
    rotation, reflection, translation nor the order of the atoms changes.
    """

    edge_index: npt.NDArray[np.int32]
    shift: npt.NDArray[np.int32]
    shortest: float
    fingerprint: npt.NDArray[np.float64]


def build_graph(structure: Structure, cutoff: float) -> Graph:
    """The graph of one structure; see `neighbour_list` for what is refused."""
    centre, neighbour, shift = neighbour_list(
        structure.positions, structure.cell, structure.pbc, cutoff
    )
    positions = structure.positions
    vectors = positions[neighbour] - positions[centre] + shift @ structure.cell
    distances = np.linalg.norm(vectors, axis=1)
    return Graph(
        edge_index=np.stack([neighbour, centre]).astype(np.int32),
        shift=shift,
        shortest=float(distances.min(initial=np.inf)),
        fingerprint=_fingerprint(structure.numbers, centre, neighbour, distances),
    )


def build_graphs(
    structures: Sequence[Structure], cutoff: float, processes: int | None = None
) -> list[Graph]:
    """The graphs of many structures, in their order.

    Args:
        structures: of any kind, mixed.
        cutoff: Å.
        processes: how many to use; by default as many as the size of the data pays for.
    """
    atoms = sum(len(structure.numbers) for structure in structures)
    if processes is None:
        processes = min(len(os.sched_getaffinity(0)), atoms // ATOMS_PER_PROCESS)
    if processes < 2:
        return _build_chunk(structures, cutoff)
    size = -(-len(structures) // (4 * processes))
    chunks = [structures[start : start + size] for start in range(0, len(structures), size)]
    # Fresh processes: forking one whose libraries run threads may hang.
    context = multiprocessing.get_context("spawn")
    with ProcessPoolExecutor(processes, mp_context=context) as pool:
        return list(chain(*pool.map(_build_chunk, chunks, [cutoff] * len(chunks))))


def _build_chunk(structures: Sequence[Structure], cutoff: float) -> list[Graph]:
    return [build_graph(structure, cutoff) for structure in structures]


def _fingerprint(
    numbers: npt.NDArray[np.int64],
    centre: npt.NDArray[np.int64],
    neighbour: npt.NDArray[np.int64],
    distances: npt.NDArray[np.float64],
) -> npt.NDArray[np.float64]:
    """Mean over atoms of a smooth radial density of neighbours, and of its square.

    Weighted by functions of the atomic numbers, so that exchanging two elements shows.
    """
    steps = (distances[:, None] - FINGERPRINT_CENTRES) / FINGERPRINT_WIDTH
    radial = np.exp(-0.5 * steps**2) * np.sqrt(numbers[neighbour])[:, None]
    density = np.zeros((len(numbers), len(FINGERPRINT_CENTRES)))
    if len(centre):
        # Edges are sorted by centre: sum each atom's stretch of them.
        starts = np.flatnonzero(np.diff(centre, prepend=-1))
        density[centre[starts]] = np.add.reduceat(radial, starts, axis=0)
    weight = np.sqrt(numbers)[:, None]
    return np.concatenate([(weight * density).mean(axis=0), (weight * density**2).mean(axis=0)])
