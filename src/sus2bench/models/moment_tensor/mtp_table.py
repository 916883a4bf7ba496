"""The contraction table in an ``.mtp`` file, and how such files write numbers.

Numbers are written as the authors' programs do, with 16 significant digits, and with 17 where 16
would not give back the same float64.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

from sus2bench.atoms.files import write_atomically
from sus2bench.models.moment_tensor.contraction_table import ContractionTable
from sus2bench.models.moment_tensor.mtp_lines import MTPLines, fail

TABLE_FIELDS = (
    "alpha_moments_count",
    "alpha_index_basic_count",
    "alpha_index_basic",
    "alpha_index_times_count",
    "alpha_index_times",
    "alpha_scalar_moments",
    "alpha_moment_mapping",
)


def read_table(lines: MTPLines) -> ContractionTable:
    """The contractions, after comparing every list with its announced length."""
    lists = {
        field: lines.integers(field, columns)
        for field, columns in (
            ("alpha_index_basic", 4),
            ("alpha_index_times", 4),
            ("alpha_moment_mapping", None),
        )
    }
    for field, count_field in (
        ("alpha_index_basic", "alpha_index_basic_count"),
        ("alpha_index_times", "alpha_index_times_count"),
        ("alpha_moment_mapping", "alpha_scalar_moments"),
    ):
        announced = lines.integer(count_field)
        if announced != len(lists[field]):
            fail(
                count_field,
                f"is {announced}, but {field} lists {len(lists[field])} entries; correct the "
                "count, or get the file anew if entries are missing",
            )
    return ContractionTable(
        basic=tuple(lists["alpha_index_basic"]),
        times=tuple(lists["alpha_index_times"]),
        mapping=tuple(lists["alpha_moment_mapping"]),
        moment_count=lines.integer("alpha_moments_count"),
    )


def table_lines(table: ContractionTable) -> list[str]:
    """The fields of the contractions in the order of the published files."""
    return [
        f"alpha_moments_count = {table.moment_count}",
        f"alpha_index_basic_count = {len(table.basic)}",
        f"alpha_index_basic = {braces(table.basic, braces)}",
        f"alpha_index_times_count = {len(table.times)}",
        f"alpha_index_times = {braces(table.times, braces)}",
        f"alpha_scalar_moments = {len(table.mapping)}",
        f"alpha_moment_mapping = {braces(table.mapping)}",
    ]


def number(value: float) -> str:
    """C's %.15e, or %.16e where 16 digits do not give back the same float64."""
    text = f"{value:.15e}"
    return text if float(text) == value else f"{value:.16e}"


def braces(items: Iterable[Any], write: Callable[[Any], str] = str) -> str:
    """A list as ``{a, b, ..}``."""
    return "{" + ", ".join(write(item) for item in items) + "}"


def write_text(text: str, path: str | os.PathLike[str], *, overwrite: bool) -> None:
    """Writes a file that appears at once or not at all.

    Raises:
        FileExistsError: the file exists and ``overwrite`` is False.
    """
    path = Path(path)
    if path.exists() and not overwrite:
        raise FileExistsError(
            f"{path} exists; choose another name, or pass overwrite=True to replace it"
        )
    write_atomically(path, lambda part: part.write_text(text, encoding="utf-8", newline="\n"))
