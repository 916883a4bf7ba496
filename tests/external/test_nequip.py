"""NequIP is the package's model: contract, its own calculator and files, training."""

import importlib.util
import importlib
import sys
from pathlib import Path

import pytest
import torch

from sus2bench.models.external.nequip import NequIP
from sus2bench.models.potential import Potential
from sus2bench.testing import perturb
from sus2bench.testing.adapter import AdapterTests
sys.path.insert(0, str(Path(__file__).parent))
from nequip_here import *

SMALL = {"num_layers": 2, "num_features": 4, "radial_mlp_width": 8}


class TestNequIP(AdapterTests):
    def build(self, dtype):
        model = NequIP(SPECIES, 4.0, **SMALL)
        model.set_avg_num_neighbors(12.0)
        return perturb(Potential(model, ENERGIES, energy_scale=0.7).to(dtype))

    def native(self, potential, atoms):
        return calculated(native_model(potential), atoms)

    def native_parameters(self, potential):
        return trainable(native_model(potential))
