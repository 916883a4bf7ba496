"""The C++ backend of moment tensor potentials: compiled for a model's form at its first use."""

from sus2bench.models.moment_tensor.compiler import CompilerMissingError
from sus2bench.models.moment_tensor.cpp.form import form_header
from sus2bench.models.moment_tensor.cpp.jacobian import KernelEdges, curvatures
from sus2bench.models.moment_tensor.cpp.operator import (
    energies,
    energies_and_gradient,
    predict,
    prepare,
    runs_on,
)

__all__ = [
    "CompilerMissingError",
    "KernelEdges",
    "curvatures",
    "energies",
    "energies_and_gradient",
    "form_header",
    "predict",
    "prepare",
    "runs_on",
]
