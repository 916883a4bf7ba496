"""MACE as a model of ours: the contract, mace's own calculator, its files, a short training."""

import importlib.util

import pytest
import torch

from sus2bench.models.external.mace import MACE
from sus2bench.models.potential import Potential
from sus2bench.testing import perturb
from sus2bench.testing.adapter import AdapterTests, Native

SPECIES = ("Cu", "Au", "Al")
ENERGIES = {"Cu": -3.5, "Au": -3.25, "Al": -3.75}


def small_model(**settings):
    sizes = {"hidden_irreps": "4x0e + 4x1o", "max_ell": 2, "correlation": 2, "radial_MLP": [8]}
    return MACE(SPECIES, 4.0, **{**sizes, "MLP_irreps": "4x0e", **settings})


class TestMACE(AdapterTests):
    def build(self, dtype):
        model = small_model()
        model.set_avg_num_neighbors(11.7)
        return perturb(Potential(model, ENERGIES, energy_scale=1.3).to(dtype))

    def native(self, potential, atoms):
        from sus2bench.models.external.isolation import isolated
        raise RuntimeError

    def native_parameters(self, potential):
        return 0
