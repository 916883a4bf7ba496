"""What differs between two records is named once, and nothing that is the same."""

import copy

import pytest

from sus2bench.records.differences import circumstances, in_words, numbers


def test_numbers_stand_side_by_side(train_record):
    first, second = train_record(error=50.0), train_record(error=60.0, channels=3)
    del second["metrics"]["valid"]
    table = numbers(first, second).set_index(["split", "metric"])
    row = table.loc[("test", "forces_rmse_meV_A")]
    assert row[["first", "second", "difference"]].tolist() == [50.0, 60.0, 10.0]
    assert row["relative"] == pytest.approx(0.2)
    assert row["unit"] == "meV/Å"
    assert table.loc[("valid", "forces_rmse_meV_A"), ["second", "difference"]].isna().all()
    assert table.loc[("parameters", "trainable"), "difference"] == 10
    assert ("test", "forces_rmse_meV_A/Ni") not in table.index
    assert len(numbers(first, second, elements=True)) == len(table) + 1


def test_record_does_not_differ_from_itself(train_record):
    record = train_record()
    assert circumstances(record, copy.deepcopy(record)) == {}
    assert numbers(record, record)["difference"].eq(0).all()


def test_commit_packages_hardware_and_settings_are_told_but_no_folders(train_record):
    first, second = train_record(paths="here"), train_record(channels=3, paths="there")
    first["git"] = {"commit": "a" * 40, "dirty": False}
    second["git"] = {"commit": "b" * 40, "dirty": False}
    second["hardware"] = {**second["hardware"], "cpu": "another"}
    installed = ["numpy==1.0", "only-there==2"]
    second["environment"] = {**second["environment"], "packages": installed}
    first["environment"] = {**first["environment"], "packages": ["numpy==2.0"]}
    found = circumstances(first, second)
    assert list(found) == [
        "commit",
        "cpu",
        "package numpy",
        "package only-there",
        "config.model.channels",
    ]
    assert found["package only-there"] == (None, "2")
    assert "package only-there: none -> 2" in in_words(found)


def test_records_without_an_environment_are_compared_by_the_packages_they_name(train_record):
    first, second = train_record(), train_record()
    first["environment"] = None
    assert circumstances(first, second) == {}
    second["packages"] = {**second["packages"], "torch": "0.0"}
    assert list(circumstances(first, second)) == ["package torch"]
