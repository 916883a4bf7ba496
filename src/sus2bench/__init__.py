"""sus2bench: train and compare machine-learned interatomic potentials.

Importing the package is cheap: PyTorch is loaded only when something of it is used.
"""

import importlib
from importlib.metadata import version
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from sus2bench.models.loading import load_potential as load_potential

__version__ = version("sus2bench")


def __getattr__(name: str) -> Any:
    """Load `load_potential` on first use."""
    if name == "load_potential":
        return importlib.import_module("sus2bench.models.loading").load_potential
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
