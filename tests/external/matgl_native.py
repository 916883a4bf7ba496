"""What the tests of matgl's models share: its own calculator, sizes, a short training."""

import importlib.util
from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial

import ase
import lightning.pytorch as pl
import numpy as np
import pytest
import torch
from emt_data import EMTData

from sus2bench.atoms.frame import build_frame, edge_vectors
from sus2bench.models.external.isolation import isolated
from sus2bench.models.loading import load_potential
from sus2bench.models.potential import Potential
from sus2bench.testing import perturb
from sus2bench.testing.adapter import AdapterTests, Native
from sus2bench.testing.potentials import predict
from sus2bench.testing.structures import structures
from sus2bench.training.budget import Budget
from sus2bench.training.checkpoints import Checkpoints
from sus2bench.training.fit import fit
from sus2bench.training.loss import PotentialLoss
from sus2bench.training.module import PotentialModule

installed = importlib.util.find_spec("matgl") is not None
needs_matgl = pytest.mark.skipif(
    not installed, reason="matgl is not installed: nox -s external-equivariant"
)
without_matgl = pytest.mark.skipif(installed, reason="matgl is installed")
SPECIES = ("Cu", "Au", "Al")
ENERGIES = {"Cu": -3.5, "Au": -3.25, "Al": -3.75}
SCALE = 1.3


def generic_potential(model, dtype, noise):
    return perturb(Potential(model, ENERGIES, energy_scale=SCALE).to(dtype), scale=noise)


@contextmanager
def double_precision() -> Iterator[None]:
    """matgl's own precision, which its converters round positions to, set to float64."""
    import matgl

    with isolated():
        matgl.set_default_dtype("float", 64)
        try:
            yield
        finally:
            matgl.set_default_dtype("float", 32)


def native(own, atoms):
    """matgl's calculator with a `Potential` of matgl, which it runs in that one's precision."""
    from matgl.ext.ase import PESCalculator

    with double_precision():
        atoms = atoms.copy()
        atoms.calc = PESCalculator(own.eval(), stress_unit="eV/A3")
        return Native(atoms.get_potential_energy(), atoms.get_forces())


def fresh_network(model):
    """The package's network as it builds it from the same arguments."""
    import matgl.models

    arguments = {n: v for n, v in model.network._init_args.items() if n != "kwargs"}
    return getattr(matgl.models, model.package_class)(**arguments)


def own_potential(potential):
    """A `Potential` of matgl with our network, E0 and scale."""
    from matgl.apps.pes import Potential as Own

    energies = [potential.atomic_energies.as_dict()[symbol] for symbol in potential.species]
    with double_precision():
        return Own(
            potential.model.network,
            data_std=potential.atomic_energies.scale,
            element_refs=torch.tensor(energies, dtype=torch.float64),
        ).double()


def check_native(potential, own=None):
    """To 1e-8 eV and eV/Å: sums in another order."""
    own = own or own_potential(potential)
    for name in AdapterTests.structures_of_calculator:
        atoms = structures(potential.species)[name]
        expected, actual = native(own, atoms), predict(potential, atoms)
        assert float(actual.energy) == pytest.approx(expected.energy, abs=1e-8)
        np.testing.assert_allclose(actual.forces, expected.forces, rtol=0, atol=1e-8)


def crossing(potential, distances):
    """Energies and forces while one of four atoms leaves another, at these distances in Å."""
    triangle = [(0.0, 0.0, 0.0), (1.1, 1.9, 0.3), (0.4, -1.2, 2.1)]
    symbols = [SPECIES[0], SPECIES[1], SPECIES[0], SPECIES[1]]
    frames = [ase.Atoms(symbols, positions=[*triangle, (d, 0.0, 0.0)]) for d in distances]
    prediction = predict(potential, *frames)
    return prediction.energy, prediction.forces.view(len(distances), -1)


def graph_of(model, atoms):
    """A frame with edge vectors, as a model gets it."""
    frame = build_frame(atoms, model.cutoff)
    frame.edge_vectors = edge_vectors(frame)
    return frame


def check_training(model, folder):
    """Eight steps change the weights; the checkpoint predicts the same bits as what was trained."""
    potential = Potential(model).to(torch.float32)
    before = [parameter.detach().clone() for parameter in potential.parameters()]
    module = PotentialModule(
        potential, PotentialLoss(1.0, 0.1, 10.0), partial(torch.optim.Adam, lr=1e-3), log_every=1
    )
    result = fit(
        module,
        EMTData(),
        Budget(max_steps=8),
        folder=folder,
        trainer=partial(pl.Trainer, accelerator="cpu"),
        callbacks=[Checkpoints()],
    )
    assert any(
        not torch.equal(old, new) for old, new in zip(before, potential.parameters(), strict=True)
    )
    read = load_potential(result.last_checkpoint, dtype=torch.float32)
    atoms = structures(potential.species)["crystal"]
    expected, actual = predict(potential.eval(), atoms), predict(read, atoms)
    assert torch.isfinite(expected.energy).all()
    assert torch.equal(actual.energy, expected.energy)
    assert torch.equal(actual.forces, expected.forces)
