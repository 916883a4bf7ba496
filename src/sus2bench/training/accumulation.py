"""Gradients of a batch that is computed in parts, one after the other.

    dL/dp = sum_parts dL_part/dp

holds because each part's loss is divided by the labels of the whole batch (`count_labels`). Only
the graph of one part is in memory at a time. Processes add up their gradients with the last part.
"""

from contextlib import AbstractContextManager, nullcontext

import lightning.pytorch as pl
import torch
from lightning.pytorch.strategies import ParallelStrategy
from torch import Tensor


def add_gradient(trainer: pl.Trainer, loss: Tensor) -> Tensor:
    """Adds the gradient of a part's loss to what there is, on this process alone.

    Args:
        trainer: that is within a training step.
        loss: of a part that is not the last one of its batch. Nobody may keep it: the graph lives
            as long.

    Returns:
        The loss without its graph.
    """
    strategy = trainer.strategy
    alone: AbstractContextManager[None] = nullcontext()
    if isinstance(strategy, ParallelStrategy):
        alone = strategy.block_backward_sync()
    # The last part is differentiated by the trainer, which has left its mixed precision by then.
    with alone, torch.autocast(loss.device.type, enabled=False):
        strategy.backward(loss, None)
    return loss.detach()
