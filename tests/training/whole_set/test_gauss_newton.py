"""Gauss-Newton without the matrix: its products are those of the matrix, and it finds optima."""

import copy
import io

import pytest
import torch
from known_optimum import CUTOFF, displaced, make_labelled, make_optimizer, make_problem, make_truth
from standin import make_frames, make_potential

from sus2bench.models.mtp import MTP
from sus2bench.models.nep.model import NEP
from sus2bench.models.painn import PaiNN
from sus2bench.models.potential import Potential
from sus2bench.models.schnet import SchNet
from sus2bench.testing import perturb
from sus2bench.training.loss import PotentialLoss
from sus2bench.training.regularization import Regularization
from sus2bench.training.whole_set.batches import FrameBlocks
from sus2bench.training.whole_set.gauss_newton import GaussNewton, KrylovModel
from sus2bench.training.whole_set.normal_equations import normal_equations
from sus2bench.training.whole_set.objective import Objective
from sus2bench.training.whole_set.products import GaussNewtonProducts

HUBER = {"function": "huber", "delta": {"energy": 0.01, "forces": 0.02, "stress": 1e-4}}
SPECIES = ["Al", "Ni"]
MODELS = {
    "MTP": lambda: MTP(SPECIES, CUTOFF, level=6, radial_basis_size=4),
    "NEP": lambda: NEP(SPECIES, CUTOFF, n_max=(2, 2), basis_size=(4, 4), l_max=(2, 0, 0)),
    "SchNet": lambda: SchNet(SPECIES, CUTOFF, features=4, interactions=1, gaussians=6),
    "PaiNN": lambda: PaiNN(SPECIES, CUTOFF, features=4, interactions=1),
}


def sus2_problem(amount=0.1, count=3, atoms=1024, **loss):
    frames = make_labelled(make_truth(), count)
    frames[0].energy[:] = torch.nan
    frames[1].forces[2:] = torch.nan
    potential = displaced(make_truth(), amount)
    return Objective(
        potential, PotentialLoss(1.0, 1.0, 100.0, **loss), FrameBlocks(frames, atoms=atoms)
    )


def dense(objective):
    """The assembled matrix A (P, P) by all parameters."""
    found, size = normal_equations(objective), len(objective.get())
    matrix = torch.zeros(size, size, dtype=torch.float64)
    matrix[found.parameters.unsqueeze(1), found.parameters] = found.matrix
    return matrix


def random_like(vector, seed=0):
    generator = torch.Generator().manual_seed(seed)
    return torch.randn(vector.shape, generator=generator, dtype=torch.float64)


@pytest.mark.parametrize(
    ("backend", "atoms", "settings"),
    [("eager", 1024, {}), ("eager", 8, HUBER), ("cpp", 8, {}), ("cpp", 1024, HUBER)],
    ids=["eager, one block, mse", "eager, blocks, huber", "cpp, blocks", "cpp, one block, huber"],
)
def test_products_are_those_of_the_assembled_matrix(backend, atoms, settings):
    objective = sus2_problem(atoms=atoms, **settings)
    objective.potential.model.backend = backend
    objective.regularization = Regularization(readout=0.3, smoothness=0.2, atomic_energies=0.1)
    matrix, product = dense(objective), GaussNewtonProducts(objective)
    for seed in (0, 1):
        vector = random_like(objective.get(), seed)
        expected = matrix @ vector
        bound = 1e-10 * float(expected.abs().max())
        torch.testing.assert_close(product(vector), expected, rtol=0, atol=bound)


def test_products_hold_the_energies_of_isolated_atoms():
    whole = sus2_problem()
    whole.potential.hold_isolated_atoms({"Al": -2.0, "Ni": -4.0})
    settings = {"regularization": Regularization()}
    objective = Objective(whole.potential.eval(), whole.loss, whole.batches, **settings)
    vector = random_like(objective.get())
    expected = dense(objective) @ vector
    bound = 1e-10 * float(expected.abs().max())
    torch.testing.assert_close(GaussNewtonProducts(objective)(vector), expected, rtol=0, atol=bound)


def test_the_diagonal_is_estimated_without_bias():
    objective = sus2_problem(atoms=8)
    found = GaussNewtonProducts(objective).diagonal(100)
    # The mean of n squares of a normal number has a relative error of (2/n)^1/2, here 14 %.
    torch.testing.assert_close(found, dense(objective).diagonal(), rtol=0.7, atol=1e-12)


@pytest.mark.parametrize("name", MODELS)
def test_a_product_is_the_change_of_the_gradient_where_the_errors_vanish(name):
    truth = perturb(Potential(MODELS[name]())).double()
    objective = Objective(
        truth, PotentialLoss(1.0, 1.0, 100.0), FrameBlocks(make_labelled(truth, 3))
    )
    start, product = objective.get(), GaussNewtonProducts(objective)
    step = 1e-6 * random_like(start) * start.abs().clamp(min=0.1)
    expected = product(step)
    objective.set(start + step)
    ahead = objective.value_and_gradient()[1]
    objective.set(start - step)
    change = (ahead - objective.value_and_gradient()[1]) / 2
    # Third derivatives are left out by the central difference, rounding is 1e-16 / 1e-6.
    bound = 1e-6 * float(expected.abs().max())
    torch.testing.assert_close(expected, change, rtol=0, atol=bound)


def test_a_step_is_that_of_the_damped_equations_for_every_damping():
    generator = torch.Generator().manual_seed(3)
    jacobian = torch.randn(30, 12, generator=generator, dtype=torch.float64)
    matrix = jacobian.t() @ jacobian
    gradient = random_like(matrix[0])
    calls = []

    def product(vector):
        calls.append(vector)
        return matrix @ vector

    limits = {"largest": 12, "forcing": 1e-12}
    model = KrylovModel(product, 1.0, gradient, matrix.diagonal(), **limits)
    for damping in (1e-3, 1e-1, 10.0):
        step = model.step(damping)
        expected = -torch.linalg.solve(matrix + damping * torch.diag(matrix.diagonal()), gradient)
        torch.testing.assert_close(step.values, expected, rtol=1e-8, atol=1e-10)
        change = float(gradient @ expected + 0.5 * expected @ matrix @ expected)
        assert step.change == pytest.approx(change, rel=1e-8)
    assert len(calls) == model.costs["products"] <= 12
    assert not model.step(1.0).values.isnan().any()


@pytest.mark.parametrize("value", [0.0, torch.inf, torch.nan])
def test_without_a_finite_gradient_there_is_no_step(value):
    gradient = torch.full((3,), value, dtype=torch.float64)
    diagonal = torch.zeros_like(gradient)
    model = KrylovModel(lambda v: v, 1.0, gradient, diagonal, largest=2, forcing=0.1)
    assert not model.step(1.0).values.any()


def test_a_potential_is_found_again_from_the_labels_it_has_made():
    objective = make_problem(frames=make_labelled(make_truth(), 4))
    optimizer = make_optimizer(GaussNewton, objective)
    start = objective.value()
    for _ in range(7):
        optimizer.step()
    # A residual of zero is reached but for the flat directions of the model.
    assert optimizer.report["loss"] < 1e-4 * start
    assert optimizer.report["products"] <= optimizer.products


@pytest.mark.parametrize("dtype", [torch.float64, torch.float32])
def test_a_model_without_a_jacobian_is_trained_in_both_precisions(dtype):
    truth = perturb(Potential(MODELS["NEP"]())).double()
    potential = displaced(truth, 0.1).to(dtype)
    frames = FrameBlocks(make_labelled(truth, 3))
    objective = Objective(potential, PotentialLoss(1.0, 1.0, 100.0), frames)
    optimizer = make_optimizer(GaussNewton, objective, products=20)
    losses = [objective.value()]
    for _ in range(6):
        losses.append(optimizer.step())
    assert losses == sorted(losses, reverse=True)
    assert losses[-1] < 0.1 * losses[0]
    assert potential.dtype == dtype


def test_an_interrupted_run_goes_on_as_if_it_had_not_been():
    def problem():
        return Objective(make_potential(), PotentialLoss(), FrameBlocks(make_frames(4)))

    whole, cut = problem(), problem()
    undisturbed = make_optimizer(GaussNewton, whole, products=6)
    for _ in range(4):
        undisturbed.step()
    first = make_optimizer(GaussNewton, cut, products=6)
    for _ in range(2):
        first.step()
    file = io.BytesIO()
    torch.save(first.state_dict(), file)
    file.seek(0)
    second = make_optimizer(GaussNewton, cut, products=6)
    second.load_state_dict(torch.load(file, weights_only=True))
    for _ in range(2):
        second.step()
    assert torch.equal(whole.get(), cut.get())


def test_forces_of_a_models_own_are_refused():
    objective = sus2_problem()
    model = copy.copy(objective.potential.model)
    model.for_tracing = lambda: model
    model.backend = "cpp"
    objective.potential.model = model
    with pytest.raises(ValueError, match="SUS2 makes its forces itself"):
        make_optimizer(GaussNewton, objective).step()


@pytest.mark.parametrize("settings", [{"products": 0}, {"forcing": 1.0}, {"damping": 0.0}])
def test_settings_out_of_range_are_refused(settings):
    with pytest.raises(ValueError, match=next(iter(settings))):
        make_optimizer(GaussNewton, make_problem(), **settings)
