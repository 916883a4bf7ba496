"""Problems whose optimum is known: labels that a potential of the same form has made."""

import ase.build
import numpy as np
import torch

from sus2bench.atoms.frame import build_frame, collate
from sus2bench.models.potential import Potential
from sus2bench.models.sus2 import SUS2
from sus2bench.training.loss import PotentialLoss
from sus2bench.training.parameter_groups import parameter_groups
from sus2bench.training.whole_set.batches import FrameBlocks
from sus2bench.training.whole_set.objective import Objective

CUTOFF = 4.5


def make_truth(seed=2):
    """SUS2 of two elements with one channel and random coefficients."""
    model = SUS2(["Al", "Ni"], CUTOFF, channels=1, radial_basis_size=4, seed=seed).double()
    generator = torch.Generator().manual_seed(seed)
    xi = torch.randn(14, generator=generator, dtype=torch.float64)
    model.readout.coefficients.data = xi
    model.readout.species_weight.data = torch.tensor([0.7, 1.3], dtype=torch.float64)
    return Potential(model, {"Al": -3.0, "Ni": -5.0})


def make_labelled(truth, count=12):
    """Rattled and strained crystals with the truth's energies, forces and stresses."""
    rng = np.random.default_rng(0)
    frames = []
    for index in range(count):
        atoms = ase.build.bulk("Al", cubic=True) * (1, 1, 1 + index % 2)
        atoms.symbols[rng.random(len(atoms)) < 0.5] = "Ni"
        atoms.set_cell(atoms.cell * rng.uniform(0.95, 1.05), scale_atoms=True)
        atoms.rattle(0.15, seed=index)
        label = truth.eval()(collate([build_frame(atoms, CUTOFF)]))
        stress = label.stress[0].numpy()
        frames.append(
            build_frame(
                atoms,
                CUTOFF,
                energy=float(label.energy),
                forces=label.forces.numpy(),
                stress=stress[[0, 1, 2, 1, 0, 0], [0, 1, 2, 2, 2, 1]],
                frame_index=index,
            )
        )
    return frames


def displaced(truth, amount, seed=3):
    """A copy of a potential whose parameters are changed by a relative amount."""
    copy = Potential.from_payload(truth.to_payload())
    generator = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for parameter in copy.parameters():
            noise = torch.randn(parameter.shape, generator=generator).to(parameter)
            parameter += amount * noise * parameter.abs().clamp(min=0.1)
    return copy


def make_problem(amount=0.02, loss=None, frames=None):
    """A displaced potential, and the objective that is zero at the truth."""
    truth = make_truth()
    potential = displaced(truth, amount)
    loss = loss or PotentialLoss(1.0, 1.0, 100.0)
    return Objective(potential, loss, FrameBlocks(frames or make_labelled(truth)))


def make_optimizer(kind, objective, **settings):
    """An optimizer of the objective."""
    optimizer = kind(parameter_groups(objective.potential), **settings)
    optimizer.objective = objective
    return optimizer
