"""M3GNet of matgl as a model of ours: the contract, matgl's own calculator, a short training."""

import pytest
from matgl_native import (
    SPECIES,
    check_training,
    generic_potential,
    native,
    needs_matgl,
    own_potential,
    without_matgl,
)

from sus2bench.models.external.isolation import MissingExtraError
from sus2bench.models.external.m3gnet import M3GNet, M3GNetRough
from sus2bench.testing.adapter import AdapterTests

SIZES = {
    "threebody_cutoff": 3.4,
    "dim_node_embedding": 6,
    "dim_edge_embedding": 5,
    "units": 7,
    "nblocks": 2,
    "max_n": 2,
    "max_l": 2,
}


@without_matgl
def test_without_the_package_the_model_says_what_to_install():
    with pytest.raises(MissingExtraError, match=r"pip install 'sus2bench\[equivariant\]'"):
        M3GNet(["Cu"])


@needs_matgl
class TestM3GNet(AdapterTests):
    def build(self, dtype):
        return generic_potential(M3GNet(SPECIES, 4.0, **SIZES), dtype, noise=0.5)

    def native(self, potential, atoms):
        return native(own_potential(potential), atoms)

    def native_parameters(self, potential):
        return potential.model.network.num_parameters
