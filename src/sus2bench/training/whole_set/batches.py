"""The training frames as batches of bounded size, made once and kept in memory."""

from collections.abc import Iterator, Sequence
from typing import Any, Protocol

import torch
from torch_geometric.data import Batch, Data

from sus2bench.atoms.frame import collate
from sus2bench.training.distributed import rank, world_size

ATOMS_PER_BATCH = 1024
"""Atoms in a batch, unless a single frame has more."""


class Frames(Protocol):
    """Frames by number: a `FrameDataset`, or a list of frames."""

    def __len__(self) -> int:
        """Number of frames."""

    def __getitem__(self, index: int, /) -> Any:
        """One frame."""


class FrameBlocks:
    """All frames in their order, in batches of about equal size; a call goes through them once.

    In a distributed run each process has its part of the frames, every n-th of n processes.

    Args:
        frames: labelled frames.
        device: where the batches are wanted; they are kept in main memory.
        atoms: in a batch, unless a single frame has more: bounds the memory of an evaluation.
    """

    def __init__(
        self, frames: Frames, device: torch.device | str = "cpu", atoms: int = ATOMS_PER_BATCH
    ) -> None:
        self.device = torch.device(device)
        mine = [frames[index] for index in range(rank(), len(frames), world_size())]
        self._batches = [collate(part) for part in _parts(mine, atoms)]

    def __call__(self) -> Iterator[Batch]:
        """The batches, on the device."""
        for batch in self._batches:
            yield batch.to(str(self.device))


def _parts(frames: Sequence[Data], atoms: int) -> Iterator[list[Data]]:
    part: list[Data] = []
    used = 0
    for frame in frames:
        if part and used + len(frame.pos) > atoms:
            yield part
            part, used = [], 0
        part.append(frame)
        used += len(frame.pos)
    if part:
        yield part
