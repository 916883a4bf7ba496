"""Tables made from records."""

import io

import pytest
from rich.console import Console

from sus2bench.benchmark import tables
from sus2bench.benchmark.records import new_record
from sus2bench.models.composition import Composition


def record(name, force_error, data="alloys", **changes):
    new = new_record("train", name, {})
    new["data"]["name"] = data
    new["metrics"] = {"test": {"forces_rmse_meV_A": force_error, "energy_per_atom_rmse_meV": 1.25}}
    new["baseline"] = {"test": {"forces_rmse_meV_A": 610.0}}
    return new | changes


@pytest.fixture
def table():
    timing = {"median": 123.456, "lower_quartile": 1.0, "upper_quartile": 2.0, "repeats": 3}
    fast = {"fast_one": {"energy_and_forces_us_per_atom": timing}}
    parameters = {"stored": 17657, "trainable": 12345, "effective": None, "blocks": {}}
    return tables.results_table(
        [
            record("slow", 20.0),
            record("fast_one", 10.0, speed=fast, parameters=parameters, status="completed"),
            record("other", 5.0, data="oxides", baseline={}),
            record("failed", None, metrics={}, baseline={}),
        ]
    )


def test_rows_are_grouped_by_data_and_sorted_with_the_floor_last(table):
    rows = list(zip(table["data"], table["split"], table["model"], strict=True))
    assert rows == [
        ("alloys", "", "failed"),
        ("alloys", "test", "fast_one"),
        ("alloys", "test", "slow"),
        ("alloys", "test", tables.FLOOR),
        ("oxides", "test", "other"),
    ]


def test_errors_stand_beside_those_of_the_composition_fit_of_the_same_split(table):
    relative = dict(zip(table["model"], table["F RMSE (% of floor)"], strict=True))
    assert relative["slow"] == pytest.approx(100 * 20.0 / 610.0)
    assert relative[tables.FLOOR] == 100
    # The floor has no energy error here, and other data have other floors.
    assert table["E RMSE (% of floor)"].isna().all()
    assert table["F RMSE (% of floor)"][table["model"] == "other"].isna().all()


def test_record_of_the_composition_model_takes_the_place_of_the_floor():
    model = Composition(["Cu"])
    target = f"{type(model).__module__}.{type(model).__qualname__}"
    trained = record("composition", 610.0, model={"target": target, "dtype": "float32"})
    table = tables.results_table([record("a", 10.0), trained])
    assert table["model"].tolist() == ["a", "composition"]
    assert table["F RMSE (% of floor)"].tolist() == [pytest.approx(100 * 10 / 610), 100]


def test_memory_is_that_of_a_prediction_and_of_a_training_gradient():
    timing = {"median": 5.0, "lower_quartile": 1.0, "upper_quartile": 2.0, "repeats": 3}
    peak = {"energy_and_forces": 41.6, "training_gradient": 1234.5}
    new = {"energy_and_forces_us_per_atom": timing, "peak_memory_MB": peak}
    old = {"energy_and_forces_us_per_atom": timing, "peak_gpu_memory_MB": 7.0}
    records = [record("new", 1.0, speed={"new": new}), record("old", 2.0, speed={"old": old})]
    text = tables.formatted(tables.results_table(records))
    assert text["memory (MB)"].tolist() == ["41.6", "7.00", "–"]
    assert text["training memory (MB)"].tolist() == ["1,230", "–", "–"]


def test_training_time_includes_the_initial_solve():
    timings = {"train_seconds": 10.0, "initialise_seconds": 2.5}
    table = tables.results_table([record("a", 1.0, timings=timings)])
    assert table["train (s)"][0] == 12.5


def test_missing_values_are_dashes_and_counts_are_whole(table):
    text = tables.formatted(table)
    assert text["stored"].tolist() == ["–", "17,657", "–", "–", "–"]
    assert text["effective"].tolist() == ["–"] * 5
    assert text["µs/atom"].tolist() == ["–", "123.5", "–", "–", "–"]
    assert text["split"][0] == "–"


def test_markdown_has_a_line_per_row(table):
    lines = tables.markdown(table).splitlines()
    assert len(lines) == 2 + len(table)
    assert lines[3].startswith(
        "| alloys | test | fast_one | 17,657 | 12,345 | – | 1.250 | – | 10.000 |"
    )


def test_csv_keeps_all_digits_and_leaves_missing_values_empty(table):
    row = f"fast_one,17657,12345,,1.25,,10.0,,,,{100 * 10.0 / 610.0},123.456,,"
    assert row in tables.csv(table)


def test_latex_escapes_what_latex_reads_otherwise(table):
    text = tables.latex(table)
    assert r"fast\_one" in text
    assert r"F RMSE (meV/\AA{})" in text
    assert text.count(r"\\") == 1 + len(table)


def test_console_table_fits_a_terminal(table):
    console = Console(width=120, record=True, file=io.StringIO())
    console.print(tables.console_table(table))
    lines = console.export_text().splitlines()
    assert any("fast_one" in line and "12,345" in line and "123.5" in line for line in lines)
    assert any("slow (failed)" in line for line in lines)
    stripped = [line.strip() for line in lines]
    assert ("alloys", "test") in zip(stripped, stripped[1:], strict=False)
    assert not any("…" in line for line in lines)


@pytest.mark.parametrize(
    ("value", "digits", "text"),
    [
        (123456.7, 4, "123,500"),
        (0.00123456, 3, "0.00123"),
        (187.8934, 5, "187.89"),
        (0.0, 3, "0.00"),
    ],
)
def test_significant_digits(value, digits, text):
    assert tables.significant(value, digits) == text
