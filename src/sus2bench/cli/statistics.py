"""What `sus2bench compare` says about models: errors with intervals, ranks, and all pairs."""

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from sus2bench.atoms.files import write_atomically

if TYPE_CHECKING:
    from pandas import DataFrame

Found = Sequence[tuple[Path, dict[str, Any]]]


def print_statistics(long: "DataFrame", shown: str) -> None:
    """Print the table of models.

    Args:
        long: summaries of all splits.
        shown: `table`, `markdown`, `csv` or `latex`.
    """
    from rich.console import Console

    from sus2bench.statistics import tables

    if shown != "table":
        print(getattr(tables, shown)(long), end="")
    else:
        drawn = tables.console_table(long)
        Console(width=Console(width=1000).measure(drawn).maximum).print(drawn)
        print("± half of a 95 % interval; docs/statistics.md says what it covers")


def write_statistics(
    long: "DataFrame", found: Found, folder: Path, blocks: int | None
) -> list[Path]:
    """Write the table of models in every format, and the differences of all pairs.

    Args:
        long: summaries of all splits.
        found: the records they are of, with their files.
        folder: where to.
        blocks: frames that belong together.
    """
    import pandas as pd

    from sus2bench.benchmark.tables import csv
    from sus2bench.statistics import paired, tables

    pairs = pd.concat([paired(found, split, blocks=blocks) for split in long["split"].unique()])
    texts = {
        "statistics.md": tables.markdown(long),
        "statistics.csv": tables.csv(long),
        "statistics.tex": tables.latex(long),
        "pairs.csv": csv(pairs),
    }
    for name, text in texts.items():
        write_atomically(folder / name, lambda part, text=text: part.write_text(text, "utf-8"))  # type: ignore[misc]
    return [folder / name for name in texts]


def statistics_section(long: "DataFrame") -> str:
    """The table of models as a section of the report."""
    from sus2bench.statistics import tables

    return "\n".join(
        (
            "## Models",
            "",
            "Mean over seeds ± half of a 95 % interval. Bold: nothing is significantly better, "
            "and something is worse. The differences of all pairs are in `pairs.csv`.",
            "",
            tables.markdown(long),
        )
    )
