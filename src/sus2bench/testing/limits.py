"""Contract tests of limits: the cutoff, isolated atoms, far fragments, unknown elements."""

import ase
import torch
from torch import Tensor

from sus2bench.atoms.frame import build_frame
from sus2bench.models.potential import Potential
from sus2bench.testing.base import ContractBase
from sus2bench.testing.potentials import (
    check_close,
    check_equal,
    check_raises,
    forces,
    predict,
    stress,
)
from sus2bench.testing.structures import random_atoms, structures

APART = 60.0
"""Å, beyond any cutoff and any number of message-passing steps in use."""


class LimitTests(ContractBase):
    """Behaviour where interactions begin and end."""

    def test_energy_and_force_are_smooth_as_a_neighbour_crosses_the_cutoff(self) -> None:
        """Energy, force and, where declared, its slopes have no step at the cutoff.

        Both sides are extrapolated to the cutoff linearly, so that what remains for a continuous
        quantity is of second order in the distance to it.
        """
        potential = self.potential()
        cutoff, smoothness = potential.model.cutoff, potential.model.smoothness
        if smoothness < 1:
            raise AssertionError(
                f"{type(potential.model).__name__} declares smoothness = {smoothness}: forces "
                "would jump at the cutoff"
            )
        delta = 1e-5
        values = self._along_bond(potential, [cutoff + n * delta for n in (-2, -1, 1, 2)])
        # E'' delta^2 is about 1e-8 for the stiffest bonds of 100 eV/Å^2.
        for name, value in zip(("energy (eV)", "force (eV/Å)"), values, strict=True):
            below, above = 2 * value[1] - value[0], 2 * value[2] - value[3]
            check_close(above, below, 2e-8, f"{name} just beyond and just below the cutoff")
        if smoothness >= 2:
            force = self._along_bond(potential, [cutoff + n * 1e-4 for n in (-2, -1, 1, 2)])[1]
            check_close(
                (force[3] - force[2]) / 1e-4,
                (force[1] - force[0]) / 1e-4,
                1e-2 * max(1.0, float(force.abs().max())),
                "slope of the force just beyond and just below the cutoff, continuous as the "
                f"declared smoothness = {smoothness} says",
            )

    def _along_bond(self, potential: Potential, distances: list[float]) -> tuple[Tensor, Tensor]:
        """Energies and forces (4 atoms x 3) while one atom leaves another's neighbourhood."""
        pair = potential.species[:2]
        frames = []
        for distance in distances:
            triangle = [(0.0, 0.0, 0.0), (1.1, 1.9, 0.3), (0.4, -1.2, 2.1)]
            atoms = ase.Atoms(
                [pair[0], pair[-1], pair[0], pair[-1]], positions=[*triangle, (distance, 0, 0)]
            )
            frames.append(atoms)
        prediction = predict(potential, *frames)
        return prediction.energy, forces(prediction).view(len(distances), -1)

    def test_pairs_beyond_the_cutoff_do_not_interact(self) -> None:
        """A neighbour list with a larger radius changes nothing, in training neither.

        Evaluation leaves the longer edges out before it asks the model; training does not.
        """
        potential = self.potential()
        for name, atoms in structures(potential.species).items():
            need = potential.eval()(build_frame(atoms, potential.cutoff))
            for mode, training in (("evaluation", False), ("training", True)):
                more = potential.train(training)(build_frame(atoms, potential.cutoff + 1.3))
                what = f"of the {name} with neighbours beyond the cutoff, in {mode}"
                check_close(
                    more.site_energies, need.site_energies, 1e-9, f"site energies {what} (eV)"
                )
                check_close(forces(more), forces(need), 1e-9, f"forces {what} (eV/Å)")

    def test_isolated_atom_has_its_own_energy_and_no_force(self) -> None:
        """One constant per element, with and without a cell; stress zero or, without cell, NaN."""
        potential = self.potential()
        for symbol in potential.species:
            bare = ase.Atoms(symbol, positions=[(1.0, 2.0, 3.0)])
            boxed = ase.Atoms(symbol, positions=[(0.1, 0.0, 9.0)], cell=3 * [APART], pbc=True)
            prediction = predict(potential, bare, boxed)
            energy, tension = prediction.energy, stress(prediction)
            if not bool(torch.isfinite(energy).all()):
                raise AssertionError(f"the energy of one {symbol} atom is {energy.tolist()}")
            check_close(
                energy[1:], energy[:1], 1e-12, f"energy of one {symbol} atom in a cell (eV)"
            )
            check_equal(
                forces(prediction), torch.zeros(2, 3, dtype=torch.float64), f"force on one {symbol}"
            )
            check_equal(
                tension[1], torch.zeros(3, 3, dtype=torch.float64), f"stress of one {symbol} atom"
            )
            if not bool(tension[0].isnan().all()):
                raise AssertionError(f"stress without a cell is {tension[0].tolist()}, not NaN")

    def test_atomic_energies_add_to_the_energy(self) -> None:
        """A shift of E0 by 1000 eV shifts isolated atoms by as much and leaves forces alone."""
        potential, shifted = self.potential(), self.potential()
        with torch.no_grad():
            shifted.atomic_energies.values.add_(1000.0)
        atoms = structures(potential.species)["skewed cell"]
        before, after = predict(potential, atoms), predict(shifted, atoms)
        check_close(
            after.energy, before.energy + 1000.0 * len(atoms), 1e-9, "energy with shifted E0 (eV)"
        )
        check_close(forces(after), forces(before), 1e-12, "forces with shifted E0 (eV/Å)")

    def test_far_fragments_are_additive(self) -> None:
        """Two molecules, and two lone atoms (a frame without edges), know nothing of each other."""
        potential = self.potential()
        pair = potential.species[:2]
        lone = (ase.Atoms(pair[0]), ase.Atoms(pair[-1]))
        molecules = (random_atoms(pair, (2, 2, 1), seed=11), random_atoms(pair, (3, 1, 1), seed=12))
        for name, (one, two) in (("two lone atoms", lone), ("two molecules", molecules)):
            far = two.copy()
            far.positions += (APART, 0.0, APART)
            joined, apart = predict(potential, one + far), predict(potential, one)
            other = predict(potential, two)
            energy, force = apart.energy + other.energy, torch.cat([forces(apart), forces(other)])
            check_close(joined.energy, energy, 1e-10, f"energy of {name} far apart (eV)")
            check_close(forces(joined), force, 1e-10, f"forces of {name} far apart (eV/Å)")

    def test_unknown_element_is_refused_by_name(self) -> None:
        """An element outside the species is an error that names it."""
        potential = self.potential()
        stranger = next(s for s in ("Og", "Ts", "Lv") if s not in potential.species)
        atoms = ase.Atoms([potential.species[0], stranger], positions=[(0, 0, 0), (2.5, 0, 0)])
        check_raises(ValueError, stranger, lambda: predict(potential, atoms))
