"""Tables of models with intervals: for a console, Markdown and LaTeX; bold only what is shown best.

A number is bold if no model is significantly better on this data set and split, and if some model
is significantly worse: where nothing tells the models apart, or where nothing is known of the
uncertainty of the others, nothing is bold.
"""

from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from rich.box import SIMPLE_HEAD
from rich.markup import escape
from rich.table import Table

from sus2bench.benchmark import tables
from sus2bench.benchmark.records import Record
from sus2bench.benchmark.tables import MISSING, significant
from sus2bench.statistics.models import models_of
from sus2bench.statistics.summaries import summary

RANKED_BY = "forces_rmse_meV_A"
"""The metric whose ranks are shown, and by which models are sorted."""

# Column title, and the metric whose mean and half interval it shows.
_METRICS = {
    "E RMSE, meV/atom": "energy_per_atom_rmse_meV",
    "E MAE, meV/atom": "energy_per_atom_mae_meV",
    "F RMSE, meV/Å": RANKED_BY,
    "F MAE, meV/Å": "forces_mae_meV_A",
    "S RMSE, GPa": "stress_rmse_GPa",
}
_RELATIVE = {"E, % of floor": "energy_per_atom_rmse_meV", "F, % of floor": RANKED_BY}
# Column title, column of the summary, significant digits; shown where any model has a number.
_COSTS = (
    ("µs per atom", "us_per_atom", 4),
    ("efficiency", "efficiency", 3),
    ("instability", "instability", 2),
    ("hot MD, ps", "hot_md_ps", 3),
    ("minima of E(V)", "eos_minima", 2),
    ("sane dimers", "sane_dimers", 2),
)

Bold = Callable[[str], str]


def several_seeds(found: Iterable[tuple[Path, Record]]) -> bool:
    """Whether any model among some records was trained more than once."""
    return any(len(model.runs) > 1 for model in models_of(found))


def summaries(found: Iterable[tuple[Path, Record]], blocks: int | None = None) -> pd.DataFrame:
    """The summaries of all splits but the training set, one under the other.

    Args:
        found: records with their files.
        blocks: frames that belong together; see `summary`.

    Raises:
        ValueError: no completed record has errors.
    """
    pairs = list(found)
    splits = dict.fromkeys(split for _, record in pairs for split in record["metrics"])
    parts = [summary(pairs, split, blocks=blocks) for split in splits if split != "train"]
    filled = [part for part in parts if len(part)]
    if not filled:
        raise ValueError("no completed record has errors on other frames than those of training")
    return pd.concat(filled, ignore_index=True)


def wide(long: pd.DataFrame, bold: Bold) -> pd.DataFrame:
    """One row for each model: its errors as mean ± half interval, its rank, and what it costs.

    Args:
        long: of `summaries`.
        bold: what makes a text bold.
    """
    rows = []
    for place, group in long.groupby(["data", "split"], sort=False):
        marked = group.groupby("metric")["worse"].any()
        order = group[group["metric"] == RANKED_BY]["model"].tolist()
        names = [*order, *(name for name in group["model"].unique() if name not in order)]
        for name in names:
            of_model = group[group["model"] == name].set_index("metric")
            rows.append(dict(zip(("data", "split"), place, strict=True)) | _row(of_model))
            for title, metric in _METRICS.items():
                if metric in of_model.index and marked[metric] and of_model.loc[metric, "best"]:
                    rows[-1][title] = bold(rows[-1][title])
    table = pd.DataFrame(rows)
    empty = [title for title, *_ in _COSTS if title in table and table[title].eq(MISSING).all()]
    return table.drop(columns=empty)


def _row(of_model: pd.DataFrame) -> dict[str, Any]:
    """The texts of one model, by metric."""
    first = of_model.iloc[0]
    known = of_model.to_dict("index")
    row = {"model": str(first["model"]), "seeds": str(first["seeds"])}
    row |= {title: _error(known.get(metric)) for title, metric in _METRICS.items()}
    for title, metric in _RELATIVE.items():
        row[title] = _number(known.get(metric, {}).get("percent_of_floor"), 3)
    row["rank by F RMSE"] = _rank(known.get(RANKED_BY))
    row["interval over"] = _methods(of_model["method"])
    return row | {title: _number(first[name], digits) for title, name, digits in _COSTS}


def _methods(methods: "pd.Series[str]") -> str:
    """What the intervals of a model cover, of the metrics that have one."""
    known = [str(method) for method in methods if method != "none"]
    return known[0] if known else MISSING


def _error(cell: dict[str, Any] | None) -> str:
    if cell is None or not np.isfinite(cell["mean"]):
        return MISSING
    if not np.isfinite(cell["low"]):
        return significant(cell["mean"], 4)
    return with_interval(cell["mean"], (cell["high"] - cell["low"]) / 2)


def with_interval(mean: float, half: float) -> str:
    """A number with half its interval, which has two significant digits and sets the decimals."""
    if half <= 0:
        return significant(mean, 4)
    decimals = max(0, 1 - int(np.floor(np.log10(half))))
    return f"{mean:,.{decimals}f} ± {half:,.{decimals}f}"


def _rank(cell: dict[str, Any] | None) -> str:
    if cell is None or not np.isfinite(cell["rank"]):
        return MISSING
    if not np.isfinite(cell["rank_low"]):
        return f"{cell['rank']:.0f}"
    return f"{cell['rank']:.0f} ({cell['rank_low']:.0f}–{cell['rank_high']:.0f})"


def _number(value: float | None, digits: int) -> str:
    return MISSING if value is None or not np.isfinite(value) else significant(value, digits)


def markdown(long: pd.DataFrame) -> str:
    """A Markdown table of the models."""
    return tables.markdown(wide(long, lambda text: f"**{text}**"))


def csv(long: pd.DataFrame) -> str:
    """Comma-separated values: the summaries as they are, with all digits."""
    return tables.csv(long)


def latex(long: pd.DataFrame) -> str:
    """A LaTeX tabular (booktabs) of the models."""
    return tables.latex(wide(long, lambda text: rf"\textbf{{{text}}}"))


def console_table(long: pd.DataFrame) -> Table:
    """A rich table for the terminal, a section for each data set and split."""
    text = wide(long, lambda text: f"[bold]{text}[/]")
    shown = Table(box=SIMPLE_HEAD, collapse_padding=True, pad_edge=False)
    titles = [title for title in text.columns if title not in ("data", "split", "interval over")]
    for title in titles:
        side = "left" if title == "model" else "right"
        shown.add_column(title.replace(", ", "\n"), justify=side, no_wrap=True)  # type: ignore[arg-type]
    for (data, split), group in text.groupby(["data", "split"], sort=False):
        shown.add_section()
        shown.add_row(f"[bold]{escape(data)}[/]\n[bold]{escape(split)}[/]")
        for _, row in group.iterrows():
            shown.add_row(escape(row["model"]), *(row[title] for title in titles[1:]))
    return shown
