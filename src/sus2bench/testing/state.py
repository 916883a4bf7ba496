"""The state that all code of a process shares, to show that a model leaves it alone."""

import logging
import os
import random
from typing import Any

import numpy as np
import torch

from sus2bench.models.external.isolation import fusion_strategy


def process_state() -> dict[str, Any]:
    """What every model of a process shares, by name; equal values mean that nothing changed."""
    return {
        "default dtype": torch.get_default_dtype(),
        "torch random state": tuple(torch.random.get_rng_state().tolist()),
        "numpy random state": repr(np.random.get_state(legacy=False)),
        "python random state": random.getstate(),
        "gradients enabled": torch.is_grad_enabled(),
        "threads": torch.get_num_threads(),
        "deterministic": torch.are_deterministic_algorithms_enabled(),
        "matmul precision": torch.get_float32_matmul_precision(),
        "jit fusion strategy": fusion_strategy(),
        "logging": (logging.root.level, list(logging.root.handlers)),
        "environment": dict(os.environ),
    }
