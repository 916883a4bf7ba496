"""Whether the loader of training batches keeps up with training steps.

    python benchmarks/loader.py --data emt-alloys alloy53 --out results/speed/loader

For each data set and batch size: the time per atom in which the training loader makes the batches
of an epoch, here or in one worker process, and that of a training step (energies, forces, gradient,
AdamW) of SUS2 with its C++ kernel and of PaiNN, on the first batch, with one thread and in float32.
Writes a record and a table. All times are those of this process alone, which with a worker is what
receiving the batches costs; only `waited` is wall time, with all that the machine does beside.
"""

import argparse
import sys
import time
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import torch
from columns_table import table
from hydra import compose, initialize_config_dir
from hydra.utils import instantiate
from torch_geometric.data import Data

from sus2bench.atoms.files import write_atomically
from sus2bench.benchmark import records, speed
from sus2bench.benchmark.sources import Untrained, model_config
from sus2bench.benchmark.stopwatch import threads
from sus2bench.cli.configuration import configuration_folder
from sus2bench.data.datamodule import FrameDataModule

MODELS = {"sus2": ("sus2", {"backend": "cpp"}), "painn": ("painn_small", {})}
STEP = "training_step"


def data_of(name: str, cutoff: float) -> FrameDataModule:
    """The data set of a config, ready to be loaded."""
    config = compose("train", ["model=sus2", f"data={name}"])
    datamodule: FrameDataModule = instantiate(config.data, cutoff=cutoff, _convert_="all")
    datamodule.prepare_data()
    datamodule.setup()
    return datamodule


def epoch(datamodule: FrameDataModule, workers: int) -> tuple[float, float]:
    """Processor time of this process and wall time, µs per atom, of the batches of an epoch.

    Without the first batch: starting a worker takes its time once in an epoch, however long.
    """
    datamodule.num_workers = workers
    batches = iter(datamodule.train_dataloader())
    next(batches)
    used, waited = time.process_time(), time.perf_counter()
    atoms = sum(batch.num_nodes for batch in batches)
    used, waited = time.process_time() - used, time.perf_counter() - waited
    return used * 1e6 / atoms, waited * 1e6 / atoms


def steps(frames: Sequence[Data], species: Sequence[str], cutoff: float) -> dict[str, float]:
    """µs per atom of a training step of each model on these frames, in float32."""
    potentials = {
        name: Untrained(model_config(config, changes), dtype=torch.float32).build(species, cutoff)
        for name, (config, changes) in MODELS.items()
    }
    timed = speed.compare(potentials, frames, quantities=[STEP], repeats=7, clock="processor")
    return {name: result[f"{STEP}_us_per_atom"]["median"] for name, result in timed.items()}


def measure(
    datamodule: FrameDataModule, batch_size: int, cutoff: float, repeats: int
) -> dict[str, float]:
    """A row of the table."""
    datamodule.batch_size = batch_size
    taken = [(*epoch(datamodule, 0), *epoch(datamodule, 1)) for _ in range(repeats)]
    here, _, receiving, waited = np.median(taken, axis=0).tolist()
    first = next(iter(datamodule.train_dataloader())).to_data_list()
    step = steps(first, datamodule.species, cutoff)
    atoms = float(datamodule.train.num_atoms.mean())
    return {
        "atoms_per_frame": atoms,
        "loader_here_us_per_atom": here,
        "receiving_from_a_worker_us_per_atom": receiving,
        "waited_for_a_worker_us_per_atom": waited,
        "loader_frames_per_s": 1e6 / (here * atoms),
        "loader_atoms_per_s": 1e6 / here,
        **{f"step_of_{name}_us_per_atom": value for name, value in step.items()},
        **{f"step_of_{name}_over_loader": value / here for name, value in step.items()},
    }


def main() -> int:
    """Print the table; write it with a record."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--data", nargs="+", default=["emt-alloys"], help="configs of conf/data/")
    parser.add_argument("--batch-sizes", nargs="+", type=int, default=[8, 32, 128])
    parser.add_argument("--cutoff", type=float, default=6.0, help="Å")
    parser.add_argument("--repeats", type=int, default=5, help="epochs")
    parser.add_argument("--out", type=Path, required=True, help="folder")
    options = parser.parse_args()
    settings = {name: value for name, value in vars(options).items() if name != "out"}
    record = records.new_record("speed", "loader", settings)
    found = record["metrics"]
    with threads(1), initialize_config_dir(str(configuration_folder()), version_base="1.3"):
        for name in options.data:
            datamodule = data_of(name, options.cutoff)
            for batch_size in options.batch_sizes:
                key = f"{name}, {batch_size} frames"
                found[key] = measure(datamodule, batch_size, options.cutoff, options.repeats)
    record["hardware"]["threads"] = 1
    record |= {"status": "completed", "traceback": None}
    records.complete_units(record)
    records.write_record(record, options.out / records.FILE_NAME, overwrite=True)
    write_atomically(options.out / "table.md", lambda part: part.write_text(table(found, 3)))
    print(table(found, 3))
    return 0


if __name__ == "__main__":
    sys.exit(main())
