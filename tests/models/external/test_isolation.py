"""Packages may do what they like inside `isolated`: the process has its own state back."""

import logging
import os
import random
import warnings

import numpy as np
import pytest
import torch

from sus2bench.models.external.isolation import MissingExtraError, import_extra, isolated
from sus2bench.testing.state import process_state


def change_environment():
    os.environ["SUS2BENCH_TEST_ADDED"] = "1"
    os.environ["SUS2BENCH_TEST_CHANGED"] = "after"
    os.environ.pop("SUS2BENCH_TEST_REMOVED")


def cudnn_tf32():
    torch.backends.cudnn.allow_tf32 = not torch.backends.cudnn.allow_tf32


def newer_precision():
    if hasattr(torch.backends.mkldnn, "conv"):
        torch.backends.mkldnn.conv.fp32_precision = "bf16"
    else:  # before torch 2.9
        torch.backends.cudnn.allow_tf32 = not torch.backends.cudnn.allow_tf32


CHANGES = {
    "default dtype": lambda: torch.set_default_dtype(torch.float16),
    "environment": change_environment,
    "torch random numbers": lambda: torch.rand(3),
    "seeds": lambda: (torch.manual_seed(7), np.random.seed(7), random.seed(7)),
    "NumPy random numbers": lambda: np.random.rand(3),
    "Python random numbers": random.random,
    "gradients": lambda: torch.set_grad_enabled(False),
    "threads": lambda: torch.set_num_threads(torch.get_num_threads() + 1),
    "matmul precision": lambda: torch.set_float32_matmul_precision("medium"),
    "TF32 of cuDNN": cudnn_tf32,
    "precision in torch's newer way": newer_precision,
    "deterministic algorithms": lambda: torch.use_deterministic_algorithms(True),
    "deterministic warnings": lambda: torch.use_deterministic_algorithms(True, warn_only=True),
    "log level": lambda: logging.root.setLevel(logging.CRITICAL),
    "log handlers": lambda: logging.root.addHandler(logging.NullHandler()),
    "warning filters": lambda: warnings.simplefilter("once"),
    "fusion strategy": lambda: torch._C._jit_set_fusion_strategy([("DYNAMIC", 3)]),
    "expression fuser": lambda: torch._C._jit_set_texpr_fuser_enabled(
        not torch._C._jit_texpr_fuser_enabled()
    ),
    "graph executor": lambda: torch._C._set_graph_executor_optimize(
        not torch._C._get_graph_executor_optimize()
    ),
}


def state():
    """The state that the contract looks at, and all else that `isolated` promises to keep."""
    backends = (torch.backends.cudnn, torch.backends.mkldnn)
    parts = [torch.backends.cuda.matmul, *(getattr(owner, "conv", None) for owner in backends)]
    return process_state() | {
        "cuDNN": torch.backends.cudnn.allow_tf32,
        "newer precisions": [getattr(part, "fp32_precision", None) for part in parts],
        "debug mode": torch.get_deterministic_debug_mode(),
        "filters": list(warnings.filters),
        "expression fuser": torch._C._jit_texpr_fuser_enabled(),
        "graph executor": torch._C._get_graph_executor_optimize(),
    }


@pytest.fixture
def environment(monkeypatch):
    """Variables for `change_environment` to find."""
    monkeypatch.delenv("SUS2BENCH_TEST_ADDED", raising=False)
    monkeypatch.setenv("SUS2BENCH_TEST_CHANGED", "before")
    monkeypatch.setenv("SUS2BENCH_TEST_REMOVED", "here")


@pytest.mark.parametrize("kind", CHANGES)
def test_every_kind_of_state_is_put_back(kind, environment):
    before = state()
    with isolated():
        inside = state()
        CHANGES[kind]()
        assert state() != inside, "the change is one that the comparison sees"
    assert state() == before


@pytest.mark.parametrize("kind", CHANGES)
def test_every_kind_of_state_is_put_back_after_an_exception(kind, environment):
    before = state()

    def fail():
        with isolated():
            CHANGES[kind]()
            raise RuntimeError("of the package")

    with pytest.raises(RuntimeError, match="of the package"):
        fail()
    assert state() == before


def test_nothing_is_left_of_all_changes_at_once_in_nested_blocks(environment):
    before = state()
    with isolated(seed=3, dtype=torch.float32):
        outer = state()
        with isolated(seed=4):
            for change in CHANGES.values():
                change()
        assert state() == outer
    assert state() == before


def test_warnings_as_a_mode_of_deterministic_algorithms_stay_warnings():
    mode = torch.get_deterministic_debug_mode()
    try:
        torch.use_deterministic_algorithms(True, warn_only=True)
        with isolated():
            torch.use_deterministic_algorithms(False)
        assert torch.is_deterministic_algorithms_warn_only_enabled()
    finally:
        torch.set_deterministic_debug_mode(mode)


@pytest.mark.skipif(
    not hasattr(torch.backends.cuda.matmul, "fp32_precision"), reason="torch is older than 2.9"
)
def test_a_process_that_sets_precisions_in_torch_s_newer_way_keeps_them():
    matmul = torch.backends.cuda.matmul
    before = matmul.fp32_precision
    try:
        matmul.fp32_precision = "tf32"  # torch now refuses to tell its older setting
        with isolated():
            torch.set_float32_matmul_precision("highest")
        assert matmul.fp32_precision == "tf32"
    finally:
        torch.set_float32_matmul_precision("highest")
        matmul.fp32_precision = before


def test_a_process_that_takes_warnings_for_errors_can_use_it():
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        with isolated(seed=1):
            pass


def test_a_gpu_that_is_not_in_use_is_not_seeded(monkeypatch):
    seeded = []
    monkeypatch.setattr(torch.cuda, "manual_seed_all", seeded.append)
    monkeypatch.setattr(torch.cuda, "is_initialized", lambda: False)
    with isolated(seed=1):
        pass
    assert seeded == []


def draw(seed):
    with isolated(seed=seed):
        return torch.rand(2).tolist(), np.random.rand(2).tolist(), random.random()


def test_a_seed_gives_the_same_numbers_whatever_came_before():
    first = draw(5)
    torch.rand(3), np.random.rand(3), random.random()
    assert draw(5) == first
    assert all(one != other for one, other in zip(draw(6), first, strict=True))


def test_seeds_above_those_of_numpy_are_taken():
    assert draw(2**40 + 1) == draw(2**40 + 1)


def test_without_a_seed_the_block_goes_on_with_the_numbers_of_the_process():
    with isolated(dtype=torch.get_default_dtype()):
        inside = torch.rand(2), np.random.rand(2), random.random()
    outside = torch.rand(2), np.random.rand(2), random.random()
    for one, other in zip(inside, outside, strict=True):
        np.testing.assert_array_equal(one, other)


def test_blocks_work_in_float64_unless_told_otherwise():
    with isolated():
        assert torch.zeros(1).dtype == torch.float64
    with isolated(dtype=torch.float32):
        assert torch.zeros(1).dtype == torch.float32


def test_a_missing_package_is_named_with_what_to_install():
    with pytest.raises(MissingExtraError) as raised:
        import_extra("no_such_package.models", "equivariant")
    message = str(raised.value)
    assert message.startswith("no_such_package.models cannot be imported")
    assert "pip install 'sus2bench[equivariant]'" in message
    assert "exclude each other" in message
    assert isinstance(raised.value, ImportError)
    assert isinstance(raised.value.__cause__, ModuleNotFoundError)


def test_a_package_that_lacks_something_names_what(tmp_path, monkeypatch):
    (tmp_path / "lacks_something.py").write_text("import no_such_dependency\n")
    monkeypatch.syspath_prepend(tmp_path)
    with pytest.raises(MissingExtraError, match="no_such_dependency"):
        import_extra("lacks_something", "mace")


def test_a_package_that_sets_state_when_imported_is_imported_and_leaves_none(tmp_path, monkeypatch):
    (tmp_path / "sets_state.py").write_text(
        "import os, torch\n"
        "torch.set_default_dtype(torch.float16)\n"
        "torch.manual_seed(1)\n"
        "os.environ['SUS2BENCH_TEST_ADDED'] = '1'\n"
        "VALUE = 3\n"
    )
    monkeypatch.syspath_prepend(tmp_path)
    before = state()
    assert import_extra("sets_state", "mace").VALUE == 3
    assert state() == before


def test_errors_of_an_import_other_than_missing_packages_are_left_alone(tmp_path, monkeypatch):
    (tmp_path / "broken_package.py").write_text("raise ValueError('of its own')\n")
    monkeypatch.syspath_prepend(tmp_path)
    with pytest.raises(ValueError, match="of its own"):
        import_extra("broken_package", "mace")
