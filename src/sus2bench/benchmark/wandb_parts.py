"""What a run keeps in its folder for W&B: its id, and which part of the run is under way.

Offline each part of a run that was gone on with has a file of its own. W&B keeps the last 32 kB of
it in memory, and `wandb sync` stops at a file that lacks its end. The last part of a run that was
killed (not of one that was interrupted) is therefore removed when the run goes on, and what
`metrics.csv` has of it is logged anew.
"""

import csv
import json
import logging
import secrets
import shutil
import time
from collections.abc import Iterator
from datetime import datetime
from pathlib import Path

from sus2bench.atoms.files import write_atomically

logger = logging.getLogger(__name__)

SUBFOLDER = "wandb"
"""Of the folder of a run; everything that W&B writes is in it."""
_PART = "part.json"


def run_id(folder: Path, goes_on: bool) -> str:
    """The id of W&B for the run in a folder: a new one, unless that run goes on."""
    file = folder / SUBFOLDER / "run_id"
    known = file.read_text("utf-8") if goes_on and file.is_file() else ""
    if known:
        return known
    made = secrets.token_hex(6)
    write_atomically(file, lambda part: part.write_text(made, encoding="utf-8"))
    return made


def await_own_name(folder: Path) -> None:
    """Returns when a part that begins now has a folder of its own: W&B names them by the second."""
    while any((folder / SUBFOLDER).glob(f"*-run-{datetime.now():%Y%m%d_%H%M%S}-*")):
        time.sleep(0.05)


def begin_part(folder: Path, name: str, after: int | None) -> None:
    """Notes the part that is under way.

    Args:
        folder: of the run.
        name: of the part's folder.
        after: the step that its rows follow; None as long as there are none.
    """
    text = json.dumps({"name": name, "after": after})
    note = folder / SUBFOLDER / _PART
    write_atomically(note, lambda part: part.write_text(text, encoding="utf-8"))


def end_part(folder: Path) -> None:
    """Notes that no part is under way."""
    (folder / SUBFOLDER / _PART).unlink(missing_ok=True)


def remove_killed_part(folder: Path) -> int | None:
    """Removes a part that was never ended, unless it has been sent.

    Returns:
        The step after which rows are to be logged anew; None if there are none, or if the note of
        the part cannot be read, which is a warning.
    """
    note = folder / SUBFOLDER / _PART
    if not note.is_file():
        return None
    try:
        part = json.loads(note.read_text("utf-8"))
        name, after = str(part["name"]), part["after"]
    except (ValueError, KeyError, TypeError) as error:
        logger.warning("%s cannot be read (%s): a killed part of the run stays", note, error)
        return None
    finally:
        note.unlink()
    place = folder / SUBFOLDER / name
    if any(place.glob("*.sync*")):  # what `wandb sync` leaves beside a file
        return None
    shutil.rmtree(place, ignore_errors=True)
    return None if after is None else int(after)


def logged_rows(file: Path, after: int, last: int) -> Iterator[tuple[int, dict[str, float]]]:
    """Rows of `metrics.csv` with a step larger than `after`, and `last` at most."""
    if not file.is_file():
        return
    with file.open(newline="", encoding="utf-8") as text:
        for row in csv.DictReader(text):
            step = int(row.pop("step"))
            if after < step <= last:
                yield step, {name: float(value) for name, value in row.items() if value}
