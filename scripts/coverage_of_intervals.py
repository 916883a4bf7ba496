"""How often intervals of 95 % hold the truth: experiments made up, each repeated many times.

Errors of a model on frames of unequal hardness, trained with a few seeds whose errors differ by a
given part. Three intervals of the mean over seeds are compared: that of `sus2bench.statistics`, one
that draws seeds with replacement as it does frames, and one that draws frames alone. Run from the
repository:

    python scripts/coverage_of_intervals.py --out results/statistics
"""

from __future__ import annotations

import argparse
from itertools import product
from pathlib import Path

import numpy as np
import pandas as pd

from sus2bench.statistics.frame_sums import Array, FrameSums
from sus2bench.statistics.resampling import interval, replicates

HARDNESS = 0.5  # standard deviation over frames of the logarithm of their errors
COMPONENTS = 30  # of the forces of a frame
SIZES = ((2, 200), (3, 200), (5, 200))  # seeds and frames
SPREADS = (0.03, 0.1, 0.3)  # standard deviation over seeds of the logarithm of their errors


def experiment(generator: np.random.Generator, seeds: int, frames: int, spread: float) -> Array:
    """Mean squared errors (seeds, frames) of one experiment."""
    hardness = np.exp(HARDNESS * generator.normal(size=frames))
    of_seed = np.exp(spread * generator.normal(size=seeds))
    noise = generator.chisquare(COMPONENTS, size=(seeds, frames)) / COMPONENTS
    return np.asarray((of_seed[:, None] * hardness) ** 2 * noise)


def intervals(square: Array, trial: int, samples: int) -> dict[str, tuple[float, float]]:
    """Three intervals of the root mean square, averaged over seeds."""
    key = f"{trial:016x}"
    runs = []
    for one in square:
        columns = np.repeat(one[:, None], 3, axis=1)
        runs.append(FrameSums(columns, np.sqrt(columns), np.ones_like(columns), key))
    ours = replicates([runs], [key], samples=samples)[:, 0, 0]
    generator = np.random.default_rng(trial)
    seeds, frames = square.shape
    weights = generator.multinomial(frames, np.full(frames, 1 / frames), samples)
    errors = np.sqrt(weights @ square.T / frames)
    drawn = np.take_along_axis(errors, generator.integers(0, seeds, errors.shape), axis=1)
    return {
        "ours": interval(ours),
        "seeds with replacement": interval(drawn.mean(1)),
        "frames alone": interval(errors.mean(1)),
    }


def coverage(seeds: int, frames: int, spread: float, trials: int, samples: int) -> dict[str, float]:
    """Part of the experiments whose intervals hold the truth."""
    generator = np.random.default_rng(0)
    truth = np.exp(spread**2 / 2 + HARDNESS**2)  # the mean of e^x over normal x, twice
    held: dict[str, int] = {}
    for trial in range(trials):
        square = experiment(generator, seeds, frames, spread)
        for name, (low, high) in intervals(square, trial, samples).items():
            held[name] = held.get(name, 0) + (low <= truth <= high)
    return {name: count / trials for name, count in held.items()}


def main() -> None:
    """Make the table and write it down."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--trials", type=int, default=400)
    parser.add_argument("--samples", type=int, default=500)
    options = parser.parse_args()
    rows = []
    for spread, (seeds, frames) in product(SPREADS, SIZES):
        found = coverage(seeds, frames, spread, options.trials, options.samples)
        rows.append({"seeds": seeds, "frames": frames, "spread of seeds": spread} | found)
        print(rows[-1], flush=True)
    options.out.mkdir(parents=True, exist_ok=True)
    table = pd.DataFrame(rows).assign(trials=options.trials)
    table.to_csv(options.out / "coverage.csv", index=False)


if __name__ == "__main__":
    main()
