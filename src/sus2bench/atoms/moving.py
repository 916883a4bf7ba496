"""Frames of atoms that move a little from one to the next, with a neighbour list that is kept."""

import copy
from typing import NamedTuple

import ase
import numpy as np
import torch

from sus2bench.atoms.frame import Frame, build_frame

SKIN = 1.0
"""Å. In a metal at 600 K a neighbour list then lasts some dozens of steps."""


def checked_skin(skin: float) -> float:
    """The skin; ValueError if it is negative or not finite."""
    if not (np.isfinite(skin) and skin >= 0):
        raise ValueError(f"the skin must be a length in Å, 0 or more, not {skin}")
    return skin


class MovingFrame:
    """Makes the frames of a run; the neighbour list reaches farther than needed and is kept.

    A list of all pairs closer than R = cutoff + skin, made for positions p0 and lattice vectors h0,
    has all pairs closer than the cutoff at p and h as well, as long as

        s R - 2 max |p_i - p0_i F| >= cutoff,

    where F maps h0 to h and s is the least factor by which it stretches a vector: what is not
    listed was R apart, is at least s R apart after the strain, and comes closer by the two
    displacements that remain. In a cell that stays the same, that is half a skin for each atom.

    The first list of a set of atoms has no skin, and neither has one after a jump: those of
    structures that have nothing to do with each other are not used again.

    Args:
        cutoff: radius within which the pairs are needed, Å. The frames have longer pairs, too.
        skin: by how much a list may reach farther, Å; 0 for a new one whenever something moves.
        device: where the frames are to be.

    Raises:
        ValueError: the skin is negative or not finite.
    """

    def __init__(
        self, cutoff: float, skin: float = SKIN, device: str | torch.device = "cpu"
    ) -> None:
        self.cutoff, self.skin = cutoff, checked_skin(skin)
        self.device = torch.device(device)
        self._last: _List | None = None

    def __call__(self, atoms: ase.Atoms) -> Frame:
        """The frame of the atoms where they are now.

        Raises:
            ValueError: what the neighbour list refuses.
        """
        last = self._last
        approach = np.inf if last is None else last.approach(atoms)
        if last is not None and approach <= last.reach - self.cutoff:
            kept: Frame = copy.copy(last.frame)
            kept.pos = torch.from_numpy(atoms.positions.copy()).to(self.device)
            kept.cell = torch.from_numpy(atoms.cell.array.copy())[None].to(self.device)
            return kept
        reach = self.cutoff + (self.skin if approach <= 2 * self.skin else 0.0)
        frame: Frame = build_frame(atoms, reach).to(self.device)
        at = ase.Atoms(atoms.numbers, atoms.positions, cell=atoms.cell, pbc=atoms.pbc)
        self._last = _List(frame, at, reach)
        return frame


class _List(NamedTuple):
    """A neighbour list that has been made."""

    frame: Frame
    atoms: ase.Atoms
    reach: float

    def approach(self, atoms: ase.Atoms) -> float:
        """By how much pairs that are not listed may have come closer, Å; infinite if not known."""
        old = self.atoms
        if not (np.array_equal(old.numbers, atoms.numbers) and np.array_equal(old.pbc, atoms.pbc)):
            return np.inf
        lattice, new_lattice = old.cell.array[old.pbc], atoms.cell.array[old.pbc]
        reference, stretch = old.positions, 1.0
        if not np.array_equal(lattice, new_lattice):
            if not np.isfinite(new_lattice).all():
                return np.inf
            # Maps lattice vectors to lattice vectors and leaves alone what is normal to them.
            strain = np.eye(3) + np.linalg.pinv(lattice) @ (new_lattice - lattice)
            reference = reference @ strain
            stretch = float(np.linalg.svd(strain, compute_uv=False)[-1])
        moved = atoms.positions - reference
        farthest = np.sqrt(np.einsum("ia,ia->i", moved, moved).max(initial=0.0))
        return float(2 * farthest + (1 - stretch) * self.reach)
