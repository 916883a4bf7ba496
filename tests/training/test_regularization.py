"""Terms beside the errors: values, residuals and gradients, in steps and in the exact solve."""

import csv
from functools import partial

import lightning.pytorch as pl
import numpy as np
import pytest
import torch
from standin import DataModule, make_frames, make_module, make_potential
from torch.func import functional_call

from sus2bench.atoms.frame import collate
from sus2bench.models.frozen import FrozenRadial
from sus2bench.models.mtp import MTP
from sus2bench.models.potential import Potential
from sus2bench.models.sus2 import SUS2
from sus2bench.models.zbl import ZBL
from sus2bench.testing import perturb
from sus2bench.training.budget import Budget
from sus2bench.training.csv_logger import CSVLogger
from sus2bench.training.fit import fit
from sus2bench.training.linear_readout import LinearWeights, solve_linear_readout
from sus2bench.training.loss import PotentialLoss, count_labels
from sus2bench.training.regularization import Regularization

SPECIES = ["Ni", "Cu"]
MODELS = {
    "SUS2": lambda: SUS2(SPECIES, 3.6, channels=1, radial_basis_size=4),
    "MTP": lambda: MTP(SPECIES, 3.6, level=6, radial_basis_size=4),
}
TERMS = {
    "readout": {"readout": 0.3},
    "smoothness": {"smoothness": 0.02},
    "variance": {"atomic_energies": 0.5},
    "prior": {"atomic_energies": 0.5, "prior": {"Cu": -3.0}},
    "all": {"readout": 0.3, "smoothness": 0.02, "atomic_energies": 0.5, "prior": {"Ni": -1.0}},
}


def potential_of(name="SUS2", dtype=torch.float64, **settings):
    return perturb(Potential(MODELS[name](), **settings)).to(dtype)


@pytest.mark.parametrize("model", MODELS)
@pytest.mark.parametrize("name", TERMS)
@pytest.mark.parametrize("dtype", [torch.float64, torch.float32])
def test_the_value_is_the_sum_of_squares_of_the_residuals(model, name, dtype):
    regularization = Regularization(**TERMS[name])
    potential = potential_of(model, dtype)
    value, residuals = regularization(potential), regularization.residuals(potential)
    assert value.dtype == residuals.dtype == torch.float64
    assert value.shape == ()
    assert float(value) > 0
    assert float(value) == pytest.approx(float((residuals**2).sum()), rel=1e-14)


@pytest.mark.parametrize("model", MODELS)
@pytest.mark.parametrize("name", TERMS)
def test_gradients_are_those_of_finite_differences(model, name):
    regularization, potential = Regularization(**TERMS[name]), potential_of(model)
    names = [name for name, _ in potential.named_parameters()]
    values = [p.detach().clone().requires_grad_() for p in potential.parameters()]

    class Call(torch.nn.Module):
        def __init__(self):
            super().__init__()
            self.potential = potential

        def forward(self):
            return regularization.residuals(self.potential)

    def residuals(*parameters):
        state = {f"potential.{n}": p for n, p in zip(names, parameters, strict=True)}
        return functional_call(Call(), state, ())

    assert torch.autograd.gradcheck(residuals, values, atol=1e-8)


def test_smoothness_is_the_mean_square_of_the_second_derivative_by_the_angle():
    potential = potential_of()
    series = potential.model.radial.coefficients.detach().numpy()
    angle = (np.arange(4096) + 0.5) * np.pi / 4096
    orders = np.arange(series.shape[1])
    second = -(series * orders**2) @ np.cos(np.outer(orders, angle))
    expected = 0.02 * np.mean(second**2)
    assert float(Regularization(smoothness=0.02)(potential)) == pytest.approx(expected, rel=1e-12)


def test_readout_is_the_mean_square_of_what_is_trained():
    potential = potential_of()
    readout = potential.model.readout
    readout.units.fill_(1e-3)
    expected = 0.3 * float(readout.coefficients.square().mean())
    assert float(Regularization(readout=0.3)(potential)) == pytest.approx(expected, rel=1e-14)


def test_atomic_energies_are_those_of_isolated_atoms():
    potential = potential_of(atomic_energies={"Ni": -1.0, "Cu": -2.0}, energy_scale=2.0)
    energies = potential.atomic_energies.values + 2.0 * potential.model.species_weight
    ni, cu = energies.tolist()
    for prior, expected in (
        (None, ((ni - cu) / 2) ** 2),
        ({"Cu": -3.0}, (cu + 3.0) ** 2 / 2),
        ({"Ni": -1.0, "Cu": -3.0}, ((ni + 1.0) ** 2 + (cu + 3.0) ** 2) / 2),
    ):
        value = Regularization(atomic_energies=0.5, prior=prior)(potential)
        assert float(value) == pytest.approx(0.5 * expected, rel=1e-13)


def test_without_weights_there_is_nothing():
    regularization, potential = Regularization(), potential_of()
    assert regularization.is_zero
    assert float(regularization(potential)) == 0.0
    assert regularization.residuals(potential).shape == (0,)


@pytest.mark.parametrize("term", ["readout", "smoothness"])
def test_models_without_such_parameters_are_refused(term):
    with pytest.raises(ValueError, match=f"regularization.{term} is for SUS2 and MTP, and PairSum"):
        Regularization(**{term: 1.0})(make_potential())


@pytest.mark.parametrize("weight", [-1.0, float("nan"), float("inf")])
def test_weights_that_are_none_are_refused(weight):
    with pytest.raises(ValueError, match="regularization.smoothness is a weight"):
        Regularization(smoothness=weight)


def test_a_prior_of_other_elements_is_refused():
    with pytest.raises(ValueError, match=r"prior names \['Xe'\]"):
        Regularization(atomic_energies=1.0, prior={"Xe": 1.0})(potential_of())


class _Losses(pl.Callback):
    """Losses of training steps, and what they should be: those of the batch and the potential."""

    def __init__(self):
        self.found, self.expected = [], []

    def on_train_batch_start(self, trainer, module, batch, batch_idx):
        plain, _ = module.loss(module(batch), batch)
        self.expected.append(float(plain) + float(module.regularization(module.potential)))

    def on_train_batch_end(self, trainer, module, outputs, batch, batch_idx):
        self.found.append(float(outputs["loss"]))


def test_the_module_adds_it_to_the_loss_of_a_batch_and_logs_it_apart(tmp_path):
    regularization = Regularization(**TERMS["all"])
    module = make_module(potential=potential_of(), regularization=regularization)
    losses = _Losses()
    start = float(regularization(module.potential))
    result = fit(
        module,
        DataModule(train=8, valid=2),
        Budget(max_steps=4),
        folder=tmp_path,
        trainer=partial(pl.Trainer, accelerator="cpu"),
        callbacks=[losses],
        loggers=[CSVLogger()],
    )
    assert losses.found == pytest.approx(losses.expected, rel=1e-12)
    with result.history.open() as file:
        logged = [row["train/regularization"] for row in csv.DictReader(file)]
    values = [float(value) for value in logged if value]
    assert len(values) == 2
    assert values[-1] == pytest.approx(float(regularization(module.potential)), rel=1e-9)
    assert values[-1] != pytest.approx(start, rel=1e-9)


def zero_slope(potential, batch, weights, regularization):
    """Slope of the loss by readout and E0 at the solution, by that at half of it."""
    loss = PotentialLoss(**weights)
    parameters = [potential.model.readout.coefficients, potential.atomic_energies.values]

    def slope():
        total = loss(potential.train()(batch), batch)[0] + regularization(potential)
        return torch.cat(torch.autograd.grad(total, parameters))

    at_solution = slope().norm()
    with torch.no_grad():
        parameters[0].mul_(0.5)
    return float(at_solution / slope().norm())


SOLVED = {
    "nothing": {},
    "weak ridge": {"readout": 1e-2},
    "ridge": {"readout": 10.0},
    **{name: TERMS[name] for name in ("variance", "prior", "all")},
}


@pytest.mark.parametrize("terms", SOLVED)
def test_the_exact_solve_minimizes_the_regularized_loss(terms):
    potential, batch = potential_of(), collate(make_frames(12))
    weights = {"energy": 1.0, "forces": 0.5, "stress": 10.0}
    regularization = Regularization(**SOLVED[terms])
    # The second solve starts from the first one's coefficients and must stay there.
    for _ in range(2):
        solve_linear_readout(
            potential,
            [batch],
            LinearWeights(**weights),
            counts=count_labels([batch]),
            regularization=regularization,
            relative_tolerance=1e-14,
        )
    assert zero_slope(potential, batch, weights, regularization) < 1e-8


def test_frozen_radial_functions_have_a_ridge_too():
    batch, norms = collate(make_frames(12)), []
    for weight in (0.0, 1.0):
        inner = {"_target_": "sus2bench.models.mtp.MTP", "level": 6, "radial_basis_size": 4}
        potential = Potential(FrozenRadial(SPECIES, 3.6, model=inner)).double()
        ridge = Regularization(readout=weight, smoothness=weight)
        solve_linear_readout(
            potential,
            [batch],
            LinearWeights(),
            counts=count_labels([batch]),
            regularization=ridge,
        )
        norms.append(float(potential.model.model.readout.coefficients.norm()))
    assert norms[1] < norms[0]


def test_a_larger_ridge_makes_smaller_coefficients():
    batch, norms = collate(make_frames(12)), []
    for weight in (0.0, 1e-2, 1.0):
        potential = potential_of()
        ridge = Regularization(readout=weight)
        solve_linear_readout(
            potential,
            [batch],
            LinearWeights(),
            counts=count_labels([batch]),
            regularization=ridge,
        )
        norms.append(float(potential.model.readout.coefficients.norm()))
    assert norms[0] > norms[1] > norms[2]


def without_repulsion(batch, repulsive):
    """Labels less the repulsion of the potential."""
    bare = batch.clone()
    plain = Potential(repulsive.model, repulsive.atomic_energies.as_dict()).double()
    with torch.no_grad():
        full, rest = repulsive.eval()(batch), plain.eval()(batch)
    bare.energy = batch.energy - (full.energy - rest.energy)
    bare.forces = batch.forces - (full.forces - rest.forces)
    bare.stress = batch.stress - (full.stress - rest.stress)
    return bare, plain


def test_with_repulsion_the_solve_fits_what_it_leaves_of_the_labels():
    batch = collate(make_frames(12))
    repulsive = perturb(Potential(MODELS["SUS2"](), zbl=ZBL(SPECIES)).double())
    state = {name: value.clone() for name, value in repulsive.model.state_dict().items()}
    energies = repulsive.atomic_energies.values.detach().clone()
    bare, plain = without_repulsion(batch, repulsive)
    found = []
    for potential, labelled in ((repulsive, batch), (plain, bare)):
        potential.model.load_state_dict(state)
        potential.atomic_energies.values.data.copy_(energies)
        solve_linear_readout(
            potential, [labelled], LinearWeights(1.0, 1.0, 1.0), counts=count_labels([labelled])
        )
        found.append((potential.model.linear_coefficients, potential.atomic_energies.values))
    for first, second in zip(*found, strict=True):
        torch.testing.assert_close(first, second, rtol=1e-8, atol=1e-8)


def test_with_repulsion_gradients_are_those_of_labels_without_it():
    batch = collate(make_frames(6))
    repulsive = perturb(Potential(MODELS["SUS2"](), zbl=ZBL(SPECIES)).double())
    bare, plain = without_repulsion(batch, repulsive)
    loss = PotentialLoss(1.0, 0.1, 10.0)
    slopes = []
    for potential, labelled in ((repulsive, batch), (plain, bare)):
        total, _ = loss(potential.train()(labelled), labelled)
        slopes.append(torch.autograd.grad(total, list(potential.model.parameters())))
    for first, second in zip(*slopes, strict=True):
        torch.testing.assert_close(first, second, rtol=1e-10, atol=1e-12)
