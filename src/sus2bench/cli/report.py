"""`sus2bench report`: records to a site that opens from disk."""

import argparse
from collections.abc import Sequence
from pathlib import Path

HELP = """\
usage: sus2bench report FOLDER [FOLDER ...] [--out SITE] [--title TEXT]

Write a site of all records below some folders: a leaderboard that sorts and filters, errors against
costs with Pareto fronts, errors by element, learning curves, parity plots, and a page for each run
with its configuration, hardware, log and how to reproduce it. The same as Markdown and LaTeX tables
and vector figures. SITE is one folder that opens from disk (SITE/index.html) or is put on any
server; it needs no other place. Plots come from plotly: pip install 'sus2bench[report]'.

options:
  --out SITE    folder to write, whole or not at all (site); an earlier site is replaced, any other
                folder is refused
  --title TEXT  title of the site
  -h, --help    this text

examples:
  sus2bench report runs/
  sus2bench report results/rivals results/training --out site --title 'Rivals at equal time'"""


def report(arguments: Sequence[str], parser: argparse.ArgumentParser) -> int:
    """Run the command.

    Args:
        arguments: what follows `sus2bench report`.
        parser: a parser without arguments yet, which reports errors as the program does.

    Returns:
        Exit code.

    Raises:
        FileNotFoundError: if a folder holds no record.
        FileExistsError: if `--out` is something else than an earlier site.
        ValueError: if a record does not follow the schema, or plotly is not installed.
    """
    parser.add_argument("folders", nargs="+", metavar="FOLDER")
    parser.add_argument("--out", type=Path, default=Path("site"))
    parser.add_argument("--title")
    options = parser.parse_args(arguments)

    from sus2bench.benchmark.records import find_records
    from sus2bench.report.folder import refuse_other_folder
    from sus2bench.report.site import TITLE, write_site

    refuse_other_folder(options.out)  # before records are read, which takes a while
    found = find_records(options.folders)
    try:
        count = write_site(found, options.out, options.title or TITLE)
    except ImportError as error:
        raise ValueError(str(error)) from error
    print(f"{count} runs written to {options.out}: open {options.out / 'index.html'}")
    return 0
