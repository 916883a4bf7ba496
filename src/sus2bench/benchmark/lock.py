"""One process at a time in the folder of a run; whoever is killed lets go of it."""

import fcntl
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from lightning.pytorch.utilities import rank_zero_only

FILE_NAME = ".lock"


@contextmanager
def held(folder: Path) -> Iterator[None]:
    """Hold the folder of a run. Of a run of several processes the first one does.

    The lock is the system's (flock): it ends with the process, however that ends. File systems
    without locks are left unguarded.

    Args:
        folder: which exists.

    Raises:
        ValueError: another process holds it.
    """
    if getattr(rank_zero_only, "rank", 0):
        yield
        return
    with (folder / FILE_NAME).open("w") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise ValueError(
                f"another process is running in {folder}: wait for it or end it, or choose another "
                "folder"
            ) from None
        except OSError:
            pass  # a file system that knows no locks
        yield


def is_held(folder: Path) -> bool:
    """Whether a process runs in a folder, as far as the file system can tell."""
    path = folder / FILE_NAME
    if not path.is_file():
        return False
    with path.open() as file:
        try:
            fcntl.flock(file, fcntl.LOCK_SH | fcntl.LOCK_NB)
        except BlockingIOError:
            return True
        except OSError:
            return False
    return False
