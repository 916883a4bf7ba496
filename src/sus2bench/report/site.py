"""The whole site: pages, data, scripts, tables and figures of some records."""

import json
import shutil
from collections.abc import Iterable, Sequence
from importlib import resources
from pathlib import Path
from typing import Any

import pandas as pd

from sus2bench import __version__
from sus2bench.benchmark.records import Record
from sus2bench.figures.costs import COSTS, ERRORS
from sus2bench.report import leaderboard
from sus2bench.report.costs import MEMORY, cost_data
from sus2bench.report.curves import LINES, MOST, curves_of
from sus2bench.report.downloads import KINDS, write_figures, write_tables
from sus2bench.report.elements import element_data, periodic_table
from sus2bench.report.folder import refuse_other_folder, whole_folder
from sus2bench.report.pages import render
from sus2bench.report.parity import parity_of
from sus2bench.report.run_page import page_of
from sus2bench.report.runs import Run, runs_of, unique_slugs
from sus2bench.report.summary import shown

TITLE = "Comparison of interatomic potentials"


def write_site(found: Iterable[tuple[Path, Record]], out: Path, title: str = TITLE) -> int:
    """Write a site of records.

    Args:
        found: records with their files, as `benchmark.records.find_records` returns them.
        out: folder to be; an earlier site there is replaced.
        title: of the site.

    Returns:
        The number of runs.

    Raises:
        FileExistsError: if `out` is something else than an earlier site.
        ImportError: if plotly is missing, which brings the scripts of the plots.
    """
    refuse_other_folder(out)
    plotly = _plotly()
    runs = runs_of(found)
    table = leaderboard.table_of(runs)
    runs = leaderboard.best_first(runs, table)
    described = {"sus2bench": __version__, "title": title, "runs": len(runs)}
    with whole_folder(out, described) as folder:
        _write_static(folder / "static", plotly)
        sections = leaderboard.sections(runs, table)
        pages = {"index": _index(runs, sections), "costs": _costs(runs, table, folder)}
        pages["elements"] = _elements(runs, folder)
        pages["curves"] = _curves(runs, folder)
        pages["parity"] = _parity(runs, folder)
        pages["downloads"] = {
            "kinds": list(KINDS),
            "tables": write_tables(runs, table, sections, folder / "tables"),
            "figures": write_figures(runs, table, folder / "figures"),
        }
        for page, context in pages.items():
            (folder / f"{page}.html").write_text(render(page, title, context), "utf-8")
        _write_runs(runs, table, folder, title)
    return len(runs)


def _plotly() -> str:
    try:
        from plotly.offline import get_plotlyjs
    except ImportError as error:
        raise ImportError(
            f"a report needs plotly for its plots ({error}): install it with "
            "`pip install 'sus2bench[report]'`"
        ) from error
    return str(get_plotlyjs())


def _write_static(folder: Path, plotly: str) -> None:
    folder.mkdir()
    (folder / "plotly.min.js").write_text(plotly, "utf-8")
    for file in resources.files("sus2bench.report").joinpath("static").iterdir():
        (folder / file.name).write_bytes(file.read_bytes())


def _put(folder: Path, name: str, value: Any) -> None:
    """Write a data file, which is a script: browsers read no other files from disk."""
    file = folder / "data" / f"{name}.js"
    file.parent.mkdir(parents=True, exist_ok=True)
    text = json.dumps(value, ensure_ascii=False, allow_nan=False, separators=(",", ":"))
    file.write_text(f"report.put({json.dumps(name)},{text});\n", "utf-8")


def _index(runs: Sequence[Run], sections: Sequence[leaderboard.Section]) -> dict[str, Any]:
    splits = list(dict.fromkeys(section.split for section in sections))
    data = list(dict.fromkeys(section.data for section in sections))
    kinds, states = (sorted({run.record[key] for run in runs}) for key in ("kind", "status"))
    return {
        "sections": sections,
        "count": len(runs),
        "data": data,
        "shown": shown,
        "has_models": any(section.models is not None for section in sections),
        "has_checks": any(c.title in leaderboard.CHECKS for s in sections for c in s.columns),
        "sorted_by": leaderboard.SORTED_BY,
        "choices": [
            ("data", "Data set", [name for name in data if name], None),
            ("split", "Split", splits, "test"),
            ("kind", "Kind", kinds, None),
            ("status", "Status", states, None),
        ],
    }


def _costs(runs: Sequence[Run], table: pd.DataFrame, folder: Path) -> dict[str, Any]:
    groups = cost_data(runs, table)
    value = {"groups": groups, "errors": ERRORS, "costs": COSTS, "memory": MEMORY}
    _put(folder, "costs", value)
    return {}


def _elements(runs: Sequence[Run], folder: Path) -> dict[str, Any]:
    names, sets = sorted({run.data for run in runs}), []
    for name, slug in zip(names, unique_slugs(names), strict=True):
        shown = element_data([run for run in runs if run.data == name])
        if shown:
            _put(folder, f"elements/{slug}", shown)
            sets.append((name, f"elements/{slug}", list(shown["runs"])))
    _put(folder, "elements", {"sets": sets})
    return {"periodic_table": periodic_table()}


def _curves(runs: Sequence[Run], folder: Path) -> dict[str, Any]:
    listed = []
    for run in runs:
        if run.curve is None:
            continue
        lines = curves_of(run.curve)
        _put(folder, f"curves/{run.slug}", lines)
        timed = any(line["seconds"] for line in lines.values())
        shown = {"run": run.slug, "label": run.label, "data": run.data}
        listed.append(shown | {"lines": list(lines), "timed": timed})
    _put(folder, "curves", {"runs": listed, "lines": LINES})
    return {"most": MOST}


def _parity(runs: Sequence[Run], folder: Path) -> dict[str, Any]:
    listed = []
    for run in runs:
        if run.predictions:
            read = {split: parity_of(file) for split, file in run.predictions.items()}
            panels = {split: drawn for split, drawn in read.items() if drawn}
            _put(folder, f"parity/{run.slug}", panels)
            shown = {"run": run.slug, "label": run.label, "data": run.data}
            listed += [shown | {"splits": list(panels)}] if panels else []
    _put(folder, "parity", {"runs": listed})
    return {"any": bool(listed)}


def _write_runs(runs: Sequence[Run], table: pd.DataFrame, folder: Path, title: str) -> None:
    """The page of each run, and its record as it is."""
    pages, records = folder / "runs", folder / "records"
    pages.mkdir()
    records.mkdir()
    rows = dict(list(table.groupby("run")))
    for run in runs:
        context = page_of(run, rows[run.slug])
        (pages / f"{run.slug}.html").write_text(
            render("run", title, context, folder="runs/"), "utf-8"
        )
        shutil.copyfile(run.path, records / f"{run.slug}.json")
