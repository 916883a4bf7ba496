"""Sums of errors by frame: from them follow the errors of any choice of frames, exactly.

An error over a set of frames is no mean of errors of frames. With the sums of squares s_f, of
absolute values a_f, and the numbers n_f of labelled values of each frame, and with frame f taken
w_f times,

    RMSE = sqrt(sum_f w_f s_f / sum_f w_f n_f),      MAE = sum_f w_f a_f / sum_f w_f n_f.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from sus2bench.training.metrics import QUANTITIES

Array = npt.NDArray[np.float64]

METRICS = tuple(
    f"{quantity.name}_{kind}_{quantity.unit}" for quantity in QUANTITIES for kind in ("rmse", "mae")
)
"""Names of the metrics that have intervals, as records call them."""


@dataclass(frozen=True)
class FrameSums:
    """Sums over the labelled values of F frames, or of F blocks of frames.

    The last axis has the quantities: energy per atom, forces, stress, in their units in reports.
    """

    square: Array
    """(F, 3)."""
    absolute: Array
    """(F, 3)."""
    count: Array
    """(F, 3)."""
    labels: str
    """SHA-256 of atoms and labels: equal for predictions of the same frames."""

    def joined(self, block: npt.NDArray[np.int64]) -> FrameSums:
        """Sums over blocks of frames.

        Args:
            block: (F,) the block of each frame, numbered from 0.
        """
        square, absolute, count = (
            _sums(part, block) for part in (self.square, self.absolute, self.count)
        )
        return FrameSums(square, absolute, count, self.labels)

    def errors(self, weights: Array | None = None) -> Array:
        """Errors where each frame counts as often as a weight says; NaN without labels.

        Args:
            weights: (B, F), or (F,); each frame once, if not given.

        Returns:
            (B, 6) or (6,), in the order of `METRICS`.
        """
        counted = np.ones(len(self.count)) if weights is None else weights
        return _errors(counted @ self.square, counted @ self.absolute, counted @ self.count)

    def errors_of_frames(self) -> Array:
        """The errors of each frame by itself (F, 6); NaN for a frame without labels."""
        return _errors(self.square, self.absolute, self.count)


def frame_sums(predictions: Mapping[str, npt.NDArray[Any]]) -> FrameSums:
    """The sums of every frame of a file of predictions.

    Args:
        predictions: as `benchmark.accuracy.load_predictions` reads them; the order of the frames
            is that of their `frame_index`.

    Raises:
        KeyError: an array is missing.
    """
    offsets = np.asarray(predictions["frame_offsets"], dtype=np.int64)
    atoms = np.diff(offsets)
    order = np.argsort(predictions["frame_index"], kind="stable")
    sums = []
    for quantity in QUANTITIES:
        label = "energy" if quantity.name == "energy_per_atom" else quantity.name
        error = np.asarray(predictions[label], dtype=np.float64) - predictions[f"{label}_reference"]
        if label == "energy":
            error = error / atoms
        unlabelled = np.isnan(predictions[f"{label}_reference"])
        # What is not a number where there is a label errs infinitely, as in the metrics.
        error = np.where(np.isnan(error) & ~unlabelled, np.inf, error * quantity.coefficient)
        error[unlabelled] = 0.0
        each = [np.square(error), np.abs(error), ~unlabelled]
        sums.append([_by_frame(values, atoms, label == "forces") for values in each])
    square, absolute, count = (np.stack(part, axis=-1)[order] for part in zip(*sums, strict=True))
    return FrameSums(square, absolute, count, _labels(predictions))


def blocks_of_frames(
    predictions: Mapping[str, npt.NDArray[Any]], length: int
) -> npt.NDArray[np.int64]:
    """Blocks of frames that follow each other and have the same atoms.

    A run of frames with the same elements in the same order is cut into as few blocks of at most
    `length` frames as there can be, their lengths as equal as possible.

    Args:
        predictions: as `benchmark.accuracy.load_predictions` reads them.
        length: frames of a block, at most.

    Returns:
        (F,) the block of each frame in the order of `frame_sums`.

    Raises:
        ValueError: the length is less than 1.
    """
    if length < 1:
        raise ValueError(f"a block has at least 1 frame, not {length}")
    offsets = predictions["frame_offsets"]
    numbers = [
        predictions["atomic_numbers"][offsets[frame] : offsets[frame + 1]].tobytes()
        for frame in np.argsort(predictions["frame_index"], kind="stable")
    ]
    starts = [i for i in range(len(numbers)) if i == 0 or numbers[i] != numbers[i - 1]]
    block: list[npt.NDArray[np.int64]] = []
    used = 0
    for start, end in zip(starts, [*starts[1:], len(numbers)], strict=True):
        parts = -(-(end - start) // length)
        block.append(used + np.arange(end - start) * parts // (end - start))
        used += parts
    return np.concatenate(block)


def _errors(square: Array, absolute: Array, count: Array) -> Array:
    """Errors (..., 6) of sums (..., 3), in the order of `METRICS`."""
    with np.errstate(invalid="ignore", divide="ignore"):
        pairs = np.stack([np.sqrt(square / count), absolute / count], axis=-1)
    return pairs.reshape(*count.shape[:-1], len(METRICS))


def _by_frame(values: npt.NDArray[Any], atoms: npt.NDArray[np.int64], per_atom: bool) -> Array:
    """Sums of values by frame: those of atoms (N, ...), or of frames (F, ...)."""
    flat = values.reshape(len(values), -1).sum(axis=1, dtype=np.float64)
    return _sums(flat, np.repeat(np.arange(len(atoms)), atoms)) if per_atom else flat


def _sums(values: Array, group: npt.NDArray[np.int64]) -> Array:
    total = np.zeros((int(group.max()) + 1, *values.shape[1:]))
    np.add.at(total, group, values)
    return total


def _labels(predictions: Mapping[str, npt.NDArray[Any]]) -> str:
    state = hashlib.sha256()
    order = ("frame_index", "frame_offsets", "atomic_numbers")
    for name in (*order, "energy_reference", "forces_reference", "stress_reference"):
        state.update(np.ascontiguousarray(predictions[name], dtype="<f8").tobytes())
    return state.hexdigest()
