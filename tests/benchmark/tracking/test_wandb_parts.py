"""What a run keeps for W&B survives a kill at any time."""

import json
from datetime import datetime, timedelta
from pathlib import Path

import pytest

from sus2bench.benchmark import wandb_parts


@pytest.mark.parametrize("text", ["", "{", "[]", "{}", '"part"'])
def test_an_unreadable_note_of_a_part_counts_as_none_with_a_warning(tmp_path, caplog, text):
    note = tmp_path / "wandb/part.json"
    note.parent.mkdir()
    note.write_text(text)
    assert wandb_parts.remove_killed_part(tmp_path) is None
    assert "part.json cannot be read" in caplog.text
    assert not note.exists()


def test_an_empty_id_counts_as_none(tmp_path):
    (tmp_path / "wandb").mkdir()
    (tmp_path / "wandb/run_id").touch()
    made = wandb_parts.run_id(tmp_path, goes_on=True)
    assert made
    assert wandb_parts.run_id(tmp_path, goes_on=True) == made
    assert wandb_parts.run_id(tmp_path, goes_on=False) != made


def test_a_write_that_is_cut_short_leaves_what_was_there(tmp_path, monkeypatch):
    wandb_parts.begin_part(tmp_path, "first", 3)
    made = wandb_parts.run_id(tmp_path, goes_on=False)
    write_text = Path.write_text

    def killed(file, text, encoding=None):
        write_text(file, text[:1], encoding=encoding)
        raise KeyboardInterrupt

    monkeypatch.setattr(Path, "write_text", killed)
    with pytest.raises(KeyboardInterrupt):
        wandb_parts.begin_part(tmp_path, "second", 4)
    with pytest.raises(KeyboardInterrupt):
        wandb_parts.run_id(tmp_path, goes_on=False)
    note = json.loads((tmp_path / "wandb/part.json").read_text())
    assert note == {"name": "first", "after": 3}
    assert wandb_parts.run_id(tmp_path, goes_on=True) == made


def test_a_part_does_not_begin_in_the_second_in_which_another_one_began(tmp_path):
    def named(second):
        return tmp_path / f"wandb/offline-run-{second:%Y%m%d_%H%M%S}-a"

    begun = datetime.now()
    # Also the next second is taken, if this one ends before it is looked at.
    for part in (named(begun), named(begun + timedelta(seconds=1))):
        part.mkdir(parents=True)
    wandb_parts.await_own_name(tmp_path)
    assert datetime.now() >= (begun + timedelta(seconds=2)).replace(microsecond=0)
    wandb_parts.await_own_name(tmp_path / "new")
