"""The leaderboard: the table of `sus2bench compare` by data set and split, rows linked to runs."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import pandas as pd

from sus2bench.benchmark import tables
from sus2bench.benchmark.costs import efficiency_of, speed_of, stability_of
from sus2bench.benchmark.records import Record
from sus2bench.report.runs import Run
from sus2bench.report.summary import models_on

CHECKS = {
    "instability": "instability",
    "hot MD (ps)": "hot_md_ps",
    "minima of E(V)": "eos_minima",
    "sane dimers": "sane_dimers",
}
"""Columns of what checks without labels found, and its names in `stability_of`."""
_ESSENTIAL = {
    *CHECKS,
    "trainable",
    "E RMSE (meV/atom)",
    "F RMSE (meV/Å)",
    "S RMSE (GPa)",
    "E RMSE (% of floor)",
    "F RMSE (% of floor)",
    "µs/atom",
    "memory (MB)",
    "train (s)",
}
"""Shown at first; a reader can ask for the others."""
SORTED_BY = "F RMSE (meV/Å)"
"""Column by which `tables.results_table` sorts."""
_NAMING = ("data", "split", "model", "status")
NO_ERRORS = "no errors measured"
"""In place of the split, for runs that failed or only timed something."""


@dataclass(frozen=True)
class Cell:
    """What a cell shows, and the number that it is sorted by."""

    text: str
    value: float | None = None


@dataclass(frozen=True)
class Row:
    """A run, or the floor, which has no page."""

    run: Run | None
    cells: tuple[Cell, ...]


@dataclass(frozen=True)
class Column:
    """A column of the table."""

    title: str
    numeric: bool
    essential: bool

    @property
    def parts(self) -> tuple[str, str]:
        """Name, and unit in brackets (empty where there is none)."""
        name, bracket, unit = self.title.partition(" (")
        return name, bracket.strip() + unit


@dataclass(frozen=True)
class Section:
    """The runs on one split of one data set."""

    data: str
    split: str
    columns: tuple[Column, ...]
    rows: tuple[Row, ...]
    floor: Row | None
    models: pd.DataFrame | None = None
    """Seeds together, of `summary.models_on`, where there are statistics."""


def table_of(runs: Sequence[Run]) -> pd.DataFrame:
    """The table of results, one row per run and split, with `run` (the slug, empty for the floor).

    Columns as in `tables.results_table`, `model` the label of the run, and `CHECKS`.
    """
    by_slug = {run.slug: run for run in runs}
    table = tables.results_table(map(_under_its_slug, runs))
    known = table["model"].isin(by_slug.keys())
    table["run"] = table["model"].where(known, "")
    labels = [by_slug[slug].label if slug in by_slug else slug for slug in table["model"]]
    return table.assign(model=labels).join(_beside_errors(runs), on="run")


def _beside_errors(runs: Sequence[Run]) -> pd.DataFrame:
    """Efficiency and `CHECKS`, by slug."""
    rows: list[dict[str, float | None]] = []
    for run in runs:
        checks = stability_of(run.record)
        rows.append({"efficiency": efficiency_of(speed_of(_under_its_slug(run)))})
        rows[-1] |= {title: checks[name] for title, name in CHECKS.items()}
    table = pd.DataFrame(rows, index=[run.slug for run in runs], dtype="float64")
    return table.astype({"minima of E(V)": "Int64"})


def _under_its_slug(run: Run) -> Record:
    """The record as the table is to see it, which knows records by names, and these may repeat.

    A `speed` run has times of several potentials; none of them is the run's own.
    """
    changes: Record = {"name": run.slug}
    if run.record["kind"] == "speed":
        changes["speed"] = {}
    return run.record | changes


def best_first(runs: Sequence[Run], table: pd.DataFrame) -> list[Run]:
    """The runs by data set, and there as the test set, or else another split, ranks them."""
    order = pd.concat([table[table["split"] == "test"], table])["run"].drop_duplicates()
    rank = {slug: place for place, slug in enumerate(order)}
    return sorted(runs, key=lambda run: (run.data, rank[run.slug]))


def sections(runs: Sequence[Run], table: pd.DataFrame) -> list[Section]:
    """The leaderboard: data sets by name; of each the test set, other splits, and the rest."""
    by_slug = {run.slug: run for run in runs}
    groups = [
        (str(data), str(split), rows.drop(columns=["data", "split"]))
        for (data, split), rows in table.groupby(["data", "split"], sort=False)
    ]
    groups.sort(key=lambda group: (group[0], group[1] == "", group[1] != "test"))
    models = {split: models_on(runs, split) for _, split, _ in groups if split}
    return [
        replace(_section(data, split, rows, by_slug), models=models.get(split, {}).get(data))
        for data, split, rows in groups
    ]


def _section(data: str, split: str, rows: pd.DataFrame, by_slug: dict[str, Run]) -> Section:
    titles = [
        str(title)
        for title in rows.columns
        if title not in (*_NAMING, "run") and rows[title].notna().any()
    ]
    text = tables.formatted(rows[titles])
    made = []
    for number, (_, row) in enumerate(rows.iterrows()):
        cells = (Cell(str(text[title].iloc[number]), _number(row[title])) for title in titles)
        made.append(Row(by_slug.get(row["run"]), tuple(cells)))
    columns = tuple(
        Column(title, pd.api.types.is_numeric_dtype(rows[title]), title in _ESSENTIAL)
        for title in titles
    )
    floor = next((row for row in made if row.run is None), None)
    runs = tuple(row for row in made if row.run is not None)
    return Section(data, split or NO_ERRORS, columns, runs, floor)


def _number(value: Any) -> float | None:
    if isinstance(value, str) or value is None or value is pd.NA or value != value:
        return None
    return float(value)
