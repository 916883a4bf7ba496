"""The C++ compiler that backends call: whether it is there, and what its code depends on."""

import os
import platform
import shutil
import subprocess

from sus2bench.models.moment_tensor.backend import BackendMissingError

OWN_PROCESSOR = "-mcpu=native" if platform.machine() in ("arm64", "aarch64") else "-march=native"
"""Flag for code for this processor."""


class CompilerMissingError(BackendMissingError):
    """There is no C++ compiler that can make what a backend needs."""


def compiler_for(backend: str, usual: str) -> str:
    """The compiler that the variable CXX names, or the usual one.

    Raises:
        CompilerMissingError: there is no such program; names the backend, and says what to do.
    """
    compiler = os.environ.get("CXX", usual)
    if shutil.which(compiler) is None:
        raise CompilerMissingError(
            f"the backend '{backend}' needs a C++ compiler, and there is no {compiler!r}: install "
            "g++ or clang++ (or name one in the variable CXX), or choose backend=eager"
        )
    return compiler


def native_code(compiler: str) -> bytes:
    """What tells code of a compiler for this processor from that for others."""
    described = b""
    for command in (["--version"], [OWN_PROCESSOR, "-E", "-dM", "-x", "c++", os.devnull]):
        result = subprocess.run([compiler, *command], capture_output=True)
        described += result.stdout + result.stderr
    return described
