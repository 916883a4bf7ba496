"""The backend `compile`: the model's torch operations, traced with their derivatives."""

from sus2bench.models.moment_tensor.compiled.library import CompilationError
from sus2bench.models.moment_tensor.compiled.operator import (
    energies_and_gradient,
    predict,
    prepare,
)

__all__ = ["CompilationError", "energies_and_gradient", "predict", "prepare"]
