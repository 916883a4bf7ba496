"""Models with their seeds together: intervals and ranks, as the statistics of the records say."""

from collections.abc import Sequence
from functools import partial
from typing import Any

import pandas as pd

from sus2bench.benchmark.tables import MISSING, significant
from sus2bench.report.runs import Run
from sus2bench.statistics import summary

_SHOWN = {
    "energy_per_atom_rmse_meV": "E RMSE, 95 % interval (meV/atom)",
    "forces_rmse_meV_A": "F RMSE, 95 % interval (meV/Å)",
}
_RANKED = "forces_rmse_meV_A"
_number = partial(significant, digits=4)


def models_on(runs: Sequence[Run], split: str) -> dict[str, dict[str, Any]]:
    """Tables of models by data set, `columns` and `rows` of text, the least force error first.

    A star is behind errors that nothing sets apart from the best one. Data sets without any
    interval are left out.

    Args:
        runs: the runs.
        split: for example ``test``.
    """
    found = summary([(run.path, run.record) for run in runs], split)
    known = found.groupby("data", sort=False).filter(lambda rows: rows["low"].notna().any())
    return {str(data): _table(rows) for data, rows in known.groupby("data", sort=False)}


def _table(rows: pd.DataFrame) -> dict[str, Any]:
    metrics = {
        metric: title for metric, title in _SHOWN.items() if (rows["metric"] == metric).any()
    }
    by_model = {
        model: part.set_index("metric") for model, part in rows.groupby("model", sort=False)
    }
    ranked = rows[rows["metric"] == _RANKED].sort_values("mean")["model"]
    order = [*ranked, *(model for model in by_model if model not in set(ranked))]
    lines = []
    for model in order:
        part = by_model[model]
        cells = [_interval(part, metric) for metric in metrics]
        lines.append([model, str(int(part["seeds"].max())), *cells, _rank(part)])
    return {"columns": ["model", "seeds", *metrics.values(), "rank by forces"], "rows": lines}


def _interval(part: pd.DataFrame, metric: str) -> str:
    if metric not in part.index or pd.isna(part.loc[metric, "mean"]):
        return MISSING
    row = part.loc[metric]
    if pd.isna(row["low"]):
        return _number(row["mean"])
    star = " *" if row["best"] else ""
    return f"{_number(row['mean'])} ({_number(row['low'])} to {_number(row['high'])}){star}"


def _rank(part: pd.DataFrame) -> str:
    if _RANKED not in part.index or pd.isna(part.loc[_RANKED, "rank"]):
        return MISSING
    row = part.loc[_RANKED]
    if pd.isna(row["rank_low"]):
        return f"{row['rank']:g}"
    return f"{row['rank']:g} ({row['rank_low']:g} to {row['rank_high']:g})"
