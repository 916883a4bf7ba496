"""Records of every version of the schema can be read, newer ones say what is to be done."""

import json
from pathlib import Path

import pytest

from sus2bench.benchmark import provenance, records
from sus2bench.benchmark.migration import SCHEMA_VERSION, migrated

FIRST = Path(__file__).parents[1] / "fixtures" / "record_v1.json"
RESULTS = Path(__file__).parents[2] / "results"


def test_record_of_version_1_is_read_as_one_of_the_present_version():
    stored = json.loads(FIRST.read_text("utf-8"))
    assert stored["schema_version"] == 1
    record = records.load_record(FIRST)
    assert record == stored | {"schema_version": SCHEMA_VERSION, "environment": None}


def test_record_of_the_present_version_stays_as_it_is():
    new = records.new_record("train", "stub", {"seed": 1})
    assert new["schema_version"] == SCHEMA_VERSION
    assert migrated(new) == new


@pytest.mark.parametrize(
    ("version", "problem"),
    [
        (SCHEMA_VERSION + 1, r"record\.json was written in version .* upgrade sus2bench"),
        (0, "schema_version 0"),
        (None, "schema_version None"),
        (True, "schema_version True"),
    ],
)
def test_record_of_an_unknown_version_is_refused_with_the_remedy(tmp_path, version, problem):
    new = records.new_record("train", "stub", {}) | {"schema_version": version}
    (tmp_path / "record.json").write_text(json.dumps(new))
    with pytest.raises(records.RecordError, match=problem):
        records.load_record(tmp_path / "record.json")


def test_json_that_is_no_object_is_not_a_record(tmp_path):
    (tmp_path / "record.json").write_text("[]")
    with pytest.raises(records.RecordError, match="not a record but a JSON list"):
        records.load_record(tmp_path / "record.json")


def test_every_record_in_the_repository_is_read():
    if not RESULTS.is_dir():
        pytest.skip("there are no results beside these tests")
    assert len(records.find_records([RESULTS])) > 100


def test_environment_lists_what_is_installed_as_constraints_for_pip():
    environment = provenance.environment()
    assert environment["packages"] == sorted(environment["packages"])
    names = [line.partition("==")[0] for line in environment["packages"]]
    assert {"numpy", "torch", "lightning"} <= set(names)
    assert len(set(names)) == len(names)
    assert str(Path.home()) not in json.dumps(environment)
