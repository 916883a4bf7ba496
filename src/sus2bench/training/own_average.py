"""Optimizers that average the weights themselves, such as schedule-free ones.

They take gradients at one point, y, and are to be judged at another, the average x:
`optimizer.eval` moves the weights from y to x and `optimizer.train` moves them back (Defazio et
al., NeurIPS 2024).
Moving back rounds, so that the weights of the training are put away and restored instead: neither
validations nor checkpoints may change the course of a run.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import lightning.pytorch as pl
import torch
from lightning.pytorch.callbacks import Callback
from torch import Tensor
from torch.optim import Optimizer

from sus2bench.training.module import PotentialModule


def averages_itself(optimizer: Optimizer) -> bool:
    """Whether an optimizer has other weights for evaluation than for training."""
    return all(callable(getattr(optimizer, mode, None)) for mode in ("train", "eval"))


class OwnAverage(Callback):
    """Validates and deploys the average of an optimizer that keeps one."""

    def __init__(self) -> None:
        self._trained: dict[str, Tensor] | None = None

    def on_train_start(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """Begins at the weights for training."""
        _optimizer(trainer).train()

    def on_validation_epoch_start(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """Puts the average into the model."""
        if trainer.state.fn == "fit":
            self._trained = _weights(pl_module)
            _optimizer(trainer).eval()

    def on_validation_end(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """Takes the average out of the model, which the module has done with by then."""
        if self._trained is not None:
            _restore(trainer, pl_module, self._trained)
            self._trained = None

    def on_save_checkpoint(
        self, trainer: pl.Trainer, pl_module: pl.LightningModule, checkpoint: dict[str, Any]
    ) -> None:
        """Tells the module what to deploy, before it is asked."""
        self._deploy(trainer, pl_module)

    def on_train_end(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """Tells the module what to deploy."""
        self._deploy(trainer, pl_module)

    def _deploy(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        with _average(trainer, pl_module):
            module = pl_module
            assert isinstance(module, PotentialModule)
            module.deployed_parameters = _weights(pl_module)


@contextmanager
def _average(trainer: pl.Trainer, module: pl.LightningModule) -> Iterator[None]:
    trained = _weights(module)
    _optimizer(trainer).eval()
    try:
        yield
    finally:
        _restore(trainer, module, trained)


def _restore(trainer: pl.Trainer, module: pl.LightningModule, weights: dict[str, Tensor]) -> None:
    _optimizer(trainer).train()
    with torch.no_grad():
        for name, parameter in _potential(module).named_parameters():
            if name in weights:
                parameter.copy_(weights[name])


def _weights(module: pl.LightningModule) -> dict[str, Tensor]:
    """Copies of the trained parameters of the potential."""
    named = _potential(module).named_parameters()
    return {name: p.detach().clone() for name, p in named if p.requires_grad}


def _potential(module: pl.LightningModule) -> torch.nn.Module:
    assert isinstance(module, PotentialModule)
    return module.potential


def _optimizer(trainer: pl.Trainer) -> Any:
    return trainer.optimizers[0]
