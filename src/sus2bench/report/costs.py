"""Errors against what they cost: points of the runs, and which of them nothing beats in both."""

from collections.abc import Sequence
from typing import Any

import pandas as pd

from sus2bench.figures.costs import COSTS, ERRORS, pareto_front
from sus2bench.report.runs import Run
from sus2bench.report.values import short

MEMORY = "memory (MB)"


def cost_data(runs: Sequence[Run], table: pd.DataFrame) -> list[dict[str, Any]]:
    """For each data set and split the points to draw, the front of each panel, and the floor.

    Args:
        runs: the runs.
        table: of `leaderboard.table_of`.

    Returns:
        Of each group `data`, `split`, `points` (run, label, family, errors and costs by the titles
        of the table, null where unknown), `fronts` by error and cost (places in `points`, the
        cheapest first), and `floor` by error.
    """
    families = {run.slug: run.family for run in runs}
    groups = []
    for (data, split), rows in table[table["split"] != ""].groupby(["data", "split"], sort=False):
        drawn = rows[rows["run"] != ""]
        columns = [*ERRORS, *COSTS, MEMORY]
        points = [
            {"run": row["run"], "label": row["model"], "family": families[row["run"]]}
            | {title: short(row[title]) for title in columns}
            for _, row in drawn.iterrows()
        ]
        fronts = {
            error: {cost: pareto_front(drawn[cost], drawn[error]) for cost in COSTS}
            for error in ERRORS
        }
        floor = rows[rows["run"] == ""]
        errors = {e: short(floor[e].iloc[0]) if len(floor) else None for e in ERRORS}
        group = {"data": data, "split": split, "points": points}
        groups.append(group | {"fronts": fronts, "floor": errors})
    return groups
