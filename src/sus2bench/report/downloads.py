"""The site's numbers as Markdown, LaTeX and CSV, and its plots as vector figures."""

import logging
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import pandas as pd
from matplotlib.figure import Figure

from sus2bench.benchmark import tables
from sus2bench.figures.costs import COSTS, ERRORS, errors_against_costs, pareto_front
from sus2bench.figures.errors_by_element import errors_by_element
from sus2bench.figures.learning_curve import learning_curve
from sus2bench.figures.parity import parity
from sus2bench.figures.style import save
from sus2bench.report.curves import LINES
from sus2bench.report.elements import by_element
from sus2bench.report.leaderboard import NO_ERRORS, Section
from sus2bench.report.runs import Run, unique_slugs
from sus2bench.statistics import tables as statistics_tables

MOST_RUNS = 24
"""Of a data set in one figure, those with the least force errors; no reader tells more apart."""
KINDS = {
    "runs": "Runs on",
    "models": "Models (seeds together) on",
    "fronts": "Pareto fronts on",
    "elements": "Force RMSE by element on",
}
"""Tables that there are, and how their titles begin."""
_VALIDATION = "valid/forces_rmse_meV_A"
_WRITERS: dict[str, Callable[[pd.DataFrame], str]] = {
    "md": tables.markdown,
    "tex": tables.latex,
    "csv": tables.csv,
}
_WRITERS_OF_MODELS: dict[str, Callable[[pd.DataFrame], str]] = {
    "md": statistics_tables.markdown,
    "tex": statistics_tables.latex,
    "csv": statistics_tables.csv,
}

logger = logging.getLogger(__name__)


@dataclass(frozen=True)
class TableFiles:
    """The tables of a split of a data set, and their files in the folder `tables/`."""

    title: str
    files: dict[str, tuple[str, ...]]
    """By `KINDS`."""


@dataclass(frozen=True)
class FigureFiles:
    """A figure, and its files in the folder `figures/` without their endings (pdf, svg)."""

    title: str
    name: str


def write_tables(
    runs: Sequence[Run], table: pd.DataFrame, sections: Sequence[Section], folder: Path
) -> list[TableFiles]:
    """Leaderboards, models with their seeds, Pareto fronts and errors by element.

    Each is written in every format, and all together to `report.md` and `report.tex`.

    Args:
        runs: the runs.
        table: of `leaderboard.table_of`.
        sections: of the leaderboard, which have the models.
        folder: where to, made where missing.
    """
    folder.mkdir(parents=True, exist_ok=True)
    models = {(one.data, one.split): one.models for one in sections}
    groups = _tables(runs, table, models)
    written = []
    document: list[tuple[str, dict[str, str]]] = []
    for slug, (title, kinds) in zip(unique_slugs(list(groups)), groups.items(), strict=True):
        files = {}
        for kind, texts in kinds.items():
            files[kind] = tuple(f"{kind}-{slug}.{suffix}" for suffix in texts)
            for name, text in zip(files[kind], texts.values(), strict=True):
                (folder / name).write_text(text, "utf-8")
            document.append((f"{KINDS[kind]} {title}", texts))
        written.append(TableFiles(title, files))
    parts = "\n".join(f"## {title}\n\n{texts['md']}" for title, texts in document)
    (folder / "report.md").write_text(f"# Comparison\n\n{parts}", "utf-8")
    (folder / "report.tex").write_text(_document(document), "utf-8")
    return written


def _tables(
    runs: Sequence[Run], table: pd.DataFrame, models: dict[tuple[str, str], pd.DataFrame | None]
) -> dict[str, dict[str, dict[str, str]]]:
    """Tables that have rows, in every format, by data set and split, and by `KINDS`."""
    found = {}
    for (data, split), rows in table.groupby(["data", "split"], sort=False):
        shown = rows.drop(columns=["data", "split", "run"]).dropna(axis="columns", how="all")
        kinds = {"runs": _texts(shown, _WRITERS)}
        if split:
            here = [run for run in runs if run.data == data]
            kinds["models"] = _texts(models.get((str(data), str(split))), _WRITERS_OF_MODELS)
            kinds["fronts"] = _texts(_fronts(rows), _WRITERS)
            kinds["elements"] = _texts(_elements(here, str(split)), _WRITERS)
        name = f"{data or 'made-up crystals'}, {split or NO_ERRORS}"
        found[name] = {kind: texts for kind, texts in kinds.items() if texts}
    return found


def _texts(
    table: pd.DataFrame | None, writers: dict[str, Callable[[pd.DataFrame], str]]
) -> dict[str, str]:
    """The table in every format; nothing of one without rows."""
    if table is None or not len(table):
        return {}
    return {suffix: write(table) for suffix, write in writers.items()}


def _fronts(rows: pd.DataFrame) -> pd.DataFrame:
    """The runs on each Pareto front, the cheapest first."""
    rows = rows[rows["run"] != ""]
    lines = [
        {
            "front": f"{error} and {COSTS[cost]}",
            "model": row["model"],
            "cost": row[cost],
            "error": row[error],
        }
        for error in ERRORS
        for cost in COSTS
        for _, row in rows.iloc[pareto_front(rows[cost], rows[error])].iterrows()
    ]
    for line in lines:
        line |= {key: tables.significant(float(line[key]), 4) for key in ("cost", "error")}
    return pd.DataFrame(lines)


def _elements(runs: Sequence[Run], split: str) -> pd.DataFrame:
    """Force RMSE by element (rows) and run (columns)."""
    errors = {run.label: next(iter(by_element(run, split).values()), {}) for run in runs}
    columns = {label: values for label, values in errors.items() if values}
    found = pd.DataFrame(columns).map(lambda v: tables.MISSING if pd.isna(v) else f"{v:g}")
    return found.rename_axis("element").reset_index() if len(found) else found


def _document(parts: Sequence[tuple[str, dict[str, str]]]) -> str:
    """A LaTeX document of all tables, each small enough for its page."""
    lines = [r"\documentclass{article}", r"\usepackage{booktabs,graphicx,adjustbox}"]
    lines += [r"\usepackage[margin=15mm,landscape]{geometry}", r"\begin{document}"]
    for title, texts in parts:
        caption = tables.escape_latex(title)
        lines += ["", r"\begin{table}[p]", r"\centering", rf"\caption{{{caption}}}"]
        lines += [r"\begin{adjustbox}{max width=\textwidth,max totalheight=0.9\textheight}"]
        lines += [texts["tex"].rstrip(), r"\end{adjustbox}", r"\end{table}", r"\clearpage"]
    return "\n".join([*lines, r"\end{document}", ""])


def write_figures(runs: Sequence[Run], table: pd.DataFrame, folder: Path) -> list[FigureFiles]:
    """Errors against costs, parity, errors by element and learning curves of each data set.

    They show the test set, and the first other split of a data set without one.

    Args:
        runs: the runs.
        table: of `leaderboard.table_of`.
        folder: where to, made where missing.
    """
    written = []
    by_slug = {run.slug: run for run in runs}
    jobs = []
    for data, rows in table[table["split"] != ""].groupby("data", sort=False):
        splits = list(dict.fromkeys(rows["split"]))
        split = "test" if "test" in splits else splits[0]
        best = rows[(rows["split"] == split) & (rows["run"] != "")].head(MOST_RUNS)
        here = [by_slug[slug] for slug in best["run"]]
        jobs += [
            (f"{title} on {data}, {split}", draw) for title, draw in _drawings(here, best, split)
        ]
    names = unique_slugs([title for title, _ in jobs])
    for (title, draw), name in zip(jobs, names, strict=True):
        try:
            figure = draw()
        except ValueError as error:
            logger.info("no figure '%s': %s", title, error)
            continue
        save(figure, folder, name, formats=("pdf", "svg"))
        written.append(FigureFiles(title, name))
    return written


def _drawings(
    runs: Sequence[Run], rows: pd.DataFrame, split: str
) -> list[tuple[str, Callable[[], Figure]]]:
    """What can be drawn, by its title; each call raises ValueError where numbers are missing."""
    predictions = {run.label: run.predictions[split] for run in runs if split in run.predictions}
    curves = {run.label: run.curve for run in runs if run.curve}
    named = [run.record | {"name": run.label} for run in runs]
    return [
        ("Errors and costs", partial(errors_against_costs, rows)),
        ("Errors by element", partial(errors_by_element, named, split)),
        ("Parity", partial(parity, predictions)),
        ("Learning curves", partial(learning_curve, curves, _VALIDATION, LINES[_VALIDATION])),
    ]
