"""Trains the stand-in in a folder; the resume tests start it, and kill it."""

import sys
import time
from functools import partial
from pathlib import Path

import lightning.pytorch as pl
from lightning.pytorch.callbacks import Callback
from standin import DataModule, make_module

from sus2bench.training.averaging import WeightAverage
from sus2bench.training.budget import Budget
from sus2bench.training.checkpoints import Checkpoints
from sus2bench.training.control import RunControl
from sus2bench.training.csv_logger import CSVLogger
from sus2bench.training.fit import FitResult, fit
from sus2bench.training.schedules import Constant, Plateau, WarmupCosine

STEPS = 21


SCHEDULES = {
    "cosine": WarmupCosine,
    "plateau": partial(Plateau, patience=0, warmup=0.1),
    "constant": Constant,
}


def train(
    folder,
    *,
    steps=STEPS,
    resume=None,
    schedule="cosine",
    decay=0.9,
    extra=(),
    monitor="valid/loss",
    accumulate=1,
    **trainer,
):
    module = make_module(schedule=SCHEDULES[schedule]())
    average = [] if decay is None else [WeightAverage(decay)]
    result: FitResult = fit(
        module,
        DataModule(accumulate=accumulate),
        Budget(max_steps=steps),
        folder=Path(folder),
        trainer=partial(pl.Trainer, accelerator="cpu", gradient_clip_val=1.0, **trainer),
        callbacks=[*extra, Checkpoints(monitor=monitor, every_steps=4), *average],
        loggers=[CSVLogger()],
        resume=resume,
    )
    return module, result


class WaitForSignal(Callback):
    """Says at which step the run is, and waits for a signal in the middle of an epoch."""

    def on_train_batch_end(self, trainer, *args, **kwargs):
        print(trainer.global_step, flush=True)
        control = next(c for c in trainer.callbacks if isinstance(c, RunControl))
        patience = 600 if trainer.global_step == 10 else 0
        while control.signal_received is None and patience:
            time.sleep(0.1)
            patience -= 1


if __name__ == "__main__":
    print(train(sys.argv[1], extra=[WaitForSignal()])[1].status, flush=True)
