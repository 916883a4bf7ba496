"""Small training runs with chosen loggers, in `runs/NAME` of the working folder."""

import signal
from contextlib import contextmanager
from functools import partial

import pytest
from hydra import compose, initialize_config_dir

from sus2bench.benchmark import run
from sus2bench.cli.configuration import configuration_folder
from sus2bench.models.potential import Potential
from sus2bench.training.module import PotentialModule

SETTINGS = (
    "data=extxyz",
    "data.train_file=alloys.extxyz",
    "data.test_fraction=0.25",
    "data.valid_fraction=0.25",
    "data.batch_size=4",
    "paths.cache=cache",
    "trainer=cpu",
    "budget.max_time=null",
    "budget.max_steps=12",
    "threads=1",
    "speed=false",
    "model.cutoff=4.0",
)
SCHNET = (
    "model=schnet_small",
    "model.features=8",
    "model.interactions=1",
    "optimizer=adamw",
)
PHASES = (
    "training=polish",
    "optimizer@training.phases.polish=lbfgs",
    "~training.phases.linear",
    "dtype=float64",
)


def configuration(name, *overrides, logger="wandb"):
    named = (f"name={name}", "data_name=alloys", f"paths.output=runs/{name}")
    # Without a command line there are no choices of groups to ask for.
    tags = () if logger == "tensorboard" else ("logger.wandb.tags=[one,alloys,null]",)
    with initialize_config_dir(str(configuration_folder()), version_base="1.3"):
        return compose("train", [*named, f"logger={logger}", *SETTINGS, *tags, *overrides])


@contextmanager
def logging_every_step():
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(run, "PotentialModule", partial(PotentialModule, log_every=1))
        yield


@contextmanager
def interrupted_in(step):
    """Has Ctrl-C come in a training step."""
    forward, training = Potential.forward, []

    def interrupting(self, *args, **kwargs):
        training.append(self.training)
        if self.training and sum(training) == step:
            signal.raise_signal(signal.SIGINT)
        return forward(self, *args, **kwargs)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(Potential, "forward", interrupting)
        yield
