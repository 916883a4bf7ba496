"""Kernels compiled at first use and kept in the cache, under a key of all that made them."""

import ctypes
import functools
import hashlib
import logging
import platform
import shutil
import subprocess
import tempfile
from pathlib import Path

import torch

from sus2bench.atoms.files import write_atomically
from sus2bench.data.cache import default_cache_folder
from sus2bench.models.moment_tensor.compiler import (
    OWN_PROCESSOR,
    CompilerMissingError,
    compiler_for,
    native_code,
)

logger = logging.getLogger(__name__)

SOURCES = Path(__file__).parent


class Problem(ctypes.Structure):
    """`Problem` of `surroundings.h`."""

    _fields_ = (
        *((name, ctypes.c_int64) for name in ("atoms", "species", "threads", "longest")),
        *((name, ctypes.c_void_p) for name in ("first", "neighbour", "types", "vectors")),
        *((name, ctypes.c_void_p) for name in ("positions", "cells", "shifts", "frame_of")),
        *((name, ctypes.c_double) for name in ("cutoff", "scaling", "min_dist")),
        ("parameters", ctypes.c_void_p * 4),
        *((name, ctypes.c_void_p) for name in ("weight", "xi")),
        ("frames", ctypes.c_int64),
        *((name, ctypes.c_void_p) for name in ("forces", "virial", "site", "gradient")),
        *((name, ctypes.c_void_p) for name in ("site_cotangent", "gradient_cotangent")),
        *((name, ctypes.c_void_p) for name in ("force_cotangent", "virial_cotangent")),
        ("parameter_gradients", ctypes.c_void_p * 4),
        *((name, ctypes.c_void_p) for name in ("weight_gradient", "xi_gradient")),
        *((name, ctypes.c_void_p) for name in ("vector_gradient", "basic")),
        *((name, ctypes.c_void_p) for name in ("scalars", "jacobian", "curvature")),
        ("kinds", ctypes.c_int64),
        *((name, ctypes.c_void_p) for name in ("kind", "moments", "moment_sums")),
        ("slots", ctypes.c_int64),
        *((name, ctypes.c_void_p) for name in ("own_slot", "slot", "pulls")),
        *((name, ctypes.c_void_p) for name in ("strain", "own", "onto", "outer")),
    )


class Library:
    """The kernels of one form of model.

    Args:
        path: of the shared library.
    """

    def __init__(self, path: Path) -> None:
        self._functions = ctypes.CDLL(str(path))

    def energies(self, problem: Problem, dtype: torch.dtype) -> None:
        """Fills `site` and `gradient`."""
        self._call("energies", problem, dtype)

    def forces(self, problem: Problem, dtype: torch.dtype) -> None:
        """Fills `site`, and `forces` and with them `virial` if not null, from positions."""
        self._call("forces", problem, dtype)

    def gradients(self, problem: Problem, dtype: torch.dtype) -> None:
        """Fills the gradients of parameters, and `vector_gradient` if it is not null."""
        self._call("gradients", problem, dtype)

    def curvatures(self, problem: Problem) -> None:
        """Fills `scalars`, `jacobian`, and `curvature` if it is not null, from `basic`."""
        self._call("curvatures", problem, torch.float64)

    def moments(self, problem: Problem) -> None:
        """Fills `moments` of one frame, from vectors."""
        self._call("moments", problem, torch.float64)

    def sums(self, problem: Problem) -> None:
        """Adds to what the Jacobian of one frame is made of, for slopes in `basic`."""
        self._call("sums", problem, torch.float64)

    def _call(self, what: str, problem: Problem, dtype: torch.dtype) -> None:
        name = f"sus2bench_{what}_{str(dtype).removeprefix('torch.')}"
        self._functions[name](ctypes.byref(problem))


@functools.cache
def library(form: str) -> Library:
    """The kernels for a form (the text of `form.h`), compiled if the cache does not have them.

    Raises:
        CompilerMissingError: there is none, or it cannot compile the kernels; says which, and what
            to do.
    """
    compiler = compiler_for("cpp", "c++")
    if shutil.which("ninja") is None and not _ninja_here():
        raise CompilerMissingError(
            "the backend 'cpp' is built by ninja, which is not installed: pip install ninja, or "
            "choose backend=eager"
        )
    flags = _flags()
    key = _key(form, compiler, flags)
    path = default_cache_folder() / "kernels" / f"{key}.so"
    if not path.is_file():
        logger.info("compiling a kernel for this model, once: %s", path)
        write_atomically(path, lambda part: _build(form, flags, part))
    return Library(path)


def _ninja_here() -> bool:
    from torch.utils.cpp_extension import is_ninja_available

    return bool(is_ninja_available())


def _flags() -> list[str]:
    """No -ffast-math: it would change the rounding of the whole process when linked."""
    parallel = [] if platform.system() == "Darwin" else ["-fopenmp"]
    return ["-O3", OWN_PROCESSOR, "-std=c++20", "-fno-math-errno", "-fno-trapping-math", *parallel]


def _key(form: str, compiler: str, flags: list[str]) -> str:
    """Of the sources, the compiler and what `native` means to it on this processor."""
    digest = hashlib.sha256(form.encode())
    for source in sorted(SOURCES.glob("*.[hc]*")):
        digest.update(source.read_bytes())
    digest.update(native_code(compiler))
    digest.update(" ".join([*flags, torch.__version__]).encode())
    return digest.hexdigest()[:32]


def _build(form: str, flags: list[str], path: Path) -> None:
    from torch.utils import cpp_extension

    with tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as folder:
        (Path(folder) / "form.h").write_text(form)
        try:
            cpp_extension.load(
                name="kernel",
                sources=[str(SOURCES / "library.cpp")],
                extra_cflags=flags,
                extra_ldflags=[flag for flag in flags if flag == "-fopenmp"],
                extra_include_paths=[folder, str(SOURCES)],
                build_directory=folder,
                is_python_module=False,
            )
        except (RuntimeError, OSError, subprocess.SubprocessError) as error:
            raise CompilerMissingError(
                "the kernel of the backend 'cpp' could not be compiled, choose backend=eager. The "
                f"compiler said: {error}"
            ) from error
        # Versions of the name are counted in the process.
        (made,) = Path(folder).glob("kernel*.so")
        shutil.copyfile(made, path)
