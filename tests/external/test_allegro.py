"""NequIP is the package's model: contract, its own calculator and files, training."""

import importlib.util
import importlib
import sys
from pathlib import Path

import pytest
import torch

from sus2bench.models.external.allegro import Allegro
from sus2bench.models.potential import Potential
from sus2bench.testing import perturb
from sus2bench.testing.adapter import AdapterTests
sys.path.insert(0, str(Path(__file__).parent))
from nequip_here import *

SMALL = {"num_scalar_features": 8, "num_tensor_features": 2, "scalar_embed_mlp_hidden_layers_width": 8, "allegro_mlp_hidden_layers_width": 8, "readout_mlp_hidden_layers_width": 8}


class TestAllegro(AdapterTests):
    def build(self, dtype):
        model = Allegro(SPECIES, 4.0, **SMALL)
        model.set_avg_num_neighbors(12.0)
        return perturb(Potential(model, ENERGIES, energy_scale=0.7).to(dtype))

    def native(self, potential, atoms):
        return calculated(native_model(potential), atoms)

    def native_parameters(self, potential):
        return trainable(native_model(potential))
