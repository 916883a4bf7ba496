"""Models with their seeds together: intervals, ranks and costs, as the statistics say."""

from collections.abc import Sequence
from typing import Any

import pandas as pd
from markupsafe import Markup

from sus2bench.report.runs import Run
from sus2bench.statistics import summary
from sus2bench.statistics.tables import wide


def models_on(runs: Sequence[Run], split: str) -> dict[str, pd.DataFrame]:
    """Summaries of models (`statistics.summary`) by data set; those without any interval left out.

    Args:
        runs: the runs.
        split: for example ``test``.
    """
    found = summary([(run.path, run.record) for run in runs], split)
    known = found.groupby("data", sort=False).filter(lambda rows: rows["low"].notna().any())
    return {str(data): rows for data, rows in known.groupby("data", sort=False)}


def shown(models: pd.DataFrame) -> dict[str, Any]:
    """The table of a page, `columns` and `rows` of text; what is significantly best stands bold.

    Args:
        models: of one data set and split, of `models_on`.
    """
    table = wide(models, lambda text: Markup("<strong>{}</strong>").format(text))
    table = table.drop(columns=["data", "split"])
    return {"columns": list(table.columns), "rows": table.to_numpy().tolist()}
