"""Trains the stand-in in phases in a folder; the tests of resuming start it, and kill it."""

import sys
import time
from functools import partial
from pathlib import Path

import lightning.pytorch as pl
import torch
from lightning.pytorch.callbacks import Callback
from standin import DataModule, make_potential

from sus2bench.training.averaging import WeightAverage
from sus2bench.training.budget import Budget
from sus2bench.training.checkpoints import Checkpoints
from sus2bench.training.control import RunControl
from sus2bench.training.csv_logger import CSVLogger
from sus2bench.training.fit import FitResult
from sus2bench.training.loss import PotentialLoss
from sus2bench.training.module import PotentialModule
from sus2bench.training.phases import Phase, fit_phases
from sus2bench.training.schedules import WarmupCosine
from sus2bench.training.whole_set.lbfgs import LBFGS

STEPS = 20


def make_phases():
    adamw = partial(torch.optim.AdamW, lr=1e-2)
    return {
        "batches": Phase(adamw, WarmupCosine(), part=0.4),  # 8 steps of 20
        "polish": Phase(partial(LBFGS, history=5), part=0.4, max_steps=7),
        "again": Phase(adamw, WarmupCosine(), part=0.2, average=False),  # the 5 that are left
    }


def train(folder, *, steps=STEPS, phases=None, resume=None, extra=(), loggers=None, **trainer):
    potential, loss = make_potential(), PotentialLoss(1.0, 0.1, 10.0)

    def module(phase):
        return PotentialModule(
            potential,
            loss,
            phase.algorithm,
            phase.schedule,
            log_every=2,
            solve_every=phase.solve_every,
        )

    result: FitResult = fit_phases(
        phases or make_phases(),
        module,
        DataModule(),
        Budget(max_steps=steps),
        folder=Path(folder),
        trainer=partial(pl.Trainer, accelerator="cpu", gradient_clip_val=1.0, **trainer),
        callbacks=lambda: [*extra, Checkpoints(every_steps=3), WeightAverage(0.9)],
        loggers=[CSVLogger()] if loggers is None else loggers,
        resume=resume,
    )
    return potential, result


class WaitForSignal(Callback):
    """Says at which step the run is, and waits for a signal at one of them."""

    def __init__(self, step):
        self.step = step

    def on_train_batch_end(self, trainer, pl_module, *args, **kwargs):
        print(pl_module.step, flush=True)
        control = next(c for c in trainer.callbacks if isinstance(c, RunControl))
        patience = 600 if pl_module.step == self.step else 0
        while control.signal_received is None and patience:
            time.sleep(0.1)
            patience -= 1


if __name__ == "__main__":
    print(train(sys.argv[1], extra=[WaitForSignal(int(sys.argv[2]))])[1].status, flush=True)
