"""The contract of a model: all tests together."""

from sus2bench.testing.derivatives import DerivativeTests
from sus2bench.testing.limits import LimitTests
from sus2bench.testing.storage import StorageTests
from sus2bench.testing.symmetries import SymmetryTests


class ContractTests(DerivativeTests, SymmetryTests, LimitTests, StorageTests):
    """Inherit in a class whose name begins with `Test` and define `build`."""
