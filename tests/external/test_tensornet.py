"""TensorNet of matgl as a model of ours: the contract, matgl's own calculator, a short training."""

import pytest
import torch
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
from sus2bench.models.external.tensornet import TensorNet
from sus2bench.testing.adapter import AdapterTests
from sus2bench.testing.potentials import predict
from sus2bench.testing.structures import structures

SIZES = {"units": 6, "num_rbf": 5}


@without_matgl
def test_without_the_package_the_model_says_what_to_install():
    with pytest.raises(MissingExtraError, match=r"pip install 'sus2bench\[equivariant\]'"):
        TensorNet(["Cu"])


@needs_matgl
class TestTensorNet(AdapterTests):
    def build(self, dtype):
        return generic_potential(TensorNet(SPECIES, 4.0, **SIZES), dtype, noise=0.3)

    def native(self, potential, atoms):
        return native(own_potential(potential), atoms)

    def native_parameters(self, potential):
        # The centres of the Gaussians are parameters to matgl, though they are not trained.
        network = potential.model.network
        return network.num_parameters - network.bond_expansion.rbf.centers.numel()
