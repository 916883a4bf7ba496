"""Seconds of calls: in turn (A B A B ...), after a warm-up, with the device waited for."""

import time
from collections.abc import Callable, Hashable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any, NamedTuple, TypeVar

import numpy as np
import torch

Key = TypeVar("Key", bound=Hashable)
Clock = Callable[[], float]
Timing = dict[str, Any]
"""`median`, `lower_quartile` and `upper_quartile` in µs/atom, `repeats`, `seconds` of each call."""


class Job(NamedTuple):
    """What is called, with how many threads of torch, and the clock that tells its seconds."""

    call: Callable[[], object]
    threads: int = 1
    clock: Clock = time.perf_counter


@contextmanager
def threads(number: int | None) -> Iterator[None]:
    """Let torch use this many threads inside the context; None changes nothing."""
    before = torch.get_num_threads()
    torch.set_num_threads(number or before)
    try:
        yield
    finally:
        torch.set_num_threads(before)


def in_turn(jobs: Mapping[Key, Job], warm_up: int, repeats: int) -> dict[Key, list[float]]:
    """Seconds of each call that counts, by job.

    Each of them follows one of the same job that does not count: the first after another potential
    pays for the memory and caches that one has left behind, which a series of calls would not.

    Args:
        jobs: in the order in which they take turns.
        warm_up: calls of each before the first turn.
        repeats: turns.
    """
    for job in jobs.values():
        with threads(job.threads):
            for _ in range(warm_up):
                job.call()
    taken: dict[Key, list[float]] = {key: [] for key in jobs}
    for _ in range(repeats):
        for key, job in jobs.items():
            with threads(job.threads):
                job.call()
                taken[key].append(seconds(job.call, job.clock))
    return taken


def seconds(call: Callable[[], object], clock: Clock = time.perf_counter) -> float:
    """What one call takes by a clock, wall time unless another is given."""
    _finish()
    start = clock()
    call()
    _finish()
    return clock() - start


def _finish() -> None:
    """Wait until the device has done what it was asked."""
    if torch.cuda.is_available():
        torch.cuda.synchronize()


def summary(taken: Sequence[float], atoms: int) -> Timing:
    """Median and quartiles in µs/atom of calls on so many atoms, with the seconds themselves."""
    lower, median, upper = np.percentile(np.array(taken) * 1e6 / atoms, [25, 50, 75]).tolist()
    return {
        "median": median,
        "lower_quartile": lower,
        "upper_quartile": upper,
        "repeats": len(taken),
        "seconds": [round(value, 9) for value in taken],  # clocks tell no more
    }
