"""The Triton backend of moment tensor potentials: for GPUs, compiled at a form's first use."""

from sus2bench.models.moment_tensor.triton.form import module_source
from sus2bench.models.moment_tensor.triton.library import NoKernelsError, runs_on
from sus2bench.models.moment_tensor.triton.operator import (
    energies,
    energies_and_gradient,
    predict,
    prepare,
)

__all__ = [
    "NoKernelsError",
    "energies",
    "energies_and_gradient",
    "module_source",
    "predict",
    "prepare",
    "runs_on",
]
