"""Contract tests of symmetries: rotation, reflection, translation, permutation, batches, images."""

import ase
import numpy as np
import torch
from numpy.typing import NDArray

from sus2bench.atoms.frame import build_frame, collate
from sus2bench.models import blocks
from sus2bench.models.blocks import Extent
from sus2bench.models.derivatives import Derivatives
from sus2bench.models.potential import Prediction
from sus2bench.testing.base import ContractBase
from sus2bench.testing.potentials import check_close, forces, predict, stress
from sus2bench.testing.structures import (
    periodic_repeats,
    rotation,
    structures,
    transformed,
)

TOLERANCE = 1e-9
"""eV, eV/Å, eV/Å^3: sums in another order, of about a hundred terms of up to a hundred eV."""


class SymmetryTests(ContractBase):
    """Physics does not depend on the frame of reference, on names or on company."""

    def test_rotation_turns_forces_and_stress_along(self) -> None:
        """A random proper rotation of positions and cell."""
        self._check_map(rotation(seed=1), "rotated")

    def test_reflection_mirrors_forces_and_stress(self) -> None:
        """A random improper rotation; the cell becomes left-handed."""
        self._check_map(-rotation(seed=2), "reflected")

    def _check_map(self, matrix: NDArray[np.float64], adjective: str) -> None:
        potential = self.potential()
        turn = torch.from_numpy(matrix)
        for name, atoms in structures(potential.species).items():
            before = predict(potential, atoms)
            after = predict(potential, transformed(atoms, matrix))
            expected = before._replace(
                forces=forces(before) @ turn, stress=turn.T @ stress(before) @ turn
            )
            _compare(after, expected, f"the {adjective} {name}")

    def test_translation_changes_nothing(self) -> None:
        """A random shift, after which atoms are wrapped into the cell where it is periodic."""
        potential = self.potential()
        for name, atoms in structures(potential.species).items():
            moved = atoms.copy()
            moved.positions += np.random.default_rng(3).uniform(-9.0, 9.0, size=3)
            if moved.cell.rank == 3:
                moved.wrap()
            _compare(predict(potential, moved), predict(potential, atoms), f"the translated {name}")

    def test_permutation_of_atoms_permutes_forces(self) -> None:
        """Site energies and forces follow their atoms."""
        potential = self.potential()
        for name, atoms in structures(potential.species).items():
            order = np.random.default_rng(4).permutation(len(atoms))
            before, after = predict(potential, atoms), predict(potential, atoms[order])
            index = torch.from_numpy(order)
            expected = before._replace(
                forces=forces(before)[index], site_energies=before.site_energies[index]
            )
            _compare(after, expected, f"the permuted {name}")

    def test_batch_equals_single_frames(self) -> None:
        """All structures in one batch, with an isolated atom among them."""
        potential = self.potential()
        frames = list(structures(potential.species).values())
        frames.insert(2, ase.Atoms(potential.species[0]))
        together = predict(potential, *frames)
        ends = np.cumsum([len(atoms) for atoms in frames])
        for number, (atoms, end) in enumerate(zip(frames, ends, strict=True)):
            part = slice(int(end) - len(atoms), int(end))
            member = together._replace(
                energy=together.energy[number : number + 1],
                forces=forces(together)[part],
                stress=stress(together)[number : number + 1],
                site_energies=together.site_energies[part],
            )
            _compare(member, predict(potential, atoms), f"frame {number} of a batch")
            alone = potential(build_frame(atoms, potential.cutoff))
            _compare(member, alone, f"frame {number} without a batch index")

    def test_blocks_of_atoms_equal_the_whole(self) -> None:
        """A model that says its energies are strictly local is evaluated in blocks of an atom."""
        potential = self.potential()
        model = potential.model
        if not model.strictly_local:
            return
        extent = Extent(model.dtype, model.cutoff, strictly_local=True)
        frames = [
            build_frame(atoms, potential.cutoff + 0.7)
            for atoms in structures(potential.species).values()
        ]
        batch = collate(frames)
        whole, split = (
            blocks.predict(model, batch, extent, differentiable=False, virial=True, largest=size)
            for size in (batch.edge_index.numel(), 1)
        )
        for name, actual, expected in zip(Derivatives._fields, split, whole, strict=True):
            if actual is not None and expected is not None:
                check_close(actual, expected, TOLERANCE, f"{name} evaluated in blocks")
        site = blocks.energies(model, batch, extent, differentiable=False, largest=1)
        check_close(site, whole.site, TOLERANCE, "site energies alone evaluated in blocks (eV)")

    def test_supercells_are_extensive(self) -> None:
        """Several images of one atom act like as many atoms: tiny, skewed, partly periodic cells.

        Periodic images of the small cell are atoms of their own in the supercell.
        """
        potential = self.potential()
        for name, atoms in structures(potential.species).items():
            if not any(atoms.pbc):
                continue
            repeats = periodic_repeats(atoms)
            copies = int(np.prod(repeats))
            cell, supercell = predict(potential, atoms), predict(potential, atoms.repeat(repeats))
            expected = cell._replace(
                energy=cell.energy * copies,
                forces=forces(cell).repeat(copies, 1),
                site_energies=cell.site_energies.repeat(copies),
            )
            _compare(supercell, expected, f"the {repeats} supercell of the {name}")

    def test_vacuum_along_free_directions_does_not_matter(self) -> None:
        """Lattice vectors of directions that are not periodic only enter the stress's volume."""
        potential = self.potential()
        for name in ("slab", "wire", "molecule"):
            atoms = structures(potential.species)[name]
            other = atoms.copy()
            cell = atoms.cell.array.copy()
            cell[~atoms.pbc] = 23.0 * np.eye(3)[~atoms.pbc]
            other.set_cell(cell)
            before, after = predict(potential, atoms), predict(potential, other)
            _compare(
                after._replace(stress=stress(before)), before, f"the {name} with another vacuum"
            )


def _compare(actual: Prediction, expected: Prediction, what: str) -> None:
    atoms = max(1, len(expected.site_energies))
    check_close(actual.energy, expected.energy, atoms * TOLERANCE, f"energy of {what} (eV)")
    check_close(
        actual.site_energies, expected.site_energies, TOLERANCE, f"site energies of {what} (eV)"
    )
    check_close(forces(actual), forces(expected), TOLERANCE, f"forces of {what} (eV/Å)")
    check_close(stress(actual), stress(expected), TOLERANCE, f"stress of {what} (eV/Å^3)")
