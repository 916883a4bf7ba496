"""Optimizers of packages that are not installed with this one."""

import importlib
from collections.abc import Iterable
from typing import Any

from torch.optim import Optimizer


def optional_optimizer(params: Iterable[Any], *, target: str, **settings: Any) -> Optimizer:
    """An optimizer of another package, imported when it is made.

    Args:
        params: as of any optimizer.
        target: dotted path of its class.
        settings: its arguments.

    Raises:
        ImportError: the package is not installed; says how to install it.
    """
    module, _, name = target.rpartition(".")
    try:
        kind = getattr(importlib.import_module(module), name)
    except (ImportError, AttributeError) as error:
        raise ImportError(
            f"{target} cannot be imported ({error}): install the package with "
            "`pip install 'sus2bench[optimizers]'`, or choose another optimizer"
        ) from error
    optimizer: Optimizer = kind(params, **settings)
    return optimizer
