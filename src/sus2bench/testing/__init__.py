"""Contract tests that every model has to pass, shipped for models inside and outside the package.

In a test module:

    from sus2bench.testing import ContractTests, perturb

    class TestMyModel(ContractTests):
        def build(self, dtype):
            return perturb(Potential(MyModel(["Cu", "Au"], 4.0)).to(dtype))
"""

from sus2bench.testing.adapter import AdapterTests, Native
from sus2bench.testing.contract import ContractTests
from sus2bench.testing.potentials import perturb

__all__ = ["AdapterTests", "ContractTests", "Native", "perturb"]
