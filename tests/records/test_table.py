"""Records as a table for pandas and polars."""

import shutil

import pandas as pd
import pytest

from sus2bench import records
from sus2bench.benchmark.records import write_record
from sus2bench.records.columns import COLUMNS, content_id, run_id


def test_each_record_and_split_has_a_row_with_what_identifies_the_run(folder):
    table = records.load("runs")
    assert list(table.columns[: len(COLUMNS) + 1]) == [*COLUMNS, "split"]
    row = table[(table["name"] == "sus2") & (table["seed"] == 1) & (table["split"] == "test")]
    assert len(row) == 1
    expected = {
        **{"kind": "train", "data": "alloys", "model": "SUS2", "dtype": "float64"},
        **{"optimizer": "AdamW", "training_fraction": 0.5, "budget_seconds": 120.0},
        **{"budget_clock": "wall", "trainable": 20, "train_seconds": 120.0, "steps": 7},
        **{"budget_frames": 900, "frames": 56},
        **{"status": "completed", "deterministic": False, "forces_rmse_meV_A": 60.0},
        "path": "runs/sus2_1/record.json",
    }
    assert {name: row[name].item() for name in expected} == expected
    assert "forces_rmse_meV_A/Ni" not in table


def test_speeds_are_those_of_the_speed_record_on_the_same_data(folder):
    table = records.load("runs")
    runs = table.drop_duplicates(["record", "potential"]).set_index(["kind", "name", "potential"])
    assert runs.loc[("train", "sus2", "sus2"), "us_per_atom"].tolist() == [40.0, 40.0]
    assert runs.loc[("speed", "timed", "painn"), "us_per_atom"].item() == 400.0
    assert runs.loc[("speed", "timed", "painn"), "memory_MB"].item() == 12.0
    assert runs["us_per_atom"].isna().sum() == 2  # `large` and `broken` have not been timed


def test_checks_without_labels_and_efficiency_have_columns(folder, train_record):
    dynamics = {"temperature_K": 300.0, "timestep_fs": 1.0, "steps": 9, "completed": True}
    dynamics |= {"failure": None, "stable_ps": 0.5, "hottest_K": 400.0, "closest_ratio": 0.8}
    drift = {"energy_drift_eV_atom_ps": -2e-3, "instability": 0.6}
    drift |= dict.fromkeys(("energy_drift_error_eV_atom_ps", "energy_fluctuation_eV_atom"), 1e-6)
    volumes = {"finite": True, "local_minima": 2, "pressure_at_compression_GPa": 9.0, "sane": False}
    checks = {"split": "test", "frame": 0, "atoms": 32, "nve": dynamics | drift, "hot": dynamics}
    write_record(
        train_record(seed=2) | {"stability": checks | {"eos": volumes, "dimers": None}},
        folder / "runs/checked/record.json",
    )
    table = records.load("runs").query("seed == 2 and split == 'test'")
    expected = {"energy_drift_eV_atom_ps": -2e-3, "instability": 0.6, "hot_md_ps": 0.5}
    expected |= {"eos_minima": 2, "efficiency": 100 / 40}
    assert {name: table[name].item() for name in expected} == expected
    assert records.load("runs")["instability"].notna().sum() == 2  # once for each split
    assert table["sane_dimers"].isna().all()


def test_failed_run_has_a_row_with_its_error(folder):
    row = records.load("runs").query("status == 'failed'")
    assert row["error"].item() == "ValueError: 'soon' is not a duration"
    assert row[["split", "budget_seconds", "forces_rmse_meV_A"]].isna().all(axis=None)


def test_settings_become_columns_by_name_or_where_they_differ(folder):
    named = records.load("runs", config="model.channels").query("split == 'test'")
    assert named.set_index(["name", "seed"])["config.model.channels"].to_dict() == {
        ("sus2", 0): 2,
        ("sus2", 1): 2,
        ("large", 0): 4,
    }
    paths = ["runs/sus2_0", "runs/sus2_1", "runs/large_0"]
    table = records.load(paths, config="differing")
    assert [name for name in table if name.startswith("config.")] == ["config.model.channels"]


def test_long_table_has_elements_units_and_the_floor(folder):
    table = records.load_metrics("runs/sus2_0")
    assert table[["split", "metric", "element", "unit", "value", "baseline"]].astype(object).where(
        table.notna(), None
    ).values.tolist() == [
        ["valid", "forces_rmse_meV_A", None, "meV/Å", 49.0, None],
        ["test", "forces_rmse_meV_A", None, "meV/Å", 50.0, 500.0],
        ["test", "forces_rmse_meV_A", "Ni", "meV/Å", 51.0, None],
    ]


def test_copies_of_a_record_count_once(folder):
    shutil.copytree("runs/sus2_0", "again/sus2_0")
    assert len(records.load(["runs/sus2_0", "again"])) == 2


def test_run_is_the_same_whatever_folders_it_used(train_record):
    one, other = train_record(paths="here"), train_record(paths="there", error=51.0)
    assert one["config_sha256"] != other["config_sha256"]
    assert run_id(one) == run_id(other)
    assert content_id(one) != content_id(other)
    assert run_id(one) != run_id(train_record(seed=1))


def test_polars_gets_the_same_table(folder):
    pytest.importorskip("polars")
    table = records.load("runs", config=["budget.max_time", "model.channels"])
    frame = records.to_polars(table)
    assert frame.columns == list(table.columns)
    errors = frame.drop_nulls("forces_rmse_meV_A")["forces_rmse_meV_A"].to_list()
    assert errors == table["forces_rmse_meV_A"].dropna().tolist()
    assert frame["seed"].to_list() == table["seed"].astype(object).replace(pd.NA, None).tolist()
