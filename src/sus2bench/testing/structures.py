"""Small structures of every kind of boundary, for contract tests."""

from collections.abc import Sequence

import ase
import numpy as np
from numpy.typing import NDArray

SPACING = 2.6
"""Å between grid points, about a bond length of metals."""


def random_atoms(
    symbols: Sequence[str],
    grid: tuple[int, int, int],
    *,
    pbc: tuple[bool, bool, bool] = (False, False, False),
    shear: float = 0.0,
    seed: int = 0,
) -> ase.Atoms:
    """Atoms displaced by about 0.2 Å from a grid, elements drawn at random, first one each.

    Args:
        symbols: chemical symbols to draw from.
        grid: atoms along x, y and z.
        pbc: periodicity; directions that are not periodic get 10 Å of vacuum, and none at all
            get no cell.
        shear: fraction of the first lattice vector's length by which the others are sheared.
        seed: of all random numbers.
    """
    generator = np.random.default_rng(seed)
    count = int(np.prod(grid))
    points = np.stack(np.meshgrid(*(np.arange(n) for n in grid), indexing="ij"), axis=-1)
    positions = SPACING * points.reshape(-1, 3) + generator.normal(scale=0.2, size=(count, 3))
    drawn = [*symbols, *generator.choice(list(symbols), size=count)][:count]
    atoms = ase.Atoms(drawn, positions=positions, pbc=pbc)
    if any(pbc):
        lengths = [SPACING * n + (0.0 if axis else 10.0) for n, axis in zip(grid, pbc, strict=True)]
        cell = np.diag(lengths)
        atoms.set_cell(cell)
        cell[1, 0] = cell[2, 1] = shear * lengths[0]
        atoms.set_cell(cell, scale_atoms=True)
    return atoms


def structures(symbols: Sequence[str]) -> dict[str, ase.Atoms]:
    """One structure for each kind of boundary, 2 to 8 atoms, up to two elements."""
    pair = list(symbols[:2])
    return {
        "molecule": random_atoms(pair, (2, 2, 1), seed=1),
        "crystal": random_atoms(pair, (2, 2, 2), pbc=(True, True, True), seed=2),
        "skewed cell": random_atoms(pair, (2, 2, 1), pbc=(True, True, True), shear=0.45, seed=3),
        "tiny cell": random_atoms(pair, (1, 1, 2), pbc=(True, True, True), shear=-0.3, seed=4),
        "slab": random_atoms(pair, (2, 1, 2), pbc=(True, True, False), shear=0.2, seed=5),
        "wire": random_atoms(pair, (1, 2, 1), pbc=(False, False, True), seed=6),
    }


def rotation(seed: int) -> NDArray[np.float64]:
    """A random proper rotation (3, 3), uniform over the sphere."""
    matrix, triangle = np.linalg.qr(np.random.default_rng(seed).normal(size=(3, 3)))
    matrix = matrix * np.sign(np.diag(triangle))
    proper: NDArray[np.float64] = matrix * np.linalg.det(matrix)
    return proper


def transformed(atoms: ase.Atoms, matrix: NDArray[np.float64]) -> ase.Atoms:
    """Positions and cell mapped by a matrix (3, 3), row vectors from the right."""
    mapped: ase.Atoms = atoms.copy()
    mapped.set_cell(atoms.cell.array @ matrix)
    mapped.positions = atoms.positions @ matrix
    return mapped


def periodic_repeats(atoms: ase.Atoms) -> tuple[int, int, int]:
    """A supercell: three times along one periodic direction, twice along the others."""
    repeats = [2 if periodic else 1 for periodic in atoms.pbc]
    if any(atoms.pbc):
        repeats[int(np.argmax(atoms.pbc))] = 3
    return repeats[0], repeats[1], repeats[2]
