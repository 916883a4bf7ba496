"""Errors against training time, as figures and a table, from the records of training runs.

    python scripts/training_report.py FOLDER ... --out OUT
        [--reference 'NAME: E, F' ...] [--threshold 'E, F' ...]

All completed runs below the folders enter, with `metrics.csv` beside their `record.json`. Runs on
the same data whose names differ by `_seedN` alone are one row, of medians. E and F are root mean
square errors in validation, in meV/atom and meV/Å: references are lines in the figures; for each
threshold the table says when validation first had both errors below it (processor or wall time, as
the budget of the run). Writes DATA.png, .svg, .pdf for each data set, table.md and table.csv.
"""

import argparse
import statistics
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple

import pandas as pd

from sus2bench.atoms.files import write_atomically
from sus2bench.benchmark.records import Record, find_records
from sus2bench.benchmark.tables import MISSING, significant
from sus2bench.figures.style import save
from sus2bench.figures.training_curves import (
    ENERGY,
    FORCES,
    Reference,
    group_of,
    training_curves,
    validation_errors,
)

ERRORS = {
    "E RMSE": ENERGY,
    "E MAE": "energy_per_atom_mae_meV",
    "F RMSE": FORCES,
    "F MAE": "forces_mae_meV_A",
}
SPLITS = ("valid", "test", "test_without_copies")
TEXT = ("data", "run", "clock")
COUNTS = ("seeds", "parameters", "steps")


class Run(NamedTuple):
    """A completed run and its validations."""

    record: Record
    curve: pd.DataFrame


def pair(text: str) -> tuple[float, float]:
    """`E, F` as two numbers."""
    energy, forces = (float(part) for part in text.split(","))
    return energy, forces


def reference(text: str) -> Reference:
    """`NAME: E, F`."""
    name, _, numbers = text.rpartition(":")
    if not name:
        raise argparse.ArgumentTypeError(f"write 'NAME: E, F', not {text!r}")
    return Reference(name.strip(), *pair(numbers))


def read(folders: Sequence[Path]) -> list[Run]:
    """All completed training runs below the folders; those left out are named on stderr.

    Raises:
        ValueError: there are none, two have the same name, or a learning curve lacks columns.
    """
    runs: dict[tuple[str, str], Run] = {}
    for file, record in find_records(folders):
        metrics = file.with_name("metrics.csv")
        if record["kind"] != "train" or record["status"] != "completed" or not metrics.is_file():
            print(f"{file} is left out: no completed training with metrics.csv", file=sys.stderr)
            continue
        key = record["data"]["name"], record["name"]
        if key in runs:
            raise ValueError(f"{file}: there is another run {key[1]} on {key[0]}; leave one out")
        before = record["timings"].get("initialise_seconds") or 0.0
        runs[key] = Run(record, validation_errors(metrics, before))
    if not runs:
        raise ValueError(f"there is no completed training run below {', '.join(map(str, folders))}")
    return list(runs.values())


def first_time_below(curve: pd.DataFrame, energy: float, forces: float) -> float:
    """Seconds until both errors were below the thresholds in one validation; or infinite."""
    reached = curve[(curve[ENERGY] < energy) & (curve[FORCES] < forces)]
    return float(reached["seconds"].iloc[0]) if len(reached) else float("inf")


def table(runs: Sequence[Run], thresholds: Sequence[tuple[float, float]]) -> pd.DataFrame:
    """A row of medians per data set and name, missing where most seeds did not get to a threshold.

    Errors are those of the best checkpoint of a run, which its record has.
    """
    groups: dict[tuple[str, str], list[Run]] = {}
    for run in runs:
        key = run.record["data"]["name"], group_of(run.record["name"])
        groups.setdefault(key, []).append(run)
    rows = []
    for (data, name), members in groups.items():
        columns = pd.DataFrame([_numbers(run, thresholds) for run in members])
        clock = members[0].record["config"]["budget"].get("clock", "wall")
        row = {"data": data, "run": name, "seeds": len(members), "clock": clock}
        rows.append(row | {column: _median(columns[column]) for column in columns})
    return pd.DataFrame(rows).replace(float("inf"), None)


def _numbers(run: Run, thresholds: Sequence[tuple[float, float]]) -> dict[str, float | None]:
    record = run.record
    timings = record["timings"]
    found = {
        "parameters": record["parameters"]["stored"],
        "steps": timings["steps"],
        "seconds": timings["train_seconds"] + (timings.get("initialise_seconds") or 0.0),
    }
    for split in SPLITS:
        metrics, name = record["metrics"].get(split, {}), split.replace("_", " ")
        found |= {f"{name} {title}": metrics.get(metric) for title, metric in ERRORS.items()}
    for energy, forces in thresholds:
        time = first_time_below(run.curve, energy, forces)
        found[f"s to E<{energy:g}, F<{forces:g}"] = time
    return found


def _median(values: pd.Series) -> float | None:
    known = values.dropna()
    return statistics.median(known) if len(known) else None


def markdown(numbers: pd.DataFrame) -> str:
    """The table for readers: four digits, – for no value, and no errors that no run has."""
    empty = [column for column in numbers if numbers[column].isna().all()]
    shown = numbers.drop(columns=[column for column in empty if column.endswith(tuple(ERRORS))])
    rule = ["---" if column in TEXT else "---:" for column in shown]
    rows = [[_text(column, row[column]) for column in shown] for _, row in shown.iterrows()]
    lines = ["| " + " | ".join(line) + " |\n" for line in (list(shown), rule, *rows)]
    return "".join(lines)


def _text(column: str, value: Any) -> str:
    if column in TEXT:
        return str(value)
    if pd.isna(value):
        return MISSING
    if column in COUNTS:
        return f"{value:,.0f}"
    return significant(value, 4 if column.endswith(tuple(ERRORS)) else 3)


def main() -> int:
    """Write figures and tables; 2 if there is nothing to make them of."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("folders", type=Path, nargs="+", metavar="FOLDER")
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--reference", type=reference, nargs="+", default=[], metavar="'NAME: E,F'")
    parser.add_argument("--threshold", type=pair, nargs="+", default=[], metavar="'E,F'")
    options = parser.parse_args()
    try:
        runs = read(options.folders)
    except (FileNotFoundError, ValueError) as error:
        print(error, file=sys.stderr)
        return 2
    curves: dict[str, dict[str, pd.DataFrame]] = {}
    for run in runs:
        curves.setdefault(run.record["data"]["name"], {})[run.record["name"]] = run.curve
    files = []
    for data, named in curves.items():
        files += save(training_curves(named, options.reference), options.out, data)
    numbers = table(runs, options.threshold)
    for name, text in (("table.md", markdown(numbers)), ("table.csv", numbers.to_csv(index=False))):
        files.append(options.out / name)
        write_atomically(files[-1], lambda part, text=text: part.write_text(text, encoding="utf-8"))
    print(*files, sep="\n")
    return 0


if __name__ == "__main__":
    sys.exit(main())
