"""Ranks with uncertainty, corrected p values, and which models are worse than the best."""

import numpy as np
import numpy.typing as npt
from scipy import stats

from sus2bench.statistics.frame_sums import Array

LEVEL = 0.05
"""Chance of a false claim that is accepted, over all comparisons of one table together."""


def rank_distribution(values: Array) -> Array:
    """Ranks (B, M) of M models in each of B replicates, 1 for the least; equals share the lower.

    Args:
        values: (B, M), errors.
    """
    return np.asarray(stats.rankdata(values, axis=1, method="min"))


def two_sided_p(differences: Array) -> Array:
    """The p values of no difference, from replicates of it.

    Twice the part of the replicates that lie on the rarer side of 0, the data themselves counted
    among them (A. C. Davison, D. V. Hinkley, Bootstrap Methods and their Application, 1997, 4.2).

    Args:
        differences: (B, ...).

    Returns:
        (...), at least 2 / (B + 1); NaN where a replicate is not a number.
    """
    count = len(differences)
    rarer = np.minimum((differences <= 0).sum(0), (differences >= 0).sum(0))
    p = np.minimum(2 * (rarer + 1) / (count + 1), 1.0)
    return np.where(np.isnan(differences).any(0), np.nan, p)


def holm(p_values: npt.ArrayLike) -> Array:
    """Corrects p values (n,) so that the chance of any false claim among them is kept.

    S. Holm, Scand. J. Stat. 6, 65 (1979): the k-th smallest of n is multiplied by n - k + 1, and is
    at least what a smaller one became. NaN are no comparisons and stay.
    """
    p = np.asarray(p_values, dtype=np.float64)
    corrected = np.full(p.shape, np.nan)
    known = np.flatnonzero(~np.isnan(p))
    order = known[np.argsort(p[known], kind="stable")]
    factors = np.arange(len(order), 0, -1)
    corrected[order] = np.minimum(np.maximum.accumulate(p[order] * factors), 1.0)
    return corrected


def best_and_worse(
    errors: Array, values: Array, known: npt.NDArray[np.bool_], level: float = LEVEL
) -> tuple[npt.NDArray[np.bool_], npt.NDArray[np.bool_]]:
    """Which of M models are not significantly worse than the best one, and which are.

    The best is the one of the least error. The others are compared with it on the same replicates,
    with Holm's correction over these comparisons.

    Args:
        errors: (M,) of the models; NaN where a model has none.
        values: (B, M) replicates of them.
        known: (M,) whether anything is known of a model's uncertainty. Where nothing is known of
            that of the best there is no claim, and all are False.
        level: of significance.

    Returns:
        `best` (M,) and `worse` (M,). A model that was not compared is neither.
    """
    among_best, worse = np.zeros((2, len(errors)), dtype=bool)
    if not np.isfinite(errors).any():
        return among_best, worse
    best = int(np.nanargmin(errors))
    if not known[best]:
        return among_best, worse
    compared = [m for m in np.flatnonzero(known & np.isfinite(errors)) if m != best]
    p_values = holm(two_sided_p(values[:, compared] - values[:, [best]]))
    among_best[best] = True
    among_best[compared] = p_values > level
    worse[compared] = p_values <= level
    return among_best, worse
