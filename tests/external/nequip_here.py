"""What the tests of NequIP and Allegro share: the package's calculator, its files, training."""

import numpy as np
import torch
from ase.build import bulk
from ase.calculators.emt import EMT

from sus2bench.models.external.nequip_graph import nequip_state
from sus2bench.testing.adapter import Native

SPECIES = ("Cu", "Au", "Al")
ENERGIES = {"Cu": -3.5, "Au": -3.25, "Al": -3.75}


def native_model(potential):
    """The package's whole model in float64 with weights, E0 and scale of the potential."""
    with nequip_state():
        native = potential.model.native(
            per_type_energy_scales=float(potential.atomic_energies.scale),
            per_type_energy_shifts=potential.atomic_energies.as_dict(),
        )
    own = {f"model.func.{k}": v for k, v in potential.model.network.state_dict().items()}
    scales = {k: v for k, v in native.state_dict().items() if k not in own or "scale_shift" in k}
    assert all("scale_shift" in name or name == "model._empty" for name in scales), scales
    native.load_state_dict(own | scales)
    return native.eval()


def calculated(native, atoms):
    """The package's own calculator on a model."""
    with nequip_state():
        from nequip.integrations.ase import NequIPCalculator
        from nequip.integrations.utils import basic_transforms

        names = native.metadata["type_names"].split(" ")
        transforms = basic_transforms(
            native.metadata, float(native.metadata["r_max"]), names, {n: n for n in names}
        )
        calculator = NequIPCalculator(native, "cpu", transforms=transforms)
        calculator.calculate(atoms)
    return Native(float(calculator.results["energy"]), calculator.results["forces"])


def trainable(native):
    return sum(p.numel() for p in native.parameters() if p.requires_grad)
