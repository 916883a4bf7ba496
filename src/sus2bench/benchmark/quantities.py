"""What can be timed of a potential on some frames, apart from each other.

energy                    of all frames, without any derivative
energy_and_forces         always timed, in the form that is asked for (`inference.forms_of`)
energy_forces_and_stress  what molecular dynamics at constant pressure needs
training_gradient         of a squared loss of energies and forces, by all parameters
training_step             the same with backward pass and step of an optimizer (AdamW)
neighbour_list            of every frame, on the CPU
md_step                   velocity Verlet with the ASE calculator, neighbour list included
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import ase
import numpy as np
import torch
from ase import units
from ase.md.verlet import VelocityVerlet
from torch import Tensor
from torch_geometric.data import Data

from sus2bench.atoms.frame import build_frame
from sus2bench.benchmark.dynamics_checks import thermalize
from sus2bench.benchmark.inference import in_mode
from sus2bench.models.potential import Potential
from sus2bench.training.initialise import trains_by_steps
from sus2bench.training.parameter_groups import parameter_groups

ENERGY_AND_FORCES = "energy_and_forces"
TRAINING_GRADIENT, NEIGHBOUR_LIST = "training_gradient", "neighbour_list"
USUAL = (ENERGY_AND_FORCES, TRAINING_GRADIENT, NEIGHBOUR_LIST)

TIMESTEP = 1.0  # fs
TEMPERATURE = 300.0  # K, of the first velocities

Call = Callable[[], object]


@dataclass
class Subject:
    """A potential, and the same frames as a batch on its device and as atoms."""

    potential: Potential
    batch: Data
    structures: Sequence[ase.Atoms]


def check_quantities(names: Sequence[str]) -> None:
    """ValueError for a quantity that nobody can time, naming those that there are."""
    unknown = [name for name in names if name not in (ENERGY_AND_FORCES, *_CALLS)]
    if unknown:
        known = ", ".join((ENERGY_AND_FORCES, *_CALLS))
        raise ValueError(f"there is no quantity {unknown[0]!r} to time; there are {known}")


def calls(subject: Subject, names: Sequence[str]) -> dict[str, Call]:
    """A call for each of the named quantities but `energy_and_forces`, in the order of the names.

    Quantities of training are left out where nothing is trained by steps.
    """
    made = ((name, _CALLS[name](subject)) for name in names if name != ENERGY_AND_FORCES)
    return {name: call for name, call in made if call is not None}


def _prediction(*, forces: bool, stress: bool) -> Callable[[Subject], Call]:
    def prepare(subject: Subject) -> Call:
        def predict() -> object:
            with in_mode(subject.potential, training=False):
                return subject.potential(subject.batch, forces=forces, stress=stress)

        return predict

    return prepare


def _loss(subject: Subject) -> Tensor:
    predicted = subject.potential(subject.batch, forces=True, stress=False)
    loss: Tensor = predicted.energy.square().sum() + predicted.forces.square().sum()
    return loss


def _training_gradient(subject: Subject) -> Call | None:
    if not trains_by_steps(subject.potential):
        return None
    parameters = [tensor for tensor in subject.potential.parameters() if tensor.requires_grad]

    def gradient() -> object:
        with in_mode(subject.potential, training=True):
            return torch.autograd.grad(_loss(subject), parameters, allow_unused=True)

    return gradient


def _training_step(subject: Subject) -> Call | None:
    if not trains_by_steps(subject.potential):
        return None
    # All the arithmetic of a step, but of length zero: the potential stays what it is.
    optimizer = torch.optim.AdamW(parameter_groups(subject.potential), lr=0.0, fused=True)

    def step() -> None:
        with in_mode(subject.potential, training=True):
            _loss(subject).backward()
            optimizer.step()
            optimizer.zero_grad()

    return step


def _neighbour_list(subject: Subject) -> Call:
    def build() -> None:
        for structure in subject.structures:
            build_frame(structure, subject.potential.cutoff)

    return build


def _md_step(subject: Subject) -> Call:
    """One step of each frame, which goes on from where the last call has left it."""
    simulations, generator = [], np.random.default_rng(0)
    for structure in subject.structures:
        atoms = structure.copy()
        thermalize(atoms, TEMPERATURE, generator)
        with in_mode(subject.potential, training=False):
            atoms.calc = subject.potential.calculator()
        simulations.append(VelocityVerlet(atoms, timestep=TIMESTEP * units.fs))

    def step() -> None:
        with in_mode(subject.potential, training=False):
            for simulation in simulations:
                simulation.step()

    return step


_CALLS: dict[str, Callable[[Subject], Call | None]] = {
    "energy": _prediction(forces=False, stress=False),
    "energy_forces_and_stress": _prediction(forces=True, stress=True),
    TRAINING_GRADIENT: _training_gradient,
    "training_step": _training_step,
    NEIGHBOUR_LIST: _neighbour_list,
    "md_step": _md_step,
}
