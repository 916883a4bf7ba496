"""A record is held against its predictions, its data and its checkpoint."""

import json
import shutil
from pathlib import Path

import pytest
import torch
from ase.io import read, write

from sus2bench.benchmark import accuracy, records
from sus2bench.cli import main
from sus2bench.records import verification
from sus2bench.records.verification import verify

RECORD = Path("runs/small/record.json")
CHECKS = ["record", "predictions", "data", "split", "checkpoint"]


@pytest.fixture(autouse=True)
def without_what_was_read(finished):
    """Each test has files of its own under the same names."""
    verification._made.cache_clear()


def outcomes(**options):
    return {finding.check: finding.outcome for finding in verify(RECORD, **options)}


def details(check):
    return next(finding.details for finding in verify(RECORD) if finding.check == check)


def change(**fields):
    record = json.loads(RECORD.read_text())
    RECORD.write_text(json.dumps(record | fields))


def test_record_of_an_undisturbed_run_holds(capsys):
    assert outcomes() == dict.fromkeys(CHECKS, "holds")
    assert outcomes(quick=True) == dict.fromkeys(CHECKS[:2], "holds")
    assert main(["records", "verify", "runs"]) == 0
    assert "5 holds" in capsys.readouterr().err


def test_checkpoint_gives_the_same_errors_in_batches_of_another_size(monkeypatch):
    # In float32, sums of other batches differ by rounding, which the tolerance has to cover.
    monkeypatch.setattr(accuracy.evaluate, "__kwdefaults__", {"max_edges": 1})
    assert outcomes()["checkpoint"] == "holds"


def test_changed_number_is_named_with_both_values(capsys):
    metrics = records.load_record(RECORD)["metrics"]
    stated = metrics["test"]["forces_rmse_meV_A"]
    metrics["test"]["forces_rmse_meV_A"] = 0.9 * stated
    change(metrics=metrics)
    found = outcomes()
    assert found == dict.fromkeys(CHECKS, "holds") | dict.fromkeys(
        ("predictions", "checkpoint"), "differs"
    )
    said = details("predictions")
    assert said.startswith("test forces_rmse_meV_A (meV/Å): ")
    assert f"{0.9 * stated:.8g} in the record, {stated:.8g} now" in said
    assert main(["compare", "runs", "--verify"]) == 1
    assert "differs" in capsys.readouterr().out


def test_small_change_is_seen_from_predictions():
    metrics = records.load_record(RECORD)["metrics"]
    metrics["valid"]["energy_per_atom_mae_meV"] *= 1 + 1e-6
    change(metrics=metrics)
    assert outcomes(quick=True)["predictions"] == "differs"


def test_other_weights_are_seen_from_the_checkpoint():
    file = Path("runs/small/checkpoints/best.ckpt")
    content = torch.load(file, weights_only=True)
    state = content["potential"]["state_dict"]
    for name, tensor in state.items():
        if tensor.is_floating_point() and "embedding" in name:
            state[name] = 1.1 * tensor
    torch.save(content, file)
    expected = dict.fromkeys(CHECKS, "holds") | {"checkpoint": "differs"}
    assert outcomes() == expected


def test_other_data_are_seen_by_file_and_split():
    frames = read("alloys.extxyz", ":")
    write("alloys.extxyz", frames[::-1])
    assert outcomes()["data"] == "differs"
    # The same frames in another order are cut into other parts.
    assert outcomes()["split"] == "differs"
    assert "alloys.extxyz: SHA-256" in details("data")


def test_what_is_not_there_cannot_be_checked_which_is_no_failure(capsys):
    for file in (*RECORD.parent.glob("*.npz"), *RECORD.parent.glob("checkpoints/*")):
        file.unlink()
    Path("alloys.extxyz").unlink()
    expected = dict.fromkeys(CHECKS, "cannot be checked") | {"record": "holds"}
    assert outcomes() == expected
    assert "best.ckpt" in details("checkpoint")
    assert "alloys.extxyz does not exist" in details("data")
    assert main(["records", "verify", "runs", "--format", "json"]) == 0
    assert len(json.loads(capsys.readouterr().out)) == 5


def test_damaged_predictions_differ_and_everything_else_is_checked(capsys):
    file = RECORD.parent / "predictions_valid.npz"
    file.write_bytes(file.read_bytes()[:-100])  # as a copy that was cut off leaves it
    assert outcomes(quick=True) == {"record": "holds", "predictions": "differs"}
    assert "valid: " in details("predictions")
    assert "predictions_valid.npz is damaged" in details("predictions")
    shutil.copytree("runs/small", "runs/whole")
    assert main(["records", "verify", "runs", "--quick"]) == 1
    assert capsys.readouterr().out.count("record.json") == 4


def test_splits_without_predictions_are_named(capsys):
    (RECORD.parent / "predictions_valid.npz").unlink()
    found = [finding for finding in verify(RECORD, quick=True) if finding.check == "predictions"]
    assert [finding.outcome for finding in found] == ["holds", "cannot be checked"]
    assert found[1].details.startswith("valid: no predictions")
    metrics = records.load_record(RECORD)["metrics"]
    metrics["test"]["forces_rmse_meV_A"] *= 0.9
    change(metrics=metrics)
    found = [finding for finding in verify(RECORD, quick=True) if finding.check == "predictions"]
    assert [finding.outcome for finding in found] == ["differs", "cannot be checked"]


def test_edited_settings_do_not_hold():
    change(config=records.load_record(RECORD)["config"] | {"seed": 99})
    assert outcomes() == {"record": "differs"}
    assert "config_sha256" in details("record")


def test_run_without_errors_has_nothing_to_check():
    change(metrics={}, status="failed", traceback="out of memory")
    assert outcomes() == {"record": "holds", "metrics": "cannot be checked"}
