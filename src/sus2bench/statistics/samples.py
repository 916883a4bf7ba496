"""What is known of the errors of each model on a split: means over runs, and replicates of them."""

from __future__ import annotations

import logging
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from sus2bench.benchmark.accuracy import Arrays, readable_predictions
from sus2bench.benchmark.records import Record
from sus2bench.statistics.frame_sums import (
    METRICS,
    Array,
    FrameSums,
    blocks_of_frames,
    frame_sums,
)
from sus2bench.statistics.models import ModelRuns, models_of
from sus2bench.statistics.resampling import SAMPLES, replicates, standard_error, student

logger = logging.getLogger(__name__)

FRAMES_AND_SEEDS, FRAMES, SEEDS, NONE = "frames and seeds", "frames", "seeds", "none"
"""What an interval covers. `frames`: of a model that was trained once."""

_AGREEMENT = 1e-6
"""Relative difference between metrics of a record and of its predictions that rounding explains."""

Blocks = int | Mapping[str, int]


@dataclass(frozen=True)
class Sample:
    """A model on a split."""

    model: ModelRuns
    errors: Array
    """(R, 6) of each of its R runs, as their records say; NaN where one has none."""
    sums: tuple[FrameSums, ...] | None
    """Of each run, by blocks; None where there are no predictions."""
    frames: int | None
    values: Array
    """(B, 6) replicates of the mean over runs; the mean itself where nothing is drawn."""

    @property
    def mean(self) -> Array:
        """(6,) over the runs."""
        return np.asarray(self.errors.mean(0))

    @property
    def method(self) -> str:
        """What the replicates draw."""
        several = len(self.errors) > 1
        if self.sums is None:
            return SEEDS if several else NONE
        return FRAMES_AND_SEEDS if several else FRAMES


def samples_of(
    found: Iterable[tuple[Path, Record]],
    split: str,
    *,
    blocks: Blocks | None = None,
    samples: int = SAMPLES,
    seed: int = 0,
) -> dict[str, list[Sample]]:
    """The models on a split by data set.

    Models whose predictions are of the same frames get the same frames drawn in each replicate.

    Args:
        found: records with their files; predictions are looked for beside them.
        split: for example `test`.
        blocks: frames that follow each other and are drawn together, for all data sets or by data
            set; where none is given, `data.frames_per_block` of the records, else 1.
        samples: number of replicates.
        seed: of the random numbers.
    """
    known: dict[str, list[Sample]] = defaultdict(list)
    for model in models_of(found):
        runs = tuple(run for run in model.runs if run[1]["metrics"].get(split))
        if runs:
            model = ModelRuns(model.data, model.label, model.key, runs)
            known[model.data].append(_point(model, split, _block_length(model, blocks)))
    return {data: _resampled(points, samples, seed) for data, points in known.items()}


def _block_length(model: ModelRuns, blocks: Blocks | None) -> int:
    declared = model.runs[0][1]["config"].get("data", {}).get("frames_per_block") or 1
    if blocks is None or (isinstance(blocks, Mapping) and model.data not in blocks):
        return int(declared)
    return blocks[model.data] if isinstance(blocks, Mapping) else blocks


def _point(model: ModelRuns, split: str, block: int) -> Sample:
    tables = [record["metrics"][split] for _, record in model.runs]
    errors = np.array([[table.get(name) for name in METRICS] for table in tables], dtype=np.float64)
    sums = _sums_of_runs(model, split, errors, block)
    if sums is None:
        return Sample(model, errors, None, None, errors[:0])
    frames, joined = sums
    return Sample(model, errors, joined, frames, errors[:0])


def _sums_of_runs(
    model: ModelRuns, split: str, errors: Array, block: int
) -> tuple[int, tuple[FrameSums, ...]] | None:
    """Number of frames and sums of each run; None where predictions of a run are not to be had."""
    files = [path.parent / f"predictions_{split}.npz" for path, _ in model.runs]
    if not all(file.is_file() for file in files):
        return None
    read = [found for file in files if (found := readable_predictions(file)) is not None]
    if len(read) < len(files):
        return None
    sums = [frame_sums(predictions) for predictions in read]
    for file, one, expected in zip(files, sums, errors, strict=True):
        if not _agree(one.errors(), expected):
            logger.warning("%s does not have the errors of its record: left out", file)
            return None
    if len({one.labels for one in sums}) > 1:
        logger.warning("the runs of %s are not of the same frames: left out", model.label)
        return None
    return len(sums[0].count), _joined(sums, read[0], block)


def _joined(sums: Sequence[FrameSums], read: Arrays, block: int) -> tuple[FrameSums, ...]:
    if block == 1:
        return tuple(sums)
    place = blocks_of_frames(read, block)
    return tuple(one.joined(place) for one in sums)


def _agree(errors: Array, expected: Array) -> bool:
    """Whether predictions have the errors of a record, where either has any."""
    finite = np.isfinite(expected)
    same = np.isclose(errors[finite], expected[finite], rtol=_AGREEMENT, atol=0)
    return bool(same.all() and not np.isfinite(errors[~finite]).any())


def _resampled(points: Sequence[Sample], samples: int, seed: int) -> list[Sample]:
    """The samples with their replicates."""
    drawn: dict[str, Array] = {}
    alike: dict[tuple[str, int], list[Sample]] = defaultdict(list)
    for point in points:
        key, runs = point.model.key, len(point.errors)
        chance = student(key, runs, samples, seed)[:, None]
        drawn[key] = point.mean + standard_error(point.errors) * chance
        if point.sums is not None:
            alike[point.sums[0].labels, len(point.sums[0].count)].append(point)
    for group in alike.values():
        keys = [point.model.key for point in group]
        sums = [point.sums for point in group if point.sums is not None]
        values = replicates(sums, keys, samples=samples, seed=seed)
        drawn |= {key: values[:, number] for number, key in enumerate(keys)}
    return [
        Sample(point.model, point.errors, point.sums, point.frames, drawn[point.model.key])
        for point in points
    ]
