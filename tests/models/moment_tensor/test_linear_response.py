"""The linear response of SUS2, and the least-squares solution built on it."""

import copy

import ase.build
import numpy as np
import pytest
import torch

from sus2bench.atoms.frame import build_frame, collate, edge_vectors
from sus2bench.models.potential import Potential
from sus2bench.models.sus2 import SUS2
from sus2bench.training.linear_readout import LinearWeights, solve_linear_readout


@pytest.fixture
def potential() -> Potential:
    model = SUS2(["Al", "Ni"], 4.5, channels=1, seed=2).double()
    generator = torch.Generator().manual_seed(1)
    model.readout.coefficients.data = torch.randn(14, generator=generator, dtype=torch.float64)
    model.readout.species_weight.data = torch.tensor([0.7, 1.3], dtype=torch.float64)
    return Potential(model, {"Al": -3.0, "Ni": -5.0}).eval()


@pytest.fixture
def batch():
    rng = np.random.default_rng(0)
    frames = []
    for index in range(12):
        atoms = ase.build.bulk("Al", cubic=True) * (1, 1, 1 + index % 2)
        atoms.symbols[rng.random(len(atoms)) < 0.5] = "Ni"
        atoms.set_cell(atoms.cell * rng.uniform(0.95, 1.05), scale_atoms=True)
        atoms.rattle(0.1, seed=index)
        frames.append(build_frame(atoms, 4.5))
    return collate(frames)


def test_predictions_are_the_response_times_the_coefficients(potential, batch):
    graph = copy.copy(batch)
    graph.edge_vectors = edge_vectors(batch)
    response = potential.model.linear_response(graph)
    xi = potential.model.linear_coefficients
    got = potential(batch)
    constant = potential.atomic_energies.values + potential.model.readout.species_weight
    types = potential.model.types(batch.atomic_numbers)
    one_body = torch.zeros(12, dtype=torch.float64).index_add(0, batch.batch, constant[types])
    # Sums of the same terms in another order.
    torch.testing.assert_close(one_body + response.energy @ xi, got.energy, rtol=0, atol=1e-11)
    torch.testing.assert_close(response.forces @ xi, got.forces, rtol=0, atol=1e-11)
    torch.testing.assert_close(response.virial @ xi, got.virial, rtol=0, atol=1e-11)


def label(batch, potential) -> None:
    truth = potential(batch)
    batch.energy = truth.energy.detach()
    batch.forces = truth.forces
    batch.stress = truth.stress


@pytest.mark.parametrize("weights", [LinearWeights(1, 1, 1), LinearWeights(1, 1, 0)])
def test_solution_recovers_a_potential_of_the_same_form(potential, batch, weights):
    label(batch, potential)
    model = potential.model
    model.set_linear_coefficients(torch.zeros(14, dtype=torch.float64))
    potential.atomic_energies.set_values({"Al": 0.0, "Ni": 0.0})
    solve_linear_readout(potential, [batch], weights, atoms_per_frame=6)
    again = potential(batch)
    # l2k1 holds (v.v)^2 twice, so coefficients may differ, predictions may not.
    torch.testing.assert_close(again.energy, batch.energy, rtol=0, atol=1e-8)
    torch.testing.assert_close(again.forces, batch.forces, rtol=0, atol=1e-8)


def test_solution_is_a_minimum_and_does_not_depend_on_the_batching(potential, batch):
    label(batch, potential)
    generator = torch.Generator().manual_seed(7)
    batch.forces += 0.3 * torch.randn(batch.forces.shape, generator=generator, dtype=torch.float64)
    batch.energy += torch.randn(12, generator=generator, dtype=torch.float64)
    weights = LinearWeights(2.0, 0.5, 0.0)
    atoms = torch.bincount(batch.batch)
    mean = float(atoms.double().mean())

    def loss() -> float:
        got = potential(batch)
        energy = ((got.energy - batch.energy) / atoms).square().mean()
        forces = (got.forces - batch.forces).square().mean()
        return float(weights.energy * energy + weights.forces * forces)

    pieces = [collate([frame]) for frame in batch.to_data_list()]
    solve_linear_readout(potential, pieces, weights, atoms_per_frame=mean)
    best, coefficients = loss(), potential.model.linear_coefficients.clone()
    solve_linear_readout(potential, [batch], weights, atoms_per_frame=mean)
    # The solution of the solution is itself: only round-off moves the loss.
    assert loss() == pytest.approx(best, rel=1e-9)
    for trial in range(5):
        step = torch.randn(14, generator=generator, dtype=torch.float64) * 1e-2
        potential.model.set_linear_coefficients(coefficients + step)
        assert loss() > best, trial


def test_missing_labels_are_left_out(potential, batch):
    label(batch, potential)
    batch.energy[3] = torch.nan
    batch.forces[:5] = torch.nan
    report = solve_linear_readout(potential, [batch], LinearWeights(1, 1, 0), atoms_per_frame=6)
    assert report.rows == 11 + 3 * (len(batch.pos) - 5)
    assert torch.isfinite(potential.model.linear_coefficients).all()


def test_without_any_label_there_is_an_error(potential, batch):
    with pytest.raises(ValueError, match="no frame has a label"):
        solve_linear_readout(potential, [batch], LinearWeights(), atoms_per_frame=6)
