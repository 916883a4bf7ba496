"""Which records are runs of one model."""

from pathlib import Path

from sus2bench.benchmark.records import new_record
from sus2bench.statistics.models import models_of


def record(name, seed=0, data="alloys", created="2026-01-01T00:00:00Z", **config):
    settings = {"name": name, "seed": seed, "model": {"seed": seed, **config.pop("model", {})}}
    new = new_record("train", name, {**settings, **config})
    new |= {"status": "completed", "created": created, "seeds": {"run": seed, "model": seed}}
    new["data"]["name"] = data
    new["metrics"] = {"test": {"forces_rmse_meV_A": 1.0}}
    return Path(name) / "record.json", new


def labels(*found):
    return [(model.label, len(model.runs)) for model in models_of(found)]


def test_runs_that_differ_by_seeds_names_and_folders_are_one_model():
    runs = [record(f"sus2_seed{n}", n, paths={"output": str(n)}, threads=n + 1) for n in range(3)]
    assert labels(*runs) == [("sus2", 3)]


def test_runs_that_differ_by_a_setting_are_two():
    runs = [record("sus2", n, model={"channels": n}) for n in (1, 2)]
    assert labels(*runs) == [("sus2 (channels=1)", 1), ("sus2 (channels=2)", 1)]


def test_a_split_of_other_frames_makes_another_model():
    runs = [record("sus2", split={"split_seed": n, "seed": n}) for n in (1, 2)]
    assert labels(*runs) == [("sus2 (split_seed=1)", 1), ("sus2 (split_seed=2)", 1)]


def test_a_new_key_that_is_switched_off_separates_nothing():
    assert labels(record("a-s0", 0), record("a-s1", 1, new={"key": None})) == [("a", 2)]


def test_of_runs_with_the_same_seeds_the_newest_counts():
    again = record("sus2_again", 0, created="2026-02-01T00:00:00Z")
    (model,) = models_of([record("sus2", 0), again])
    assert [run["name"] for _, run in model.runs] == ["sus2_again"]


def test_names_without_anything_in_common_still_give_a_label():
    assert labels(record("first", 0), record("second", 1)) == [("first", 2)]


def test_labels_are_unique_where_many_settings_differ():
    many = [record("a", 0, x={f"k{i}": n for i in range(5)}) for n in (1, 2)]
    found = [label for label, _ in labels(*many)]
    assert len(set(found)) == 2
    assert all(label.startswith("a (") for label in found)


def test_models_of_other_data_have_the_same_label():
    assert labels(record("a"), record("a", data="oxides")) == [("a", 1), ("a", 1)]


def test_runs_that_did_not_end_are_no_sample():
    path, failed = record("a")
    failed["status"] = "failed"
    assert models_of([(path, failed)]) == []
