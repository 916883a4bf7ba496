"""SevenNet is the package's model: contract, its own calculator and files, training."""

import functools
import importlib.util

import ase.io
import numpy as np
import pytest
import torch
from ase.build import bulk
from ase.calculators.emt import EMT

from sus2bench.atoms.frame import build_frame, collate
from sus2bench.models.external.isolation import MissingExtraError, isolated
from sus2bench.models.external.sevennet import SevenNet
from sus2bench.models.loading import load_potential, save_potential
from sus2bench.models.potential import Potential
from sus2bench.testing import perturb
from sus2bench.testing.adapter import AdapterTests, Native
from sus2bench.testing.potentials import check_close, energies, forces, predict
from sus2bench.testing.structures import structures, transformed

INSTALLED = importlib.util.find_spec("sevenn") is not None
needs_sevenn = pytest.mark.skipif(
    not INSTALLED, reason="sevenn is not installed: nox -s external-equivariant"
)
SPECIES = ("Cu", "Au", "Al")
ENERGIES = {"Cu": -3.5, "Au": -3.25, "Al": -3.75}
SMALL = {"channel": 4, "lmax": 1, "num_convolution_layer": 2, "weight_nn_hidden_neurons": [8]}


@pytest.mark.skipif(INSTALLED, reason="sevenn is installed")
def test_without_the_package_building_says_which_extra_to_install():
    with pytest.raises(MissingExtraError, match=r"sus2bench\[equivariant\]"):
        SevenNet(SPECIES)


def native_network(potential):
    """sevenn's whole model, in float64, with weights, E0 and scale of the potential."""
    from sevenn.model_build import build_E3_equivariant_model

    model = potential.model
    scale = float(potential.atomic_energies.scale) * model.species_scale
    config = model.sevenn_config() | {
        "shift": potential.atomic_energies.values.detach().tolist(),
        "scale": scale.tolist(),
    }
    with isolated():
        network = build_E3_equivariant_model(config).double()
    state = network.state_dict() | model.network.state_dict()
    state["rescale_atomic_energy.shift"] = potential.atomic_energies.values.detach()
    state["rescale_atomic_energy.scale"] = scale
    network.load_state_dict(state)
    return network


def native_in_float64(model, atoms, monkeypatch, **kind):
    """SevenNetCalculator computes in float32 by two casts, which are widened here."""
    import sevenn.util
    from sevenn.calculator import SevenNetCalculator

    def widen(module, inputs, data):
        data["x"], data["node_attr"] = data["x"].double(), data["node_attr"].double()
        return data

    with isolated(), monkeypatch.context() as patch:
        wide = functools.partial(sevenn.util.dtype_correct, float_dtype=torch.float64)
        patch.setattr(sevenn.util, "dtype_correct", wide)
        calculator = SevenNetCalculator(model, device="cpu", **kind)
        calculator.model.double()
        calculator.model.onehot_idx_to_onehot.register_forward_hook(widen)
        calculator.calculate(atoms)
    return Native(calculator.results["energy"], calculator.results["forces"])


class SevenNetContract(AdapterTests):
    arguments: dict = {}

    def build(self, dtype):
        model = SevenNet(SPECIES, 4.0, conv_denominator=12.0, **SMALL | self.arguments)
        return perturb(Potential(model, ENERGIES, energy_scale=0.7).to(dtype))

    def native(self, potential, atoms):
        with pytest.MonkeyPatch.context() as patch:
            return native_in_float64(
                native_network(potential), atoms, patch, file_type="model_instance"
            )

    def native_parameters(self, potential):
        network = native_network(potential)
        return sum(p.numel() for p in network.parameters() if p.requires_grad)


@needs_sevenn
class TestSevenNetWithParity(SevenNetContract):
    arguments = {"is_parity": True}


@needs_sevenn
class TestSevenNet0(SevenNetContract):
    """The form of SevenNet-0."""

    arguments = {
        "is_parity": False,
        "self_connection_type": "linear",
        # The second derivative has a step where XPLOR begins too: away from all pairs here, as the
        # finite differences of the contract need it.
        "cutoff_function": {"cutoff_function_name": "XPLOR", "cutoff_on": 3.3},
        "num_convolution_layer": 3,
        "irreps_manual": ["4x0e", "4x0e+2x1e+2x2e", "4x0e+2x1e+2x2e", "4x0e"],
        "lmax": 2,
    }

    def test_reflection_mirrors_forces_and_stress(self):
        """It does not: without parity, pseudoscalars are scalars."""
        potential = self.potential()
        atoms = structures(potential.species)["crystal"]
        mirrored = transformed(atoms, np.diag([-1.0, 1.0, 1.0]))
        energy = energies(potential, [atoms, mirrored])
        assert abs(float(energy[0] - energy[1])) > 1e-6
