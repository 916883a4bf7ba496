"""Where a run happened: commit, packages, hardware; and texts without this machine's paths."""

from __future__ import annotations

import hashlib
import math
import os
import platform
import re
import shlex
import subprocess
import sys
from collections.abc import Mapping
from functools import cache
from importlib import metadata
from pathlib import Path
from typing import Any

import numpy as np
import psutil
import torch

PACKAGES = (
    "sus2bench",
    "torch",
    "torch-geometric",
    "lightning",
    "hydra-core",
    "numpy",
    "scipy",
    "ase",
    "vesin",
)

# The folders of a path from the root; not the slash of a unit (eV/atom), address or variable.
_ABSOLUTE_FOLDER = re.compile(r"(?<![\w./:~}>\])*^+-])/(?:[^\s/'\",:;()\[\]{}]+/)+")


def git_state() -> dict[str, Any]:
    """Commit of this code and whether tracked files differ from it; None outside a repository."""
    source = Path(__file__).resolve()

    def git(*arguments: str) -> str:
        command = ["git", "-C", str(source.parent), *arguments]
        return subprocess.run(command, capture_output=True, text=True, check=True).stdout.strip()

    try:
        # An environment inside somebody's repository is not that repository's code.
        git("ls-files", "--error-unmatch", source.name)
        commit = git("rev-parse", "HEAD")
        changed = git("status", "--porcelain", "--untracked-files=no")
    except (OSError, subprocess.CalledProcessError):
        return {"commit": None, "dirty": None}
    return {"commit": commit, "dirty": bool(changed)}


def package_versions() -> dict[str, str]:
    """Versions of Python and of the packages that shape the numbers."""
    versions = {"python": platform.python_version()}
    for package in PACKAGES:
        try:
            versions[package] = metadata.version(package)
        except metadata.PackageNotFoundError:
            continue
    return versions


@cache
def environment() -> dict[str, Any]:
    """All installed distributions, the interpreter and the system, by which a run can be repeated.

    The list is part of the record and no file beside it: it takes some 3 kB, and a record that is
    copied alone keeps it.
    """
    found: dict[str, str] = {}
    for distribution in metadata.distributions():
        name = re.sub(r"[-_.]+", "-", distribution.metadata["Name"] or "").lower()
        if name:  # remains of a broken installation have none
            found.setdefault(name, f"{name}=={distribution.version}")  # the first is imported
    packages = sorted(found.values())
    return {
        "python": f"{platform.python_implementation()} {platform.python_version()}",
        "platform": platform.platform(),
        "packages": packages,
        "sha256": hashlib.sha256("\n".join(packages).encode()).hexdigest(),
    }


def hardware(threads: int | None = None) -> dict[str, Any]:
    """Processor, cores this process may use, threads torch uses, memory (GB), GPU model."""
    return {
        "cpu": _cpu_model(),
        "cores": usable_cores(),
        "threads": threads or torch.get_num_threads(),
        "memory_GB": round(psutil.virtual_memory().total / 1e9, 1),
        "gpu": torch.cuda.get_device_name() if torch.cuda.is_available() else None,
    }


def usable_cores() -> int | None:
    """Processors that this process may run on; None where nobody knows."""
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count()


def _cpu_model() -> str | None:
    information = Path("/proc/cpuinfo")
    if information.is_file():
        for line in information.read_text().splitlines():
            if line.startswith("model name"):
                return line.partition(":")[2].strip()
    return platform.processor() or None


def command_line() -> str:
    """The command as it was typed, the program by its name alone."""
    program = Path(sys.argv[0]).name
    if program == "__main__.py":
        program = "python -m sus2bench"
    return scrub(f"{program} {shlex.join(sys.argv[1:])}".strip())


def plain(value: Any) -> Any:
    """JSON data without NaN, infinities, arrays or paths of this machine.

    Numbers that are not finite become None; numpy and torch scalars and arrays become numbers and
    lists; absolute paths lose what only this machine knows (see :func:`scrub`).
    """
    if isinstance(value, Mapping):
        return {scrub(str(key)): plain(item) for key, item in value.items()}
    if isinstance(value, list | tuple | set | frozenset):
        return [plain(item) for item in value]
    if isinstance(value, torch.Tensor):
        return plain(value.detach().cpu().numpy())
    if isinstance(value, np.ndarray | np.generic):
        return plain(value.tolist())
    if isinstance(value, float):
        return value if math.isfinite(value) else None
    if value is None or isinstance(value, bool | int):
        return value
    return scrub(str(value))


def scrub(text: str) -> str:
    """The text without this machine's folders.

    Paths below the working folder become relative to it; the shared data folder, the Python
    environment and the home folder become their names; of any other absolute path the last part
    is kept.
    """
    for root, name in _known_folders():
        below = "" if name == "." else f"{name}/"
        here = rf"(?<![\w.-]){re.escape(root)}"
        text = re.sub(rf"{here}/", below, text)
        text = re.sub(rf"{here}(?![\w.-])", name, text)
    return _ABSOLUTE_FOLDER.sub("", text)


def _known_folders() -> list[tuple[str, str]]:
    """Folders with a name that means the same on every machine, longest path first."""
    known = {
        str(Path.home()): "~",
        sys.base_prefix: "<python>",
        sys.prefix: "<environment>",
        os.environ.get("SUS2BENCH_SHARED", "/").rstrip("/"): "${SUS2BENCH_SHARED}",
        str(Path.cwd()): ".",
    }
    named = [(root, name) for root, name in known.items() if root not in {"", "/"}]
    return sorted(named, key=lambda item: -len(item[0]))
