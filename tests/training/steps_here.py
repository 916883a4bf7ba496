"""Twenty steps of the stand-in on a file, in as many processes as are started."""

import sys
from pathlib import Path

import ase
import torch
from ddp_here import trainer_of
from standin import CUTOFF, make_frames, make_module

from sus2bench.atoms.reading import LabelledAtoms
from sus2bench.atoms.writing import write_extxyz
from sus2bench.data.datamodule import FrameDataModule
from sus2bench.training.averaging import WeightAverage
from sus2bench.training.budget import Budget
from sus2bench.training.checkpoints import Checkpoints
from sus2bench.training.csv_logger import CSVLogger
from sus2bench.training.fit import fit
from sus2bench.training.regularization import Regularization
from sus2bench.training.schedules import WarmupCosine

STEPS = 20
ACCUMULATED = (1, 2, 4)
"""Parts of a batch. Batches have 4 or 5 frames, so that 4 parts of the share of one of two
processes are more than it has frames."""


def labelled(frame):
    """A frame as it stands in a file."""

    def label(key):
        value = frame[key].squeeze(0) if key != "forces" else frame[key]
        return None if bool(torch.isnan(value).all()) else value.numpy()

    atoms = ase.Atoms(
        frame.atomic_numbers.numpy(),
        frame.pos.numpy(),
        cell=frame.cell[0].numpy(),
        pbc=frame.pbc[0].numpy(),
    )
    energy = label("energy")
    return LabelledAtoms(
        atoms, None if energy is None else float(energy), label("forces"), label("stress")
    )


def train(folder, processes, accumulate):
    folder.mkdir(parents=True, exist_ok=True)
    file = folder / f"frames{processes}.extxyz"
    if not file.exists():
        write_extxyz(file, [labelled(frame) for frame in make_frames(30, 1, unlabelled=True)])
    data = FrameDataModule(
        str(file), batch_size=5, accumulate=accumulate, cutoff=CUTOFF, valid_fraction=0.25,
        cache_dir=str(folder / f"cache{processes}"),
    )  # fmt: skip
    regularization = Regularization(atomic_energies=0.1)
    module = make_module(schedule=WarmupCosine(), regularization=regularization, log_every=5)
    run = folder / f"{processes}_{accumulate}"
    result = fit(
        module,
        data,
        Budget(max_steps=STEPS),
        folder=run,
        trainer=trainer_of(processes, clip=1.0),
        callbacks=[Checkpoints(), WeightAverage(0.9)],
        loggers=[CSVLogger()],
    )
    return module, result


def train_all(folder, processes):
    """The run of each number of parts, saved as plain data."""
    for accumulate in ACCUMULATED:
        module, result = train(folder, processes, accumulate)
        metrics = {name: float(value) for name, value in module.trainer.callback_metrics.items()}
        if module.trainer.is_global_zero:
            state = torch.load(result.last_checkpoint, weights_only=True)
            torch.save(
                {
                    "weights": state["state_dict"],
                    "average": state["potential"]["state_dict"],
                    "counted": (result.steps, result.epochs, result.frames),
                    "metrics": metrics,
                    "log": result.history.read_text(),
                },
                folder / f"{processes}_{accumulate}.pt",
            )


if __name__ == "__main__":
    train_all(Path(sys.argv[1]), int(sys.argv[2]))
