"""Peak memory of a call: what it adds to the resident memory, or takes of a GPU."""

import ctypes
import gc
import re
from collections.abc import Callable
from pathlib import Path

import torch

_PROCESS = Path("/proc/self")
_RESET_PEAK = "5"  # proc_pid_clear_refs(5): peak resident set size := current one


def peak_memory(job: Callable[[], object], device: torch.device) -> float | None:
    """MB that a call takes at most; what it returns counts, the interpreter and weights do not.

    The call should have run before, so that what is made once and kept is there already. On the
    CPU this is what it adds to the resident memory of the process (Linux; None elsewhere), on a
    CUDA device all that torch has allocated there at most, with weights and input.

    Args:
        job: what to call, once.
        device: where it computes.
    """
    if device.type == "cuda":
        torch.cuda.reset_peak_memory_stats(device)
        job()
        return torch.cuda.max_memory_allocated(device) / 1e6
    return _added_resident_memory(job) if device.type == "cpu" else None


def _added_resident_memory(job: Callable[[], object]) -> float | None:
    gc.collect()
    try:
        _give_back_free_memory()
        (_PROCESS / "clear_refs").write_text(_RESET_PEAK)
        before = _peak_resident_memory()
    except OSError:  # another system, or a container that has no such files
        return None
    job()
    return max(_peak_resident_memory() - before, 0.0)


def _give_back_free_memory() -> None:
    """Without this a call would take for nothing what an earlier one has left in the heap."""
    trim = getattr(ctypes.CDLL(None), "malloc_trim", None) if _PROCESS.is_dir() else None
    if trim is not None:  # glibc
        trim(0)


def _peak_resident_memory() -> float:
    """Since the start of the process or the last reset, MB."""
    found = re.search(r"^VmHWM:\s+(\d+) kB$", (_PROCESS / "status").read_text(), re.MULTILINE)
    if found is None:
        raise OSError(f"{_PROCESS / 'status'} does not tell the peak memory")
    return int(found[1]) * 1024 / 1e6
