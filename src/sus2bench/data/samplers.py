"""Which frames make a batch: a pure function of seed and epoch, divided over ranks, resumable."""

from __future__ import annotations

import logging
from collections.abc import Iterator, Sequence

import numpy as np
import numpy.typing as npt
from torch.utils.data import Sampler

log = logging.getLogger(__name__)

# A batch that is being filled is closed when this many newer ones have been begun.
OPEN_BATCHES = 16
# Room for the number of batches to differ between epochs; see `FrameBatchSampler`.
SLACK = 0.03


class FrameBatchSampler(Sampler[list[int]]):
    """Batches of frame indices, by number of frames or within a budget of atoms or edges.

    The order of an epoch depends on ``seed`` and the epoch alone, not on what was drawn before,
    and every epoch has the same number of batches, each frame once. By number of frames, batches
    differ by at most one frame, so that there is no small last one. By budget, frames in random
    order go into the first batch with room; a frame above the budget goes alone, with a warning.

    Over several ranks the global batches are those of one process, and each is divided. In
    training every rank has at least one frame of each; only where a batch of one process has too
    few for that, batches differ: there are fewer of them, or the largest lends some frames. In
    evaluation a rank without frames leaves the batch out, and every frame is evaluated once in all.

    Args:
        num_atoms: (n,) of each frame.
        num_edges: (n,) of each frame.
        batch_size: frames in a global batch, where no budget is given.
        max_atoms: atoms in a global batch.
        max_edges: edges in a global batch.
        shuffle: random order, for training; else the order of the data set, for evaluation.
        seed: of the order.
        rank: of this process.
        world_size: number of processes.

    Raises:
        ValueError: no frames, no positive size, or fewer frames than every rank needs.
    """

    def __init__(
        self,
        num_atoms: npt.ArrayLike,
        num_edges: npt.ArrayLike,
        *,
        batch_size: int | None = None,
        max_atoms: int | None = None,
        max_edges: int | None = None,
        shuffle: bool = True,
        seed: int = 0,
        rank: int = 0,
        world_size: int = 1,
    ) -> None:
        self.sizes = np.stack([np.asarray(num_atoms), np.asarray(num_edges)], axis=1)
        given = {"batch_size": batch_size, "max_atoms": max_atoms, "max_edges": max_edges}
        if all(value is None for value in given.values()):
            raise ValueError("give one of batch_size, max_atoms and max_edges")
        for name, value in given.items():
            if value is not None and value < 1:
                raise ValueError(f"{name} must be at least 1, not {value}")
        if len(self.sizes) == 0:
            raise ValueError("there are no frames to make batches of")
        if not 0 <= rank < world_size:
            raise ValueError(f"rank {rank} is not one of {world_size}")
        self.by_budget = max_atoms is not None or max_edges is not None
        self.batch_size = batch_size or 1
        self.budget = np.array([max_atoms or np.inf, max_edges or np.inf])
        self.shuffle, self.seed, self.rank, self.world_size = shuffle, seed, rank, world_size
        self.epoch = 0
        self._next = 0
        self._resumed = False
        self._numbers: tuple[int, list[int]] = (-1, [])
        if self.by_budget:
            self._warn_of_large_frames()
        self.count = self._count_batches()
        if shuffle and len(self.sizes) < self.count * world_size:
            raise ValueError(
                f"{len(self.sizes)} frames in {self.count} batches are too few for {world_size} "
                "ranks with a frame each: raise the budget or use fewer processes"
            )

    def __len__(self) -> int:
        """Number of batches of this rank, the same in every epoch."""
        return self.count if self.shuffle else len(self._shares(0))

    def __iter__(self) -> Iterator[list[int]]:
        shares = self._shares(self.epoch)
        first = self._next if self._resumed else 0
        self._resumed = False
        for self._next in range(first + 1, len(shares) + 1):
            yield shares[self._next - 1]

    def set_epoch(self, epoch: int) -> None:
        """Chooses the epoch of the next iteration; a position within another epoch is dropped."""
        if epoch != self.epoch:
            self.epoch, self._next, self._resumed = epoch, 0, False

    def state_dict(self) -> dict[str, int]:
        """The position: ``epoch``, and ``batch``, the number of batches handed out in it."""
        return {"epoch": self.epoch, "batch": self._next}

    def load_state_dict(self, state: dict[str, int]) -> None:
        """Makes the next iteration begin at a position of `state_dict`."""
        self.epoch, self._next, self._resumed = int(state["epoch"]), int(state["batch"]), True

    def global_batches(self, epoch: int) -> list[list[int]]:
        """The batches of an epoch before they are divided over the ranks."""
        frames = len(self.sizes)
        order = np.arange(frames)
        if self.shuffle:
            order = np.random.default_rng([self.seed, epoch]).permutation(frames)
        if not self.by_budget:
            batches = [part.tolist() for part in np.array_split(order, self.count)]
        elif not self.shuffle:
            batches = _fill_in_order(order, self.sizes, self.budget)
        else:
            batches = self._fill(order)
            if len(batches) > self.count:
                batches = self._fill(self._by_size(order))
            _split_largest(batches, self.count)
        if self.shuffle:
            _lend_frames(batches, self.world_size)
        return batches

    def frames_of(self, epoch: int, index: int) -> int:
        """Frames of a batch of an epoch before it is divided over the ranks."""
        if self._numbers[0] != epoch:
            self._numbers = epoch, [len(batch) for batch in self.global_batches(epoch)]
        return self._numbers[1][index]

    def _shares(self, epoch: int) -> list[list[int]]:
        batches = self.global_batches(epoch)
        if self.world_size == 1:
            return batches
        shares = [self._share(batch) for batch in batches]
        return [share for share in shares if share]

    def _share(self, batch: list[int]) -> list[int]:
        """This rank's part, as large as those of others, so that ranks wait little."""
        return deal(batch, self.sizes[:, 1], self.rank, self.world_size)

    def _count_batches(self) -> int:
        frames = np.arange(len(self.sizes))
        if not self.by_budget:
            count = -(-len(frames) // self.batch_size)
            most = max(1, len(frames) // self.world_size)
            if self.shuffle and count > most:
                log.warning(
                    "batches of %d frames leave some of %d ranks without one: taking %d batches "
                    "in an epoch, not %d",
                    self.batch_size, self.world_size, most, count,
                )  # fmt: skip
                count = most
            return count
        if not self.shuffle:
            return len(_fill_in_order(frames, self.sizes, self.budget))
        # Sorted by size, the number of batches is the same in every epoch, but so are the batches.
        # In random order it varies a little: all epochs get room for that, and those that need
        # fewer batches have their largest divided.
        sorted_count = len(self._fill(self._by_size(frames)))
        order = np.random.default_rng([self.seed, 0]).permutation(len(frames))
        random_count = int(np.ceil((1 + SLACK) * len(self._fill(order))))
        return min(max(sorted_count, random_count), len(frames))

    def _by_size(self, order: npt.NDArray[np.int64]) -> npt.NDArray[np.int64]:
        relative = (self.sizes[order] / self.budget).max(axis=1)
        keys = (self.sizes[order, 1], self.sizes[order, 0], relative)
        return order[np.lexsort(keys)[::-1]]

    def _fill(self, order: Sequence[int] | npt.NDArray[np.int64]) -> list[list[int]]:
        """First fit among the newest batches."""
        batches: list[list[int]] = []
        room: list[tuple[float, float]] = []
        max_atoms, max_edges = self.budget.tolist()
        for frame in np.asarray(order).tolist():
            atoms, edges = self.sizes[frame].tolist()
            for place in range(max(0, len(batches) - OPEN_BATCHES), len(batches)):
                if atoms <= room[place][0] and edges <= room[place][1]:
                    batches[place].append(frame)
                    room[place] = (room[place][0] - atoms, room[place][1] - edges)
                    break
            else:
                batches.append([frame])
                room.append((max_atoms - atoms, max_edges - edges))
        return batches

    def _warn_of_large_frames(self) -> None:
        large = np.flatnonzero((self.sizes > self.budget).any(axis=1))
        if len(large):
            atoms, edges = self.sizes[large].max(axis=0)
            log.warning(
                "%d frames with up to %d atoms and %d edges exceed the budget of a batch and go "
                "alone: %s%s",
                len(large), atoms, edges, large[:10].tolist(), " ..." if len(large) > 10 else "",
            )  # fmt: skip


def deal(frames: Sequence[int], sizes: npt.NDArray[np.int64], place: int, places: int) -> list[int]:
    """The frames that one of several places gets, dealt by size, back and forth.

    Args:
        frames: to be dealt.
        sizes: of all frames of the data set.
        place: which of the places.
        places: how many there are; with fewer frames the last ones get none.
    """
    dealt = sorted(frames, key=lambda frame: (-int(sizes[frame]), frame))
    turn = 2 * places
    return dealt[place::turn] + dealt[turn - 1 - place :: turn]


def _fill_in_order(
    order: npt.NDArray[np.int64], sizes: npt.NDArray[np.int64], budget: npt.NDArray[np.float64]
) -> list[list[int]]:
    batches: list[list[int]] = []
    used = budget
    for frame in order.tolist():
        used = used + sizes[frame]
        if not batches or (used > budget).any():
            batches.append([])
            used = sizes[frame]
        batches[-1].append(frame)
    return batches


def _split_largest(batches: list[list[int]], count: int) -> None:
    """Halves the batches of most frames until there are ``count``."""
    while len(batches) < count:
        place = max(range(len(batches)), key=lambda index: len(batches[index]))
        batch = batches[place]
        batches[place : place + 1] = [batch[: len(batch) // 2], batch[len(batch) // 2 :]]


def _lend_frames(batches: list[list[int]], minimum: int) -> None:
    """Gives batches of fewer than ``minimum`` frames some of the largest batch's."""
    for batch in batches:
        while len(batch) < minimum:
            batch.append(max(batches, key=len).pop())
