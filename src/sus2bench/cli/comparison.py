"""`sus2bench compare`: records to a table on the screen, and to files and figures on request."""

from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from sus2bench.atoms.files import write_atomically

if TYPE_CHECKING:
    from pandas import DataFrame

FORMATS = ("table", "markdown", "csv", "latex")
MOST_RUNS = 24
"""That figures show."""


def compare(
    sources: Sequence[str],
    shown: str,
    out: Path | None,
    reference: str | None = None,
    *,
    statistics: bool = False,
    blocks: int | None = None,
) -> None:
    """Print the table of some records and, given a folder, write tables and figures there.

    Where models were trained with several seeds, a table of models with intervals follows.

    Args:
        sources: record files, or folders that are searched for them.
        shown: one of `FORMATS`.
        out: folder for the tables and figures, made where missing.
        reference: potential that the times of speed runs are divided by in the report; that which
            is first in each, if not given.
        statistics: print the table of models in place of that of runs, several seeds or not.
        blocks: frames that follow each other and belong together, for the intervals.

    Raises:
        FileNotFoundError: if a source holds no record.
        ValueError: if a record does not follow the schema, none has timed the reference, or there
            are no errors for the table of models.
    """
    from sus2bench.benchmark import tables
    from sus2bench.benchmark.records import find_records, with_joint_speeds
    from sus2bench.cli.speed import print_scans, scan_figures, speed_sections
    from sus2bench.cli.statistics import print_statistics, statistics_section, write_statistics
    from sus2bench.statistics.tables import several_seeds, summaries

    every = find_records(sources)
    records = [record for _, record in every]
    found = with_joint_speeds(every)
    table = tables.results_table(record for _, record in found)
    wanted = statistics or ((shown == "table" or out is not None) and several_seeds(found))
    models = summaries(found, blocks) if wanted else None
    if not statistics:
        _print(table, shown)
    if models is not None and (statistics or shown == "table"):
        print_statistics(models, shown)
    if shown == "table":
        print_scans(records)
    if out is not None:
        sections = speed_sections(records, reference)
        files = _write_tables(table, out)
        if models is not None:
            sections = [statistics_section(models), *sections]
            files += write_statistics(models, found, out, blocks)
        figures = [*_write_figures(found, out), *scan_figures(records, out)]
        names = sorted({file.stem for file in [*files, *figures]})
        print(f"written to {out}: {', '.join(names)}")
        _write_report(_report(every, table, figures, sections), out)


def _write_report(text: str, folder: Path) -> None:
    write_atomically(folder / "report.md", lambda part: part.write_text(text, "utf-8"))
    print(f"report: {folder / 'report.md'}")


def _print(table: "DataFrame", shown: str) -> None:
    """Print a table; for people with lines as long as it needs: a number cut short is no use."""
    from rich.console import Console

    from sus2bench.benchmark import tables
    from sus2bench.benchmark.tables import console_table

    if shown != "table":
        print(getattr(tables, shown)(table), end="")
        return
    if not len(table):
        return
    drawn = console_table(table)
    Console(width=Console(width=1000).measure(drawn).maximum).print(drawn)


def _write_tables(table: "DataFrame", folder: Path) -> list[Path]:
    from sus2bench.benchmark import tables

    files = []
    for suffix, write in (("md", tables.markdown), ("csv", tables.csv), ("tex", tables.latex)):
        text = write(table)
        files.append(folder / f"table.{suffix}")
        write_atomically(files[-1], lambda part, text=text: part.write_text(text, "utf-8"))  # type: ignore[misc]
    return files


def _write_figures(found: Sequence[tuple[Path, dict[str, Any]]], folder: Path) -> list[Path]:
    """Every figure that the records have numbers for, one of each kind per data set and split."""
    by_data: dict[str, list[tuple[Path, dict[str, Any]]]] = {}
    for path, record in found:
        if record["kind"] != "speed":
            by_data.setdefault(str(record["data"]["name"]), []).append((path, record))
    files: list[Path] = []
    for data, runs in by_data.items():
        files += _figures_of(runs, folder, f"_{data}" if len(by_data) > 1 else "")
    return files


def _figures_of(
    runs: Sequence[tuple[Path, dict[str, Any]]], folder: Path, suffix: str
) -> list[Path]:
    """Those of one data set; where a name has several runs, as of several seeds, of its first."""
    from sus2bench.figures.errors_by_element import errors_by_element
    from sus2bench.figures.learning_curve import learning_curve
    from sus2bench.figures.pareto import pareto
    from sus2bench.figures.parity import parity
    from sus2bench.figures.style import save

    firsts: dict[str, tuple[Path, dict[str, Any]]] = {}
    for path, record in runs:
        firsts.setdefault(record["name"], (path, record))
    shown = list(firsts.values())[:MOST_RUNS]
    if len(shown) < len(runs):
        what = "the first run of each name" if len(shown) == len(firsts) else f"{MOST_RUNS} runs"
        print(f"figures{suffix.replace('_', ' of ', 1)} show {what}, {len(shown)} of {len(runs)}")
    records = [record for _, record in shown]
    curves = _files_beside(shown, "metrics.csv")
    label = "validation force RMSE (meV/Å)"
    kinds: dict[str, Callable[[], Any]] = {}
    for split in sorted({split for record in records for split in record["metrics"]}):
        panels = _files_beside(shown, f"predictions_{split}.npz")
        kinds |= {
            f"parity_{split}": partial(parity, panels),
            f"cost_{split}": partial(pareto, records, split),
            f"elements_{split}": partial(errors_by_element, records, split),
        }
    if curves:
        column = "valid/forces_rmse_meV_A"
        kinds["learning_curve"] = partial(learning_curve, curves, column, label)
    files: list[Path] = []
    for kind, draw in kinds.items():
        try:
            figure = draw()
        except ValueError as error:
            print(f"no figure '{kind}{suffix}': {error}")
            continue
        files += save(figure, folder, f"{kind}{suffix}")
    return files


def _files_beside(runs: Sequence[tuple[Path, dict[str, Any]]], name: str) -> dict[str, Path]:
    """Files of a name beside the records, by the name of the run."""
    files = {record["name"]: path.parent / name for path, record in runs}
    return {run: file for run, file in files.items() if file.is_file()}


def _report(
    found: Sequence[tuple[Path, dict[str, Any]]],
    table: "DataFrame",
    figures: Sequence[Path],
    sections: Sequence[str],
) -> str:
    """One Markdown page: tables, figures, and where each number is from."""
    from sus2bench.benchmark import tables

    lines = ["# Comparison", ""] + ([tables.markdown(table)] if len(table) else [])
    lines += [f"![{file.stem}]({file.name})\n" for file in figures if file.suffix == ".png"]
    lines += sections
    lines += ["## Records", "", "| run | made | commit | processor | threads | configuration |"]
    lines += ["|---|---|---|---|---|---|"]
    for _, record in found:
        git, hardware = record["git"] or {}, record["hardware"]
        commit = str(git.get("commit") or "–")[:10] + (" (changed)" if git.get("dirty") else "")
        cells = [record["name"], record["created"][:16], commit, hardware["cpu"]]
        cells += [str(hardware["threads"]), record["config_sha256"][:10]]
        lines.append("| " + " | ".join(cells) + " |")
    return "\n".join(lines) + "\n"
