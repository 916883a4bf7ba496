"""NEP equals GPUMD's own code on the same file: `calorine`'s CPU evaluation, in float64."""

import numpy as np
import pytest
import torch

from sus2bench.models.loading import load_potential
from sus2bench.models.nep import NEP, NEPRepulsion, potential_to_nep
from sus2bench.models.potential import Potential
from sus2bench.testing import perturb
from sus2bench.testing.structures import random_atoms

calculators = pytest.importorskip(
    "calorine.calculators", reason="calorine, which is in the extra 'truth', is not installed"
)

TOLERANCE = 1e-11
"""Relative to the largest number: sums in another order, and constants with 15 digits there."""

ENERGIES = {"Cu": -3000.25, "Au": -20.5, "Al": 0.0, "H": -13.6}
FLEXIBLE = [
    [0.4, 1.9, 0.2, 3.1, 0.5, 0.9, 0.3, 0.4, 0.05, 0.2],
    [0.0, 2.1, 0.1, 3.3, 0.6, 0.8, 0.2, 0.5, 0.07, 0.1],
    [0.7, 2.3, 0.3, 2.9, 0.4, 1.0, 0.1, 0.3, 0.09, 0.3],
]


def potential(symbols, *, energies=None, zbl=None, **sizes):
    model = NEP(symbols, 5.0, angular_cutoff=4.2, seed=len(symbols), **sizes)
    generator = torch.Generator().manual_seed(1)
    model.descriptor_scaler.uniform_(0.1, 0.5, generator=generator)
    new = perturb(Potential(model, energy_scale=1.7, zbl=zbl))
    new.atomic_energies.set_values(energies or dict.fromkeys(new.species, 1.25))
    return new


CASES = {
    "one element": lambda: potential(["Si"]),
    "two elements, five bodies": lambda: potential(["Si", "C"], l_max=(4, 2, 1)),
    "three elements, three bodies, ZBL": lambda: potential(
        ["Cu", "Au", "Al"], l_max=(4, 0, 0), zbl=NEPRepulsion(["Cu", "Au", "Al"], 2.4)
    ),
    "four elements with their energies, odd sizes, ZBL by radii": lambda: potential(
        list(ENERGIES),
        energies=ENERGIES,
        l_max=(3, 2, 1),
        n_max=(5, 3),
        basis_size=(7, 9),
        neurons=11,
        zbl=NEPRepulsion(list(ENERGIES), 2.4, factor=0.65),
    ),
    "highest l, ZBL of pairs": lambda: potential(
        ["Ge", "Te"], l_max=(8, 2, 1), zbl=NEPRepulsion(["Ge", "Te"], pairs=FLEXIBLE)
    ),
    "smallest sizes": lambda: potential(
        ["Ge", "Te"], l_max=(1, 0, 0), n_max=(0, 0), basis_size=(0, 1), neurons=1
    ),
}


def structures(symbols):
    """A dense skewed crystal, a tiny cell and a molecule, which needs a box there."""
    crystal = random_atoms(symbols, (3, 2, 2), pbc=(True, True, True), shear=0.2, seed=1)
    crystal.set_cell(0.8 * crystal.cell, scale_atoms=True)
    tiny = random_atoms(symbols, (1, 1, 4), pbc=(True, True, True), shear=-0.1, seed=2)
    molecule = random_atoms(symbols, (2, 2, 2), seed=3)
    molecule.set_cell([30.0, 31.0, 32.0])
    molecule.pbc = True
    return crystal, tiny, molecule


def properties(atoms, calculator):
    atoms = atoms.copy()
    atoms.calc = calculator
    return {
        "energy": atoms.get_potential_energy(),
        "energies": atoms.get_potential_energies(),
        "forces": atoms.get_forces(),
        "stress": atoms.get_stress(),
    }


@pytest.mark.parametrize("case", CASES)
def test_energies_forces_and_stress_are_those_of_gpumd(case, tmp_path):
    ours = CASES[case]()
    path = tmp_path / "nep.txt"
    potential_to_nep(ours, path)
    calculator = ours.calculator()
    for atoms in structures(ours.species):
        actual = properties(atoms, calculator)
        truth = properties(atoms, calculators.CPUNEP(str(path)))
        for name, expected in truth.items():
            scale = np.abs(expected).max()
            np.testing.assert_allclose(actual[name], expected, rtol=0, atol=TOLERANCE * scale)


def test_repulsion_contributes_to_the_truth(tmp_path):
    # Otherwise the comparisons above would say nothing of it.
    for case in ("three elements", "four elements", "highest l"):
        ours = next(build() for name, build in CASES.items() if name.startswith(case))
        crystal = structures(ours.species)[0]
        with_zbl = properties(crystal, ours.calculator())["energy"]
        ours.zbl = None
        assert with_zbl - properties(crystal, ours.calculator())["energy"] > 0.1


def test_file_with_eight_digits_is_read_alike(tmp_path):
    ours = potential(["Si", "C"])
    path = tmp_path / "nep.txt"
    potential_to_nep(ours, path)
    header, numbers = path.read_text().splitlines()[:6], path.read_text().splitlines()[6:]
    rounded = [f"{float(number):15.7e}" for number in numbers]
    path.write_text("\n".join(header + rounded) + "\n")
    atoms = structures(("Si", "C"))[0]
    actual = properties(atoms, load_potential(path).calculator())
    truth = properties(atoms, calculators.CPUNEP(str(path)))
    np.testing.assert_allclose(actual["forces"], truth["forces"], atol=1e-11)
