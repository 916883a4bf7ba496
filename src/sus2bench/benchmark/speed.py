"""Time per atom of potentials on the same frames: energies and forces, and what else is asked for.

Potentials that are to be compared are timed in one process and in turn (A B A B ...), after a
warm-up; each call that counts follows one of the same potential that does not. Medians and
quartiles are reported, and the seconds of each call. One thread unless asked.
"""

from collections.abc import Mapping, Sequence
from functools import partial
from typing import Any

import numpy as np
import torch
from ase import Atoms
from torch_geometric.data import Data

from sus2bench.atoms.frame import build_frame, collate, frame_to_atoms
from sus2bench.benchmark.inference import EAGER, FASTEST, forms_of
from sus2bench.benchmark.memory import peak_memory
from sus2bench.benchmark.quantities import (
    ENERGY_AND_FORCES,
    TRAINING_GRADIENT,
    USUAL,
    Call,
    Subject,
    calls,
    check_quantities,
)
from sus2bench.benchmark.stopwatch import Job, Timing, in_turn, seconds, summary, threads
from sus2bench.data.dataset import FrameDataset
from sus2bench.models.potential import Potential
from sus2bench.training.budget import read_clock

WALL = "wall"
_WATCHED = (ENERGY_AND_FORCES, TRAINING_GRADIENT)
"""What the peak memory is taken of."""


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
    quantities: Sequence[str] = USUAL,
    mode: str = EAGER,
    clock: str = WALL,
) -> dict[str, dict[str, Any]]:
    """Time potentials against each other on one batch of frames.

    Args:
        potentials: what to time, by name; each moves the frames to its own device.
        frames: with any neighbour lists; every potential gets those of its own cutoff, so that none
            pays for another's.
        number_of_threads: threads of torch.
        warm_up: calls before the first one that counts.
        repeats: calls that count.
        quantities: what to time, see :mod:`~sus2bench.benchmark.quantities`.
        mode: form of the predictions, see :func:`~sus2bench.benchmark.inference.forms_of`. One that
            cannot be had is timed eagerly, and the reason stands in the result.
        clock: `wall` or `processor`.

    Returns:
        By name what :meth:`Case.result` says.

    Raises:
        ValueError: there is no such mode, quantity or clock.
    """
    structures = [frame_to_atoms(frame) for frame in frames]
    cases = {
        name: Case(
            potential,
            graph_of(structures, potential.cutoff),
            structures,
            number_of_threads=number_of_threads,
            quantities=quantities,
            mode=mode,
            clock=clock,
        )
        for name, potential in potentials.items()
    }
    taken = time_cases(cases, warm_up, repeats)
    return {name: case.result(taken[name]) for name, case in cases.items()}


def graph_of(structures: Sequence[Atoms], cutoff: float) -> Data:
    """The structures with the neighbour lists of a cutoff (Å); several are joined to a batch."""
    frames = [build_frame(structure, cutoff) for structure in structures]
    return frames[0] if len(frames) == 1 else collate(frames)


class Case:
    """One potential on one batch of frames: what is timed there, and under which circumstances.

    Every job is called twice when a case is made, so that what is made once and kept is there, and
    the peak memory of a call is taken.

    Args:
        potential: moves the batch to its own device.
        batch: the structures with the neighbour lists of its cutoff.
        structures: the same frames.
        number_of_threads: threads of torch.
        quantities: what to time; energies and forces always are.
        mode: form of the predictions.
        clock: `wall` or `processor`: time of this process alone, for a machine that has other work,
            too. It adds up all threads, so that there must be one, and sees nothing of a GPU.

    Raises:
        ValueError: there is no such mode, quantity or clock, or the clock does not fit.
    """

    def __init__(
        self,
        potential: Potential,
        batch: Data,
        structures: Sequence[Atoms],
        *,
        number_of_threads: int = 1,
        quantities: Sequence[str] = USUAL,
        mode: str = EAGER,
        clock: str = WALL,
    ) -> None:
        check_quantities(quantities)
        read = read_clock(clock)
        if clock != WALL and (number_of_threads > 1 or potential.device.type != "cpu"):
            raise ValueError(f"clock={clock} is for one thread of a CPU: take clock={WALL}")
        self.potential, self.mode, self.clock = potential, mode, clock
        self.batch = batch.to(str(potential.device))
        self.frames, self.threads = len(structures), number_of_threads
        with threads(number_of_threads):
            self.forms = forms_of(potential, self.batch, mode)
            jobs: dict[str, Call] = {
                form: partial(predict, self.batch) for form, predict in self.forms.predict.items()
            }
            self.predictions = tuple(jobs)
            jobs |= calls(Subject(potential, self.batch, structures), quantities)
            self.call_seconds: dict[str, float] = {}
            self.memory: dict[str, float | None] = {}
            for name, call in jobs.items():
                call()
                self.call_seconds[name] = seconds(call, read)
                if name in (*self.predictions, *_WATCHED):
                    self.memory[name] = peak_memory(call, potential.device)
        self.jobs = {name: Job(call, number_of_threads, read) for name, call in jobs.items()}

    def result(self, taken: Mapping[str, Sequence[float]]) -> dict[str, Any]:
        """What the record says: circumstances, timings (µs/atom), peak memory (MB).

        Args:
            taken: the seconds of the calls of each job.
        """
        atoms = int(self.batch.num_nodes)
        timing = {name: summary(values, atoms) for name, values in taken.items()}
        chosen = self._chosen(timing)
        shown = {ENERGY_AND_FORCES: timing[chosen]} | {
            name: values for name, values in timing.items() if name not in self.predictions
        }
        memory = {ENERGY_AND_FORCES: chosen, TRAINING_GRADIENT: TRAINING_GRADIENT}
        return {
            **self._circumstances(atoms),
            "mode": chosen,
            **{f"{name}_us_per_atom": values for name, values in shown.items()},
            **self._of_the_modes(timing),
            "peak_memory_MB": {
                name: self.memory[job] for name, job in memory.items() if job in self.memory
            },
        }

    def _circumstances(self, atoms: int) -> dict[str, Any]:
        edges = int(self.batch.edge_index.shape[1])
        tensors = [value for _, value in self.batch if isinstance(value, torch.Tensor)]
        return {
            "frames": self.frames,
            "atoms": atoms,
            "edges": edges,
            "neighbours_per_atom": edges / atoms,
            "elements": len(self.batch.atomic_numbers.unique()),
            "elements_of_potential": len(self.potential.species),
            "dtype": str(self.potential.dtype).removeprefix("torch."),
            "device": self.potential.device.type,
            "threads": self.threads,
            "clock": self.clock,
            # Only some models have a choice.
            "backend": getattr(self.potential.model, "backend", EAGER),
            "neighbour_list_included": False,
            "graph_bytes_per_atom": sum(t.numel() * t.element_size() for t in tensors) / atoms,
        }

    def _chosen(self, timing: Mapping[str, Timing]) -> str:
        """The form whose time counts: the one asked for, if it is there."""
        if self.mode == FASTEST:
            return min(self.predictions, key=lambda form: timing[form]["median"])
        return self.mode if self.mode in self.predictions else EAGER

    def _of_the_modes(self, timing: Mapping[str, Timing]) -> dict[str, Any]:
        if self.mode == EAGER:
            return {}
        return {
            "modes_us_per_atom": {form: timing[form] for form in self.predictions},
            "preparation_seconds": self.forms.seconds,
            "missing_modes": self.forms.missing,
        }


def time_cases(
    cases: Mapping[Any, Case], warm_up: int, repeats: int
) -> dict[Any, dict[str, list[float]]]:
    """Seconds of the calls of all jobs of all cases, which take turns."""
    jobs = {(key, name): job for key, case in cases.items() for name, job in case.jobs.items()}
    taken: dict[Any, dict[str, list[float]]] = {key: {} for key in cases}
    for (key, name), values in in_turn(jobs, warm_up, repeats).items():
        taken[key][name] = values
    return taken
