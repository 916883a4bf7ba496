"""A module that stays in float64 whatever dtype its owner is moved to."""

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor, nn


class Float64Module(nn.Module):
    """Base of the few modules whose sums lose meaning in float32.

    `.to(dtype)`, `.float()` and `.half()` of an owner move it between devices only. Parameters
    and buffers have to be created in float64.
    """

    def _apply(self, fn: Callable[[Tensor], Tensor], recurse: bool = True) -> Any:
        def keep_float64(tensor: Tensor) -> Tensor:
            moved = fn(tensor)
            return moved if moved.dtype == torch.float64 else tensor.to(moved.device)

        return super()._apply(keep_float64, recurse)  # type: ignore[no-untyped-call]
