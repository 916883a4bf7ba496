"""Modules of kernels, written to the cache and imported from there: Triton reads their source."""

import functools
import hashlib
import importlib
from importlib.machinery import SourceFileLoader
from types import ModuleType

import torch

from sus2bench.atoms.files import write_atomically
from sus2bench.data.cache import default_cache_folder
from sus2bench.models.moment_tensor.backend import BackendMissingError

LARGEST_SOURCE = 10_000
"""Lines; the compiler's time grows with their square."""


class NoKernelsError(BackendMissingError):
    """Triton is not installed, or the form of a model is too large for straight-line code."""


def runs_on(device: torch.device) -> bool:
    """Whether Triton computes there: on GPUs, and everywhere if it was imported as interpreter.

    Raises:
        NoKernelsError: it is not installed.
    """
    return device.type == "cuda" or interpreted()


def interpreted() -> bool:
    """Whether Triton was imported with `TRITON_INTERPRET=1` and computes with NumPy.

    Raises:
        NoKernelsError: it is not installed.
    """
    try:
        language = importlib.import_module("triton.language")
        runtime = importlib.import_module("triton.runtime")
    except ImportError as error:
        raise NoKernelsError(
            "the backend 'triton' needs Triton, which is not installed: pip install "
            "'sus2bench[triton]' (Linux), or choose backend=eager"
        ) from error
    return not isinstance(language.sum, runtime.JITFunction)


@functools.cache
def library(source: str) -> ModuleType:
    """The module of a text, from a file named after it; Triton compiles at the first calls.

    Raises:
        NoKernelsError: Triton is not installed, or the text is too long.
    """
    interpreted()
    lines = source.count("\n")
    if lines > LARGEST_SOURCE:
        raise NoKernelsError(
            f"the backend 'triton' would need {lines} lines of code for this contraction table, "
            f"and more than {LARGEST_SOURCE} take the compiler hours: choose backend=eager"
        )
    key = hashlib.sha256(source.encode()).hexdigest()[:32]
    path = default_cache_folder() / "kernels" / f"triton_{key}.py"
    if not path.is_file():
        write_atomically(path, lambda part: part.write_text(source))
    module = ModuleType(path.stem)
    SourceFileLoader(path.stem, str(path)).exec_module(module)
    return module
