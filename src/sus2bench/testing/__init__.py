"""Contract tests that every model has to pass, shipped for models inside and outside the package.

In a test module:

    from sus2bench.testing import contract_of

    TestMyModel = contract_of("my_package.my_model.MyModel", features=8)

or, for more say in how the potential is built,

    class TestMyModel(ContractTests):
        def build(self, dtype):
            return perturb(Potential(MyModel(["Cu", "Au"], 4.0)).to(dtype))
"""

from sus2bench.testing.adapter import AdapterTests, Native
from sus2bench.testing.contract import ContractTests, contract_of
from sus2bench.testing.potentials import perturb

__all__ = ["AdapterTests", "ContractTests", "Native", "contract_of", "perturb"]
