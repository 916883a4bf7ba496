"""The loss over a whole set: what it is, its gradient, and that batches do not matter."""

import pytest
import torch
from standin import make_frames, make_potential

from sus2bench.atoms.frame import collate
from sus2bench.training.loss import PotentialLoss
from sus2bench.training.regularization import Regularization
from sus2bench.training.whole_set.batches import FrameBlocks
from sus2bench.training.whole_set.objective import Objective

FRAMES = make_frames(11, unlabelled=True)
HUBER = {"function": "huber", "delta": dict.fromkeys(("energy", "forces", "stress"), 0.05)}


def make_objective(atoms=1024, dtype=torch.float64, loss=None, **settings):
    loss = loss or PotentialLoss(1.0, 0.1, 10.0)
    return Objective(make_potential(dtype), loss, FrameBlocks(FRAMES, atoms=atoms), **settings)


@pytest.mark.parametrize("settings", [{}, HUBER], ids=["mse", "huber"])
def test_value_is_the_loss_of_all_frames_in_one_batch_however_they_are_divided(settings):
    loss = PotentialLoss(1.0, 0.1, 10.0, **settings)
    whole, _ = loss(make_potential().eval()(collate(FRAMES)), collate(FRAMES))
    for atoms in (1, 12, 1024):
        objective = make_objective(atoms, loss=loss)
        # Sums of the same terms in another order.
        assert objective.value() == pytest.approx(float(whole), rel=1e-13)
        assert objective.value_and_gradient()[0] == pytest.approx(float(whole), rel=1e-13)


def test_terms_without_weight_are_not_needed():
    objective = make_objective(loss=PotentialLoss(1.0, 0.0, 0.0))
    batch = collate(FRAMES)
    whole, _ = objective.loss(make_potential().eval()(batch, forces=False, stress=False), batch)
    assert objective.value_and_gradient()[0] == pytest.approx(float(whole), rel=1e-13)


@pytest.mark.parametrize("atoms", [1, 1024])
def test_gradient_is_the_slope_of_the_value(atoms):
    objective = make_objective(atoms, regularization=Regularization(atomic_energies=0.3))
    value, gradient = objective.value_and_gradient()
    start = objective.get()
    direction = torch.randn(len(start), generator=torch.Generator().manual_seed(0)).double()
    values = []
    for step in (1e-5, -1e-5):
        objective.set(start + step * direction)
        values.append(objective.value())
    objective.set(start)
    assert objective.value() == pytest.approx(value, rel=1e-14)
    # Central differences: their error is of the order of 1e-10 of the third derivative.
    slope = (values[0] - values[1]) / 2e-5
    assert float(gradient @ direction) == pytest.approx(slope, rel=1e-7)


def test_batches_are_bounded_and_hold_every_frame_once():
    batches = list(FrameBlocks(FRAMES, atoms=8)())
    assert all(batch.num_graphs == 1 or len(batch.pos) <= 8 for batch in batches)
    numbers = torch.cat([batch.frame_index for batch in batches])
    assert numbers.tolist() == list(range(len(FRAMES)))


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_parameters_go_to_a_flat_vector_and_back(dtype):
    objective = make_objective(dtype=dtype)
    before = {name: p.clone() for name, p in objective.potential.named_parameters()}
    values = objective.get()
    assert values.dtype == torch.float64
    objective.set(torch.zeros_like(values))
    objective.set(values)
    for name, parameter in objective.potential.named_parameters():
        assert torch.equal(parameter, before[name]), name


def test_frozen_parameters_are_no_variables():
    objective = make_objective()
    count = len(objective.get())
    potential = objective.potential
    potential.model.element.requires_grad_(False)
    smaller = Objective(potential, objective.loss, objective.batches)
    assert len(smaller.get()) == count - potential.model.element.numel()
    assert len(smaller.value_and_gradient()[1]) == len(smaller.get())
    for parameter in potential.parameters():
        parameter.requires_grad_(False)
    with pytest.raises(ValueError, match="no parameter that is trained"):
        Objective(potential, objective.loss, objective.batches)


def test_means_of_the_terms_make_up_the_value():
    objective = make_objective()
    value = objective.value()
    weights = objective.loss.weights
    sums = sum(weights[term.removeprefix("loss_")] * v for term, v in objective.terms.items())
    assert sums == pytest.approx(value, rel=1e-14)
