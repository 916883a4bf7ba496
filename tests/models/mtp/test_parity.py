"""Energies, forces and stresses equal those of motep, which reads the same file.

motep (MIT licence, https://pypi.org/project/motep) is a program of its own, compiled from C, whose
results its authors test against MLIP-2.
"""

import ase
import ase.build
import numpy as np
import pytest
import torch

from sus2bench.atoms.frame import build_frame, edge_vectors
from sus2bench.models.loading import load_potential
from sus2bench.models.mtp import MTP, potential_to_mtp
from sus2bench.models.potential import Potential

mtp_io = pytest.importorskip("motep.io.mlip.mtp", reason="motep, the reference, is not installed")
calculator = pytest.importorskip("motep.calculator")

SPECIES = ("Cu", "Zr", "O", "H")


def random_potential(level: int, species: tuple[str, ...], atoms: ase.Atoms) -> Potential:
    """Every scalar contributes about 1 eV to the energy of the given atoms."""
    generator = torch.Generator().manual_seed(level)
    model = MTP(species, 4.6, level=level, min_dist=1.7, scaling=0.05, seed=level).double()
    frame = build_frame(atoms, model.cutoff)
    frame.edge_vectors = edge_vectors(frame)
    scalars = model.linear_response(frame).energy[0]
    weights = torch.randn(len(scalars), generator=generator, dtype=torch.float64)
    model.set_linear_coefficients(weights / scalars.abs())
    return Potential(model, {symbol: -2.5 * i for i, symbol in enumerate(species, 1)})


def with_species(atoms: ase.Atoms, species: tuple[str, ...], seed: int) -> ase.Atoms:
    symbols = np.random.default_rng(seed).choice(species, len(atoms))
    symbols[: len(species)] = species
    atoms.set_chemical_symbols(symbols)
    atoms.rattle(0.15, seed=seed)
    return atoms


def crystal(species: tuple[str, ...], seed: int) -> ase.Atoms:
    atoms = ase.build.bulk("Cu", cubic=True, a=3.7)
    atoms.set_cell(atoms.cell @ [[1.0, 0.1, 0.0], [0.0, 1.05, 0.0], [-0.1, 0.0, 0.95]], True)
    return with_species(atoms, species, seed)


def molecule(species: tuple[str, ...], seed: int) -> ase.Atoms:
    atoms = ase.build.molecule("CH3CH2OH")
    # Some atoms are closer than min_dist, and none is as close as to make numbers large.
    atoms.positions *= 1.4
    return with_species(atoms, species, seed)


@pytest.mark.parametrize("shape", [crystal, molecule])
@pytest.mark.parametrize("level", range(2, 21, 2))
def test_energy_forces_and_stress_equal_those_of_motep(level, shape, tmp_path):
    species = SPECIES[: 1 + level // 2 % 4]
    ours = shape(species, level)
    potential_to_mtp(random_potential(level, species, ours), tmp_path / "pot.mtp")
    theirs = ours.copy()
    ours.calc = load_potential(tmp_path / "pot.mtp", species).calculator()
    data = mtp_io.read_mtp(tmp_path / "pot.mtp")
    data.species = [ase.data.atomic_numbers[symbol] for symbol in species]
    theirs.calc = calculator.MTP(data)

    # Up to 288 terms of 1 eV with rounding of 1e-15 each; forces are steeper, so 1e-9.
    forces = theirs.get_forces()
    assert np.abs(forces).max() > 1e-2
    np.testing.assert_allclose(ours.get_forces(), forces, rtol=1e-9, atol=1e-9)
    np.testing.assert_allclose(
        ours.get_potential_energies(), theirs.get_potential_energies(), rtol=1e-9, atol=1e-9
    )
    assert ours.get_potential_energy() == pytest.approx(theirs.get_potential_energy(), abs=1e-9)
    if ours.cell.rank == 3:
        np.testing.assert_allclose(ours.get_stress(), theirs.get_stress(), rtol=1e-9, atol=1e-9)


def test_a_file_that_motep_writes_is_read(tmp_path):
    atoms = crystal(SPECIES[:2], 0)
    potential_to_mtp(random_potential(8, SPECIES[:2], atoms), tmp_path / "a.mtp")
    data = mtp_io.read_mtp(tmp_path / "a.mtp")
    atoms.calc = load_potential(tmp_path / "a.mtp", SPECIES[:2]).calculator()
    energy = atoms.get_potential_energy()
    for legacy in (True, False):
        mtp_io.write_mtp(tmp_path / "b.mtp", data, legacy=legacy)
        atoms.calc = load_potential(tmp_path / "b.mtp", SPECIES[:2]).calculator()
        # motep writes 16 digits, which can change the last bit of a coefficient.
        assert atoms.get_potential_energy() == pytest.approx(energy, rel=1e-12)
