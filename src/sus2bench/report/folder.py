"""A folder of files that appears as a whole or not at all."""

import json
import os
import shutil
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

MARK = "sus2bench-report.json"
"""File by which a site is known, and may be replaced by a newer one."""


def refuse_other_folder(target: Path) -> None:
    """Raise unless nothing would be lost at `target`: it is missing, empty, or an earlier site.

    Raises:
        FileExistsError: naming the folder and the remedy.
    """
    if not os.path.lexists(target):
        return
    if target.is_symlink() or not target.is_dir():
        raise FileExistsError(f"{target} exists and is no folder: choose another one with --out")
    if any(target.iterdir()) and not (target / MARK).is_file():
        raise FileExistsError(
            f"{target} exists and was not written by `sus2bench report` (it has no {MARK}): "
            "choose another folder with --out, or move it away"
        )


@contextmanager
def whole_folder(target: Path, described: dict[str, object]) -> Iterator[Path]:
    """Yield a new folder beside `target`, and put it in its place when all went well.

    An earlier site stays until the new one is complete; after an error it is as it was.

    Args:
        target: the folder to be.
        described: what the file `MARK` says.

    Raises:
        FileExistsError: if `target` is something else than an earlier site.
    """
    refuse_other_folder(target)
    target.parent.mkdir(parents=True, exist_ok=True)
    new, old = (target.parent / f".{target.name}.{uuid.uuid4().hex}" for _ in range(2))
    new.mkdir()
    try:
        yield new
        (new / MARK).write_text(json.dumps(described, indent=1) + "\n", "utf-8")
        refuse_other_folder(target)  # it took a while
        if target.exists():
            target.rename(old)
        try:
            new.rename(target)
        except OSError:
            if old.exists():
                old.rename(target)
            raise
    finally:
        shutil.rmtree(new, ignore_errors=True)
        shutil.rmtree(old, ignore_errors=True)
