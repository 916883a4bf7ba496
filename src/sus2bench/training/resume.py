"""Where a run stands, as a checkpoint says it: between two batches of an epoch."""

import os
from typing import Any

import lightning.pytorch as pl
import torch

from sus2bench.data.samplers import FrameBatchSampler

CHECKPOINT_VERSION = 1
"""Version of what training adds to a Lightning checkpoint under `sus2bench`."""


def read_checkpoint(path: str | os.PathLike[str]) -> dict[str, Any]:
    """Reads a checkpoint of a training run.

    Raises:
        FileNotFoundError: there is none.
        ValueError: the file is no checkpoint of ours, or one of a newer version.
    """
    checkpoint = torch.load(path, map_location="cpu", weights_only=True)
    if not isinstance(checkpoint, dict) or "sus2bench" not in checkpoint:
        raise ValueError(f"{path} is not a checkpoint of a training run of sus2bench")
    version = checkpoint["sus2bench"]["version"]
    if version > CHECKPOINT_VERSION:
        raise ValueError(
            f"{path} has checkpoint version {version}, this installation reads up to "
            f"{CHECKPOINT_VERSION}: upgrade sus2bench"
        )
    return checkpoint


def set_position(loader: Any, position: dict[str, int]) -> None:
    """Makes the next iteration of a loader start at a batch of an epoch.

    Nothing happens to loaders without an epoch-seeded batch sampler (`FrameBatchSampler`).
    """
    sampler = getattr(loader, "batch_sampler", None)
    if sampler is not None and hasattr(sampler, "load_state_dict"):
        sampler.load_state_dict(dict(position))


def next_position(position: dict[str, int], batches: int | float) -> dict[str, int]:
    """The position, with the end of an epoch of `batches` batches as the start of the next one."""
    if position["batch"] < batches:
        return dict(position)
    return {"epoch": position["epoch"] + 1, "batch": 0}


def frames_of_batch(trainer: pl.Trainer, position: dict[str, int], share: int) -> int:
    """Frames of a training batch over all processes, each of which has only its share.

    Args:
        trainer: whose loader the batch is from.
        position: of the batch.
        share: frames of this process; those of others are as many if the loader has no
            `FrameBatchSampler`, which knows.
    """
    if trainer.world_size == 1:
        return share
    sampler = getattr(trainer.train_dataloader, "batch_sampler", None)
    if not isinstance(sampler, FrameBatchSampler):
        return share * trainer.world_size
    return sampler.frames_of(position["epoch"], position["batch"])


def between_batches(loops: dict[str, Any], position: dict[str, int]) -> None:
    """Rewrites the state of Lightning's loops to `position`: the next batch is about to begin.

    Lightning resumes according to the hook in which a checkpoint was written, with cases that skip
    or repeat a step, a validation or the end of an epoch. This leaves it one case: an epoch that
    has begun, of which `position["batch"]` batches are done.
    """
    fit = loops["fit_loop"]
    epoch, batch = position["epoch"], position["batch"]
    for scope in ("total", "current"):
        fit["epoch_progress"][scope].update(
            ready=epoch + 1, started=epoch + 1, processed=epoch, completed=epoch
        )
    batches = fit["epoch_loop.batch_progress"]
    batches["is_last_batch"] = False
    for scope, count in (("total", batches["total"]["processed"]), ("current", batch)):
        batches[scope].update(ready=count, started=count, processed=count, completed=count)
