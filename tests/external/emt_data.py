"""A little data to train adapters on: rattled Cu-Au crystals with labels of ASE's EMT."""

import lightning.pytorch as pl
import numpy as np
from ase.build import bulk
from ase.calculators.emt import EMT
from torch.utils.data import DataLoader

from sus2bench.atoms.frame import build_frame, collate


def emt_structures(count):
    """Cubic cells of four atoms, none to three of them gold."""
    generator = np.random.default_rng(0)
    made = []
    for index in range(count):
        atoms = bulk("Cu", cubic=True, a=3.8)
        atoms.symbols[: index % 4] = "Au"
        atoms.positions += generator.normal(scale=0.1, size=(4, 3))
        atoms.calc = EMT()
        atoms.get_forces(), atoms.get_stress()  # computed, so that files hold them
        made.append(atoms)
    return made


class EMTData(pl.LightningDataModule):
    """Four frames to train on, two to validate, with energies, forces and stresses.

    Args:
        cutoff: of the neighbour lists, Å.
    """

    test_names = ()

    def __init__(self, cutoff=4.0):
        super().__init__()
        self.frames = [
            build_frame(
                atoms,
                cutoff,
                energy=atoms.get_potential_energy(),
                forces=atoms.get_forces(),
                stress=atoms.get_stress(),
                frame_index=index,
            )
            for index, atoms in enumerate(emt_structures(6))
        ]

    def train_dataloader(self):
        return DataLoader(self.frames[:4], batch_size=2, collate_fn=collate)

    def val_dataloader(self):
        return DataLoader(self.frames[4:], batch_size=2, collate_fn=collate)
