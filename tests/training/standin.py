"""A small potential and data for the tests of training: quick, and known in every detail."""

from functools import partial
from typing import Any

import ase
import lightning.pytorch as pl
import numpy as np
import torch
from ase.build import bulk
from torch.utils.data import DataLoader

from sus2bench.atoms.frame import build_frame, collate
from sus2bench.data.samplers import FrameBatchSampler
from sus2bench.models.base import SiteEnergyModel
from sus2bench.models.potential import Potential
from sus2bench.training.loss import PotentialLoss
from sus2bench.training.module import PotentialModule

CUTOFF = 3.6


class PairSum(SiteEnergyModel):
    """A perceptron on a smooth sum over neighbours: the smallest model with curvature."""

    mixed_precision = True

    def __init__(self, species, cutoff=CUTOFF, width=8, seed=0):
        super().__init__(species, cutoff)
        self.width, self.seed = width, seed
        generator = torch.Generator().manual_seed(seed)
        self.hidden = torch.nn.Linear(4, width)
        self.readout = torch.nn.Linear(width, 1)
        self.element = torch.nn.Parameter(torch.ones(len(self.species), 4))
        with torch.no_grad():
            for parameter in self.parameters():
                parameter.copy_(torch.randn(parameter.shape, generator=generator) * 0.5)

    def forward(self, frame):
        r = frame.edge_vectors.norm(dim=1, keepdim=True)
        powers = torch.arange(1, 5, dtype=r.dtype)
        radial = (1 - r / self.cutoff) ** 2 * torch.cos(powers * r)
        types = self.types(frame.atomic_numbers)
        radial = radial * self.element[types[frame.edge_index[0]]]
        summed = radial.new_zeros(len(types), 4).index_add(0, frame.edge_index[1], radial)
        return self.readout(torch.tanh(self.hidden(summed))).squeeze(1)

    def hyperparameters(self):
        return {
            "species": list(self.species),
            "cutoff": self.cutoff,
            "width": self.width,
            "seed": self.seed,
        }


def make_frames(count: int, seed: int = 0, *, unlabelled: bool = False) -> list[Any]:
    """Rattled Cu-Ni crystals of 2 to 8 atoms with made-up smooth labels."""
    rng = np.random.default_rng(seed)
    frames = []
    for index in range(count):
        atoms: ase.Atoms = bulk("Cu", cubic=True) if index % 2 else bulk("Cu") * (1, 1, 2)
        if index % 3 == 0:
            atoms = atoms * (1, 1, 2)
        atoms.numbers[rng.random(len(atoms)) < 0.5] = 28
        atoms.positions += rng.normal(0, 0.05, atoms.positions.shape)
        energy: float | None = float(-3.0 * len(atoms) + rng.normal(0, 0.1))
        forces: Any = rng.normal(0, 0.5, atoms.positions.shape)
        stress: Any = rng.normal(0, 0.01, 6)
        if unlabelled:
            energy = None if index % 4 == 1 else energy
            forces = None if index % 4 == 2 else forces
            stress = None if index % 4 else stress
        frames.append(
            build_frame(
                atoms, CUTOFF, energy=energy, forces=forces, stress=stress, frame_index=index
            )
        )
    return frames


class DataModule(pl.LightningDataModule):
    test_names = ("test", "far")

    def __init__(self, train=22, valid=6, batch_size=4, unlabelled=False, accumulate=1):
        super().__init__()
        self.accumulate = accumulate
        self.train = make_frames(train, 1, unlabelled=unlabelled)
        self.valid = make_frames(valid, 2, unlabelled=unlabelled)
        self.batch_size = batch_size

    def train_dataloader(self):
        atoms = [len(frame.pos) for frame in self.train]
        edges = [frame.edge_index.shape[1] for frame in self.train]
        sampler = FrameBatchSampler(atoms, edges, batch_size=self.batch_size)
        return DataLoader(self.train, batch_sampler=sampler, collate_fn=self.joined)

    def joined(self, frames):
        """A batch, or its parts."""
        if self.accumulate == 1:
            return collate(frames)
        return [collate(frames[part :: self.accumulate]) for part in range(self.accumulate)]

    def val_dataloader(self):
        return DataLoader(self.valid, batch_size=4, collate_fn=collate)

    def test_dataloader(self):
        return [self.val_dataloader(), self.train_dataloader()]


def make_potential(dtype=torch.float64, seed=0) -> Potential:
    return Potential(PairSum(["Ni", "Cu"], seed=seed), {"Ni": -3.0, "Cu": -3.0}).to(dtype)


def make_module(**settings) -> PotentialModule:
    optimizer = partial(torch.optim.AdamW, lr=settings.pop("lr", 1e-2))
    loss = settings.pop("loss", None) or PotentialLoss(1.0, 0.1, 10.0)
    settings.setdefault("log_every", 2)
    return PotentialModule(
        settings.pop("potential", None) or make_potential(), loss, optimizer, **settings
    )
