"""The record: valid from the start, free of NaN and of machine paths, never lost silently."""

import json
import sys
from pathlib import Path

import numpy as np
import pytest

from sus2bench.benchmark import provenance, records


def record() -> records.Record:
    return records.new_record("train", "stub", {"seed": 1, "rate": 1e-3})


def test_new_record_is_valid_and_says_that_the_run_did_not_end():
    new = record()
    records.validate(new)
    assert new["status"] == "failed"
    assert new["hardware"]["threads"] >= 1


def test_written_record_is_read_back_and_holds_no_nan(tmp_path):
    new = record()
    new["metrics"] = {"test": {"forces_rmse_meV_A": float("nan"), "energy_frames": np.int64(3)}}
    records.complete_units(new)
    written = records.write_record(new, tmp_path / "deep" / "record.json")
    assert written["metrics"]["test"] == {"forces_rmse_meV_A": None, "energy_frames": 3}
    assert records.load_record(tmp_path / "deep" / "record.json") == written
    assert written["units"] == {"energy_frames": "frames", "forces_rmse_meV_A": "meV/Å"}
    assert [file.name for file in (tmp_path / "deep").iterdir()] == ["record.json"]


def test_existing_record_is_kept_unless_asked(tmp_path):
    path = tmp_path / "record.json"
    records.write_record(record(), path)
    with pytest.raises(records.RecordError, match="exists"):
        records.write_record(record(), path)
    records.write_record(record() | {"name": "second"}, path, overwrite=True)
    assert records.load_record(path)["name"] == "second"


@pytest.mark.parametrize(
    ("change", "place"),
    [
        ({"status": "done"}, "status"),
        ({"config_sha256": "0"}, "config_sha256"),
        ({"metrics": {"test": {"rmse": "low"}}}, "metrics/test/rmse"),
        ({"surprise": 1}, "surprise"),
        ({"config": {"seed": 2}}, "config_sha256 does not belong"),
        ({"status": "failed", "traceback": None}, "traceback"),
        ({"status": "completed", "parameters": None, "traceback": None}, "parameters"),
    ],
)
def test_invalid_record_is_refused_naming_the_place(tmp_path, change, place):
    path = tmp_path / "record.json"
    path.write_text(json.dumps(record() | change))
    with pytest.raises(records.RecordError, match=place) as error:
        records.load_record(path)
    assert "record.json" in str(error.value)


def test_file_that_is_not_json_is_named(tmp_path):
    (tmp_path / "record.json").write_text("{")
    with pytest.raises(records.RecordError, match=r"record\.json is not JSON"):
        records.load_record(tmp_path / "record.json")


def test_folder_without_a_record_is_an_error(tmp_path):
    with pytest.raises(FileNotFoundError, match=r"record\.json"):
        records.find_records([tmp_path])


def test_records_are_found_below_folders_once(tmp_path):
    path = tmp_path / "a" / "record.json"
    records.write_record(record(), path)
    assert [file for file, _ in records.find_records([tmp_path, path])] == [path]


@pytest.mark.parametrize(
    ("name", "unit"),
    [
        ("energy_per_atom_rmse_meV", "meV/atom"),
        ("forces_rmse_meV_A/Ni", "meV/Å"),
        ("stress_mae_GPa", "GPa"),
        ("energy_frames", "frames"),
        ("something", "1"),
    ],
)
def test_unit_follows_from_the_ending_of_a_metric(name, unit):
    assert records.unit_of(name) == unit


def test_no_folder_of_this_machine_stays_in_a_text(monkeypatch, tmp_path):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("SUS2BENCH_SHARED", "/big/disk/shared")
    cases = {
        f"{tmp_path}/runs/a.ckpt": "runs/a.ckpt",
        str(tmp_path): ".",
        "/big/disk/shared/data/x.extxyz": "${SUS2BENCH_SHARED}/data/x.extxyz",
        "path=/elsewhere/deep/file.mtp,x": "path=file.mtp,x",
        f"{Path.home()}/.cache/x": "~/.cache/x",
        f'File "{sys.prefix}/lib/a.py", line 3': 'File "<environment>/lib/a.py", line 3',
        "meV/atom and eV/Å^3": "meV/atom and eV/Å^3",
        "https://host.org/a/b.zip": "https://host.org/a/b.zip",
        "../data/a.cfg": "../data/a.cfg",
        "${paths.shared}/data/a.cfg": "${paths.shared}/data/a.cfg",
    }
    assert {text: provenance.scrub(text) for text in cases} == cases


def test_plain_turns_arrays_and_infinities_into_json():
    value = {1: (np.float32(0.5), float("inf")), "a": np.arange(2), "b": {True}, "c": None}
    expected = {"1": [0.5, None], "a": [0, 1], "b": [True], "c": None}
    assert provenance.plain(value) == expected


def test_git_state_is_null_outside_a_repository(monkeypatch, tmp_path):
    monkeypatch.setattr(provenance, "__file__", str(tmp_path / "provenance.py"))
    assert provenance.git_state() == {"commit": None, "dirty": None}


def speed_entry(median):
    timing = {"median": median, "lower_quartile": 1.0, "upper_quartile": 2.0, "repeats": 3}
    return {"energy_and_forces_us_per_atom": timing}


def run_record(kind, name, speed, data="alloys", **config):
    new = records.new_record(kind, name, config)
    new["data"]["name"] = data
    return Path(f"{kind}-{name}-{data}"), new | {"speed": speed}


def test_speeds_of_one_run_replace_those_measured_apart():
    joint = run_record("speed", "speed", {"a": speed_entry(1.0), "b": speed_entry(2.0)})
    found = [
        run_record("train", "a", {"a": speed_entry(9.0)}),
        joint,
        run_record("train", "b", {}),
        run_record("train", "b", {"b": speed_entry(7.0)}, data="oxides"),
    ]
    merged = records.with_joint_speeds(found)
    speeds = {(r["data"]["name"], r["name"]): r["speed"] for _, r in merged}
    assert speeds == {
        ("alloys", "a"): {"a": speed_entry(1.0)},
        ("alloys", "b"): {"b": speed_entry(2.0)},
        ("oxides", "b"): {"b": speed_entry(7.0)},
    }


def test_speed_record_of_a_potential_without_other_records_stays():
    joint = run_record("speed", "speed", {"a": speed_entry(1.0), "c": speed_entry(2.0)})
    merged = records.with_joint_speeds([joint, run_record("train", "a", {})])
    assert [record["kind"] for _, record in merged] == ["speed", "train"]


def test_different_models_of_one_name_keep_the_times_of_their_own(caplog):
    joint = run_record("speed", "speed", {"sus2": speed_entry(1.0)})
    sizes = [
        run_record("train", "sus2", {"sus2": speed_entry(time)}, model={"basis": size})
        for size, time in ((6, 3.0), (10, 5.0))
    ]
    merged = records.with_joint_speeds([*sizes, joint])
    assert [record["speed"]["sus2"] for _, record in merged] == [
        speed_entry(time) for time in (3.0, 5.0, 1.0)
    ]
    assert "name these apart" in caplog.text
    seeds = [
        run_record("train", "sus2", {"sus2": speed_entry(9.0)}, model={"basis": 6, "seed": seed})
        for seed in (0, 1)
    ]
    evaluated = run_record("evaluate", "sus2", {})
    merged = records.with_joint_speeds([*seeds, evaluated, joint])
    assert [record["speed"]["sus2"] for _, record in merged] == 3 * [speed_entry(1.0)]
