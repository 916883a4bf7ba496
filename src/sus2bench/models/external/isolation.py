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
            torch.manual_seed(seed)
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
        (torch.get_float32_matmul_precision, torch.set_float32_matmul_precision),
        (_tf32, _restore_tf32),
        (torch.are_deterministic_algorithms_enabled, torch.use_deterministic_algorithms),
        (lambda: logging.root.level, logging.root.setLevel),
        (lambda: list(logging.root.handlers), _restore_handlers),
        (_fusion_strategy, torch.jit.set_fusion_strategy),
        (jit._jit_texpr_fuser_enabled, jit._jit_set_texpr_fuser_enabled),
        (jit._get_graph_executor_optimize, jit._set_graph_executor_optimize),
    ]


def _fusion_strategy() -> list[tuple[str, int]]:
    """The strategy in use, which torch tells only when it is given another one."""
    before: list[tuple[str, int]] = torch.jit.set_fusion_strategy([])
    torch.jit.set_fusion_strategy(before)
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


def _tf32() -> tuple[bool, bool]:
    return torch.backends.cuda.matmul.allow_tf32, torch.backends.cudnn.allow_tf32


def _restore_tf32(before: tuple[bool, bool]) -> None:
    torch.backends.cuda.matmul.allow_tf32, torch.backends.cudnn.allow_tf32 = before


def _restore_handlers(before: list[logging.Handler]) -> None:
    logging.root.handlers[:] = before
