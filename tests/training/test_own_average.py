"""Optimizers that average weights themselves: what is validated, deployed and resumed."""

import os
import signal
from functools import partial
from pathlib import Path

import lightning.pytorch as pl
import pytest
import torch
from lightning.pytorch.callbacks import Callback
from standin import DataModule, make_potential
from test_resume import assert_equal, assert_same_run

from sus2bench.training.averaging import WeightAverage
from sus2bench.training.budget import Budget
from sus2bench.training.checkpoints import Checkpoints
from sus2bench.training.csv_logger import CSVLogger
from sus2bench.training.fit import fit
from sus2bench.training.loss import PotentialLoss
from sus2bench.training.module import PotentialModule
from sus2bench.training.optional import optional_optimizer


class HalfWay(torch.optim.SGD):
    """Evaluates at the middle of the weights and where they began, back and forth by lerp."""

    def __init__(self, params, lr=1e-2):
        super().__init__(params, lr=lr)
        for group in self.param_groups:
            group["train_mode"] = False
            for p in group["params"]:
                self.state[p]["start"] = p.detach().clone()

    def _move(self, mode, weight):
        for group in self.param_groups:
            if group["train_mode"] is not mode:
                group["train_mode"] = mode
                for p in group["params"]:
                    p.data.lerp_(self.state[p]["start"], weight)

    def eval(self):
        self._move(False, 0.5)

    def train(self):
        # The first call finds the weights where they began.
        self._move(True, -1.0)

    def step(self, closure=None):
        assert all(group["train_mode"] for group in self.param_groups)
        return super().step(closure)


class Interrupt(Callback):
    def __init__(self, step):
        self.step = step

    def on_train_batch_end(self, trainer, *args, **kwargs):
        if trainer.global_step == self.step:
            os.kill(os.getpid(), signal.SIGTERM)


class Validated(Callback):
    """Weights of the last validation, and those after the step before it."""

    def on_train_batch_end(self, trainer, pl_module, *args, **kwargs):
        self.trained = {k: v.detach().clone() for k, v in pl_module.potential.named_parameters()}

    def on_validation_batch_start(self, trainer, pl_module, *args, **kwargs):
        self.seen = {k: v.detach().clone() for k, v in pl_module.potential.named_parameters()}


def train(folder, optimizer, *, every=4, extra=(), resume=None):
    module = PotentialModule(make_potential(), PotentialLoss(1.0, 0.1, 10.0), optimizer)
    result = fit(
        module,
        DataModule(),
        Budget(max_steps=12),
        folder=Path(folder),
        trainer=partial(pl.Trainer, accelerator="cpu", gradient_clip_val=1.0),
        callbacks=[*extra, Checkpoints(every_steps=every), WeightAverage(0.9)],
        loggers=[CSVLogger()],
        resume=resume,
    )
    return module, result


@pytest.fixture(params=["stand-in", "schedule-free"])
def optimizer(request):
    if request.param == "stand-in":
        return HalfWay
    pytest.importorskip("schedulefree")
    name = "schedulefree.AdamWScheduleFree"
    return partial(optional_optimizer, target=name, lr=1e-2, foreach=False)


def test_the_average_is_validated_and_deployed(tmp_path, optimizer):
    watch = Validated()
    module, result = train(tmp_path, optimizer, extra=[watch])
    last = torch.load(result.last_checkpoint, weights_only=True)
    for name, seen in watch.seen.items():
        # The run ends with a validation.
        assert torch.equal(last["potential"]["state_dict"][name], seen), name
        assert torch.equal(last["state_dict"][f"potential.{name}"], watch.trained[name])
    differ = [not torch.equal(seen, watch.trained[name]) for name, seen in watch.seen.items()]
    assert any(differ)
    best = torch.load(result.best_checkpoint, weights_only=True)["potential"]["state_dict"]
    assert_equal(dict(module.potential.state_dict()), best)


def test_checkpoints_do_not_change_the_course_of_a_run(tmp_path, optimizer):
    ends = []
    for every in (1, 12):
        train(tmp_path / str(every), optimizer, every=every)
        last = tmp_path / str(every) / "checkpoints/last.ckpt"
        ends.append(torch.load(last, weights_only=True)["state_dict"])
    assert_equal(dict(ends[0]), dict(ends[1]))


@pytest.mark.parametrize("step", [3, 6, 7])
def test_resumed_to_the_bit(tmp_path, optimizer, step):
    train(tmp_path / "once", optimizer)
    train(tmp_path / "cut", optimizer, extra=[Interrupt(step)])
    _, result = train(tmp_path / "cut", optimizer, resume="last")
    assert result.status == "completed"
    assert_same_run(tmp_path / "cut", tmp_path / "once")


def test_soap_is_resumed_to_the_bit(tmp_path):
    pytest.importorskip("pytorch_optimizer")
    soap = partial(optional_optimizer, target="pytorch_optimizer.SOAP", lr=1e-2)
    train(tmp_path / "once", soap)
    train(tmp_path / "cut", soap, extra=[Interrupt(5)])
    train(tmp_path / "cut", soap, resume="last")
    assert_same_run(tmp_path / "cut", tmp_path / "once")
