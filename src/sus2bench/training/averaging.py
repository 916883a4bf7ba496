"""Exponential moving average of the weights, for validation, test and the deployed potential.

    average <- average + (1 - d_n) (weights - average),   d_n = min(d, (1 + n) / (10 + n))

after update n = 1, 2, ... The growing decay lets short runs forget their initial weights. Only
parameters that are trained are averaged; everything else has one value. Training never sees the
averages: they are swapped in for a validation by exchanging storages, and swapped back after it.
"""

from typing import Any

import lightning.pytorch as pl
import torch
from lightning.pytorch.callbacks import Callback
from torch import Tensor
from torch.optim.swa_utils import get_ema_multi_avg_fn

from sus2bench.training.module import PotentialModule


class WeightAverage(Callback):
    """Keeps the moving average of the weights of a `PotentialModule`; see the top of the file.

    Args:
        decay: d in the formula, per optimizer step.

    Raises:
        ValueError: a decay outside [0, 1).
    """

    def __init__(self, decay: float = 0.999) -> None:
        if not 0 <= decay < 1:
            raise ValueError(f"the decay of the weight average must lie in [0, 1), not {decay}")
        self.decay = decay
        self.updates = 0
        self._averages: dict[str, Tensor] = {}
        self._groups: list[tuple[list[Tensor], list[torch.nn.Parameter]]] = []
        self._swapped = False

    def setup(self, trainer: pl.Trainer, pl_module: pl.LightningModule, stage: str) -> None:
        """Forgets the averages of an earlier fit."""
        if stage == "fit":
            self._averages, self._groups, self.updates, self._swapped = {}, [], 0, False

    def on_train_start(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """Starts from the present weights, or from the averages of the checkpoint."""
        parameters = dict(_trained(pl_module))
        for name, parameter in parameters.items():
            start = self._averages.get(name, parameter.detach())
            self._averages[name] = start.to(parameter.device, parameter.dtype).clone()
        by_dtype: dict[torch.dtype, tuple[list[Tensor], list[torch.nn.Parameter]]] = {}
        for name, parameter in parameters.items():
            averages, current = by_dtype.setdefault(parameter.dtype, ([], []))
            averages.append(self._averages[name])
            current.append(parameter)
        self._groups = list(by_dtype.values())
        if isinstance(pl_module, PotentialModule):
            pl_module.deployed_parameters = self._averages

    def on_train_batch_end(
        self, trainer: pl.Trainer, pl_module: pl.LightningModule, *args: Any, **kwargs: Any
    ) -> None:
        """Moves the averages towards the weights after an optimizer step."""
        self.updates += 1
        decay = min(self.decay, (1 + self.updates) / (10 + self.updates))
        update = get_ema_multi_avg_fn(decay)
        for averages, parameters in self._groups:
            update(averages, parameters, self.updates)

    def on_validation_epoch_start(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """Puts the averages into the model."""
        if self._groups:
            self._swap()

    def on_validation_end(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """Takes the averages out of the model, which the module has done with by then."""
        if self._swapped:
            self._swap()

    def on_exception(
        self, trainer: pl.Trainer, pl_module: pl.LightningModule, exception: BaseException
    ) -> None:
        """Leaves the trained weights in the model when a validation fails."""
        if self._swapped:
            self._swap()

    def state_dict(self) -> dict[str, Any]:
        """Number of updates and averages; refused while they are in the model."""
        if self._swapped:
            raise RuntimeError("a checkpoint cannot be written while a validation is running")
        return {"updates": self.updates, "averages": dict(self._averages)}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Restores what `state_dict` returned."""
        self.updates = state_dict["updates"]
        self._averages = dict(state_dict["averages"])

    def _swap(self) -> None:
        for averages, parameters in self._groups:
            for average, parameter in zip(averages, parameters, strict=True):
                parameter.data, average.data = average.data, parameter.data
        self._swapped = not self._swapped


def _trained(module: pl.LightningModule) -> list[tuple[str, torch.nn.Parameter]]:
    potential = module.potential
    assert isinstance(potential, torch.nn.Module)
    return [(name, p) for name, p in potential.named_parameters() if p.requires_grad]
