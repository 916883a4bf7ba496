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
from sus2bench.data.samplers import FrameBatchSampler


class FrameLoader(DataLoader[int]):
    """Batches cut from the tensors of a data set, in the order of a sampler.

    The sampler is asked for its order only when the first batch is taken: Lightning makes the
    iterator before it says which epoch begins, and worker processes would have been given the
    batches of another epoch by then.

    Args:
        frames: the data set.
        sampler: says which frames make a batch.
        workers: number of other processes; 0: batches are made here, when they are asked for.
    """

    def __init__(self, frames: FrameDataset, sampler: FrameBatchSampler, workers: int) -> None:
        super().__init__(
            range(len(frames)),  # type: ignore[arg-type]
            batch_sampler=sampler,
            collate_fn=_Packed(frames.batch) if workers else frames.batch,
            num_workers=workers,
            # Its own generator: each pass would draw a seed from the global one.
            generator=torch.Generator(),
        )

    def __iter__(self) -> Iterator[Batch]:  # type: ignore[override]
        for batch in super().__iter__():
            yield pickle.loads(batch) if isinstance(batch, bytes) else batch


class _Packed:
    """Batches as bytes: tensors go from process to process one by one, as an open file each."""

    def __init__(self, batch: Callable[[Sequence[int]], Batch]) -> None:
        self._batch = batch

    def __call__(self, indices: Sequence[int]) -> bytes:
        packed = io.BytesIO()
        _Pickler(packed, protocol=5).dump(self._batch(indices))
        return packed.getvalue()


class _Pickler(pickle.Pickler):
    def reducer_override(self, obj: Any) -> Any:
        return (torch.from_numpy, (obj.numpy(),)) if isinstance(obj, Tensor) else NotImplemented
