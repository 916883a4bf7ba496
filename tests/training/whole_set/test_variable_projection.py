"""The linear readout at its optimum, and the objective with the readout eliminated."""

import copy

import pytest
import torch
from known_optimum import make_labelled, make_optimizer, make_problem, make_truth
from standin import make_frames, make_potential

from sus2bench.training.loss import PotentialLoss
from sus2bench.training.regularization import Regularization
from sus2bench.training.whole_set.batches import FrameBlocks
from sus2bench.training.whole_set.linear_solve import LinearSolve, ReadoutSolver
from sus2bench.training.whole_set.objective import Objective
from sus2bench.training.whole_set.variable_projection import ReducedObjective, VariableProjection


def unevenly_labelled():
    """Frames of which some lack an energy, forces or a stress, so that counts differ."""
    frames = make_labelled(make_truth())
    for index, frame in enumerate(frames):
        for number, label in enumerate((frame.energy, frame.forces, frame.stress)):
            if index % 4 == number:
                label.fill_(torch.nan)
    return frames


REGULARIZATION = {
    "regularized": Regularization(readout=0.03, smoothness=0.02, atomic_energies=0.1),
    "about a prior": Regularization(atomic_energies=0.1, prior={"Ni": -4.0}),
}


@pytest.fixture(params=["all labels", "some labels", *REGULARIZATION])
def objective(request):
    frames = None
    if request.param == "some labels":
        frames = unevenly_labelled()
    elif request.param in REGULARIZATION:
        frames = make_labelled(make_truth(), 4)
    objective = make_problem(amount=0.1, frames=frames)
    objective.regularization = REGULARIZATION.get(request.param)
    return objective


def smoothness_of(objective):
    return objective.regularization.weights["smoothness"]


def readout(objective):
    """Which of the variables the readout is."""
    potential = objective.potential
    linear = [potential.atomic_energies.values, potential.model.readout.coefficients]
    parts = [torch.full((p.numel(),), any(p is x for x in linear)) for p in objective.parameters]
    return torch.cat(parts)


def test_the_gradient_by_the_readout_vanishes_after_the_solve(objective):
    before, slope = objective.value_and_gradient()
    report = ReadoutSolver(objective).solve()
    after, gradient = objective.value_and_gradient()
    linear = readout(objective)
    assert after < 0.9 * before
    # What is left is the rounding of a least-squares solution.
    assert float(gradient[linear].abs().max()) < 1e-9 * float(slope[linear].abs().max())
    # The residual is that of the same loss, but for what the readout has no part in.
    if objective.regularization is not None:
        after -= float(Regularization(smoothness=smoothness_of(objective))(objective.potential))
    assert report.residual**2 == pytest.approx(after, rel=1e-8)


def test_the_solver_keeps_no_frames_of_its_own(objective):
    assert objective.counts.any()
    solver, batches, passes = ReadoutSolver(objective), objective.batches, []
    objective.batches = lambda: passes.append(solver) or batches()
    solver.solve()
    assert len(passes) == 1


def test_the_solve_finds_a_readout_as_good_as_that_of_the_truth():
    objective = make_problem(amount=0.0)
    objective.set(torch.where(readout(objective), 0.0, objective.get()))
    optimizer = make_optimizer(LinearSolve, objective)
    # Labels and predictions are the same functions: the residual is rounding.
    assert optimizer.step() < 1e-18
    assert optimizer.converged


def test_what_is_frozen_stays():
    objective = make_problem(amount=0.1)
    values = objective.potential.atomic_energies.values
    values.requires_grad_(False)
    frozen = values.clone()
    smaller = Objective(objective.potential, objective.loss, objective.batches)
    before = smaller.value()
    ReadoutSolver(smaller).solve()
    assert torch.equal(values, frozen)
    assert smaller.value() < before


def test_the_energies_of_isolated_atoms_stay_where_they_are_held():
    potential = make_problem(amount=0.1).potential
    held = {symbol: -1.0 - index for index, symbol in enumerate(potential.species)}
    potential.hold_isolated_atoms(held)
    objective = make_problem(amount=0.1)
    objective = Objective(potential, objective.loss, objective.batches)
    before = objective.value()
    report = ReadoutSolver(objective).solve()
    assert report.columns == len(potential.model.linear_coefficients)
    assert objective.value() < before
    # A sum of two numbers of that size.
    assert potential.isolated_energies().tolist() == pytest.approx(list(held.values()), abs=1e-12)


def test_the_reduced_gradient_is_the_slope_of_the_reduced_value(objective):
    reduced = ReducedObjective(objective)
    start = reduced.get()
    _, gradient = reduced.value_and_gradient()
    generator = torch.Generator().manual_seed(0)
    for _ in range(3):
        direction = torch.randn(len(start), generator=generator).double()
        direction /= direction.norm()
        values = []
        for step in (2e-5, -2e-5):
            reduced.set(start + step * direction)
            values.append(reduced.value())
        # Central differences: their error is of the order of 1e-9 of the third derivative.
        slope = (values[0] - values[1]) / 4e-5
        assert float(gradient @ direction) == pytest.approx(slope, rel=1e-5)


def test_the_reduced_value_does_not_depend_on_the_readout_it_starts_from(objective):
    reduced = ReducedObjective(objective)
    other = copy.deepcopy(reduced)
    everything = other.objective.get()
    other.objective.set(torch.where(readout(objective), everything + 1.0, everything))
    # To the rounding of the solution, in which terms of opposite sign cancel.
    assert reduced.value() == pytest.approx(other.value(), rel=1e-8)


def test_it_needs_fewer_steps_than_all_parameters_together():
    ends = []
    for kind in (VariableProjection, VariableProjection.__base__):
        objective = make_problem(amount=0.1)
        ReadoutSolver(objective).solve()
        optimizer = make_optimizer(kind, objective)
        for _ in range(12):
            optimizer.step()
        ends.append(optimizer.report["loss"])
    assert ends[0] < ends[1]


def test_models_without_readout_and_other_losses_are_refused():
    loss = PotentialLoss(1.0, 1.0, 0.0)
    other = Objective(make_potential(), loss, FrameBlocks(make_frames(2)))
    with pytest.raises(ValueError, match="PairSum has no linear readout"):
        ReadoutSolver(other)
    function = {"energy": "mse", "forces": "mae", "stress": "mae"}
    objective = make_problem(loss=PotentialLoss(1.0, 1.0, 0.0, function=function))
    with pytest.raises(ValueError, match=r"another function for \['forces'\]"):
        ReadoutSolver(objective)
    objective = make_problem()
    objective.potential.model.readout.coefficients.requires_grad_(False)
    with pytest.raises(ValueError, match="frozen"):
        ReadoutSolver(objective)


def test_a_problem_that_is_all_linear_is_refused():
    objective = make_problem()
    model = objective.potential.model
    for parameter in [*model.radial.parameters(), model.species_weight]:
        parameter.requires_grad_(False)
    linear = Objective(objective.potential, objective.loss, objective.batches)
    with pytest.raises(ValueError, match="use the linear solve alone"):
        ReducedObjective(linear)
