"""Records as a table: one row per record and split, or one per record, split and metric."""

import json
import os
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pandas as pd

from sus2bench.benchmark.identity import CIRCUMSTANCES
from sus2bench.benchmark.records import Record, find_records, unit_of, with_joint_speeds
from sus2bench.records.columns import COLUMNS, rows

if TYPE_CHECKING:
    import polars

Paths = Sequence[str | os.PathLike[str]] | str | os.PathLike[str]

TEXTS = ("config", "metrics", "baseline")
"""Columns of :func:`read` with JSON: settings, and all numbers of the split with those of the
composition fit."""
LONG = {
    **dict.fromkeys(("record", "split", "metric", "element", "unit"), "string"),
    **dict.fromkeys(("value", "baseline"), "float64"),
}
_APART = (*CIRCUMSTANCES, "name", "data_name", "seed")
"""Settings that differences leave out: they have columns, or do not bear on the numbers."""


def load(paths: Paths, *, config: Sequence[str] | str = ()) -> pd.DataFrame:
    """Records as a tidy table with a row per record and split; copies of a record count once.

    Speeds are those that ``sus2bench compare`` shows: of a ``speed`` record on the same data, where
    the potential has one, else of the run itself. Failed runs are there, too, with their status.

    Args:
        paths: record files, folders that are searched for them, and Parquet files of
            :func:`sus2bench.records.store.build`.
        config: settings to add as columns, by dotted names: ``model.channels`` becomes
            ``config.model.channels``. Or ``differing``, for all in which the records differ.

    Returns:
        The columns of :data:`~sus2bench.records.columns.COLUMNS`, ``split`` (missing where nothing
        was evaluated), the metrics that are not of a single element, and the settings.

    Raises:
        FileNotFoundError: a path does not exist or holds no record.
        ValueError: a record does not follow the schema.
    """
    table = read(paths)
    if isinstance(config, str) and config != "differing":
        config = [config]
    settings = _settings(table["config"], config)
    return pd.concat([table.drop(columns=list(TEXTS)), settings], axis=1)


def load_metrics(paths: Paths) -> pd.DataFrame:
    """All numbers of records, also those of single elements, with a row for each.

    Args:
        paths: as of :func:`load`.

    Returns:
        ``record`` (the key to the rows of :func:`load`), ``split``, ``metric``, ``element``
        (missing if of all), ``unit``, ``value``, and ``baseline``, that of the composition fit.
    """
    return long_table(read(paths))


def long_table(table: pd.DataFrame) -> pd.DataFrame:
    """The rows of :func:`load_metrics` from those of :func:`read`."""
    found = list(_numbers(table.drop_duplicates(["record", "split"])))
    return pd.DataFrame(found, columns=list(LONG)).astype(LONG)


def _numbers(table: pd.DataFrame) -> Iterator[tuple[Any, ...]]:
    for record, split, metrics, floor in zip(
        table["record"], table["split"], table["metrics"], table["baseline"], strict=True
    ):
        known = json.loads(floor)
        for name, value in json.loads(metrics).items():
            metric, _, element = name.partition("/")
            yield record, split, metric, element or None, unit_of(metric), value, known.get(name)


def read(paths: Paths) -> pd.DataFrame:
    """The table that a store holds: that of :func:`load`, and the columns of `TEXTS`."""
    given = [paths] if isinstance(paths, str | os.PathLike) else list(paths)
    stores = [path for path in given if Path(path).suffix == ".parquet"]
    files = [path for path in given if Path(path).suffix != ".parquet"]
    parts = [_from_store(path) for path in stores]
    if files or not stores:
        found = find_records(files)
        timed = dict(with_joint_speeds(found))
        parts.append(_table(row for pair in found for row in _rows(*pair, timed)))
    table = pd.concat(parts, ignore_index=True) if len(parts) > 1 else parts[0]
    return table.drop_duplicates(["record", "potential", "split"], ignore_index=True)


def _from_store(path: str | os.PathLike[str]) -> pd.DataFrame:
    from sus2bench.records.store import read_parquet

    table = read_parquet(path)
    missing = [name for name in (*COLUMNS, "split", *TEXTS) if name not in table]
    if missing:
        raise ValueError(
            f"{path} is no store of this version: it lacks the columns {', '.join(missing)}; make "
            "it anew with `sus2bench records build`"
        )
    return _typed(table)


def _rows(path: Path, record: Record, timed: Mapping[Path, Record]) -> Iterator[dict[str, Any]]:
    config = _json(record["config"])
    for row in rows(record, path, timed.get(path, record)):
        for split, metrics in (record["metrics"] or {None: {}}).items():
            floor = record.get("baseline", {}).get(split, {})
            overall = {name: value for name, value in metrics.items() if "/" not in name}
            texts = {"config": config, "metrics": _json(metrics), "baseline": _json(floor)}
            yield row | {"split": split} | overall | texts


def _table(found: Iterable[dict[str, Any]]) -> pd.DataFrame:
    listed = list(found)
    metrics = dict.fromkeys(name for row in listed for name in row if name not in _FIXED)
    return _typed(pd.DataFrame(listed, columns=[*COLUMNS, "split", *metrics, *TEXTS]))


_FIXED = {*COLUMNS, "split", *TEXTS}


def _typed(table: pd.DataFrame) -> pd.DataFrame:
    types = COLUMNS | dict.fromkeys(("split", *TEXTS), "string")
    return table.astype({name: types.get(name, "float64") for name in table.columns})


def _settings(configs: "pd.Series[Any]", wanted: Sequence[str] | str) -> pd.DataFrame:
    """Columns of settings, their values plain or as JSON."""
    distinct = {text: flat(json.loads(text)) for text in configs.unique()}
    if wanted == "differing":
        wanted = differing(list(distinct.values()))
    columns = {
        f"config.{key}": _of_one_type([distinct[text].get(key) for text in configs])
        for key in wanted
    }
    return pd.DataFrame(columns, index=configs.index)


def _of_one_type(values: list[Any]) -> list[Any]:
    """The values, as text where some are text and others are not."""
    if not any(isinstance(value, str) for value in values):
        return values
    return [v if v is None or isinstance(v, str) else _json(v) for v in values]


def differing(settings: Sequence[Mapping[str, Any]]) -> list[str]:
    """Names of flat settings that are not the same, or not there, in all of several."""
    names = dict.fromkeys(name for one in settings for name in one)
    apart = tuple(f"{name}." for name in _APART)
    kept = [name for name in names if not f"{name}.".startswith(apart)]
    return [name for name in kept if len({_json(one.get(name)) for one in settings}) > 1]


def flat(config: Mapping[str, Any], prefix: str = "") -> dict[str, Any]:
    """Settings by dotted names; lists as JSON."""
    found: dict[str, Any] = {}
    for key, value in config.items():
        if isinstance(value, Mapping) and value:
            found |= flat(value, f"{prefix}{key}.")
        else:
            found[f"{prefix}{key}"] = _json(value) if isinstance(value, list | dict) else value
    return found


def to_polars(table: pd.DataFrame) -> "polars.DataFrame":
    """A table of this module as one of polars, which has to be installed."""
    try:
        import polars
    except ImportError as error:
        raise ImportError("polars is not installed: pip install polars") from error
    # By lists: polars takes pandas' own types of text and integers only with a package more.
    columns = {
        name: [None if value is pd.NA or value != value else value for value in table[name]]
        for name in table.columns
    }
    return polars.DataFrame(columns, infer_schema_length=None)


def _json(value: Any) -> str:
    return json.dumps(value, sort_keys=True, ensure_ascii=False)
