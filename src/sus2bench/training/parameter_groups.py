"""Which parameters weight decay acts on."""

from typing import Any

import torch
from torch import Tensor


def parameter_groups(potential: torch.nn.Module) -> list[dict[str, Any]]:
    """Groups for an optimizer: without weight decay biases, other vectors and atomic energies."""
    decayed: list[Tensor] = []
    free: list[Tensor] = []
    for name, parameter in potential.named_parameters():
        if parameter.requires_grad:
            matrix = parameter.ndim > 1 and not name.startswith("atomic_energies.")
            (decayed if matrix else free).append(parameter)
    groups: list[dict[str, Any]] = [{"params": decayed}] if decayed else []
    return [*groups, {"params": free, "weight_decay": 0.0}] if free else groups
