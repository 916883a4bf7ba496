"""`sus2bench compare`: records to a table on the screen, and to files and figures on request."""

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from pandas import DataFrame

FORMATS = ("table", "markdown", "csv", "latex")


def compare(sources: Sequence[str], shown: str, out: Path | None) -> None:
    """Print the table of some records and, given a folder, write tables and figures there.

    Args:
        sources: record files, or folders that are searched for them.
        shown: one of `FORMATS`.
        out: folder for the tables and figures, made where missing.

    Raises:
        FileNotFoundError: if a source holds no record.
        ValueError: if a record does not follow the schema.
    """
    from sus2bench.benchmark import tables
    from sus2bench.benchmark.records import find_records

    found = find_records(sources)
    table = tables.results_table(record for _, record in found)
    if shown == "table":
        _print_table(table)
    else:
        print(getattr(tables, shown)(table), end="")
    if out is not None:
        written = [*_write_tables(table, out), *_write_figures(found, out)]
        names = sorted({file.stem for file in written})
        print(f"written to {out}: {', '.join(names)}")


def _print_table(table: "DataFrame") -> None:
    """Print for people, with lines as long as the table needs: a number cut short is no use."""
    from rich.console import Console

    from sus2bench.benchmark.tables import console_table

    drawn = console_table(table)
    Console(width=Console(width=1000).measure(drawn).maximum).print(drawn)


def _write_tables(table: "DataFrame", folder: Path) -> list[Path]:
    from sus2bench.benchmark import tables
    from sus2bench.benchmark.records import write_atomically

    folder.mkdir(parents=True, exist_ok=True)
    files = []
    for suffix, text in (("md", tables.markdown), ("csv", tables.csv), ("tex", tables.latex)):
        files.append(folder / f"table.{suffix}")
        write_atomically(files[-1], text(table).encode())
    return files


def _write_figures(found: Sequence[tuple[Path, dict[str, Any]]], folder: Path) -> list[Path]:
    """Every figure that the records have numbers for, one of each kind per split."""
    from sus2bench.figures.errors_by_element import errors_by_element
    from sus2bench.figures.pareto import pareto
    from sus2bench.figures.parity import parity
    from sus2bench.figures.style import save

    records = [record for _, record in found]
    files: list[Path] = []
    for split in sorted({split for record in records for split in record["metrics"]}):
        panels = _predictions(found, split)
        kinds: dict[str, Callable[[], Any]] = {
            "parity": lambda panels=panels: parity(panels),  # type: ignore[misc]
            "cost": lambda split=split: pareto(records, split),  # type: ignore[misc]
            "elements": lambda split=split: errors_by_element(records, split),  # type: ignore[misc]
        }
        for kind, draw in kinds.items():
            try:
                figure = draw()
            except ValueError as error:
                print(f"no figure '{kind}' for {split}: {error}")
                continue
            files += save(figure, folder, f"{kind}_{split}")
    return files


def _predictions(found: Sequence[tuple[Path, dict[str, Any]]], split: str) -> dict[str, Path]:
    """Predictions files beside the records, by the name of the run."""
    panels: dict[str, Path] = {}
    for path, record in found:
        file = path.parent / f"predictions_{split}.npz"
        if file.is_file():
            name = record["name"]
            panels[name if name not in panels else f"{name} ({path.parent.name})"] = file
    return panels
