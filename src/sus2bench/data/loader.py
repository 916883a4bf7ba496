"""Batches of a data set, made in this process or in others."""

from __future__ import annotations

import io
import pickle
from collections.abc import Callable, Iterator, Sequence
from typing import Any

import torch
from torch import Tensor
from torch.utils.data import DataLoader
from torch_geometric.data import Batch

from sus2bench.data.dataset import FrameDataset
from sus2bench.data.samplers import FrameBatchSampler, deal


class FrameLoader(DataLoader[int]):
    """Batches cut from the tensors of a data set, in the order of a sampler.

    The sampler is asked for its order only when the first batch is taken: Lightning makes the
    iterator before it says which epoch begins, and worker processes would have been given the
    batches of another epoch by then.

    Args:
        frames: the data set.
        sampler: says which frames make a batch.
        workers: number of other processes; 0: batches are made here, when they are asked for.
        accumulate: parts of a batch; above 1 a batch is a list of so many batches of like size,
            or as many as it has frames.
    """

    def __init__(
        self, frames: FrameDataset, sampler: FrameBatchSampler, workers: int, accumulate: int = 1
    ) -> None:
        make = frames.batch if accumulate == 1 else _InParts(frames, accumulate)
        super().__init__(
            range(len(frames)),  # type: ignore[arg-type]
            batch_sampler=sampler,
            collate_fn=_Packed(make) if workers else make,
            num_workers=workers,
            # Its own generator: each pass would draw a seed from the global one.
            generator=torch.Generator(),
        )

    def __iter__(self) -> Iterator[Batch | list[Batch]]:  # type: ignore[override]
        for batch in super().__iter__():
            yield pickle.loads(batch) if isinstance(batch, bytes) else batch


class _InParts:
    """Batches as lists of smaller ones."""

    def __init__(self, frames: FrameDataset, parts: int) -> None:
        self._frames, self._sizes, self._parts = frames, frames.num_edges, parts

    def __call__(self, indices: Sequence[int]) -> list[Batch]:
        count = min(self._parts, len(indices))
        dealt = [deal(indices, self._sizes, part, count) for part in range(count)]
        return [self._frames.batch(part) for part in dealt]


class _Packed:
    """Batches as bytes: tensors go from process to process one by one, as an open file each."""

    def __init__(self, batch: Callable[[Sequence[int]], Batch | list[Batch]]) -> None:
        self._batch = batch

    def __call__(self, indices: Sequence[int]) -> bytes:
        packed = io.BytesIO()
        _Pickler(packed, protocol=5).dump(self._batch(indices))
        return packed.getvalue()


class _Pickler(pickle.Pickler):
    def reducer_override(self, obj: Any) -> Any:
        return (torch.from_numpy, (obj.numpy(),)) if isinstance(obj, Tensor) else NotImplemented
