"""Files written whole or not at all, and known by their content."""

from __future__ import annotations

import hashlib
import os
import uuid
from collections.abc import Callable
from os import PathLike
from pathlib import Path
from typing import Any


def write_atomically(path: str | PathLike[str], write: Callable[[Path], Any]) -> None:
    """Calls ``write`` with a temporary file beside ``path`` and then puts it in its place.

    A reader sees the old file or the new one, never a part; a failure, of the machine too, leaves
    the old one. ``write`` makes the whole file; folders are made where missing.
    """
    target = Path(path)
    target.parent.mkdir(parents=True, exist_ok=True)
    part = target.with_name(f".{target.stem}.{uuid.uuid4().hex}{target.suffix}")
    try:
        write(part)
        with part.open("rb") as stream:
            os.fsync(stream.fileno())
        os.replace(part, target)
    finally:
        part.unlink(missing_ok=True)


def sha256_of(path: str | PathLike[str]) -> str:
    """The SHA-256 of a file's bytes, in hexadecimal."""
    with open(path, "rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()
