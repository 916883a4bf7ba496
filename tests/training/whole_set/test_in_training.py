"""Optimizers of the whole set within the one module: what is logged, when it ends."""

import csv
from functools import partial
from pathlib import Path

import lightning.pytorch as pl
import pytest
import torch
from known_optimum import displaced, make_labelled, make_optimizer, make_truth
from standin import DataModule, make_frames, make_potential

from sus2bench.atoms.frame import collate
from sus2bench.training.averaging import WeightAverage
from sus2bench.training.budget import Budget
from sus2bench.training.checkpoints import Checkpoints
from sus2bench.training.csv_logger import CSVLogger
from sus2bench.training.fit import fit
from sus2bench.training.freezing import freeze
from sus2bench.training.loss import PotentialLoss
from sus2bench.training.module import PotentialModule
from sus2bench.training.whole_set.batches import FrameBlocks
from sus2bench.training.whole_set.gauss_newton import GaussNewton
from sus2bench.training.whole_set.lbfgs import LBFGS
from sus2bench.training.whole_set.levenberg_marquardt import LevenbergMarquardt
from sus2bench.training.whole_set.linear_solve import LinearSolve
from sus2bench.training.whole_set.objective import Objective
from sus2bench.training.whole_set.variable_projection import ReducedObjective, VariableProjection


def train(
    folder, potential, data, optimizer=LBFGS, *, steps=5, budget=None, resume=None, **settings
):
    module = PotentialModule(potential, PotentialLoss(1.0, 0.1, 10.0), optimizer, **settings)
    result = fit(
        module,
        data,
        budget or Budget(max_steps=steps),
        folder=Path(folder),
        trainer=partial(pl.Trainer, accelerator="cpu", gradient_clip_val=1e-9),
        callbacks=[Checkpoints(), WeightAverage(0.99)],
        loggers=[CSVLogger()],
        resume=resume,
    )
    return module, result


class Known(DataModule):
    """Frames whose labels a SUS2 potential has made."""

    def __init__(self):
        super().__init__(train=2, valid=2)
        self.train = self.valid = make_labelled(make_truth())

    def blocks(self):
        return FrameBlocks(self.train)


@pytest.mark.parametrize("optimizer", [LBFGS, GaussNewton])
def test_the_logged_loss_is_that_of_all_frames_at_the_weights_of_the_step(optimizer, tmp_path):
    data = DataModule(train=9, valid=2)
    module, result = train(tmp_path, make_potential(), data, optimizer)
    with result.history.open() as file:
        rows = [row for row in csv.DictReader(file) if row["train/loss"]]
    assert [int(row["step"]) for row in rows] == [1, 2, 3, 4, 5]
    losses = [float(row["train/loss"]) for row in rows]
    assert losses == sorted(losses, reverse=True)
    # Neither averages nor clipping: the checkpoint has the weights of the last step.
    last = torch.load(result.last_checkpoint, weights_only=True)
    deployed = last["potential"]["state_dict"]
    potential = make_potential().eval()
    potential.load_state_dict(deployed)
    whole, sums = module.loss(potential(collate(data.train)), collate(data.train))
    assert losses[-1] == pytest.approx(float(whole), rel=1e-12)
    forces = float(sums.sums[1] / sums.counts[1])
    assert float(rows[-1]["train/loss_forces"]) == pytest.approx(forces, rel=1e-12)


def test_training_ends_when_it_has_converged_and_a_resume_does_nothing(tmp_path):
    potential = displaced(make_truth(), 0.1)
    _, result = train(tmp_path, potential, Known(), LinearSolve, steps=50)
    assert (result.status, result.steps) == ("stopped_early", 1)
    solved = {k: v.clone() for k, v in potential.state_dict().items()}
    potential = displaced(make_truth(), 0.1)
    _, result = train(tmp_path, potential, Known(), LinearSolve, steps=50, resume="last")
    assert (result.status, result.steps) == ("stopped_early", 1)
    assert all(torch.equal(v, solved[k]) for k, v in potential.state_dict().items())


def test_mini_batches_with_the_readout_solved_now_and_then(tmp_path):
    losses = []
    for every in (None, 2):
        potential, data = displaced(make_truth(), 0.1), Known()
        sgd = partial(torch.optim.SGD, lr=0.0)
        module, _ = train(tmp_path / str(every), potential, data, sgd, steps=4, solve_every=every)
        batch = collate(data.train)
        losses.append(float(module.loss(potential.eval()(batch), batch)[0]))
    assert losses[1] < 0.5 * losses[0]


class Counted(FrameBlocks):
    """Counts how often the frames are gone through."""

    calls = 0

    def __call__(self):
        self.calls += 1
        return super().__call__()


@pytest.mark.parametrize("bent", [True, False])
def test_a_step_of_levenberg_marquardt_counts_each_of_its_passes(bent):
    frames = Counted(make_labelled(make_truth(), 4))
    objective = Objective(displaced(make_truth(), 0.1), PotentialLoss(1.0, 0.1, 10.0), frames)
    optimizer = make_optimizer(LevenbergMarquardt, objective, acceleration=bent)
    assert len(objective.counts) == 3  # labels are counted without an evaluation
    frames.calls = 0
    optimizer.step()
    trials = optimizer.report["evaluations"]
    # The Jacobian; in each trial the readout's, and the value.
    assert frames.calls - trials * bent == 1 + 2 * trials
    # Second derivatives are made of the errors at three places, in one pass.
    assert objective.passes == frames.calls + 2 * trials * bent


@pytest.mark.parametrize("atoms", [4, 1024])
def test_products_count_as_passes_however_frames_are_divided(atoms):
    frames = FrameBlocks(make_frames(4), atoms=atoms)
    objective = Objective(make_potential(), PotentialLoss(), frames)
    optimizer = make_optimizer(GaussNewton, objective, products=6)
    optimizer.step()
    # The gradient, the diagonal, products, and the value of each trial.
    report = optimizer.report
    assert objective.passes == 2 + report["products"] + report["evaluations"]


def test_solves_count_as_passes(tmp_path):
    objective = Objective(displaced(make_truth(), 0.1), PotentialLoss(), Known().blocks())
    ReducedObjective(objective).value_and_gradient()
    assert objective.passes == 2
    for every, extra in ((None, 0), (2, 2)):
        sgd = partial(torch.optim.SGD, lr=1e-6)
        potential = displaced(make_truth(), 0.1)
        _, result = train(
            tmp_path / str(every), potential, Known(), sgd, steps=4, solve_every=every
        )
        # Batches of four, of twelve frames.
        assert result.frames == 4 * 4 + extra * 12


def test_frames_seen_are_those_of_all_passes_and_end_a_run(tmp_path):
    data = Known()
    potential = displaced(make_truth(), 0.1)
    module, result = train(tmp_path, potential, data, LevenbergMarquardt, steps=2)
    with result.history.open() as file:
        trials = sum(float(row["train/evaluations"] or 0) for row in csv.DictReader(file))
    assert result.frames == (2 + 5 * trials) * len(data.train)
    budget = Budget(max_frames=result.frames)
    potential = displaced(make_truth(), 0.1)
    _, same = train(tmp_path / "frames", potential, data, LevenbergMarquardt, budget=budget)
    assert (same.steps, same.ended_by, same.frames) == (2, "max_frames", result.frames)


@pytest.mark.parametrize(
    ("optimizer", "solve_every"), [(LinearSolve, None), (VariableProjection, None), (LBFGS, 2)]
)
def test_a_readout_that_cannot_be_solved_for_is_refused_before_the_first_step(
    optimizer, solve_every
):
    def begin(potential, loss):
        PotentialModule(potential, loss, optimizer, solve_every=solve_every).configure_optimizers()

    begin(make_truth(), PotentialLoss())
    with pytest.raises(ValueError, match="mean squared errors only"):
        begin(make_truth(), PotentialLoss(function="mae"))
    frozen = make_truth()
    freeze(frozen, ["scalar_coefficients"])
    with pytest.raises(ValueError, match="readout of SUS2 is frozen"):
        begin(frozen, PotentialLoss())


def test_a_loss_that_is_not_finite_is_an_error(tmp_path):
    data = DataModule(train=8, valid=2)
    data.train[5].energy = torch.tensor([torch.inf], dtype=torch.float64)
    with pytest.raises(FloatingPointError, match="loss of the training set is inf"):
        train(tmp_path, make_potential(), data)


def test_data_without_the_frames_themselves_are_refused(tmp_path):
    data = DataModule(train=8, valid=2)
    del data.train
    with pytest.raises(ValueError, match="DataModule has no `train`"):
        train(tmp_path, make_potential(), data)
