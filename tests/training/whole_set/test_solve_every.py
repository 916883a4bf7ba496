"""Mini-batches with the readout solved now and then: what is deployed has the exact one."""

import os
import signal
from functools import partial
from pathlib import Path

import lightning.pytorch as pl
import pytest
import torch
from known_optimum import displaced, make_labelled, make_truth
from lightning.pytorch.callbacks import Callback
from standin import DataModule
from test_own_average import HalfWay
from test_resume import assert_same_run

from sus2bench.models.loading import load_potential
from sus2bench.training.averaging import WeightAverage
from sus2bench.training.budget import Budget
from sus2bench.training.checkpoints import Checkpoints
from sus2bench.training.csv_logger import CSVLogger
from sus2bench.training.fit import fit
from sus2bench.training.loss import PotentialLoss
from sus2bench.training.module import PotentialModule
from sus2bench.training.whole_set.batches import FrameBlocks
from sus2bench.training.whole_set.linear_solve import ReadoutSolver
from sus2bench.training.whole_set.objective import Objective

LOSS = PotentialLoss(1.0, 0.1, 10.0)
STEPS = 9
FRAMES = make_labelled(make_truth(), 6)
ADAMW = partial(torch.optim.AdamW, lr=3e-3)


class Known(DataModule):
    """Batches of two of six frames whose labels a SUS2 potential has made: an epoch has three."""

    def __init__(self):
        super().__init__(train=1, valid=1, batch_size=2)
        self.train, self.valid = FRAMES, FRAMES[:2]


class Watch(Callback):
    """Parameters after each step, and those of each validation."""

    def __init__(self):
        self.trained, self.validated = [], {}

    def on_train_batch_end(self, trainer, pl_module, *args, **kwargs):
        self.trained.append(parameters(pl_module.potential))

    def on_validation_batch_start(self, trainer, pl_module, *args, **kwargs):
        self.validated[trainer.global_step] = parameters(pl_module.potential)


class SignalAt(Callback):
    def __init__(self, step):
        self.step = step

    def on_train_batch_end(self, trainer, *args, **kwargs):
        if trainer.global_step == self.step:
            os.kill(os.getpid(), signal.SIGTERM)


def parameters(potential):
    return {name: p.detach().clone() for name, p in potential.named_parameters()}


def train(folder, optimizer=ADAMW, *, every=2, average=True, extra=(), resume=None, budget=None):
    module = PotentialModule(displaced(make_truth(), 0.1), LOSS, optimizer, solve_every=every)
    result = fit(
        module,
        Known(),
        budget or Budget(max_steps=STEPS),
        folder=Path(folder),
        trainer=partial(pl.Trainer, accelerator="cpu"),
        callbacks=[*extra, Checkpoints(every_steps=2), *([WeightAverage(0.9)] if average else [])],
        loggers=[CSVLogger()],
        resume=resume,
    )
    return module, result


@pytest.fixture(scope="module")
def reference(tmp_path_factory):
    """The undisturbed run with an average."""
    folder, watch = tmp_path_factory.mktemp("run"), Watch()
    return folder, watch, *train(folder, extra=[watch])


def gain_of_a_solve(weights):
    """By how much another solve lowers the loss of some weights, as a part of it."""
    potential = make_truth()
    potential.load_state_dict(weights, strict=False)
    objective = Objective(potential, LOSS, FrameBlocks(FRAMES))
    before = objective.value()
    ReadoutSolver(objective).solve()
    return 1 - objective.value() / before


@pytest.mark.parametrize("kind", ["average", "own average", "no average"])
def test_what_is_validated_and_deployed_has_the_exact_readout_of_its_other_parameters(
    tmp_path, kind, reference
):
    watch = Watch()
    if kind == "average":
        _, watch, module, result = reference
    else:
        optimizer = partial(HalfWay, lr=1e-4) if kind == "own average" else ADAMW
        module, result = train(tmp_path, optimizer, average=False, extra=[watch])
    assert [*watch.validated] == [3, 6, 9]
    for weights in watch.validated.values():
        # A second solve finds but the rounding of the first.
        assert abs(gain_of_a_solve(weights)) < 1e-9
    # Without it there would be a gain.
    assert gain_of_a_solve(watch.trained[2]) > 1e-4
    best = load_potential(result.best_checkpoint)
    step = torch.load(result.best_checkpoint, weights_only=True)["global_step"]
    for potential in (module.potential, best):
        for name, values in parameters(potential).items():
            assert torch.equal(values, watch.validated[step][name]), name


def test_callbacks_see_the_solved_readout_after_the_step(reference):
    _, watch, _, _ = reference
    for step, weights in enumerate(watch.trained, start=1):
        assert (abs(gain_of_a_solve(weights)) < 1e-9) == (step % 2 == 0)


def test_neither_validations_nor_averages_change_the_training(tmp_path, reference):
    _, watch, _, _ = reference
    alone = Watch()
    module = PotentialModule(displaced(make_truth(), 0.1), LOSS, ADAMW, solve_every=2)
    fit(
        module,
        Known(),
        Budget(max_steps=STEPS),
        folder=tmp_path,
        trainer=partial(pl.Trainer, accelerator="cpu", limit_val_batches=0),
        callbacks=[alone],
    )
    for one, other in zip(alone.trained, watch.trained, strict=True):
        assert all(torch.equal(one[name], other[name]) for name in one)


# An epoch has three steps: within one, after a solve, and after a validation.
@pytest.mark.parametrize("step", [1, 2, 3, 6])
def test_a_resumed_run_is_the_undisturbed_one(tmp_path, reference, step):
    _, result = train(tmp_path, extra=[SignalAt(step)])
    assert (result.status, result.steps) == ("interrupted", step)
    _, result = train(tmp_path, resume="last")
    assert result.frames == reference[3].frames
    assert_same_run(tmp_path, reference[0])
