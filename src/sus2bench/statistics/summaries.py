"""Tables of models: errors with intervals and ranks, and differences of all pairs."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from itertools import combinations
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from scipy import stats

from sus2bench.benchmark.records import Record, unit_of
from sus2bench.statistics.costs import costs
from sus2bench.statistics.frame_sums import METRICS, Array
from sus2bench.statistics.ranks import (
    LEVEL,
    best_and_worse,
    holm,
    rank_distribution,
    two_sided_p,
)
from sus2bench.statistics.resampling import SAMPLES, interval
from sus2bench.statistics.samples import NONE, SEEDS, Blocks, Sample, samples_of

CONFIDENCE = 0.95
"""Of all intervals."""


def summary(
    found: Iterable[tuple[Path, Record]],
    split: str = "test",
    *,
    blocks: Blocks | None = None,
    samples: int = SAMPLES,
    seed: int = 0,
) -> pd.DataFrame:
    """Errors of models with 95 % intervals and ranks, one row for each model and metric.

    Args:
        found: records with their files, as `benchmark.records.find_records` returns them.
        split: for example `test`.
        blocks: frames that follow each other and belong together, for all data sets or by data
            set; those that the configurations declare, if not given.
        samples: number of replicates.
        seed: of the random numbers.

    Returns:
        Columns `data`, `split`, `model` (unique within a data set), `metric`, `unit`, `mean` over
        seeds, `low` and `high` (NaN where nothing is known), `seeds`, `frames` and `blocks` that
        are drawn, `method` (`frames and seeds`, `frames` for a single run, `seeds` without
        predictions, `none`), `rank` (the median; 1 has the least error), `rank_low`, `rank_high`,
        `best` (not significantly worse than the best), `worse` (significantly; a model that was not
        compared is neither), `floor` (error of the composition fit),
        `percent_of_floor`, and what `costs` says of the model. Sorted by data set, metric, mean.
    """
    rows: list[dict[str, Any]] = []
    known = samples_of(found, split, blocks=blocks, samples=samples, seed=seed)
    for data, models in known.items():
        of_models = [costs(record for _, record in one.model.runs) for one in models]
        for number, metric in enumerate(METRICS):
            chosen = [m for m, one in enumerate(models) if _has(one, metric, split)]
            judged = _judge([models[m] for m in chosen], number)
            for m, verdict in zip(chosen, judged, strict=True):
                about = _about(models[m], split, metric, number)
                place = {"data": data, "split": split, "model": models[m].model.label}
                rows.append(place | about | verdict | of_models[m])
    table = pd.DataFrame(rows, columns=None if rows else list(_EMPTY))
    order = table["metric"].map(METRICS.index)
    table = table.assign(_order=order).sort_values(["data", "_order", "mean"], kind="stable")
    table = table.drop(columns="_order").reset_index(drop=True)
    return table.astype({"frames": "Int64", "blocks": "Int64"})


_EMPTY = (
    *("data", "split", "model", "metric", "unit", "mean", "low", "high", "seeds", "frames"),
    *("blocks", "method", "rank", "rank_low", "rank_high", "best", "worse", "floor"),
    "percent_of_floor",
)


def paired(
    found: Iterable[tuple[Path, Record]],
    split: str = "test",
    *,
    blocks: Blocks | None = None,
    samples: int = SAMPLES,
    seed: int = 0,
) -> pd.DataFrame:
    """Differences between the errors of all pairs of models, one row for each pair and metric.

    Args:
        found: as for `summary`.
        split: as for `summary`.
        blocks: as for `summary`.
        samples: as for `summary`.
        seed: as for `summary`.

    Returns:
        Columns `data`, `split`, `metric`, `unit`, `model` and `other`, `difference` (model less
        other; below 0 the model is better), its interval `low` and `high`, `p` (of the replicates)
        and `p_wilcoxon` (of the signed-rank test on the errors of frames or blocks, averaged over
        seeds), both after Holm's correction over the pairs of a data set and metric, `significant`
        (`p` below 5 %), `frames` they have in common and `method`. Models of which nothing is known
        but one error are left out.
    """
    rows: list[dict[str, Any]] = []
    known = samples_of(found, split, blocks=blocks, samples=samples, seed=seed)
    for data, models in known.items():
        certain = [one for one in models if one.method != NONE]
        of_frames = [_errors_of_frames(one) for one in certain]
        for number, metric in enumerate(METRICS):
            pairs = [
                _pair(certain[a], certain[b], of_frames[a], of_frames[b], number)
                for a, b in combinations(range(len(certain)), 2)
                if np.isfinite([certain[a].mean[number], certain[b].mean[number]]).all()
            ]
            place = {"data": data, "split": split, "metric": metric, "unit": unit_of(metric)}
            rows += [place | pair for pair in _corrected(pairs)]
    columns = [*_PLACE, "model", "other", "difference", "low", "high", "p", "p_wilcoxon"]
    columns += ["significant", "frames", "method"]
    return pd.DataFrame(rows, columns=columns).astype({"frames": "Int64"})


_PLACE = ("data", "split", "metric", "unit")


def _has(one: Sample, metric: str, split: str) -> bool:
    """Whether any run has the metric, be it a number or one that came out as none."""
    return any(metric in record["metrics"][split] for _, record in one.model.runs)


def _about(one: Sample, split: str, metric: str, number: int) -> dict[str, Any]:
    floors = [record.get("baseline", {}).get(split, {}) for _, record in one.model.runs]
    values = [table[metric] for table in floors if table.get(metric) is not None]
    mean = float(one.mean[number])
    floor = float(np.mean(values)) if values else np.nan
    low, high = _interval(one, number)
    return {
        "metric": metric,
        "unit": unit_of(metric),
        "mean": mean,
        "low": low,
        "high": high,
        "seeds": len(one.errors),
        "frames": one.frames,
        "blocks": None if one.sums is None else len(one.sums[0].count),
        "method": one.method if np.isfinite(low) else NONE,
        "floor": floor,
        "percent_of_floor": 100 * mean / floor if floor else np.nan,
    }


def _interval(one: Sample, number: int) -> tuple[float, float]:
    """Percentiles of the replicates; over seeds alone the t interval, whose limit they are."""
    mean = float(one.mean[number])
    if one.method == NONE or not np.isfinite(mean):
        return np.nan, np.nan
    if one.method != SEEDS:
        low, high = interval(one.values[:, number], CONFIDENCE)
        return max(low, 0.0), high
    runs = one.errors[:, number]
    half = stats.sem(runs) * stats.t.ppf((1 + CONFIDENCE) / 2, len(runs) - 1)
    return max(mean - half, 0.0), mean + half


def _judge(models: Sequence[Sample], number: int) -> list[dict[str, Any]]:
    """Ranks, and who is not significantly worse than the best, of models on one data set."""
    errors = np.array([one.mean[number] for one in models])
    values = np.stack([one.values[:, number] for one in models], axis=1) if models else errors
    known = np.array([one.method != NONE for one in models], dtype=bool)
    best, worse = best_and_worse(errors, values, known)
    finite = np.flatnonzero(np.isfinite(errors))
    ranks = rank_distribution(values[:, finite]) if len(finite) else values
    unknown = dict.fromkeys(("rank", "rank_low", "rank_high"), np.nan)
    verdicts = [
        unknown | {"best": bool(b), "worse": bool(w)} for b, w in zip(best, worse, strict=True)
    ]
    for column, m in enumerate(finite):
        verdicts[m]["rank"] = float(np.median(ranks[:, column]))
        if known[m]:
            low, high = interval(ranks[:, column], CONFIDENCE)
            verdicts[m] |= {"rank_low": low, "rank_high": high}
    return verdicts


def _errors_of_frames(one: Sample) -> Array | None:
    """Errors of each frame or block (F, 6), averaged over the runs."""
    if one.sums is None:
        return None
    return np.asarray(np.mean([run.errors_of_frames() for run in one.sums], axis=0))


def _pair(
    one: Sample, other: Sample, ours: Array | None, theirs: Array | None, number: int
) -> dict[str, Any]:
    differences = one.values[:, number] - other.values[:, number]
    low, high = interval(differences, CONFIDENCE)
    same = one.sums and other.sums and one.sums[0].labels == other.sums[0].labels
    p_wilcoxon = np.nan
    if same and ours is not None and theirs is not None:
        p_wilcoxon = signed_rank(ours[:, number] - theirs[:, number])
    weaker = min(one.method, other.method, key=_STRENGTH.index)
    return {
        "model": one.model.label,
        "other": other.model.label,
        "difference": float(one.mean[number] - other.mean[number]),
        "low": low,
        "high": high,
        "p": float(two_sided_p(differences)),
        "p_wilcoxon": p_wilcoxon,
        "frames": one.frames if same else None,
        "method": weaker,
    }


_STRENGTH = (NONE, SEEDS, "frames", "frames and seeds")


def signed_rank(differences: Array) -> float:
    """Wilcoxon's signed-rank test (F. Wilcoxon, Biom. Bull. 1, 80 (1945)), its two-sided p value.

    Args:
        differences: (F,) of errors of frames; those that are not finite are left out.

    Returns:
        NaN where nothing is left; 1 where all are 0.
    """
    finite = differences[np.isfinite(differences)]
    if len(finite) == 0:
        return np.nan
    if not finite.any():
        return 1.0
    return float(stats.wilcoxon(finite).pvalue)


def _corrected(pairs: Sequence[Mapping[str, Any]]) -> list[dict[str, Any]]:
    """The pairs of one data set and metric with corrected p values."""
    columns = {name: holm([pair[name] for pair in pairs]) for name in ("p", "p_wilcoxon")}
    return [
        {**pair, "p": p, "p_wilcoxon": w, "significant": bool(p < LEVEL)}
        for pair, p, w in zip(pairs, columns["p"], columns["p_wilcoxon"], strict=True)
    ]
