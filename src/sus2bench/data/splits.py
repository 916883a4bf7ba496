"""Splits by seed and fraction, and the hash by which a split is known."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence

import numpy as np
import numpy.typing as npt

from sus2bench.data.dataset import FrameDataset


def random_order(count: int, seed: int) -> npt.NDArray[np.int64]:
    """A permutation of ``count`` frames that depends on the seed alone."""
    return np.random.default_rng([seed, count]).permutation(count)


def split_by_fraction(
    count: int, fractions: Sequence[float], seed: int
) -> list[npt.NDArray[np.int64]]:
    """Divides frames at random into parts and the rest.

    Args:
        count: number of frames.
        fractions: of each part but the last, which gets the rest; each part that is asked for
            gets at least one frame.
        seed: of the permutation.

    Returns:
        Sorted positions for each fraction and for the rest.

    Raises:
        ValueError: a fraction is outside [0, 1), or nothing is left for the rest.
    """
    if any(not 0 <= fraction < 1 for fraction in fractions):
        raise ValueError(f"fractions must be at least 0 and below 1, not {list(fractions)}")
    sizes = [max(1, round(fraction * count)) if fraction else 0 for fraction in fractions]
    if sum(sizes) >= count:
        raise ValueError(f"fractions {list(fractions)} of {count} frames leave none for the rest")
    parts = np.split(random_order(count, seed), np.cumsum(sizes))
    return [np.sort(part) for part in parts]


def random_subset(count: int, fraction: float, seed: int) -> npt.NDArray[np.int64]:
    """Sorted positions of a random part; with one seed, smaller parts lie within larger ones.

    Raises:
        ValueError: the fraction is not in (0, 1].
    """
    if not 0 < fraction <= 1:
        raise ValueError(f"a fraction of the frames must be in (0, 1], not {fraction}")
    return np.sort(random_order(count, seed)[: max(1, round(fraction * count))])


def split_hash(parts: Mapping[str, FrameDataset]) -> str:
    """A SHA-256 of which frames are in which part, to the bit, whatever their order."""
    state = hashlib.sha256()
    for name in sorted(parts):
        state.update(f"{name}:".encode())
        for digest in sorted(parts[name].digests()):
            state.update(digest.encode())
    return state.hexdigest()
