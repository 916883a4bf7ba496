"""A CSV file of everything that is logged, which a resumed run continues."""

import csv
import os
from pathlib import Path
from typing import Any

from lightning.fabric.utilities.rank_zero import rank_zero_only
from lightning.pytorch.loggers import Logger

ROWS_IN_MEMORY = 20
"""Rows after which the file is written."""


class CSVLogger(Logger):
    """Writes one row per call of `log_metrics`: `step`, then the metrics, empty where not logged.

    Lightning's own logger deletes the file of the run it resumes; this one drops only what was
    logged after the checkpoint.

    Args:
        folder: where; the run's folder if not given.
        file: name of the file.
    """

    def __init__(self, folder: str | os.PathLike[str] | None = None, file: str = "metrics.csv"):
        super().__init__()
        self.folder = None if folder is None else Path(folder)
        self._file = file
        self._columns: list[str] = []
        self._rows: list[dict[str, Any]] = []

    @property
    def name(self) -> str:
        """Name of the file."""
        return self._file

    @property
    def version(self) -> str:
        """There are no versions: one run, one file."""
        return ""

    @property
    def path(self) -> Path:
        """The file."""
        if self.folder is None:
            raise ValueError("the CSV logger has no folder yet: give one, or let `fit` do so")
        return self.folder / self._file

    @rank_zero_only
    def begin(self, step: int) -> None:
        """Keeps the rows of an earlier run up to `step`; at step 0 the file is new.

        The step of a checkpoint was logged completely before it was written.
        """
        self._columns, self._rows = [], []
        kept: list[dict[str, Any]] = []
        if step and self.path.exists():
            with self.path.open(newline="", encoding="utf-8") as file:
                reader = csv.DictReader(file)
                kept = [row for row in reader if _step(row) <= step]
                self._columns = list(reader.fieldnames or [])
        self._write(kept)

    @rank_zero_only
    def log_metrics(self, metrics: dict[str, float], step: int | None = None) -> None:
        """Adds a row."""
        self._rows.append({"step": 0 if step is None else step, **metrics})
        if len(self._rows) >= ROWS_IN_MEMORY:
            self.save()

    @rank_zero_only
    def log_hyperparams(self, params: Any, *args: Any, **kwargs: Any) -> None:
        """Does nothing: the configuration has a file of its own."""

    @rank_zero_only
    def save(self) -> None:
        """Writes what is in memory."""
        if not self._rows:
            return
        rows, self._rows = self._rows, []
        new = [key for row in rows for key in row if key not in self._columns]
        if new or not self.path.exists():
            old: list[dict[str, Any]] = []
            if self.path.exists():
                with self.path.open(newline="", encoding="utf-8") as file:
                    old = list(csv.DictReader(file))
            self._columns += dict.fromkeys(new)
            self._write([*old, *rows])
            return
        with self.path.open("a", newline="", encoding="utf-8") as file:
            csv.DictWriter(file, self._columns).writerows(rows)

    @rank_zero_only
    def finalize(self, status: str) -> None:
        """Writes what is in memory."""
        self.save()

    def _write(self, rows: list[dict[str, Any]]) -> None:
        """Replaces the file."""
        self.path.parent.mkdir(parents=True, exist_ok=True)
        temporary = self.path.with_name(f".{self._file}.part")
        with temporary.open("w", newline="", encoding="utf-8") as file:
            writer = csv.DictWriter(file, self._columns)
            writer.writeheader()
            writer.writerows(rows)
        os.replace(temporary, self.path)


def _step(row: dict[str, Any]) -> float:
    """The step of a row, infinite for one that a crash has cut short."""
    try:
        return int(row["step"])
    except (KeyError, TypeError, ValueError):
        return float("inf")
