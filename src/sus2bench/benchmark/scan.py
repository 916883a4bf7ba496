"""Scans: times and memory per atom against the size of a crystal, its elements, the cutoff, ...

One number of `Point` goes over a list of values, and all the others stay. A potential is followed
as long as it stays within limits of time and memory; why it was left out is part of the result.
"""

import logging
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, field, fields, replace
from typing import Any

import torch
from ase import Atoms
from ase.data import chemical_symbols
from torch_geometric.data import Data

from sus2bench.benchmark.crystals import Crystal
from sus2bench.benchmark.limits import Cost, Limits
from sus2bench.benchmark.provenance import usable_cores
from sus2bench.benchmark.quantities import ENERGY_AND_FORCES, check_quantities
from sus2bench.benchmark.sources import Source
from sus2bench.benchmark.speed import Case, graph_of, time_cases

logger = logging.getLogger(__name__)


@dataclass(frozen=True)
class Point:
    """Where potentials are timed.

    Attributes:
        atoms: of one frame.
        elements: that the frame has, and that untrained models are built for.
        cutoff: of untrained models, Å; None: their own. Files keep theirs.
        frames: copies of the frame in the batch.
        threads: of torch.
    """

    atoms: int = 500
    elements: int = 4
    cutoff: float | None = None
    frames: int = 1
    threads: int = 1


@dataclass(frozen=True)
class Scan:
    """What goes over which values.

    Attributes:
        over: the number of `Point` that changes.
        values: that it takes, ascending; None: for threads 1, 2, 4, ... and all there are.
        fixed: the other numbers.
        crystal: what all frames are made of.
        limits: how far potentials are followed.
        together: whether calls at all points take turns, which keeps all of them in memory;
            otherwise those at one point do, and the next point comes after it.

    Raises:
        ValueError: there is no such number, or no value.
    """

    over: str
    values: Sequence[float] | None = None
    fixed: Mapping[str, Any] = field(default_factory=dict)
    crystal: Crystal = field(default_factory=Crystal)
    limits: Limits = field(default_factory=Limits)
    together: bool = True

    def __post_init__(self) -> None:
        names = [entry.name for entry in fields(Point)]
        wrong = [name for name in (self.over, *self.fixed) if name not in names]
        if wrong:
            raise ValueError(f"a scan knows no {wrong[0]!r}; it goes over one of {names}")
        if not self.values and not (self.values is None and self.over == "threads"):
            raise ValueError(f"a scan over {self.over} needs values")

    def points(self) -> list[Point]:
        """In the order of the values."""
        base = Point(**self.fixed)
        values = _threads_there_are() if self.values is None else sorted(self.values)
        changes: list[dict[str, Any]] = [{self.over: value} for value in values]
        return [replace(base, **change) for change in changes]

    def describe(self) -> dict[str, Any]:
        """For the record: everything but the potentials."""
        fixed = asdict(Point(**self.fixed))
        del fixed[self.over]
        return {"over": self.over, "fixed": fixed, "crystal": asdict(self.crystal)}


class _LeftOutError(Exception):
    """Why a potential is not timed at a point."""


class ScanRun:
    """Times potentials at all points of a scan that they reach.

    Args:
        scan: what goes over which values.
        sources: potentials by name.
        settings: `quantities`, `mode` and `clock` of :class:`Case`.

    Raises:
        ValueError: a source does not fit the scan, or there is no such quantity.
    """

    def __init__(self, scan: Scan, sources: Mapping[str, Source], **settings: Any) -> None:
        check_quantities(settings.get("quantities", ()))
        self.scan, self.sources, self.settings = scan, sources, settings
        self.elements = _elements(scan, sources)
        """Those that occur, in the order in which points take them."""
        self.points: dict[str, list[dict[str, Any]]] = {name: [] for name in sources}
        self.left_out: list[dict[str, Any]] = []
        self.report = {**scan.describe(), "points": self.points, "left_out": self.left_out}
        """For the record: the scan, its points by potential (each with its `value` and what
        :meth:`Case.result` says), and those left out: potential, value and reason. It grows."""
        self._last: dict[str, Cost] = {}
        self._stopped: dict[str, str] = {}

    def measure(self, warm_up: int, repeats: int) -> None:
        """Fills the report.

        Args:
            warm_up: calls before the first one that counts.
            repeats: calls that count.

        Raises:
            ValueError: nothing could be timed at all.
        """
        points = self.scan.points()
        for group in [points] if self.scan.together else [[point] for point in points]:
            self._measure_in_turn(group, warm_up, repeats)
        if not any(self.points.values()):
            raise ValueError(f"nothing could be timed: {self.left_out[0]['reason']}")

    def _measure_in_turn(self, points: Sequence[Point], warm_up: int, repeats: int) -> None:
        """Times all potentials at some points; what they needed is free afterwards."""
        cases = dict(self._cases(points))
        taken = time_cases(cases, warm_up, repeats)
        for (point, name), case in cases.items():
            self._keep(point, name, case.result(taken[point, name]))

    def _cases(self, points: Sequence[Point]) -> Iterator[tuple[tuple[Point, str], Case]]:
        """What is timed at these points; what is not goes to `left_out`."""
        for point in points:
            frame = self.scan.crystal.build(point.atoms, self.elements[: point.elements])
            graphs: dict[float, Data] = {}
            for name in self.sources:
                try:
                    yield (point, name), self._case(point, name, frame, graphs)
                except _LeftOutError as reason:
                    self._leave_out(point, name, str(reason))

    def _case(self, point: Point, name: str, frame: Atoms, graphs: dict[float, Data]) -> Case:
        """The case, which has been called; _LeftOutError if it cannot be or costs too much."""
        if name in self._stopped:
            raise _LeftOutError(self._stopped[name])
        source, structures = self.sources[name], [frame] * point.frames
        try:
            potential = source.build(self.elements[: point.elements], source.cutoff or point.cutoff)
            expected = self._expected(name, point, potential.cutoff)
            self._check(name, expected, potential.device)
            if potential.cutoff not in graphs:
                graphs[potential.cutoff] = graph_of(structures, potential.cutoff)
            graph = graphs[potential.cutoff]
            case = Case(
                potential, graph, structures, number_of_threads=point.threads, **self.settings
            )
        except (MemoryError, torch.OutOfMemoryError) as error:
            self._stopped[name] = f"out of memory: {error}"
            raise _LeftOutError(self._stopped[name]) from error
        except (ValueError, RuntimeError) as error:  # a cutoff that the model does not take, say
            raise _LeftOutError(f"{type(error).__name__}: {error}") from error
        seconds = max(case.call_seconds.values())
        memory = max((value or 0.0 for value in case.memory.values()), default=0.0)
        self._last[name] = replace(expected, seconds=seconds, call_gigabytes=memory / 1e3)
        # The memory was there, but the call may have taken longer than was expected.
        self._check(name, replace(expected, seconds=seconds), potential.device)
        return case

    def _expected(self, name: str, point: Point, cutoff: float) -> Cost:
        atoms = point.atoms * point.frames
        edges = self.scan.crystal.neighbours(cutoff) * atoms
        last = self._last.get(name)
        return Cost(atoms, edges) if last is None else last.scaled(atoms, edges)

    def _check(self, name: str, cost: Cost, device: torch.device) -> None:
        """_LeftOutError, here and at all further points, if the limits are exceeded."""
        reason = self.scan.limits.refuse(cost, device)
        if reason is not None:
            self._stopped[name] = reason
            raise _LeftOutError(reason)

    def _leave_out(self, point: Point, name: str, reason: str) -> None:
        value = getattr(point, self.scan.over)
        logger.warning("%s at %s=%g is left out: %s", name, self.scan.over, value, reason)
        self.left_out.append({"potential": name, "value": value, "reason": reason})

    def _keep(self, point: Point, name: str, result: dict[str, Any]) -> None:
        """Adds a result, with the memory by atom."""
        value, atoms = getattr(point, self.scan.over), result["atoms"]
        memory = {
            kind: None if size is None else 1e6 * size / atoms
            for kind, size in result["peak_memory_MB"].items()
        }
        self.points[name].append({"value": value, **result, "peak_memory_bytes_per_atom": memory})
        median = result[f"{ENERGY_AND_FORCES}_us_per_atom"]["median"]
        logger.info(
            "%s, %s=%g: energy and forces %.4g µs/atom", name, self.scan.over, value, median
        )


def _elements(scan: Scan, sources: Mapping[str, Source]) -> list[str]:
    """As many elements as are needed, of those that all sources can be built for."""
    files = {name: source for name, source in sources.items() if source.elements is not None}
    fixed = [name for name, source in sources.items() if source.cutoff is not None]
    stiff = {"elements": list(files), "cutoff": fixed}.get(scan.over)
    if stiff:
        raise ValueError(
            f"a scan over {scan.over} builds its models: give {stiff[0]} as {{model: ...}} without "
            "a cutoff of its own, not as a file"
        )
    pool = list(chemical_symbols[1:])
    if files:
        first, *others = (source.elements or () for source in files.values())
        pool = [symbol for symbol in first if all(symbol in other for other in others)]
    wanted = max(point.elements for point in scan.points())
    if wanted > len(pool):
        raise ValueError(f"{wanted} elements are asked for, but {list(files)} share only {pool}")
    return pool[:wanted]


def _threads_there_are() -> list[int]:
    """1, 2, 4, ... and the number of processors that this process may use."""
    most = usable_cores() or 1
    return sorted({most, *(2**n for n in range(most.bit_length()) if 2**n <= most)})
