"""Crystals to time potentials on: fcc of any number of atoms, rattled, elements at random."""

from collections.abc import Sequence
from dataclasses import dataclass
from math import pi

import ase
import numpy as np
from ase.build import bulk


@dataclass(frozen=True)
class Crystal:
    """What crystals of any size and composition have in common.

    Attributes:
        density: atoms per Å^3. The usual one has 50 neighbours within 6 Å, about as many as the
            frames of alloy53.
        rattle: standard deviation of the displacement of each coordinate, Å.
        seed: of displacements and elements.
    """

    density: float = 0.054
    rattle: float = 0.1
    seed: int = 0

    def __post_init__(self) -> None:
        if not self.density > 0:
            raise ValueError(f"a crystal needs a positive density in atoms per Å^3: {self.density}")

    def neighbours(self, cutoff: float) -> float:
        """How many atoms there are within a cutoff (Å) round each, about."""
        return self.density * 4 * pi / 3 * cutoff**3

    def build(self, atoms: int, elements: Sequence[str]) -> ase.Atoms:
        """Exactly so many atoms, periodic in all directions.

        The geometry depends on nothing but their number; which elements the atoms are does not
        change it. Every element occurs, if there are as many atoms.

        Args:
            atoms: at least one. The cell is as compact as the factors of the number allow.
            elements: chemical symbols.

        Raises:
            ValueError: there is no atom or no element.
        """
        if atoms < 1 or not elements:
            raise ValueError(
                f"a crystal needs atoms and elements, not {atoms} and {list(elements)}"
            )
        cell = bulk("X", "fcc", a=(4 / self.density) ** (1 / 3))
        crystal: ase.Atoms = cell.repeat(compact_factors(atoms))
        displacements, numbers = np.random.default_rng(self.seed).spawn(2)
        crystal.positions += displacements.normal(scale=self.rattle, size=(atoms, 3))
        drawn = numbers.choice(list(elements), size=max(0, atoms - len(elements)))
        symbols = np.array([*elements, *drawn])[:atoms]
        crystal.symbols = list(numbers.permutation(symbols))
        return crystal


def compact_factors(number: int) -> tuple[int, int, int]:
    """Three factors of a number, ascending, whose sum is the smallest."""
    divisors = [n for n in range(1, int(number**0.5) + 1) if number % n == 0]
    triples = [
        (a, b, number // a // b) for a in divisors for b in divisors if (number // a) % b == 0
    ]
    a, b, c = sorted(min(triples, key=sum))
    return a, b, c
