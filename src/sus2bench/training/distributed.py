"""Sums and gathers over the processes of a distributed run; without one they do nothing."""

from typing import Any

import torch
from torch import Tensor


def world_size() -> int:
    """Number of processes that train together, 1 without a process group."""
    if torch.distributed.is_available() and torch.distributed.is_initialized():
        return torch.distributed.get_world_size()
    return 1


def rank() -> int:
    """Number of this process among those that train together, 0 without a process group."""
    return torch.distributed.get_rank() if world_size() > 1 else 0


def sum_over_ranks(values: Tensor) -> Tensor:
    """The element-wise sum of `values` over all processes, without a gradient."""
    if world_size() == 1:
        return values
    total = values.detach().clone()
    torch.distributed.all_reduce(total)
    return total


def maximum_over_ranks(values: Tensor) -> Tensor:
    """The element-wise maximum of `values` over all processes."""
    if world_size() == 1:
        return values
    largest = values.detach().clone()
    torch.distributed.all_reduce(largest, op=torch.distributed.ReduceOp.MAX)
    return largest


def gather_from_ranks(value: Any) -> list[Any]:
    """The values of all processes in the order of their rank, on each of them."""
    if world_size() == 1:
        return [value]
    values: list[Any] = [None] * world_size()
    torch.distributed.all_gather_object(values, value)
    return values
