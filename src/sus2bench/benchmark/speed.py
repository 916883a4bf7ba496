"""Time per atom of energies and forces, of a training gradient, and of the neighbour list.

Potentials that are to be compared are timed on the same frames, in one process and in turn
(A B A B ...), after a warm-up; each call that counts follows one of the same potential that does
not. Medians and quartiles are reported. One thread unless asked.
"""

import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any

import numpy as np
import torch
from torch_geometric.data import Data

from sus2bench.atoms.frame import build_frame, collate, frame_to_atoms
from sus2bench.benchmark.memory import peak_memory
from sus2bench.data.dataset import FrameDataset
from sus2bench.models.potential import Potential
from sus2bench.training.initialise import trains_by_steps

Timing = dict[str, float | int]


@contextmanager
def threads(number: int | None) -> Iterator[None]:
    """Let torch use this many threads inside the context; None changes nothing."""
    before = torch.get_num_threads()
    torch.set_num_threads(number or before)
    try:
        yield
    finally:
        torch.set_num_threads(before)


def choose_frames(dataset: FrameDataset, atoms: int) -> list[Data]:
    """Frames spread evenly over a data set, with at least this many atoms together if it has them.

    Args:
        dataset: where the frames are from.
        atoms: number of atoms wanted.

    Raises:
        ValueError: if the data set is empty.
    """
    sizes = dataset.num_atoms
    if len(sizes) == 0:
        raise ValueError("the data set has no frames to time a potential on")
    wanted = min(len(sizes), max(1, int(np.ceil(atoms / sizes.mean()))))
    chosen = np.unique(np.linspace(0, len(sizes) - 1, wanted).round().astype(int))
    return [dataset[int(index)] for index in chosen]


def compare(
    potentials: Mapping[str, Potential],
    frames: Sequence[Data],
    *,
    number_of_threads: int = 1,
    warm_up: int = 3,
    repeats: int = 15,
    training: bool = True,
) -> dict[str, dict[str, Any]]:
    """Time potentials against each other on one batch of frames.

    Args:
        potentials: what to time, by name; each moves the frames to its own device.
        frames: frames whose neighbour lists reach as far as every potential needs; edges beyond a
            potential's own cutoff are dropped first, so that none pays for another's.
        number_of_threads: threads of torch.
        warm_up: calls before the first one that counts.
        repeats: calls that count.
        training: whether to time the gradient of a squared loss of energies and forces too, for
            potentials that take gradient steps.

    Returns:
        By name: frames, atoms, edges, dtype, device, threads, timings (µs/atom) and peak memory
        (MB, taken apart from the timings).
    """
    batches = {
        name: within_cutoff(frames, potential.cutoff).to(str(potential.device))
        for name, potential in potentials.items()
    }
    jobs: dict[tuple[str, str], Callable[[], object]] = {}
    for name, potential in potentials.items():
        jobs[name, "energy_and_forces"] = _prediction(potential, batches[name])
        if training and trains_by_steps(potential):
            jobs[name, "training_gradient"] = _training_gradient(potential, batches[name])
    with threads(number_of_threads):
        seconds = _in_turn(jobs, warm_up, repeats)
        peaks: dict[str, dict[str, float | None]] = {name: {} for name in potentials}
        for (name, what), job in jobs.items():
            peaks[name][what] = peak_memory(job, potentials[name].device)
    results: dict[str, dict[str, Any]] = {}
    for name, potential in potentials.items():
        batch = batches[name]
        timings = {
            f"{what}_us_per_atom": _summary(values, batch.num_nodes)
            for (owner, what), values in seconds.items()
            if owner == name
        }
        results[name] = {
            "frames": len(frames),
            "atoms": int(batch.num_nodes),
            "edges": int(batch.edge_index.shape[1]),
            "dtype": str(potential.dtype).removeprefix("torch."),
            "device": potential.device.type,
            "threads": number_of_threads,
            "neighbour_list_included": False,
            **timings,
            "neighbour_list_us_per_atom": _neighbour_list(frames, potential.cutoff, repeats),
            "peak_memory_MB": peaks[name],
        }
    return results


def within_cutoff(frames: Sequence[Data], cutoff: float) -> Data:
    """One batch of the frames, rebuilt with the neighbour lists of this cutoff (Å)."""
    return collate([build_frame(frame_to_atoms(frame), cutoff) for frame in frames])


def _prediction(potential: Potential, batch: Data) -> Callable[[], object]:
    def predict() -> object:
        was_training = potential.training
        potential.eval()
        try:
            with torch.no_grad():
                return potential(batch, forces=True, stress=False)
        finally:
            potential.train(was_training)

    return predict


def _training_gradient(potential: Potential, batch: Data) -> Callable[[], object]:
    parameters = [tensor for tensor in potential.parameters() if tensor.requires_grad]

    def gradient() -> object:
        was_training = potential.training
        potential.train()
        try:
            with torch.enable_grad():
                predicted = potential(batch, forces=True, stress=False)
                loss = predicted.energy.square().sum() + predicted.forces.square().sum()
                return torch.autograd.grad(loss, parameters, allow_unused=True)
        finally:
            potential.train(was_training)

    return gradient


def _in_turn(
    jobs: Mapping[tuple[str, str], Callable[[], object]], warm_up: int, repeats: int
) -> dict[tuple[str, str], list[float]]:
    for job in jobs.values():
        for _ in range(warm_up):
            job()
    seconds: dict[tuple[str, str], list[float]] = {key: [] for key in jobs}
    for _ in range(repeats):
        for key, job in jobs.items():
            # One call that does not count: the first after another potential pays for the memory
            # and caches that one has left behind, which a series of calls would not.
            job()
            seconds[key].append(_seconds(job))
    return seconds


def _seconds(job: Callable[[], object]) -> float:
    _finish()
    start = time.perf_counter()
    job()
    _finish()
    return time.perf_counter() - start


def _finish() -> None:
    """Wait until the device has done what it was asked."""
    if torch.cuda.is_available():
        torch.cuda.synchronize()


def _neighbour_list(frames: Sequence[Data], cutoff: float, repeats: int) -> Timing:
    structures = [frame_to_atoms(frame) for frame in frames]
    atoms = sum(len(structure) for structure in structures)

    def build() -> None:
        for structure in structures:
            build_frame(structure, cutoff)

    build()
    return _summary([_seconds(build) for _ in range(repeats)], atoms)


def _summary(seconds: Sequence[float], atoms: int) -> Timing:
    lower, median, upper = np.percentile(np.array(seconds) * 1e6 / atoms, [25, 50, 75]).tolist()
    return {
        "median": median,
        "lower_quartile": lower,
        "upper_quartile": upper,
        "repeats": len(seconds),
    }
