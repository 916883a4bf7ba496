"""The Triton backend, as far as it goes without Triton; its checks run in processes of their own.

Triton interprets only if the environment says so when it is imported, and the environment of this
process stays as it is.
"""

import importlib.util
import os
import subprocess
import sys
from pathlib import Path

import pytest

from sus2bench.models.moment_tensor import triton
from sus2bench.models.moment_tensor.triton.library import LARGEST_SOURCE, library
from sus2bench.models.mtp import MTP
from sus2bench.models.sus2 import SUS2

CHECKS = Path(__file__).with_name("triton_checks.py")


@pytest.mark.parametrize("interpreted", ["1", "0"], ids=["interpreted", "compiled"])
@pytest.mark.skipif(importlib.util.find_spec("triton") is None, reason="Triton is not installed")
@pytest.mark.slow
def test_checks_pass(interpreted, tmp_path):
    """Compiled, the kernels are compared where there is a GPU; elsewhere they are compiled only."""
    environment = {name: v for name, v in os.environ.items() if not name.startswith("PYTEST")}
    caches = {"SUS2BENCH_CACHE": str(tmp_path), "TRITON_CACHE_DIR": str(tmp_path / "triton")}
    result = subprocess.run(
        [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", str(CHECKS)],
        env=environment | caches | {"TRITON_INTERPRET": interpreted},
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )
    assert result.returncode == 0, result.stdout
    assert " passed" in result.stdout


def test_without_triton_it_says_so_and_goes_on(monkeypatch, caplog):
    monkeypatch.setitem(sys.modules, "triton", None)
    monkeypatch.setitem(sys.modules, "triton.language", None)
    model = SUS2(("Cu", "Au"), 5.0, channels=1, backend="triton")
    assert model._kernel() is None
    assert model.backend == "eager"
    assert "sus2bench[triton]" in caplog.text
    assert "Going on with backend=eager" in caplog.text


def test_a_table_too_large_for_straight_line_code_is_refused():
    source = "\n" * (LARGEST_SOURCE + 1)
    with pytest.raises(triton.NoKernelsError):
        library(source)


def test_the_text_of_the_kernels_depends_on_the_form_only():
    model, other = (SUS2(("Cu", "Au"), 5.0, channels=1, seed=seed) for seed in (0, 1))
    assert model.triton_source == other.triton_source
    assert "$" not in model.triton_source
    compile(model.triton_source, "kernels", "exec")
    assert model.triton_source != MTP(("Cu", "Au"), 5.0, level=8).triton_source
