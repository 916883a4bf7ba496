"""Other people's packages, kept from changing the process that they are imported into.

Packages of this field set the default dtype, environment variables, switches of the JIT compiler
or random seeds when they are imported or when a model is built. Everything that is done inside
`isolated` finds such state as it wants it, and the process has its own back afterwards.
"""

import importlib
import logging
import os
import random
import warnings
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from functools import partial
from types import ModuleType
from typing import Any

import numpy as np
import torch


class MissingExtraError(ImportError):
    """The package of an optional model is not installed; the message says what to install."""


def import_extra(module: str, extra: str) -> ModuleType:
    """Imports a module of an optional package and leaves the process as it was.

    Args:
        module: dotted name, e.g. `mace.modules`.
        extra: of sus2bench, that brings the package.

    Raises:
        MissingExtraError: the package, or something it needs, is not installed.
    """
    try:
        with isolated():
            # Of accelerators that are not there, and of old features that a package uses.
            warnings.simplefilter("ignore")
            return importlib.import_module(module)
    except ImportError as error:
        raise MissingExtraError(
            f"{module} cannot be imported ({error}): pip install 'sus2bench[{extra}]'. The extras "
            "'mace' and 'equivariant' exclude each other: each needs an environment of its own"
        ) from error


@contextmanager
def isolated(seed: int | None = None, dtype: torch.dtype = torch.float64) -> Iterator[None]:
    """Runs a block with its own process-wide state and puts that of the process back.

    Args:
        seed: of the random numbers of torch, NumPy and Python in the block; None leaves them.
        dtype: default floating-point type in the block.
    """
    with ExitStack() as stack:
        for read, write in _state():
            stack.callback(write, read())
        stack.enter_context(warnings.catch_warnings())
        torch.set_default_dtype(dtype)
        if seed is not None:
            random.seed(seed)
            np.random.seed(seed % 2**32)
            _seed_torch(seed)
        yield


def _state() -> list[tuple[Callable[[], Any], Callable[[Any], Any]]]:
    """What is kept, each as a function that reads it and one that puts it back."""
    jit: Any = torch._C
    return [
        (torch.get_default_dtype, torch.set_default_dtype),
        (lambda: dict(os.environ), _restore_environment),
        (torch.random.get_rng_state, torch.random.set_rng_state),
        (_cuda_random_states, _restore_cuda_random_states),
        (np.random.get_state, np.random.set_state),
        (random.getstate, random.setstate),
        (torch.is_grad_enabled, torch.set_grad_enabled),
        (torch.get_num_threads, torch.set_num_threads),
        (_precisions, _restore_precisions),
        (torch.get_deterministic_debug_mode, torch.set_deterministic_debug_mode),
        (lambda: logging.root.level, logging.root.setLevel),
        (lambda: list(logging.root.handlers), _restore_handlers),
        (fusion_strategy, jit._jit_set_fusion_strategy),
        (jit._jit_texpr_fuser_enabled, jit._jit_set_texpr_fuser_enabled),
        (jit._get_graph_executor_optimize, jit._set_graph_executor_optimize),
    ]


def fusion_strategy() -> list[tuple[str, int]]:
    """TorchScript's strategy of fusion, which torch tells only when it is given another one."""
    # Not by `torch.jit`, which warns that it is going to be removed.
    jit: Any = torch._C
    before: list[tuple[str, int]] = jit._jit_set_fusion_strategy([])
    jit._jit_set_fusion_strategy(before)
    return before


def _restore_environment(before: dict[str, str]) -> None:
    for name in set(os.environ) - set(before):
        del os.environ[name]
    os.environ.update(before)


def _cuda_random_states() -> list[torch.Tensor]:
    return torch.cuda.get_rng_state_all() if torch.cuda.is_initialized() else []


def _restore_cuda_random_states(before: list[torch.Tensor]) -> None:
    if before:
        torch.cuda.set_rng_state_all(before)


def _seed_torch(seed: int) -> None:
    """Seeds the devices whose states are put back.

    `torch.manual_seed` would also note the seed for a GPU that the process has not used so far.
    """
    torch.default_generator.manual_seed(seed)
    if torch.cuda.is_initialized():
        torch.cuda.manual_seed_all(seed)


def _precision_switches() -> list[tuple[Callable[[], Any], Callable[[Any], Any]]]:
    """Switches of TF32 and its like: torch's older ones first, whole backends before parts."""
    older: list[tuple[Callable[[], Any], Callable[[Any], Any]]] = [
        (torch.get_float32_matmul_precision, torch.set_float32_matmul_precision),
        (
            partial(getattr, torch.backends.cudnn, "allow_tf32"),
            partial(setattr, torch.backends.cudnn, "allow_tf32"),
        ),
    ]
    backends: Any = torch.backends
    if not hasattr(backends.cuda.matmul, "fp32_precision"):  # before torch 2.9
        return older
    cudnn, mkldnn = backends.cudnn, backends.mkldnn
    parts = (backends.cuda.matmul, cudnn.conv, cudnn.rnn, mkldnn.matmul, mkldnn.conv, mkldnn.rnn)
    return older + [
        (partial(getattr, owner, "fp32_precision"), partial(setattr, owner, "fp32_precision"))
        for owner in (backends, cudnn, mkldnn, *parts)
    ]


def _told(read: Callable[[], Any]) -> Any:
    """A setting, or None: torch refuses to tell the older ones when the newer say otherwise."""
    try:
        return read()
    except RuntimeError:
        return None


def _precisions() -> list[Any]:
    return [_told(read) for read, _ in _precision_switches()]


def _restore_precisions(before: list[Any]) -> None:
    """Sets only what differs: a part that is never set goes on following its backend."""
    for (read, write), value in zip(_precision_switches(), before, strict=True):
        if value is not None and _told(read) != value:
            write(value)


def _restore_handlers(before: list[logging.Handler]) -> None:
    logging.root.handlers[:] = before
