"""Records as a Parquet file, and questions about them in SQL."""

import json
import sys

import pandas as pd
import pytest

from sus2bench import records
from sus2bench.cli import main
from sus2bench.records import store


@pytest.fixture(autouse=True)
def duckdb():
    return pytest.importorskip("duckdb", reason="needs the extra 'store'")


def test_store_gives_the_table_of_the_records_it_was_made_of(folder):
    assert store.build("runs", "store.parquet") == 5
    pd.testing.assert_frame_equal(records.load("store.parquet"), records.load("runs"))
    pd.testing.assert_frame_equal(
        records.load_metrics("store.parquet"), records.load_metrics("runs")
    )
    joined = records.load(["store.parquet", "runs/sus2_0"])
    assert len(joined) == len(records.load("runs"))


@pytest.mark.parametrize("source", ["runs", "store.parquet"])
def test_sql_asks_runs_results_and_metrics(folder, source):
    store.build("runs", "store.parquet")
    best = (
        "SELECT name, config->>'$.model.channels' FROM results WHERE split = 'test' "
        "ORDER BY forces_rmse_meV_A LIMIT 1"
    )
    assert store.query(best, source).values.tolist() == [["large", "4"]]
    counted = store.query("SELECT kind, count(*) FROM runs GROUP BY kind ORDER BY kind", source)
    assert counted.values.tolist() == [["speed", 2], ["train", 4]]
    nickel = "SELECT value FROM metrics JOIN runs USING (record) WHERE element = 'Ni' AND seed = 1"
    assert store.query(nickel, source).values.tolist() == [[61.0]]


def test_question_that_is_none_is_an_error_with_the_columns_there_are(folder):
    with pytest.raises(ValueError, match=r"nam.*not found(?s:.*)name"):
        store.query("SELECT nam FROM runs", "runs")


def test_parquet_file_of_something_else_is_refused(folder, duckdb):
    duckdb.sql("COPY (SELECT 1 AS a) TO 'other.parquet'")
    with pytest.raises(ValueError, match=r"other\.parquet is no store"):
        records.load("other.parquet")
    with pytest.raises(ValueError, match="must end in .parquet"):
        store.build("runs", "store.csv")


def test_without_duckdb_the_error_names_the_extra(folder, monkeypatch):
    monkeypatch.setitem(sys.modules, "duckdb", None)
    with pytest.raises(ImportError, match=r"sus2bench\[store\]"):
        store.build("runs", "store.parquet")


def test_commands_list_build_and_query(folder, capsys):
    assert main(["records", "build", "runs", "--out", "store.parquet"]) == 0
    where = "data='alloys' and seed=0 and kind='train'"
    assert main(["records", "list", "store.parquet", "--where", where, "--format", "json"]) == 0
    listed = json.loads(capsys.readouterr().out.partition("\n")[2])
    assert [row["name"] for row in listed] == ["large", "sus2"]
    sql = "SELECT seed, error FROM runs WHERE kind = 'train' ORDER BY seed DESC LIMIT 2"
    assert main(["records", "query", sql, "runs", "--format", "markdown"]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert lines[0] == "| seed | error |"
    assert lines[2:] == ["| 1 | – |", "| 0 | – |"]
    assert main(["records", "list", "runs"]) == 0
    assert capsys.readouterr().out.count("record.json") == 5
    assert main(["records", "query", "SELECT", "runs"]) == 2
