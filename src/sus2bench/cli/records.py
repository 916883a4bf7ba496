"""`sus2bench records` and `sus2bench rerun`: what is done with many records, and with one again."""

import argparse
import logging
import sys
from collections import Counter
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from sus2bench.cli.parsing import Parser

if TYPE_CHECKING:
    from pandas import DataFrame

FORMATS = ("table", "csv", "json", "markdown")
DIFFERS = 1
"""Exit code of a verification that has found a difference."""

_LISTED = ("name", "kind", "data", "seed", "status", "trainable", "us_per_atom", "train_seconds")
_DIGITS = 5

HELP = {
    "records": """\
usage: sus2bench records list SOURCE ... [--where CONDITION] [--format FORMAT]
       sus2bench records query SQL SOURCE ... [--format FORMAT]
       sus2bench records build SOURCE ... --out FILE.parquet
       sus2bench records merge SOURCE ... --out DIR [--files all|predictions|records]
                               [--on-conflict refuse|first|both]
       sus2bench records verify SOURCE ... [--quick] [--format FORMAT]

Records as one table. A SOURCE is a record file, a folder that is searched for them, or (of list,
query and build) a Parquet file of build.

actions:
  list     a line for each record; --where is a condition of SQL on the columns of `runs`
  query    the answer to a question in SQL about the tables runs (a row per record), results (per
           record and split) and metrics (per number, those of single elements included)
  build    one Parquet file of all records, for this program, pandas, polars or DuckDB
  merge    the runs of several folders in one: copies of a record come once, records of the same
           run with different contents are named and refused
  verify   take the errors of each record once more, from its predictions, and from its checkpoint
           and the data; the exit code is 1 if any of them differs

options:
  --format FORMAT        how to print: table (default), csv, json or markdown
  --out PATH             what to write
  --files WHICH          what comes along with a record: all of its folder (default), predictions
                         and learning curves, or learning curves only (records)
  --on-conflict WHAT     refuse (default), keep the first, or keep both under different names
  --quick                verify from the predictions only, which takes no time
  -h, --help             this text

examples:
  sus2bench records list runs --where "data='alloy53' and seed=0"
  sus2bench records query "select name, avg(forces_rmse_meV_A) from results where split='test'
                           group by name order by 2" runs results
  sus2bench records build runs --out store.parquet
  sus2bench records merge laptop/runs cluster/runs --out runs --files predictions
  sus2bench records verify runs/alloy53/sus2""",
    "rerun": """\
usage: sus2bench rerun RECORD [KEY=VALUE ...] [--out DIR] [--format FORMAT]

Repeat the run of a record with its settings, in a folder of its own, and put its numbers beside
those of then, with what else is different: environment, commit, hardware. A RECORD is a record file
or a folder that holds one. With deterministic=true and budget.max_steps the numbers are the same to
the last digit on the same machine and environment.

options:
  KEY=VALUE        settings of the record to change, by dotted names
  --out DIR        folder of the run (runs/rerun/DATA/NAME)
  --format FORMAT  how to print the numbers: table (default) or markdown, without maxima and
                   percentiles that are the same, or csv or json, with all
  -h, --help       this text

examples:
  sus2bench rerun results/emt-alloys/sus2
  sus2bench rerun runs/alloy53/painn budget.max_steps=100 --out /tmp/again""",
}


def records(arguments: list[str]) -> int:
    """Run `sus2bench records ACTION ...`; returns the exit code."""
    parser = Parser(prog="sus2bench records", add_help=False, allow_abbrev=False)
    actions = parser.add_subparsers(dest="action", required=True, metavar="|".join(_ACTIONS))
    for name, (prepare, _) in _ACTIONS.items():
        action = actions.add_parser(name, add_help=False, allow_abbrev=False)
        prepare(action)
        action.add_argument("sources", nargs="+", metavar="SOURCE")
        if name in ("list", "query", "verify"):
            action.add_argument("--format", choices=FORMATS, default="table")
    options = parser.parse_args(arguments)
    return _ACTIONS[options.action][1](options)


def rerun(arguments: list[str]) -> int:
    """Run `sus2bench rerun RECORD ...`; returns the exit code."""
    parser = Parser(prog="sus2bench rerun", add_help=False, allow_abbrev=False)
    parser.add_argument("record", metavar="RECORD")
    parser.add_argument("overrides", nargs="*", metavar="KEY=VALUE")
    parser.add_argument("--out", type=Path)
    parser.add_argument("--format", choices=FORMATS, default="table")
    options = parser.parse_intermixed_args(arguments)

    from sus2bench.records.differences import in_words
    from sus2bench.records.rerunning import rerun as again

    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(message)s", datefmt="%H:%M:%S")
    done = again(options.record, options.out, options.overrides)
    table = done.numbers.rename(columns={"first": "then", "second": "now"})
    if options.format in ("table", "markdown"):
        less = table["metric"].str.contains("_max_|_p[0-9]+_|_components|_frames")
        table = table[~less | (table["difference"] != 0)]
    show(table, options.format)
    if options.format == "table":
        lines = in_words(done.circumstances) or ["nothing: same environment, commit and hardware"]
        print("\n  ".join(["what else differs:", *lines]))
        same = "identical" if done.identical else "not identical"
        print(f"errors: {same if done.then['metrics'] else 'none'}; see {done.folder}")
    return 0


def _verify(options: argparse.Namespace) -> int:
    from pandas import DataFrame

    from sus2bench.benchmark.records import find_files
    from sus2bench.records.verification import verify

    found = [f for file in find_files(options.sources) for f in verify(file, quick=options.quick)]
    show(DataFrame(found), options.format)
    outcomes = Counter(finding.outcome for finding in found)
    print(", ".join(f"{count} {outcome}" for outcome, count in outcomes.items()), file=sys.stderr)
    return DIFFERS if outcomes["differs"] else 0


def _list(options: argparse.Namespace) -> int:
    from sus2bench.records.store import query
    from sus2bench.records.table import load

    if options.where is None:
        table = load(options.sources)
    else:
        table = query(f"SELECT * FROM runs WHERE {options.where}", options.sources)
    table = table.drop_duplicates("record")
    table["us_per_atom"] = table["us_per_atom"].mask(
        table["kind"] == "speed"
    )  # of which potential?
    show(table[[*_LISTED, "created", "path"]], options.format)
    return 0


def _query(options: argparse.Namespace) -> int:
    from sus2bench.records.store import query

    show(query(options.sql, options.sources), options.format)
    return 0


def _build(options: argparse.Namespace) -> int:
    from sus2bench.records.store import build

    print(f"{options.out}: {build(options.sources, options.out)} records")
    return 0


def _merge(options: argparse.Namespace) -> int:
    from sus2bench.records.merging import merge

    done = merge(options.sources, options.out, files=options.files, on_conflict=options.on_conflict)
    for file, same in done.duplicates:
        print(f"left out: {file} says the same as {same}")
    for conflict in done.conflicts:
        kept = "kept both" if options.on_conflict == "both" else "left out the second"
        print(f"{kept}: {conflict.first} and {conflict.second} are of the same run")
        print("\n".join(f"  {line}" for line in conflict.differences))
    for folder in done.renamed:
        print(f"renamed: {folder}, whose place has another run")
    print(f"{options.out}: {len(done.copies)} runs added")
    return 0


def _of_where(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--where", metavar="CONDITION")


def _of_sql(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("sql", metavar="SQL")


def _of_out(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--out", required=True, type=Path)


def _of_merge(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--out", required=True, type=Path)
    parser.add_argument("--files", choices=("all", "predictions", "records"), default="all")
    parser.add_argument("--on-conflict", choices=("refuse", "first", "both"), default="refuse")


def _of_verify(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--quick", action="store_true")


_Prepare = Callable[[argparse.ArgumentParser], None]
_Action = Callable[[argparse.Namespace], int]
_ACTIONS: dict[str, tuple[_Prepare, _Action]] = {
    "list": (_of_where, _list),
    "query": (_of_sql, _query),
    "build": (_of_out, _build),
    "merge": (_of_merge, _merge),
    "verify": (_of_verify, _verify),
}


def show(table: "DataFrame", shown: str) -> None:
    """Print a table in one of `FORMATS`; the numbers of csv and json have all their digits."""
    from sus2bench.cli.speed import print_text

    if shown == "csv":
        print(table.to_csv(index=False), end="")
    elif shown == "json":
        print(table.to_json(orient="records", force_ascii=False, indent=1))
    elif shown == "markdown":
        text = _as_text(table)
        _print_rows([list(text.columns), ["---"] * len(text.columns), *text.values.tolist()])
    else:
        print_text(_as_text(table))


def _print_rows(rows: Sequence[Sequence[str]]) -> None:
    print("\n".join(f"| {' | '.join(cell.replace('|', '/') for cell in row)} |" for row in rows))


def _as_text(table: "DataFrame") -> "DataFrame":
    return table.astype(object).map(_cell)


def _cell(value: Any) -> str:
    """Numbers to a few digits, – where there is none."""
    import pandas as pd

    if pd.api.types.is_scalar(value) and pd.isna(value):
        return "–"
    return f"{value:.{_DIGITS}g}" if isinstance(value, float) else str(value)
