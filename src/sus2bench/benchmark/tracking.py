"""What the loggers of a run are told of its record: at its beginning, and at its end."""

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Protocol, runtime_checkable

from lightning.pytorch.loggers import Logger
from lightning.pytorch.utilities import rank_zero_only

from sus2bench.benchmark import costs, parameters, provenance
from sus2bench.benchmark.records import UNITS, Record

LOGGED_UNITS = {
    **{f"*{ending}": unit for ending, unit in UNITS.items()},
    "seconds": "s",
    "train/loss_energy": "loss.function of eV/atom",
    "train/loss_forces": "loss.function of eV/Å",
    "train/loss_stress": "loss.function of eV/Å^3",
    "else": "1",
}
"""Unit of a logged scalar by its name or the ending of it, an element (`/Ni`) apart; the longest
that fits is meant."""


@runtime_checkable
class RunLogger(Protocol):
    """A logger of whole runs, with their configuration and results, and not of scalars alone.

    A record is plain JSON data here.
    """

    def begin_run(self, record: Record, folder: Path, goes_on: bool) -> None:
        """A run begins, or goes on from a checkpoint, in a folder."""

    def describe_run(self, record: Record) -> None:
        """The potential and the data are known by now."""

    def end_run(self, record: Record, folder: Path) -> None:
        """The run has ended as the record says, which is written to the folder."""


class Tracker:
    """The loggers of one run.

    Args:
        folder: of the run.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.loggers: list[Logger] = []
        self._record: Record | None = None

    def begin(self, record: Record, loggers: Sequence[Logger], *, goes_on: bool) -> None:
        """Takes the loggers, and the record that is going to be filled."""
        self.loggers, self._record = list(loggers), record
        for logger in self._run_loggers:
            logger.begin_run(provenance.plain(record), self.folder, goes_on)

    def describe(self) -> None:
        """Shows what the record says by now."""
        for logger in self._run_loggers:
            logger.describe_run(provenance.plain(self._record))

    @rank_zero_only
    def end(self) -> None:
        """Shows how the run has ended."""
        for logger in self._run_loggers:
            logger.end_run(provenance.plain(self._record), self.folder)

    @property
    def _run_loggers(self) -> list[RunLogger]:
        return [logger for logger in self.loggers if isinstance(logger, RunLogger)]


@contextmanager
def tracked(folder: Path) -> Iterator[Tracker]:
    """Yield what tells the loggers of a run; they hear of its end however it ends.

    Around `recorded`, so that the record is complete and written by then.
    """
    tracker = Tracker(folder)
    try:
        yield tracker
    finally:
        tracker.end()


def description(record: Record) -> dict[str, Any]:
    """What a record says, beside the configuration, of what is run, where and on which data."""
    kept = ("parameters", "hardware", "packages", "git", "seeds", "command")
    data = {name: record["data"].get(name) for name in ("name", "species", "cutoff", "split_hash")}
    return {**{name: record[name] for name in kept}, "data": data}


def scalars_of(record: Record) -> dict[str, float]:
    """The numbers runs are compared by, as `record/...`, with their units in `LOGGED_UNITS`.

    Errors by split (without those of single elements), parameters, timings, time per atom, memory.
    """
    speed, counts = costs.speed_of(record), record["parameters"] or {}
    found: dict[str, Any] = {
        f"{split}/{name}": value
        for split, metrics in record["metrics"].items()
        for name, value in metrics.items()
        if "/" not in name
    }
    found |= {f"parameters/{kind}": counts.get(kind) for kind in parameters.KINDS}
    found |= {f"timings/{name}": value for name, value in record["timings"].items()}
    found["energy_and_forces_us_per_atom"] = costs.time_of(speed)
    found["energy_and_forces_peak_memory_MB"] = costs.memory_of(speed, "energy_and_forces")
    return {f"record/{name}": float(value) for name, value in found.items() if value is not None}


ERROR_COLUMNS = ("split", "element", "metric", "value", "unit", "composition fit")


def error_rows(record: Record) -> list[list[Any]]:
    """The errors of a record as rows of `ERROR_COLUMNS`, those of single elements included."""
    baseline: Mapping[str, Mapping[str, Any]] = record.get("baseline", {})
    rows = []
    for split, metrics in record["metrics"].items():
        for name, value in metrics.items():
            metric, _, element = name.partition("/")
            floor = baseline.get(split, {}).get(name)
            rows.append([split, element or "all", metric, value, record["units"][metric], floor])
    return rows
