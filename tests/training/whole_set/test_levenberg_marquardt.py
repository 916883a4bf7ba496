"""Levenberg-Marquardt finds known optima; its matrix is that of the loss."""

import io

import pytest
import torch
from known_optimum import make_labelled, make_optimizer, make_problem, make_truth
from standin import make_frames, make_potential

from sus2bench.models.sus2 import SUS2
from sus2bench.training.loss import PotentialLoss
from sus2bench.training.regularization import Regularization
from sus2bench.training.whole_set.batches import FrameBlocks
from sus2bench.training.whole_set.damped import PATIENCE
from sus2bench.training.whole_set.levenberg_marquardt import DenseModel, LevenbergMarquardt
from sus2bench.training.whole_set.normal_equations import normal_equations
from sus2bench.training.whole_set.objective import Objective

LOSSES = {
    "mse": {},
    "huber": {
        "function": "huber",
        "delta": {"energy": 0.01, "forces": 0.02, "stress": 1e-4},
    },
    "mae": {"function": "mae"},
}


@pytest.mark.parametrize("function", LOSSES)
def test_value_and_gradient_are_those_of_the_objective(function):
    frames = make_labelled(make_truth(), 4)
    frames[0].energy[:] = torch.nan
    frames[1].forces[2:] = torch.nan
    frames[2].stress[:] = torch.nan
    loss = PotentialLoss(1.0, 1.0, 100.0, **LOSSES[function])
    objective = make_problem(loss=loss, frames=frames)
    value, gradient = objective.value_and_gradient()
    found = normal_equations(objective)
    bound = 1e-11 * float(gradient.abs().max())
    torch.testing.assert_close(found.gradient, gradient, rtol=0, atol=bound)
    assert found.loss == pytest.approx(value, rel=1e-13)


@pytest.mark.parametrize("weights", [(1.0, 0.0, 0.0), (1.0, 0.0, 100.0)])
def test_terms_without_weight_are_left_out(weights):
    objective = make_problem(loss=PotentialLoss(*weights), frames=make_labelled(make_truth(), 2))
    value, gradient = objective.value_and_gradient()
    found = normal_equations(objective)
    bound = 1e-11 * float(gradient.abs().max())
    torch.testing.assert_close(found.gradient, gradient, rtol=0, atol=bound)
    assert found.loss == pytest.approx(value, rel=1e-13)


def test_a_loss_that_is_not_finite_ends_it():
    frames = make_labelled(make_truth(), 2)
    frames[0].energy[:] = torch.inf
    objective = make_problem(frames=frames)
    before = objective.get()
    optimizer = make_optimizer(LevenbergMarquardt, objective)
    assert optimizer.step() == torch.inf
    assert optimizer.converged
    assert torch.equal(objective.get(), before)


@pytest.mark.parametrize("place", [(0, 0), (0, 1)])
@pytest.mark.parametrize("value", [torch.inf, torch.nan])
def test_a_matrix_that_is_not_finite_is_an_error(place, value):
    found = normal_equations(make_problem(frames=make_labelled(make_truth(), 2)))
    found.matrix[place] = value
    with pytest.raises(FloatingPointError, match="matrix of the training set is not finite"):
        DenseModel(found).step(1e-3)


def test_the_readout_alone_has_its_part_of_the_matrix():
    objective = make_problem()
    whole, part = normal_equations(objective), normal_equations(objective, readout=True)
    chosen = part.parameters
    assert len(chosen) == 14 + 2  # xi and E0
    torch.testing.assert_close(part.matrix, whole.matrix[chosen][:, chosen], rtol=1e-12, atol=1e-12)
    torch.testing.assert_close(part.gradient, whole.gradient[chosen], rtol=1e-12, atol=1e-12)


def test_matrix_predicts_the_change_of_the_gradient_where_the_errors_vanish():
    objective = make_problem(amount=0.0)
    start, matrix = objective.get(), normal_equations(objective).matrix
    generator = torch.Generator().manual_seed(4)
    direction = torch.randn(start.shape, generator=generator, dtype=torch.float64)
    step = 1e-6 * direction * start.abs().clamp(min=0.1)
    objective.set(start + step)
    ahead = objective.value_and_gradient()[1]
    objective.set(start - step)
    change = (ahead - objective.value_and_gradient()[1]) / 2
    # Third derivatives are left out by the central difference, rounding is 1e-16 / 1e-6.
    bound = 1e-7 * float((matrix @ step).abs().max())
    torch.testing.assert_close(matrix @ step, change, rtol=0, atol=bound)


@pytest.mark.parametrize("function", LOSSES)
def test_curvature_is_that_of_the_errors_along_a_step(function):
    objective = make_problem(loss=PotentialLoss(1.0, 1.0, 100.0, **LOSSES[function]))
    start = objective.get()
    generator = torch.Generator().manual_seed(5)
    # Small enough that fourth derivatives, which a central difference leaves in, do not matter.
    step, probe = (
        size * start.abs().clamp(min=0.1) * torch.randn(start.shape, generator=generator).double()
        for size in (1e-3, 1e-6)
    )
    found = objective.curvature(start, step)
    assert torch.equal(objective.get(), start)

    def weights_and_errors(place):
        objective.set(place)
        frames = [f for batch in objective.batches() for f in objective.weighted_errors(batch)[0]]
        return tuple(torch.cat(parts) for parts in zip(*frames, strict=True))

    weights, here = weights_and_errors(start)
    second = sum(weights_and_errors(start + sign * step)[1] for sign in (1, -1)) - 2 * here
    more, less = (weights_and_errors(start + sign * probe)[1] for sign in (1, -1))
    expected = float((weights * second * (more - less) / 2).sum())
    assert float(found @ probe) == pytest.approx(expected, rel=2e-3)


def test_bent_steps_get_farther_than_straight_ones():
    losses = []
    for acceleration in (True, False):
        objective = make_problem(amount=0.2)
        optimizer = make_optimizer(LevenbergMarquardt, objective, acceleration=acceleration)
        for _ in range(6):
            optimizer.step()
        losses.append(objective.value())
        assert ("acceleration" in optimizer.report) == acceleration
    assert losses[0] < 0.5 * losses[1]


def test_an_acceleration_of_many_times_the_step_is_left_out():
    equations = normal_equations(make_problem())
    straight = DenseModel(equations).step(1e-3).values
    for factor, bent in ((1e-3, True), (1e9, False), (float("nan"), False)):
        model = DenseModel(equations, lambda step, factor=factor: factor * equations.gradient)
        assert torch.equal(model.step(1e-3).values, straight) != bent


def test_regularization_is_part_of_matrix_and_gradient():
    objective = make_problem()
    plain = normal_equations(objective)
    objective.regularization = Regularization(readout=0.3, smoothness=0.2, atomic_energies=0.1)
    found = normal_equations(objective)
    gradient = objective.value_and_gradient()[1]
    torch.testing.assert_close(found.gradient, gradient, rtol=1e-9, atol=1e-10)
    added = found.matrix - plain.matrix
    assert float(torch.linalg.eigvalsh(added).min()) > -1e-10
    assert float(added.diagonal().max()) > 0


def test_held_energies_of_isolated_atoms_have_the_gradient_of_the_objective():
    whole = make_problem(amount=0.1)
    whole.potential.hold_isolated_atoms({"Al": -2.0, "Ni": -4.0})
    objective = Objective(whole.potential, whole.loss, whole.batches)
    gradient = objective.value_and_gradient()[1]
    found = normal_equations(objective).gradient
    torch.testing.assert_close(found, gradient, rtol=1e-9, atol=1e-11 * float(gradient.abs().max()))


@pytest.mark.parametrize("parametrization", ["pair", "element_ordered", "element_symmetric"])
def test_parameters_of_elements_have_the_gradient_of_the_objective(parametrization):
    objective = make_problem()
    potential = objective.potential
    model = SUS2(
        ["Al", "Ni"], potential.cutoff, channels=1, parametrization=parametrization
    ).double()
    model.readout.coefficients.data = torch.linspace(-1, 1, 14, dtype=torch.float64)
    potential.model = model
    objective = Objective(potential, objective.loss, objective.batches)
    gradient = objective.value_and_gradient()[1]
    found = normal_equations(objective).gradient
    torch.testing.assert_close(found, gradient, rtol=1e-9, atol=1e-12 * float(gradient.abs().max()))


@pytest.mark.parametrize("solve_readout", [True, False])
def test_a_potential_is_found_again_from_the_labels_it_has_made(solve_readout):
    objective = make_problem(frames=make_labelled(make_truth(), 6))
    optimizer = make_optimizer(LevenbergMarquardt, objective, solve_readout=solve_readout)
    start = objective.value()
    for _ in range(12):
        optimizer.step()
    # A residual of zero is reached but for the flat directions of the model.
    assert optimizer.report["loss"] < 1e-8 * start


def test_the_loss_never_rises_and_frozen_parameters_stay():
    objective = make_problem(amount=0.3, frames=make_labelled(make_truth(), 4))
    frozen = objective.potential.model.radial.r0
    frozen.requires_grad_(False)
    before = frozen.detach().clone()
    objective = Objective(objective.potential, objective.loss, objective.batches)
    optimizer = make_optimizer(LevenbergMarquardt, objective)
    losses = [objective.value()]
    for _ in range(6):
        optimizer.step()
        losses.append(optimizer.report["loss"])
    assert losses == sorted(losses, reverse=True)
    assert torch.equal(frozen, before)


def test_at_the_optimum_it_has_converged():
    objective = make_problem(amount=0.0, frames=make_labelled(make_truth(), 2))
    optimizer = make_optimizer(LevenbergMarquardt, objective)
    for _ in range(PATIENCE):
        optimizer.step()
    assert optimizer.converged


def test_an_interrupted_run_goes_on_as_if_it_had_not_been():
    frames = make_labelled(make_truth(), 3)
    whole, cut = make_problem(frames=frames), make_problem(frames=frames)
    undisturbed = make_optimizer(LevenbergMarquardt, whole)
    for _ in range(5):
        undisturbed.step()
    first = make_optimizer(LevenbergMarquardt, cut)
    for _ in range(2):
        first.step()
    file = io.BytesIO()
    torch.save(first.state_dict(), file)
    file.seek(0)
    second = make_optimizer(LevenbergMarquardt, cut)
    second.load_state_dict(torch.load(file, weights_only=True))
    for _ in range(3):
        second.step()
    assert torch.equal(whole.get(), cut.get())


def test_a_model_without_a_jacobian_is_refused():
    objective = Objective(make_potential(), PotentialLoss(), FrameBlocks(make_frames(2)))
    with pytest.raises(ValueError, match="PairSum gives no Jacobian"):
        make_optimizer(LevenbergMarquardt, objective).step()


@pytest.mark.parametrize("settings", [{"damping": 0.0}, {"tolerance": 1.0}])
def test_settings_out_of_range_are_refused(settings):
    with pytest.raises(ValueError, match=next(iter(settings))):
        make_optimizer(LevenbergMarquardt, make_problem(), **settings)
