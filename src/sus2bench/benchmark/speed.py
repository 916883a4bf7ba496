"""Time per atom of energies and forces, of a training gradient, and of the neighbour list.

Potentials that are to be compared are timed on the same frames, in one process and in turn
(A B A B ...), after a warm-up; each call that counts follows one of the same potential that does
not. Medians and quartiles are reported. One thread unless asked.
"""

import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from functools import partial
from typing import Any

import numpy as np
import torch
from torch_geometric.data import Data

from sus2bench.atoms.frame import build_frame, collate, frame_to_atoms
from sus2bench.benchmark.inference import EAGER, FASTEST, Forms, forms_of
from sus2bench.benchmark.memory import peak_memory
from sus2bench.data.dataset import FrameDataset
from sus2bench.models.potential import Potential
from sus2bench.training.initialise import trains_by_steps

Timing = dict[str, float | int]

_TRAINING = "training_gradient"


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
    mode: str = EAGER,
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
        mode: form of the predictions, see :func:`~sus2bench.benchmark.inference.forms_of`. One that
            cannot be had is timed eagerly, and the reason stands in the result.

    Returns:
        By name: frames, atoms, edges, dtype, device, threads, mode, timings (µs/atom) and peak
        memory (MB, taken apart from the timings).

    Raises:
        ValueError: there is no such mode.
    """
    batches = {
        name: within_cutoff(frames, potential.cutoff).to(str(potential.device))
        for name, potential in potentials.items()
    }
    jobs: dict[tuple[str, str], Callable[[], object]] = {}
    with threads(number_of_threads):
        forms = {name: forms_of(p, batches[name], mode) for name, p in potentials.items()}
        for name, potential in potentials.items():
            for form, predict in forms[name].predict.items():
                jobs[name, form] = partial(predict, batches[name])
            if training and trains_by_steps(potential):
                jobs[name, _TRAINING] = _training_gradient(potential, batches[name])
        seconds = _in_turn(jobs, warm_up, repeats)
        timings: dict[str, dict[str, Timing]] = {name: {} for name in potentials}
        for (name, what), values in seconds.items():
            timings[name][what] = _summary(values, batches[name].num_nodes)
        results: dict[str, dict[str, Any]] = {}
        for name, potential in potentials.items():
            timing = timings[name]
            chosen = _chosen(mode, {form: timing[form] for form in forms[name].predict})
            watched = {"energy_and_forces": chosen, _TRAINING: _TRAINING}
            results[name] = {
                **_circumstances(potential, batches[name], len(frames)),
                **_timings(mode, chosen, timing, forms[name]),
                "peak_memory_MB": {
                    kind: peak_memory(jobs[name, job], potential.device)
                    for kind, job in watched.items()
                    if job in timing
                },
            }
    for name, potential in potentials.items():
        neighbours = _neighbour_list(frames, potential.cutoff, repeats)
        results[name]["neighbour_list_us_per_atom"] = neighbours
    return results


def _circumstances(potential: Potential, batch: Data, frames: int) -> dict[str, Any]:
    return {
        "frames": frames,
        "atoms": int(batch.num_nodes),
        "edges": int(batch.edge_index.shape[1]),
        "dtype": str(potential.dtype).removeprefix("torch."),
        "device": potential.device.type,
        "threads": torch.get_num_threads(),
        "neighbour_list_included": False,
    }


def _chosen(mode: str, timings: Mapping[str, Timing]) -> str:
    """The form whose time counts: the one asked for, if it is there."""
    if mode == FASTEST:
        return min(timings, key=lambda form: timings[form]["median"])
    return mode if mode in timings else EAGER


def _timings(mode: str, chosen: str, timing: Mapping[str, Timing], forms: Forms) -> dict[str, Any]:
    """What the record says of one potential's times."""
    entry: dict[str, Any] = {"mode": chosen, "energy_and_forces_us_per_atom": timing[chosen]}
    if _TRAINING in timing:
        entry[f"{_TRAINING}_us_per_atom"] = timing[_TRAINING]
    if mode != EAGER:
        entry["modes_us_per_atom"] = {form: timing[form] for form in forms.predict}
        entry["preparation_seconds"] = forms.seconds
        entry["missing_modes"] = forms.missing
    return entry


def within_cutoff(frames: Sequence[Data], cutoff: float) -> Data:
    """One batch of the frames, rebuilt with the neighbour lists of this cutoff (Å)."""
    return collate([build_frame(frame_to_atoms(frame), cutoff) for frame in frames])


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
