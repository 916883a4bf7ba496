"""Contract tests of derivatives: forces, stress and loss gradients against finite differences."""

import copy
import math
from collections.abc import Callable, Sequence

import ase
import numpy as np
import torch
from ase.neighborlist import neighbor_list
from torch import Tensor
from torch.nn import Parameter

from sus2bench.atoms.frame import build_frame, collate
from sus2bench.models.potential import Potential
from sus2bench.testing.base import ContractBase
from sus2bench.testing.potentials import check_close, energies, forces, predict, stress
from sus2bench.testing.structures import random_atoms, structures, transformed

STENCIL = ((-2.0, 1.0 / 12.0), (-1.0, -8.0 / 12.0), (1.0, 8.0 / 12.0), (2.0, -1.0 / 12.0))
"""Steps and weights of the fourth-order central difference."""

STEP = 2e-4
"""Å or strain: the stencil errs by h^4 f^(5) / 30 and rounding by about 1e-13 eV / h, both far
below the tolerances."""


def differences(
    potential: Potential, atoms: ase.Atoms, moves: Sequence[Callable[[float], ase.Atoms]]
) -> Tensor:
    """Derivatives of the energy along moves, each of which displaces `atoms` by a number."""
    moved = [move(step * STEP) for move in moves for step, _ in STENCIL]
    weights = torch.tensor([weight for _, weight in STENCIL], dtype=torch.float64)
    return (energies(potential, moved).view(-1, len(STENCIL)) * weights).sum(1) / STEP


def displaced(atoms: ase.Atoms, index: int, axis: int, distance: float) -> ase.Atoms:
    """One atom moved along one axis, Å."""
    moved: ase.Atoms = atoms.copy()
    moved.positions[index, axis] += distance
    return moved


def strained(atoms: ase.Atoms, row: int, column: int, strain: float) -> ase.Atoms:
    """Cell and positions multiplied by the unit matrix plus one element."""
    matrix = np.eye(3)
    matrix[row, column] += strain
    return transformed(atoms, matrix)


def _structures(potential: Potential) -> dict[str, ase.Atoms]:
    """All structures, stretched a little where a pair stands at the cutoff.

    The energy's second derivative may have a step there, which finite differences would see.
    """
    margin = 4 * STEP * potential.cutoff
    chosen = {}
    for name, atoms in structures(potential.species).items():
        stretched = (transformed(atoms, (1 + 0.003 * n) * np.eye(3)) for n in range(40))
        chosen[name] = next(
            candidate
            for candidate in stretched
            if not any(
                _pair_within(candidate, cutoff - margin, cutoff + margin)
                for cutoff in {potential.cutoff, potential.model.cutoff}
            )
        )
    return chosen


def _pair_within(atoms: ase.Atoms, low: float, high: float) -> bool:
    return bool((neighbor_list("d", atoms, high) > low).any())


def _trained(potential: Potential) -> dict[str, Parameter]:
    """The parameters that gradients are taken by, by name."""
    return {name: p for name, p in potential.named_parameters() if p.requires_grad}


class DerivativeTests(ContractBase):
    """Derivatives agree with finite differences."""

    def test_forces_are_the_negative_gradient_of_the_energy(self) -> None:
        """Every force component of every kind of structure, to 1e-6 of the largest force."""
        potential = self.potential()
        for name, atoms in _structures(potential).items():
            moves = [
                lambda step, i=i, axis=axis, atoms=atoms: displaced(atoms, i, axis, step)
                for i in range(len(atoms))
                for axis in range(3)
            ]
            gradient = differences(potential, atoms, moves).view(-1, 3)
            actual = forces(predict(potential, atoms))
            scale = max(1.0, float(gradient.abs().max()))
            check_close(actual, -gradient, 1e-6 * scale, f"forces of the {name} (eV/Å)")

    def test_stress_is_the_strain_derivative_of_the_energy(self) -> None:
        """All nine components, which also shows that the stress is symmetric."""
        potential = self.potential()
        for name, atoms in _structures(potential).items():
            if atoms.cell.rank < 3:
                continue
            moves = [
                lambda step, a=a, b=b, atoms=atoms: strained(atoms, a, b, step)
                for a in range(3)
                for b in range(3)
            ]
            virial = differences(potential, atoms, moves).view(1, 3, 3)
            actual = stress(predict(potential, atoms)) * atoms.get_volume()
            scale = max(1.0, float(virial.abs().max()))
            check_close(actual, virial, 1e-6 * scale, f"stress times volume of the {name} (eV)")

    def test_loss_gradient_of_every_parameter(self) -> None:
        """A loss on energy, forces and stress, along random directions.

        One direction within each parameter tensor, and three of all parameters together.
        """
        potential = self.potential().train()
        loss = self._loss(potential)
        parameters = _trained(potential)
        gradients = dict(
            zip(
                parameters,
                torch.autograd.grad(
                    loss(), list(parameters.values()), allow_unused=True, materialize_grads=True
                ),
                strict=True,
            )
        )
        groups = [[name] for name in parameters] + 3 * [list(parameters)]
        generator = torch.Generator().manual_seed(5)
        for group in groups:
            direction = {
                name: torch.randn(parameters[name].shape, generator=generator, dtype=torch.float64)
                for name in group
            }
            slope = sum(float((gradients[name] * direction[name]).sum()) for name in group)
            scale = max(1.0, sum(float(gradients[name].norm()) for name in group))
            measured = self._slope(loss, potential, direction)
            label = group[0] if len(group) == 1 else "all parameters"
            check_close(
                torch.tensor(slope),
                torch.tensor(measured),
                1e-5 * scale,
                f"gradient of the loss along a random direction in {label}",
            )

    def test_loss_gradient_is_finite_for_isolated_and_symmetric_atoms(self) -> None:
        """Vectors that vanish by symmetry, and sums over no neighbours, have no bare norms."""
        potential = self.potential().train()
        symbol = potential.species[0]
        lattice = ase.Atoms(symbol, cell=3 * [2.8], pbc=True)
        prediction = predict(potential, lattice, ase.Atoms(symbol), ase.Atoms(symbol, cell=3 * [9]))
        loss = prediction.energy.square().sum() + forces(prediction).square().sum()
        loss = loss + stress(prediction).nan_to_num(0.0).square().sum()
        parameters = _trained(potential)
        gradients = torch.autograd.grad(
            loss, list(parameters.values()), allow_unused=True, materialize_grads=True
        )
        for name, gradient in zip(parameters, gradients, strict=True):
            if not bool(torch.isfinite(gradient).all()):
                raise AssertionError(
                    f"the loss gradient of {name} is not finite on isolated or symmetric atoms"
                )

    def _loss(self, potential: Potential) -> Callable[[], Tensor]:
        pair = potential.species[:2]
        batch = collate(
            [
                build_frame(random_atoms(pair, (2, 2, 1), pbc=pbc, seed=seed), potential.cutoff)
                for seed, pbc in ((7, (True, True, True)), (8, (True, True, False)))
            ]
        )
        start = potential(batch)
        generator = torch.Generator().manual_seed(3)

        def target(value: Tensor, scale: float) -> Tensor:
            noise = torch.randn(value.shape, generator=generator, dtype=torch.float64)
            return value.detach() + scale * noise

        energy = target(start.energy, 1.0)
        force = target(forces(start), 1.0)
        tension = target(stress(start), 0.1)

        def loss() -> Tensor:
            prediction = potential(batch)
            total: Tensor = (
                (prediction.energy - energy).square().sum()
                + (forces(prediction) - force).square().sum()
                + 100.0 * (stress(prediction) - tension).square().sum()
            )
            return total

        return loss

    def _slope(
        self, loss: Callable[[], Tensor], potential: Potential, direction: dict[str, Tensor]
    ) -> float:
        start = copy.deepcopy(potential.state_dict())
        # The step keeps the noise of all parameters together at about 1e-4.
        length = math.sqrt(sum(float(part.square().sum()) for part in direction.values()))
        step = 1e-4 / length
        total = 0.0
        for position, weight in STENCIL:
            with torch.no_grad():
                for name, part in direction.items():
                    value = start[name] + position * step * part
                    potential.get_parameter(name).copy_(value)
            total += weight * float(loss().detach())
        potential.load_state_dict(start)
        return total / step
