"""The minimum of Huber's loss in the presence of an outlier, which scipy finds on its own."""

import numpy as np
import pytest
import torch
from known_optimum import displaced, make_labelled, make_optimizer, make_truth
from scipy.optimize import minimize

from sus2bench.atoms.frame import collate
from sus2bench.training.loss import PotentialLoss
from sus2bench.training.whole_set.batches import FrameBlocks
from sus2bench.training.whole_set.gauss_newton import GaussNewton
from sus2bench.training.whole_set.levenberg_marquardt import LevenbergMarquardt
from sus2bench.training.whole_set.objective import Objective

WEIGHTS = np.array([1.0, 0.3, 10.0])
DELTA = {"energy": 0.02, "forces": 0.05, "stress": 2e-3}
OUTLIER = 3.0
"""eV/Å, added to a force component."""


def make_objective():
    """A loss that is convex in what is trained, which is E0 and the readout."""
    truth = make_truth()
    potential, frames = displaced(truth, 0.1), make_labelled(truth, 4)
    for name, parameter in potential.model.named_parameters():
        parameter.requires_grad_(name == "readout.coefficients")
    frames[1].forces[2, 0] += OUTLIER
    loss = PotentialLoss(*WEIGHTS, function="huber", delta=DELTA)
    return Objective(potential, loss, FrameBlocks(frames))


def errors(objective, parameters):
    """Of energies per atom, forces and stresses of all frames, straight from the predictions."""
    objective.set(parameters)
    (frames,) = objective.batches()
    frames = collate(frames.to_data_list())
    found = objective.potential.eval()(frames)
    atoms = torch.diff(frames.ptr)
    parts = (
        (found.energy - frames.energy) / atoms,
        found.forces - frames.forces,
        found.stress - frames.stress,
    )
    return [part.detach().numpy().ravel() for part in parts]


def minimum(objective):
    """The smallest loss, and the errors there: a convex function of errors that are linear."""
    start = objective.get()
    origin = errors(objective, torch.zeros_like(start))
    units = torch.eye(len(start), dtype=start.dtype)
    changed = [errors(objective, unit) for unit in units]
    objective.set(start)
    here = np.concatenate(origin)
    slope = np.stack([np.concatenate(c) - here for c in changed], axis=1)
    weights = np.concatenate(
        [np.full(len(e), w / len(e)) for w, e in zip(WEIGHTS, origin, strict=True)]
    )
    delta = np.concatenate(
        [np.full(len(e), d) for d, e in zip(DELTA.values(), origin, strict=True)]
    )

    def value_and_gradient(x):
        e = here + slope @ x
        far = np.abs(e) > delta
        value = np.where(far, delta * (np.abs(e) - delta / 2), e**2 / 2)
        return weights @ value, slope.T @ (weights * np.clip(e, -delta, delta))

    def hessian(x):
        near = np.abs(here + slope @ x) <= delta
        return (slope.T * (weights * near)) @ slope

    settings = {"jac": True, "hess": hessian, "method": "trust-exact"}
    found = minimize(value_and_gradient, start.numpy(), options={"gtol": 1e-10}, **settings)
    return found.fun, here + slope @ found.x


@pytest.mark.parametrize("kind", [LevenbergMarquardt, GaussNewton])
def test_damped_steps_find_the_minimum_of_hubers_loss_that_scipy_finds(kind):
    objective = make_objective()
    smallest, left = minimum(objective)
    assert np.abs(left).max() > OUTLIER / 2
    optimizer = make_optimizer(kind, objective)
    for _ in range(10):
        optimizer.step()
    # Reweighted least squares converge linearly: what is left here falls by about a third a step.
    assert 0 < optimizer.report["loss"] / smallest - 1 < 1e-3
