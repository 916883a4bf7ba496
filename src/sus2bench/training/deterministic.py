"""A block in which torch takes the same bits from the same numbers, every time it is run."""

import os
from collections.abc import Iterator
from contextlib import contextmanager

import torch

WORKSPACE = "CUBLAS_WORKSPACE_CONFIG"
_DETERMINISTIC = (":4096:8", ":16:8")


@contextmanager
def deterministic(wanted: bool, *, gpu: bool) -> Iterator[None]:
    """Use deterministic algorithms only; what was set before is set again afterwards.

    An operation that has no such algorithm raises a RuntimeError that names it. On the CPU nearly
    all are deterministic anyway, for the same number of threads.

    Args:
        wanted: False changes nothing.
        gpu: whether the block computes on a GPU, where sums of cuBLAS depend on its workspace.

    Raises:
        ValueError: on a GPU without the environment variable that cuBLAS needs; it is read when
            the GPU is first used, so that it has to be set before the program starts.
    """
    if not wanted:
        yield
        return
    if gpu and os.environ.get(WORKSPACE) not in _DETERMINISTIC:
        raise ValueError(
            f"deterministic=true on a GPU needs the environment variable {WORKSPACE}: run "
            f"`export {WORKSPACE}={_DETERMINISTIC[0]}` and start again"
        )
    mode, cudnn = torch.get_deterministic_debug_mode(), torch.backends.cudnn
    before = cudnn.deterministic, cudnn.benchmark
    try:
        torch.use_deterministic_algorithms(True)
        cudnn.deterministic, cudnn.benchmark = True, False
        yield
    finally:
        torch.set_deterministic_debug_mode(mode)
        cudnn.deterministic, cudnn.benchmark = before
