"""A small potential and small frames."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch
from ase.build import bulk
from torch import nn

from sus2bench.atoms.frame import build_frame
from sus2bench.models.base import SiteEnergyModel
from sus2bench.models.potential import Potential


class PairModel(SiteEnergyModel):
    """Site energy: half the sum over neighbours of strength[types] (1 - r^2/cutoff^2)^2."""

    def __init__(self, species: list[str], cutoff: float = 4.0) -> None:
        super().__init__(species, cutoff)
        self.strength = nn.Parameter(torch.linspace(0.1, 0.3, len(self.species)))
        self.frozen = nn.Parameter(torch.zeros(3), requires_grad=False)

    def forward(self, frame: Any) -> torch.Tensor:
        neighbour, centre = frame.edge_index
        types = self.types(frame.atomic_numbers)
        squared = frame.edge_vectors.square().sum(-1) / self.cutoff**2
        pair = (
            (1 - squared).square() * self.strength[types[centre]] * self.strength[types[neighbour]]
        )
        return pair.new_zeros(len(types)).index_add(0, centre, pair)

    def hyperparameters(self) -> dict[str, Any]:
        return {"species": list(self.symbols), "cutoff": self.cutoff}


@pytest.fixture
def potential() -> Potential:
    energies = {"Al": -1.0, "Cu": -2.0, "Au": -3.0}
    return Potential(PairModel(["Al", "Cu", "Au"]).to(torch.float64), energies)


class Frames(list):
    """A list of frames with the sizes that a data set knows."""

    @property
    def num_atoms(self) -> np.ndarray:
        return np.array([len(frame.pos) for frame in self])

    @property
    def num_edges(self) -> np.ndarray:
        return np.array([frame.edge_index.shape[1] for frame in self])


@pytest.fixture
def frames() -> Frames:
    """Eight rattled Al-Cu cells with made-up labels; the last has no energy and no stress."""
    generator = np.random.default_rng(3)
    found = Frames()
    for index in range(8):
        atoms = bulk("Al", cubic=True).repeat((1, 1, 1 + index % 2))
        atoms.symbols[: 1 + index % 3] = "Cu"
        atoms.rattle(0.05, seed=index)
        labels = {"energy": -5.0 * len(atoms) + generator.normal()}
        labels |= {"stress": generator.normal(size=6) * 0.01}
        if index == 7:
            labels = {}
        forces = generator.normal(size=(len(atoms), 3))
        found.append(build_frame(atoms, 4.0, forces=forces, frame_index=index, **labels))
    return found
