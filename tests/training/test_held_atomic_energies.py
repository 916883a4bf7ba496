"""Initial values: what the exact solve fits, and what it must leave alone."""

import ase
import numpy as np
import pytest
import torch
from ase.build import bulk

from sus2bench.atoms.frame import build_frame, collate
from sus2bench.models.potential import Potential
from sus2bench.models.sus2 import SUS2
from sus2bench.training.initialise import initialise
from sus2bench.training.linear_readout import LinearWeights, solve_linear_readout
from sus2bench.training.loss import count_labels

CUTOFF = 4.0
ISOLATED = {"Al": -1.75, "Cu": -2.5}


class Frames(list):
    """A list of frames with the sizes and labels that a data set knows."""

    num_atoms = property(lambda self: np.array([len(frame.pos) for frame in self]))
    num_edges = property(lambda self: np.array([frame.edge_index.shape[1] for frame in self]))

    def values(self, field):
        return torch.cat([frame[field] for frame in self])


@pytest.fixture
def frames():
    """Rattled Al-Cu cells with made-up labels, then one isolated atom of each element."""
    rng = np.random.default_rng(2)
    found = Frames()
    for index in range(10):
        atoms = bulk("Cu", cubic=True)
        atoms.symbols[: 1 + index % 3] = "Al"
        atoms.rattle(0.1, seed=index)
        labels = {"energy": -3.5 * len(atoms) + rng.normal(), "forces": rng.normal(size=(4, 3))}
        found.append(build_frame(atoms, CUTOFF, frame_index=index, **labels))
    for symbol, energy in ISOLATED.items():
        found.append(build_frame(ase.Atoms(symbol), CUTOFF, energy=energy, forces=np.zeros((1, 3))))
    return found


@pytest.fixture
def potential():
    model = SUS2(["Al", "Cu"], CUTOFF, channels=1, radial_basis_size=4).double()
    model.readout.species_weight.data = torch.tensor([0.7, 1.3], dtype=torch.float64)
    return Potential(model)


@pytest.mark.parametrize("source", ["isolated_atoms", ISOLATED], ids=["from data", "given"])
def test_isolated_atoms_have_the_energy_that_was_asked_for_after_the_solve(
    potential, frames, source
):
    report = initialise(potential, frames, atomic_energies=source)
    energies = potential(collate(frames[-2:]), stress=False).energy
    # Nothing but sums of a few numbers.
    torch.testing.assert_close(energies.tolist(), list(ISOLATED.values()), rtol=0, atol=1e-12)
    assert potential.model.linear_coefficients.any()
    assert report["linear_readout"]["columns"] == 14
    # The model gives an isolated atom w, which E0 makes up for.
    expected = {"Al": -1.75 - 0.7, "Cu": -2.5 - 1.3}
    assert report["atomic_energies"] == pytest.approx(expected, abs=1e-12)


def test_held_energies_stay_to_the_bit_and_the_coefficients_are_still_the_best(potential, frames):
    batch, weights = collate(frames), LinearWeights(1.0, 1.0, 0.0)
    potential.atomic_energies.set_values({"Al": -3.0, "Cu": -3.5})
    before = potential.atomic_energies.values.detach().clone()
    counts = count_labels([batch])

    def solve():
        return solve_linear_readout(
            potential, [batch], weights, counts=counts, fit_atomic_energies=False
        )

    first = solve()
    assert torch.equal(potential.atomic_energies.values, before)
    # The solution of the solution is itself.
    assert solve().residual == pytest.approx(first.residual, rel=1e-9)
    free = solve_linear_readout(potential, [batch], weights, counts=counts)
    assert free.residual < first.residual
