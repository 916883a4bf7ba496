"""Neighbour lists of periodic, partly periodic and isolated sets of atoms, by vesin."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
from vesin import NeighborList


def neighbour_list(
    positions: npt.NDArray[np.float64],
    cell: npt.NDArray[np.float64],
    pbc: npt.NDArray[np.bool_],
    cutoff: float,
) -> tuple[npt.NDArray[np.int64], npt.NDArray[np.int64], npt.NDArray[np.int32]]:
    """All directed pairs closer than a cutoff, every periodic image on its own.

    The vector of a pair is ``positions[neighbour] + shift @ cell - positions[centre]``. Atoms may
    lie outside the cell; cells may be skewed, left-handed or smaller than the cutoff. An atom is
    its own neighbour through its images only.

    Args:
        positions: (N,3) Å.
        cell: (3,3) Å, one lattice vector a row; rows of directions that are not periodic are free.
        pbc: (3,) whether each direction is periodic.
        cutoff: Å; pairs at exactly this distance do not count.

    Returns:
        ``(centre, neighbour, shift)``: (E,) and (E,) int64 and (E,3) int32, sorted by centre.

    Raises:
        ValueError: a position or cell is not finite, the cutoff is not positive, or the periodic
            lattice vectors do not span as many dimensions as there are periodic directions.
    """
    positions = np.ascontiguousarray(positions, dtype=np.float64).reshape(-1, 3)
    cell = np.ascontiguousarray(cell, dtype=np.float64)
    pbc = np.ascontiguousarray(pbc, dtype=np.bool_)
    if not (np.isfinite(cutoff) and cutoff > 0):
        raise ValueError(f"the cutoff must be a positive length in Å, not {cutoff}")
    if not np.isfinite(positions).all():
        atom = int(np.argmin(np.isfinite(positions).all(axis=1)))
        raise ValueError(f"the position of atom {atom} is not finite: {positions[atom]}")
    if not np.isfinite(cell).all():
        raise ValueError(f"the cell is not finite: {cell.tolist()}")
    if pbc.any() and np.linalg.matrix_rank(cell[pbc]) < pbc.sum():
        raise ValueError(
            f"the cell {cell.tolist()} is flat but periodic along {pbc.tolist()}: give lattice "
            "vectors for the periodic directions or switch their periodicity off"
        )
    if len(positions) == 0:
        return np.zeros(0, np.int64), np.zeros(0, np.int64), np.zeros((0, 3), np.int32)
    # One thread: the order of the pairs, and so every sum over them, is the same in each run.
    finder = NeighborList(cutoff=cutoff, full_list=True, sorted=True, n_threads=1)
    # Views of the finder's memory; what is returned are copies.
    centre, neighbour, shift = finder.compute(positions, cell, pbc, "ijS", copy=False)
    return centre.astype(np.int64), neighbour.astype(np.int64), shift.astype(np.int32)
