"""Tables made from records alone: for a console, Markdown, CSV and LaTeX."""

from collections.abc import Iterable
from typing import Any

import pandas as pd
from rich.box import SIMPLE_HEAD
from rich.table import Table

from sus2bench.benchmark.costs import memory_of, speed_of, time_of, training_seconds
from sus2bench.benchmark.records import Record
from sus2bench.models.composition import Composition

MISSING = "–"
FLOOR = "composition fit"
"""Row of the errors that remain with energies of the composition alone and zero forces."""

# Column title, metric it shows, and significant digits.
_METRICS = (
    ("E RMSE (meV/atom)", "energy_per_atom_rmse_meV", 4),
    ("E MAE (meV/atom)", "energy_per_atom_mae_meV", 4),
    ("F RMSE (meV/Å)", "forces_rmse_meV_A", 5),
    ("F MAE (meV/Å)", "forces_mae_meV_A", 5),
    ("S RMSE (GPa)", "stress_rmse_GPa", 3),
)
# The same errors in percent of those of the composition fit.
_RELATIVE = (
    ("E RMSE (% of floor)", "energy_per_atom_rmse_meV"),
    ("F RMSE (% of floor)", "forces_rmse_meV_A"),
)
# Column title, and what was done while the memory was watched.
_MEMORY = (
    ("memory (MB)", "energy_and_forces"),
    ("training memory (MB)", "training_gradient"),
)
# On a terminal two numbers share a column.
_PAIRS = {
    "E RMSE / MAE\nmeV/atom": ("E RMSE (meV/atom)", "E MAE (meV/atom)"),
    "F RMSE / MAE\nmeV/Å": ("F RMSE (meV/Å)", "F MAE (meV/Å)"),
    "E / F RMSE\n% of floor": ("E RMSE (% of floor)", "F RMSE (% of floor)"),
}
_MEMORY_PAIR = ("memory (MB)", "training memory (MB)")
_TEXT = ("data", "split", "model", "status", "dtype", "interval over")
_COUNTS = ("stored", "trainable", "effective", "steps")
_DIGITS = {
    **{title: digits for title, _, digits in _METRICS},
    **{title: 3 for title, _ in (*_RELATIVE, *_MEMORY)},
    "µs/atom": 4,
    "train (s)": 3,
}
_LATEX = {
    "_": r"\_",
    "#": r"\#",
    "%": r"\%",
    "&": r"\&",
    "Å": r"\AA{}",
    "–": "--",
    "µ": r"$\mu$",
    "±": r"$\pm$",
}
_COMPOSITION = f"{Composition.__module__}.{Composition.__qualname__}"


def results_table(records: Iterable[Record]) -> pd.DataFrame:
    """One row per record and split, with missing values as NaN/None.

    Rows are grouped by data set and split and sorted by the force error; the errors of the
    composition fit, where a record holds them, stand last in their group as the floor, unless the
    composition model has a record there and with it a row like any other.
    """
    rows: list[dict[str, Any]] = []
    floors: dict[tuple[str, str], dict[str, Any]] = {}
    trained: set[tuple[str, str]] = set()
    for record in records:
        data = record["data"]["name"]
        rows.extend(_rows(record))
        if record["model"]["target"] == _COMPOSITION:
            trained |= {(data, split) for split in record["metrics"]}
        for split, metrics in record.get("baseline", {}).items():
            floors.setdefault((data, split), _row(data, split, FLOOR, metrics, metrics))
    rows += [row for place, row in floors.items() if place not in trained]
    columns = [*_TEXT[:3], *_COUNTS[:3], *(title for title, _, _ in _METRICS)]
    columns += [*(title for title, _ in _RELATIVE), "µs/atom", *_MEMORY_PAIR]
    columns += ["train (s)", "steps", "dtype", "status"]
    table = pd.DataFrame(rows, columns=columns)
    table["_floor"] = table["model"].eq(FLOOR)
    known = {split: place for place, split in enumerate(("", "train", "valid", "test"))}
    table["_split"] = table["split"].map(lambda split: (known.get(split, len(known)), split))
    by = ["data", "_split", "_floor", "F RMSE (meV/Å)", "model"]
    ordered = table.sort_values(by, kind="stable", na_position="last", ignore_index=True)
    ordered = ordered.drop(columns=["_floor", "_split"])
    return ordered.astype(dict.fromkeys(_COUNTS, "Int64"))


def _rows(record: Record) -> list[dict[str, Any]]:
    splits = record["metrics"] or {"": {}}
    return [_row_of_record(record, split, metrics) for split, metrics in splits.items()]


def _row_of_record(record: Record, split: str, metrics: dict[str, Any]) -> dict[str, Any]:
    floor = record.get("baseline", {}).get(split, {})
    row = _row(record["data"]["name"], split, record["name"], metrics, floor)
    parameters, timings = record["parameters"] or {}, record["timings"]
    row |= {kind: parameters.get(kind) for kind in _COUNTS[:3]}
    speed = speed_of(record)
    row["µs/atom"] = time_of(speed)
    row |= {title: memory_of(speed, what) for title, what in _MEMORY}
    row["train (s)"] = training_seconds(record)
    row["steps"] = timings.get("steps")
    row["dtype"] = record["model"]["dtype"]
    row["status"] = record["status"]
    return row


def _row(
    data: str, split: str, model: str, metrics: dict[str, Any], floor: dict[str, Any]
) -> dict[str, Any]:
    errors = {title: metrics.get(name) for title, name, _ in _METRICS}
    relative = {title: _percent(metrics.get(name), floor.get(name)) for title, name in _RELATIVE}
    return {"data": data, "split": split, "model": model, **errors, **relative}


def _percent(error: float | None, floor: float | None) -> float | None:
    return 100 * error / floor if error is not None and floor else None


def formatted(table: pd.DataFrame) -> pd.DataFrame:
    """The table as text: significant digits, thousands separated, – where a value is missing."""
    return pd.DataFrame(
        {title: [_text(title, value) for value in table[title]] for title in table.columns}
    )


def _text(title: str, value: Any) -> str:
    if value is None or value is pd.NA or value != value or value == "":
        return MISSING
    if title in _COUNTS:
        return f"{int(value):,}"
    if title in _DIGITS:
        return significant(float(value), _DIGITS[title])
    return significant(value, 3) if isinstance(value, float) else str(value)


def significant(value: float, digits: int) -> str:
    """The number to so many significant digits, never in powers of ten below a million."""
    text = f"{value:#.{digits}g}".rstrip(".")
    return f"{float(text):,.0f}" if "e+" in text else text


def console_table(table: pd.DataFrame, title: str = "") -> Table:
    """A rich table for the terminal: what fits there, a section for each data set and split."""
    shown = Table(title=title or None, box=SIMPLE_HEAD, collapse_padding=True, pad_edge=False)
    shown.add_column("model", no_wrap=True)
    titles = ("para-\nmeters", *_PAIRS, "S RMSE\nGPa", "\nµs/atom", "use / fit\nMB", "fit\ns")
    for column in titles:
        shown.add_column(column, justify="right", no_wrap=True)
    text = formatted(table)
    for (data, split), group in text.groupby(["data", "split"], sort=False):
        shown.add_section()
        shown.add_row(f"[bold]{data}[/]\n[bold]{split}[/]")
        for _, row in group.iterrows():
            shown.add_row(*_console_row(row))
    return shown


def _console_row(row: "pd.Series[Any]") -> list[str]:
    complete = row["status"] in ("completed", MISSING)
    name = row["model"] if complete else f"{row['model']} ({row['status']})"
    *pairs, memory = [
        " / ".join(row[title] for title in pair) if row[pair[0]] != MISSING else MISSING
        for pair in (*_PAIRS.values(), _MEMORY_PAIR)
    ]
    others = [row["S RMSE (GPa)"], row["µs/atom"], memory, row["train (s)"]]
    return [name, row["trainable"], *pairs, *others]


def markdown(table: pd.DataFrame) -> str:
    """A Markdown table, numbers aligned right."""
    text = formatted(table)
    rule = ["---" if column in _TEXT else "---:" for column in text.columns]
    lines = [list(text.columns), rule, *text.itertuples(index=False)]
    return "\n".join("| " + " | ".join(line) + " |" for line in lines) + "\n"


def csv(table: pd.DataFrame) -> str:
    """Comma-separated values with all digits, missing values empty."""
    return str(table.to_csv(index=False))


def latex(table: pd.DataFrame) -> str:
    """A LaTeX tabular (booktabs)."""
    text = formatted(table)
    escaped = text.map(escape_latex)
    escaped.columns = [escape_latex(column) for column in escaped.columns]
    alignment = ["l" if column in _TEXT else "r" for column in text.columns]
    lines = [
        rf"\begin{{tabular}}{{{''.join(alignment)}}}",
        r"\toprule",
        " & ".join(escaped.columns) + r" \\",
        r"\midrule",
        *(" & ".join(row) + r" \\" for row in escaped.itertuples(index=False)),
        r"\bottomrule",
        r"\end{tabular}",
    ]
    return "\n".join(lines) + "\n"


def escape_latex(text: str) -> str:
    """Plain text as LaTeX reads it; formulas (`$...$`) stay."""
    for old, new in _LATEX.items():
        text = text.replace(old, new)
    return text
