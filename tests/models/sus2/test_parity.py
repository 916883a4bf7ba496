"""Energies, forces and virials of the published models equal the authors' program."""

import json
from pathlib import Path

import ase
import numpy as np
import pytest
import torch

from sus2bench.atoms.frame import build_frame
from sus2bench.models.sus2 import potential_from_mtp

MODELS = (
    "alloy",
    "cathode",
    "cu2se",
    "hh130",
    "hh130_ft_HfCoSb",
    "hh130_ft_TaFeSb",
    "m3gnet_l2k2",
    "perovskite",
    "solid_electrolyte",
)


@pytest.fixture(params=MODELS)
def published(request: pytest.FixtureRequest, shared: Path) -> tuple:
    name = request.param
    reference = json.loads((shared / f"reference/structures/{name}.json").read_text())
    species = json.loads((shared / "reference/species.json").read_text())
    symbols = species[name] if name in species else species[name.split("_ft_")[0]]
    potential = potential_from_mtp(shared / f"reference/models/{name}.mtp", symbols)
    return potential, reference["frames"]


def largest_differences(potential, frames) -> tuple[float, float, float]:
    """Of energy per atom, force components and virial components."""
    energy, forces, virial = 0.0, 0.0, 0.0
    potential.eval()
    for reference in frames:
        atoms = ase.Atoms(
            reference["symbols"],
            positions=reference["positions"],
            cell=reference["cell"],
            pbc=reference["pbc"],
        )
        got = potential(build_frame(atoms, potential.cutoff))
        plus_stress = -got.virial[0].numpy()[[0, 1, 2, 1, 0, 0], [0, 1, 2, 2, 2, 1]]
        energy = max(energy, abs(got.energy.item() - reference["energy"]) / len(atoms))
        forces = max(forces, np.abs(got.forces.numpy() - reference["forces"]).max())
        virial = max(virial, np.abs(plus_stress - reference["plus_stress"]).max())
    return energy, forces, virial


def test_float64_equals_the_authors_program(published):
    potential, frames = published
    tabulated = potential.model.radial.basis_type.endswith("_lmp")
    # The `_lmp` program interpolates in a table; all others differ by summation order alone.
    limits = (1e-7, 1e-7, 1e-7) if tabulated else (1e-9, 1e-9, 1e-8)
    atoms = max(len(frame["symbols"]) for frame in frames)
    energy, forces, virial = largest_differences(potential, frames)
    assert energy * atoms < limits[0]
    assert forces < limits[1]
    assert virial < limits[2]


def test_float32_is_close(published):
    potential, frames = published
    energy, forces, _ = largest_differences(potential.to(torch.float32), frames)
    assert energy < 1e-4
    assert forces < 1e-3
