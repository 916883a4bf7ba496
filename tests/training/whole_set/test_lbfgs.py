"""L-BFGS finds known optima, and goes on after an interruption as if there had been none."""

import io

import pytest
import torch
from known_optimum import make_optimizer, make_problem, make_truth
from standin import make_frames, make_potential

from sus2bench.training.loss import PotentialLoss
from sus2bench.training.whole_set.batches import FrameBlocks
from sus2bench.training.whole_set.lbfgs import LBFGS, units_of_curvature
from sus2bench.training.whole_set.linear_solve import LinearSolve
from sus2bench.training.whole_set.objective import Objective
from sus2bench.training.whole_set.optimizer import WholeSetOptimizer
from sus2bench.training.whole_set.variable_projection import VariableProjection


class Quadratic(Objective):
    """1 + x.A x / 2 of the parameters of the stand-in, in place of a loss."""

    def __init__(self, condition=1e4):
        frames = FrameBlocks(make_frames(2))
        super().__init__(make_potential(), PotentialLoss(), frames)
        size = len(self.get())
        generator = torch.Generator().manual_seed(5)
        basis = torch.linalg.qr(torch.randn(size, size, generator=generator).double()).Q
        self.matrix = (
            basis * torch.logspace(0, -torch.log10(torch.tensor(condition)), size) @ basis.T
        )
        self.evaluations = 0

    def value_and_gradient(self):
        self.evaluations += 1
        slope = self.matrix @ self.get()
        return float(1 + 0.5 * self.get() @ slope), slope


@pytest.mark.parametrize("units", ["one", "curvature"])
def test_the_minimum_of_a_quadratic_function_is_exact(units):
    objective = Quadratic()
    optimizer = make_optimizer(LBFGS, objective, units=units, history=100, tolerance=1e-12)
    while not optimizer.converged:
        optimizer.step()
        assert objective.evaluations < 2000
    # Differences of the loss of 1e-16 are rounding: x is known to the root of that, times that of
    # the condition, 1e-6, and a line search needs some more.
    assert float(objective.get().abs().max()) < 1e-4
    assert optimizer.report["loss"] == pytest.approx(1, abs=1e-12)


def test_units_make_blocks_of_like_curvature():
    class Diagonal(Quadratic):
        def __init__(self):
            super().__init__()
            values = [torch.full((n,), 10.0**i) for i, n in enumerate(self.sizes)]
            self.matrix = torch.diag(torch.cat(values).double())

    objective = Diagonal()
    start = objective.get()
    units = units_of_curvature(objective, start, objective.value_and_gradient()[1])
    # A diagonal quadratic function has no other curvature: only rounding of the difference.
    torch.testing.assert_close(
        units**2 * objective.matrix.diag(), torch.ones_like(units), rtol=1e-6, atol=0
    )


@pytest.mark.slow
@pytest.mark.parametrize("kind", [LBFGS, VariableProjection])
def test_a_potential_is_found_again_from_the_labels_it_has_made(kind):
    objective = make_problem()
    optimizer = make_optimizer(kind, objective)
    start = objective.value()
    # The nonlinear block is soft: it takes L-BFGS some 70 steps, and 25 without the readout.
    for _ in range(120):
        optimizer.step()
        if optimizer.report["loss"] < 1e-6 * start:
            break
    assert optimizer.report["loss"] < 1e-6 * start
    assert objective.value() == pytest.approx(optimizer.report["loss"], rel=1e-9)


def through_a_file(state):
    file = io.BytesIO()
    torch.save(state, file)
    file.seek(0)
    return torch.load(file, weights_only=True)


@pytest.mark.parametrize("kind", [LBFGS, VariableProjection])
@pytest.mark.parametrize("cut", [1, 4])
def test_a_resumed_run_is_the_same_to_the_bit(kind, cut):
    once = make_problem()
    optimizer = make_optimizer(kind, once, history=3)
    for _ in range(7):
        optimizer.step()
    first = make_problem()
    optimizer = make_optimizer(kind, first, history=3)
    for _ in range(cut):
        optimizer.step()
    state = through_a_file([optimizer.state_dict(), first.potential.state_dict()])
    again = make_problem(amount=0.5)
    again.potential.load_state_dict(state[1])
    optimizer = make_optimizer(kind, again, history=3)
    optimizer.load_state_dict(state[0])
    for _ in range(7 - cut):
        optimizer.step()
    assert torch.equal(again.get(), once.get())


def test_every_step_lowers_the_loss_and_reports_it():
    objective = make_problem(amount=0.1)
    optimizer = make_optimizer(LBFGS, objective)
    losses = [objective.value()]
    for _ in range(10):
        losses.append(optimizer.step())
        assert optimizer.report["loss"] == losses[-1]
        assert optimizer.report["evaluations"] >= 1
        assert set(optimizer.report) >= {"loss_energy", "loss_forces", "loss_stress"}
    assert all(after < before for before, after in zip(losses, losses[1:], strict=False))


def test_parameters_that_were_changed_from_outside_begin_anew():
    objective = make_problem()
    optimizer = make_optimizer(LBFGS, objective)
    for _ in range(3):
        optimizer.step()
    objective.set(objective.get() * 1.1)
    before = objective.value()
    assert optimizer.step() < before


def test_a_perfect_fit_has_converged():
    objective = make_problem(amount=0.0)
    optimizer = make_optimizer(LBFGS, objective)
    before = objective.get()
    for _ in range(20):
        optimizer.step()
        if optimizer.converged:
            break
    assert optimizer.converged
    # Labels are the truth's, so that errors are rounding alone.
    torch.testing.assert_close(objective.get(), before, rtol=1e-8, atol=1e-8)


def test_it_turns_back_from_where_the_loss_is_not_finite():
    class Walled(Quadratic):
        def value_and_gradient(self):
            loss, slope = super().value_and_gradient()
            inside = float(self.get().abs().max()) < 3.2
            return (loss, slope) if inside else (float("nan"), slope * float("nan"))

    objective = Walled()
    optimizer = make_optimizer(LBFGS, objective)
    losses = [optimizer.step() for _ in range(30)]
    assert all(torch.isfinite(torch.tensor(losses)))
    assert losses[-1] < 1.001 < losses[0]


def test_single_precision_stops_at_its_rounding():
    objective = make_problem(amount=0.1)
    objective.potential.float()
    optimizer = make_optimizer(LBFGS, objective)
    before = objective.value()
    for _ in range(15):
        optimizer.step()
    assert optimizer.report["loss"] < 0.1 * before
    assert objective.potential.dtype == torch.float32


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"history": 0}, "history is a number of pairs"),
        ({"units": "meters"}, "units are"),
        ({"tolerance": 1.0}, "tolerance is a relative decrease"),
    ],
)
def test_settings_out_of_range_are_refused(settings, message):
    with pytest.raises(ValueError, match=message):
        LBFGS(make_truth().parameters(), **settings)


@pytest.mark.parametrize("kind", [LBFGS, VariableProjection, LinearSolve])
def test_a_step_without_objective_is_an_error(kind):
    potential = make_truth()
    optimizer: WholeSetOptimizer = kind(potential.parameters())
    with pytest.raises(ValueError, match="needs its `objective`"):
        optimizer.step()
    optimizer.objective = make_problem()
    with pytest.raises(ValueError, match="not the same"):
        optimizer.step()
