"""The backend `compile`: the model's torch operations, traced with their derivatives."""

from sus2bench.models.moment_tensor.compiled.library import CompilationError
from sus2bench.models.moment_tensor.compiled.operator import (
    energies,
    energies_and_gradient,
    predict,
    prepare,
    runs_on,
)

__all__ = [
    "CompilationError",
    "energies",
    "energies_and_gradient",
    "predict",
    "prepare",
    "runs_on",
]
