"""Records as one Parquet file, and as tables that SQL can ask; both by DuckDB.

A connection has three tables: ``runs`` (a row per record; per potential of a speed record), with
the columns of :data:`~sus2bench.records.columns.COLUMNS` and ``config``; ``results``, a row per
record and split with the metrics; and ``metrics``, a row per number, those of single elements
included. ``config`` is JSON: ``config->>'$.model.channels'`` is one setting.
"""

import os
from typing import TYPE_CHECKING, Any

import pandas as pd

from sus2bench.atoms.files import write_atomically
from sus2bench.records.columns import COLUMNS
from sus2bench.records.table import Paths, long_table, read

if TYPE_CHECKING:
    import duckdb


class MissingPackageError(ImportError, ValueError):
    """A package of an extra is not installed; the text says which extra it is."""


def build(paths: Paths, out: str | os.PathLike[str]) -> int:
    """Write records as one Parquet file, a row per record and split.

    Args:
        paths: record files, folders that are searched for them, and other such Parquet files.
        out: file to write; one that is there is replaced, whole or not at all.

    Returns:
        Number of records in it.

    Raises:
        FileNotFoundError: a path does not exist or holds no record.
        MissingPackageError: DuckDB is not installed.
        ValueError: a record does not follow the schema, or ``out`` does not end in ``.parquet``.
    """
    if os.path.splitext(out)[1] != ".parquet":
        raise ValueError(f"a store is a Parquet file: {out} must end in .parquet")
    table = read(paths)
    connection = _connection()
    connection.register("stored", table)
    write_atomically(
        out,
        lambda part: connection.execute(
            f"COPY stored TO '{_quoted(part)}' (FORMAT parquet, COMPRESSION zstd)"
        ),
    )
    return int(table["record"].nunique())


def read_parquet(path: str | os.PathLike[str]) -> pd.DataFrame:
    """The table in a Parquet file."""
    if not os.path.isfile(path):
        raise FileNotFoundError(f"there is no {path}")
    return _ask(_connection(), f"FROM read_parquet('{_quoted(path)}')")


def connect(paths: Paths) -> "duckdb.DuckDBPyConnection":
    """A DuckDB in memory with the tables ``runs``, ``results`` and ``metrics`` of records.

    Args:
        paths: as of :func:`build`.

    Raises:
        FileNotFoundError, MissingPackageError, ValueError: as of :func:`build`.
    """
    table = read(paths)
    connection = _connection()
    runs = table[[*COLUMNS, "config"]].drop_duplicates(["record", "potential"])
    results = table.drop(columns=["metrics", "baseline"])
    for name, rows in {"runs": runs, "results": results, "metrics": long_table(table)}.items():
        connection.register("_rows", rows)
        as_json = "" if name == "metrics" else "REPLACE (config::JSON AS config)"
        connection.execute(f"CREATE TABLE {name} AS SELECT * {as_json} FROM _rows")
        connection.unregister("_rows")
    return connection


def query(sql: str, paths: Paths) -> pd.DataFrame:
    """The answer to a question in SQL about the tables of :func:`connect`.

    Raises:
        FileNotFoundError, MissingPackageError: as of :func:`connect`.
        ValueError: as of :func:`connect`, or DuckDB does not understand the question; with its
            reason.
    """
    return _ask(connect(paths), sql)


def _ask(connection: "duckdb.DuckDBPyConnection", sql: str) -> pd.DataFrame:
    import duckdb

    try:
        answer = connection.sql(sql)
    except duckdb.Error as error:
        raise ValueError(f"DuckDB: {error}") from error
    return pd.DataFrame() if answer is None else answer.df()


def _connection() -> "duckdb.DuckDBPyConnection":
    """An empty DuckDB in memory that fetches no extensions from the network."""
    try:
        import duckdb
    except ImportError as error:
        raise MissingPackageError("this needs DuckDB: pip install 'sus2bench[store]'") from error
    settings: dict[str, Any] = {"autoinstall_known_extensions": False}
    return duckdb.connect(config=settings)


def _quoted(path: str | os.PathLike[str]) -> str:
    return os.fspath(path).replace("'", "''")
