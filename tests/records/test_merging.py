"""Records of several places in one: copies once, conflicts named, nothing replaced."""

import shutil
from pathlib import Path

import pytest

from sus2bench.benchmark import records
from sus2bench.cli import main
from sus2bench.records.merging import MergeConflictError, merge


def write(place, record):
    records.write_record(record, Path(place) / "record.json")
    for name in ("predictions_test.npz", "metrics.csv", "checkpoints/best.ckpt"):
        file = Path(place) / name
        file.parent.mkdir(exist_ok=True)
        file.write_text(name)


def found(folder):
    return sorted(
        str(file.relative_to(folder)) for file in Path(folder).rglob("*") if file.is_file()
    )


@pytest.fixture(autouse=True)
def machines(tmp_path, monkeypatch, train_record):
    """Two machines with a run each, and a copy of the first on the second."""
    monkeypatch.chdir(tmp_path)
    write("one/alloys/sus2_0", train_record())
    write("two/alloys/sus2_1", train_record(seed=1))
    shutil.copytree("one/alloys/sus2_0", "two/copied/sus2_0")


def test_runs_come_to_their_places_and_copies_once():
    done = merge(["one", "two"], "all")
    assert len(done.copies) == 2
    assert [str(file) for file, _ in done.duplicates] == ["two/copied/sus2_0/record.json"]
    expected = ("checkpoints/best.ckpt", "metrics.csv", "predictions_test.npz", "record.json")
    runs = ("alloys/sus2_0", "alloys/sus2_1")
    assert found("all") == [f"{run}/{file}" for run in runs for file in expected]


@pytest.mark.parametrize(
    ("files", "expected"),
    [
        ("records", ["metrics.csv", "record.json"]),
        ("predictions", ["metrics.csv", "predictions_test.npz", "record.json"]),
    ],
)
def test_predictions_and_checkpoints_are_left_by_choice(files, expected):
    merge(["one"], "all", files=files)
    assert found("all/alloys/sus2_0") == expected


def test_merge_can_be_repeated_with_what_is_new():
    merge(["one"], "all")
    before = Path("all/alloys/sus2_0/record.json").stat().st_mtime_ns
    done = merge(["one", "two"], "all")
    assert [str(target) for _, target in done.copies] == ["all/alloys/sus2_1"]
    assert Path("all/alloys/sus2_0/record.json").stat().st_mtime_ns == before


def test_same_run_with_other_numbers_is_a_conflict_that_names_them(train_record):
    write("two/alloys/sus2_0", train_record(error=55.0, paths="elsewhere"))
    with pytest.raises(MergeConflictError) as error:
        merge(["one", "two"], "all")
    text = str(error.value)
    assert "one/alloys/sus2_0/record.json\ntwo/alloys/sus2_0/record.json" in text
    assert "test forces_rmse_meV_A: 50 -> 55 meV/Å" in text
    assert not Path("all").exists()
    kept = merge(["one", "two"], "all", on_conflict="first")
    assert len(kept.conflicts) == 1
    assert records.load_record("all/alloys/sus2_0/record.json")["metrics"]["test"][
        "forces_rmse_meV_A"
    ] == pytest.approx(50.0, abs=0)
    both = merge(["one", "two"], "everything", on_conflict="both")
    assert len(both.copies) == 3
    assert len(both.renamed) == 1
    assert both.renamed[0].name.startswith("sus2_0-")


def test_another_run_at_the_same_place_gets_another_name(capsys, train_record):
    write("two/alloys/sus2_0", train_record("other", channels=8))
    assert main(["records", "merge", "one", "two", "--out", "all"]) == 0
    said = capsys.readouterr().out
    assert "left out: two/copied/sus2_0/record.json says the same as" in said
    assert "renamed: all/alloys/sus2_0-" in said
    assert "all: 3 runs added" in said


def test_runs_below_other_runs_keep_their_files_apart(train_record):
    write("one/alloys", train_record("above", seed=9))
    merge(["one"], "all")
    assert found("all") == found("one")


def killed(copied):
    """`shutil.copy2` until so many files are copied; then the process gets no further."""
    copy, done = shutil.copy2, []

    def copy2(source, target):
        if len(done) == copied:
            raise KeyboardInterrupt
        done.append(source)
        copy(source, target)

    return copy2


@pytest.mark.parametrize("copied", range(5))
def test_a_merge_that_was_killed_is_taken_up_by_the_next(monkeypatch, copied):
    Path("one/alloys/sus2_0/wandb").mkdir()
    Path("one/alloys/sus2_0/wandb/run_id").touch()
    with monkeypatch.context() as patch:
        patch.setattr(shutil, "copy2", killed(copied))
        patch.setattr(shutil, "rmtree", lambda *_, **__: None)  # nothing tidies up after a kill
        with pytest.raises(KeyboardInterrupt):
            merge(["one"], "all")
    with pytest.raises(FileNotFoundError):
        records.find_records(["all"])
    assert len(merge(["one"], "all").copies) == 1
    assert [file for file in found("all") if "/." not in file] == found("one")


def test_a_copy_gets_its_record_last(monkeypatch):
    Path("one/alloys/sus2_0/tensorboard").mkdir()
    Path("one/alloys/sus2_0/tensorboard/events").touch()
    copied = []
    monkeypatch.setattr(shutil, "copy2", lambda source, _: copied.append(source.name))
    for files in ("all", "predictions", "records"):
        merge(["one"], "all", files=files)
        shutil.rmtree("all")
        assert copied[-1] == "record.json"


def test_what_is_hidden_is_no_run(train_record):
    write("one/alloys/.sus2_1.0a", train_record(seed=1))
    assert len(records.find_records(["one"])) == 1
    assert len(records.find_records(["one/alloys/.sus2_1.0a"])) == 1  # when asked for


def test_a_folder_of_a_run_under_way_is_not_written_into():
    log = Path("all/alloys/sus2_0/sus2bench.log")
    log.parent.mkdir(parents=True)
    log.write_text("epoch 1")
    done = merge(["one"], "all")
    assert [file.name for file in log.parent.iterdir()] == ["sus2bench.log"]
    assert [target for _, target in done.copies] == done.renamed
    assert merge(["one"], "all").copies == []
    shutil.rmtree("all/alloys/sus2_0")
    (done.renamed[0] / "record.json").unlink()
    log.parent.mkdir(parents=True)
    log.write_text("epoch 1")
    with pytest.raises(FileExistsError, match="has files but no record: remove it"):
        merge(["one"], "all")


def test_a_run_comes_among_others_that_are_below_it(train_record):
    merge(["one"], "all")
    write("three/alloys", train_record("above", seed=9))
    assert merge(["three"], "all").renamed == []
    assert records.load_record("all/alloys/record.json")["name"] == "above"
