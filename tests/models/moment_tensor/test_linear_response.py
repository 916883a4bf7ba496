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
from sus2bench.training.loss import PotentialLoss, count_labels
from sus2bench.training.regularization import Regularization
from sus2bench.training.whole_set.linear_solve import ReadoutSolver
from sus2bench.training.whole_set.objective import Objective


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
    solve_linear_readout(potential, [batch], weights, counts=count_labels([batch]))
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
    atoms, counts = torch.bincount(batch.batch), count_labels([batch])

    def loss() -> float:
        got = potential(batch)
        energy = ((got.energy - batch.energy) / atoms).square().mean()
        forces = (got.forces - batch.forces).square().mean()
        return float(weights.energy * energy + weights.forces * forces)

    pieces = [collate([frame]) for frame in batch.to_data_list()]
    solve_linear_readout(potential, pieces, weights, counts=counts)
    best, coefficients = loss(), potential.model.linear_coefficients.clone()
    solve_linear_readout(potential, [batch], weights, counts=counts)
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
    weights, counts = LinearWeights(1, 1, 0), count_labels([batch])
    report = solve_linear_readout(potential, [batch], weights, counts=counts)
    assert report.rows == 11 + 3 * (len(batch.pos) - 5)
    assert torch.isfinite(potential.model.linear_coefficients).all()


@pytest.mark.parametrize("ridge", [0.0, 0.1])
def test_missing_labels_do_not_change_the_weights_of_those_that_are_there(potential, batch, ridge):
    label(batch, potential)
    generator = torch.Generator().manual_seed(3)
    for labels, noise in ((batch.energy, 1.0), (batch.forces, 0.3), (batch.stress, 0.02)):
        labels += noise * torch.randn(labels.shape, generator=generator, dtype=torch.float64)
    batch.energy[3] = torch.nan
    batch.forces[:8] = torch.nan
    batch.stress[1:] = torch.nan
    loss, regularization = PotentialLoss(1.0, 1.0, 1e3), Regularization(readout=ridge)
    solve_linear_readout(
        potential,
        [batch],
        LinearWeights(**loss.weights),
        counts=count_labels([batch]),
        regularization=regularization,
        relative_tolerance=1e-12,
    )
    xi, energies = potential.model.linear_coefficients, potential.atomic_energies.values.clone()
    objective = Objective(potential, loss, lambda: [batch], regularization=regularization)
    before = objective.value()
    ReadoutSolver(objective, 1e-12).solve()
    # The minimum of the loss, found by its own solver: only round-off moves it.
    assert objective.value() == pytest.approx(before, rel=1e-11)
    torch.testing.assert_close(potential.model.linear_coefficients, xi, rtol=1e-6, atol=1e-9)
    torch.testing.assert_close(potential.atomic_energies.values, energies, rtol=1e-9, atol=0)


def test_units_make_every_coefficient_change_the_loss_by_one(potential, batch):
    label(batch, potential)
    batch.forces[:8] = torch.nan
    loss = PotentialLoss(0.0, 1.0, 0.0)
    solve_linear_readout(
        potential, [batch], LinearWeights(**loss.weights), counts=count_labels([batch])
    )
    coefficients = potential.model.readout.coefficients
    for index in (0, 5, 13):
        # Forces have no errors here, so that the loss is the square of the change.
        with torch.no_grad():
            coefficients[index] += 1
        assert float(loss(potential(batch), batch)[0]) == pytest.approx(1.0, rel=1e-6)
        with torch.no_grad():
            coefficients[index] -= 1


def test_without_any_label_there_is_an_error(potential, batch):
    with pytest.raises(ValueError, match="no frame has a label"):
        solve_linear_readout(potential, [batch], LinearWeights(), counts=count_labels([batch]))
