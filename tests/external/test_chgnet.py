"""CHGNet of matgl as a model of ours: the contract, matgl's own calculator, a short training."""

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

from sus2bench.models.external.chgnet import CHGNet
from sus2bench.models.external.isolation import MissingExtraError
from sus2bench.testing.adapter import AdapterTests

SIZES = {
    "threebody_cutoff": 3.4,
    "dim_atom_embedding": 6,
    "dim_bond_embedding": 5,
    "dim_angle_embedding": 4,
    "max_n": 3,
    "max_f": 2,
    "num_blocks": 3,
    "atom_conv_hidden_dims": [6],
    "bond_conv_hidden_dims": [5],
    "final_hidden_dims": [6],
}


@without_matgl
def test_without_the_package_the_model_says_what_to_install():
    with pytest.raises(MissingExtraError, match=r"pip install 'sus2bench\[equivariant\]'"):
        CHGNet(["Cu"])


@needs_matgl
class TestCHGNet(AdapterTests):
    def build(self, dtype):
        return generic_potential(CHGNet(SPECIES, 4.0, **SIZES), dtype, noise=0.3)

    def native(self, potential, atoms):
        return native(own_potential(potential), atoms)

    def native_parameters(self, potential):
        return potential.model.network.num_parameters
