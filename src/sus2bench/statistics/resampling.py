"""Replicates of an error: test frames drawn anew, and training repeated with other seeds.

A test set is a sample of frames, and a few training runs are a sample of what a model becomes.
Every run is tested on the same frames, so that frames and seeds are crossed, not nested: a
replicate draws the frames once for all runs (A. B. Owen, Ann. Appl. Stat. 1, 386 (2007)), with
replacement, whole blocks at a time where frames belong together. With the mean m_b and the standard
deviation s_b over the S runs of a model on these frames, the replicate of the model's error is

    x_b = m_b + s_b / sqrt(S) t_b,        t_b drawn from Student's distribution with S - 1 degrees.

To draw 3 seeds of 3 with replacement instead would make intervals far too short: their variance
is (S - 1) / S of what it should be, and 3 numbers do not know their tails. On infinitely many
frames the percentiles of x_b are the usual t interval over seeds. With one run, x_b = m_b.
"""

from collections.abc import Sequence

import numpy as np

from sus2bench.statistics.frame_sums import METRICS, Array, FrameSums

SAMPLES = 10_000
"""Replicates; the least p value they can show is 2e-4, enough for 5 % after a correction
over 250 pairs."""
_CHUNK = 500


def replicates(
    models: Sequence[Sequence[FrameSums]],
    keys: Sequence[str],
    *,
    samples: int = SAMPLES,
    seed: int = 0,
) -> Array:
    """Replicates of the errors of models that were tested on the same frames.

    Args:
        models: for each model the sums of each of its runs, all with the same F frames or blocks.
        keys: of the models, hexadecimal; what is drawn for a model's seeds depends on its key, so
            that its replicates do not depend on which others stand beside it.
        samples: number of replicates B.
        seed: of the random numbers.

    Returns:
        (B, models, 6), the metrics in the order of `METRICS`.
    """
    frames = len(models[0][0].count)
    drawn = np.random.default_rng([seed, 0, int(models[0][0].labels[:16], 16)])
    found = np.empty((samples, len(models), len(METRICS)))
    chances = [
        student(key, len(runs), samples, seed) for key, runs in zip(keys, models, strict=True)
    ]
    for start in range(0, samples, _CHUNK):
        chunk = slice(start, min(start + _CHUNK, samples))
        size = chunk.stop - start
        weights = drawn.multinomial(frames, np.full(frames, 1 / frames), size).astype(np.float64)
        for number, runs in enumerate(models):
            errors = np.stack([run.errors(weights) for run in runs])
            chance = chances[number][chunk, None]
            found[chunk, number] = errors.mean(0) + standard_error(errors) * chance
    return found


def student(key: str, runs: int, samples: int, seed: int = 0) -> Array:
    """Draws (B,) of Student's distribution for a mean over runs; zeros for one run."""
    if runs < 2:
        return np.zeros(samples)
    return np.random.default_rng([seed, 1, int(key[:16], 16)]).standard_t(runs - 1, samples)


def standard_error(errors: Array) -> Array:
    """Of the mean over the first axis; 0 of a single number."""
    runs = len(errors)
    if runs < 2:
        return np.zeros(errors.shape[1:])
    with np.errstate(invalid="ignore"):  # an infinite error has no spread
        return np.asarray(errors.std(0, ddof=1) / np.sqrt(runs))


def interval(values: Array, confidence: float = 0.95) -> tuple[float, float]:
    """Percentile interval of replicates; an error is never below 0."""
    tail = 50 * (1 - confidence)
    low, high = np.percentile(values, [tail, 100 - tail])
    return float(low), float(high)
