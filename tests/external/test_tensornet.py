"""TensorNet of matgl as a model of ours: the contract, matgl's own calculator, a short training."""

import pytest
import torch
from matgl_native import (
    SPECIES,
    check_training,
    fresh_network,
    generic_potential,
    native,
    needs_matgl,
    own_potential,
    without_matgl,
)

from sus2bench.models.external.isolation import MissingExtraError
from sus2bench.models.external.tensornet import TensorNet
from sus2bench.testing.adapter import AdapterTests

SIZES = {"units": 6, "num_rbf": 5}


@without_matgl
def test_without_the_package_the_model_says_what_to_install():
    with pytest.raises(MissingExtraError, match=r"pip install 'sus2bench\[matgl\]'"):
        TensorNet(["Cu"])


@needs_matgl
class TestTensorNet(AdapterTests):
    def build(self, dtype):
        return generic_potential(TensorNet(SPECIES, 4.0, **SIZES), dtype, noise=0.3)

    def native(self, potential, atoms):
        return native(own_potential(potential), atoms)

    def native_parameters(self, potential):
        # The package counts the fixed centres of the Gaussians too.
        fresh = fresh_network(potential.model)
        return fresh.num_parameters - fresh.bond_expansion.rbf.centers.numel()


@needs_matgl
class TestBuilding:
    @pytest.mark.parametrize(
        ("name", "value", "message"),
        [
            ("equivariance_invariance_group", "O3", "is 'O\\(3\\)' or 'SO\\(3\\)'"),
            ("activation_type", "relu", "Invalid activation type"),
            ("rbf_type", "sine", "Undefined rbf_type"),
        ],
    )
    def test_unknown_names_are_refused(self, name, value, message):
        with pytest.raises(ValueError, match=message):
            TensorNet(SPECIES, 4.0, **{**SIZES, name: value})

    def test_the_seed_alone_draws_the_weights(self):
        weights = [
            next(TensorNet(SPECIES, 4.0, **SIZES, seed=seed).parameters()) for seed in (0, 0, 1)
        ]
        assert torch.equal(weights[0], weights[1])
        assert not torch.equal(weights[0], weights[2])


@needs_matgl
def test_a_trained_checkpoint_predicts_the_same(tmp_path):
    check_training(TensorNet(["Cu", "Au"], 4.0, **SIZES), tmp_path)
