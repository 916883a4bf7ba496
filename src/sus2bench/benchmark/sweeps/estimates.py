"""What a job will take, by its budget and by the records of earlier runs."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from statistics import median
from typing import Any

from sus2bench.benchmark.records import FILE_NAME
from sus2bench.benchmark.sweeps.jobs import Job, read_record
from sus2bench.training.budget import seconds

GUESSED_BYTES = 10_000_000  # of the folder of a run of which nobody knows more

_ADDED = {"test": "evaluate_seconds", "stability": "stability_seconds"}


@dataclass(frozen=True)
class Estimate:
    """Of one job."""

    seconds: float | None
    """From beginning to end; None if unknown."""
    of_time: str
    """Where the seconds are from."""
    bytes: float
    """In the folder of the run."""
    of_bytes: str
    """Where they are from."""


@dataclass(frozen=True)
class Earlier:
    """What an earlier run took."""

    model: str
    data: str
    step_seconds: float | None
    frame_seconds: float | None
    """Of training per frame seen."""
    beside_budget: float
    """Everything but initial values and training, s."""
    added: Mapping[str, float]
    """Of measurements that may be added to it, s by name, with the data that they need."""
    bytes: int | None
    """In its folder; None if that holds no checkpoints, so that not all of it is there."""


def earlier_runs(folders: Iterable[Path]) -> list[Earlier]:
    """The completed training runs below some folders, each once; unreadable files are passed."""
    files = {file.resolve() for folder in folders for file in folder.rglob(FILE_NAME)}
    found = [(file, read_record(file)) for file in sorted(files)]
    return [
        _earlier(file.parent, record)
        for file, record in found
        if record is not None and record["status"] == "completed" and record["kind"] == "train"
    ]


def estimate(job: Job, earlier: Sequence[Earlier]) -> Estimate:
    """What a job will take.

    A budget of time is known; steps and frames are by the median of earlier runs of the same model
    and data. What comes beside the budget (data, evaluation, speed) is by earlier runs, too, and so
    is what is added to a completed run, of which the time per atom is not known by itself.

    Args:
        job: of a training run; of any other nothing but a guess of its disk is known.
        earlier: runs to go by.
    """
    name, data = str(job.config.get("name")), str(job.config.get("data_name"))
    same = [run for run in earlier if (run.model, run.data) == (name, data)]
    if job.state == "incomplete" and not job.config.get("overwrite"):
        costs = [[run.added[n] for run in same if n in run.added] for n in job.lacking]
        known = sum(map(median, costs)) if all(costs) else None
        return Estimate(known, "earlier runs" if all(costs) else "unknown", 0, "measurements alone")
    sized = [run.bytes for run in same if run.bytes] or [run.bytes for run in earlier if run.bytes]
    exact = any(run.bytes for run in same)
    of_bytes = "same model and data" if exact else "other runs" if sized else "a guess"
    size = median(sized) if sized else GUESSED_BYTES
    times = _training_times(job.config.get("budget") or {}, same)
    if not times:
        return Estimate(None, "unknown", size, of_bytes)
    time, of_time = min(times)
    beside = median(run.beside_budget for run in same) if same else 0.0
    if not same:
        of_time += " alone"
    return Estimate(max(time - _taken(job), 0.0) + beside, of_time, size, of_bytes)


def _taken(job: Job) -> float:
    """Seconds of training that an interrupted run has written down and is not going to repeat."""
    if job.state != "interrupted" or job.config.get("overwrite"):
        return 0.0
    record = job.record
    return 0.0 if record is None else record["timings"].get("train_seconds") or 0.0


def _training_times(budget: Mapping[str, Any], same: Sequence[Earlier]) -> list[tuple[float, str]]:
    """Seconds that each limit of a budget allows, as far as they are known."""
    times = []
    if budget.get("max_time") is not None:
        times.append((seconds(budget["max_time"]), "budget"))
    for limit, cost in (("max_steps", "step_seconds"), ("max_frames", "frame_seconds")):
        costs = [value for run in same if (value := getattr(run, cost)) is not None]
        if budget.get(limit) is not None and costs:
            times.append((budget[limit] * median(costs), "earlier runs"))
    return times


def _earlier(folder: Path, record: Mapping[str, Any]) -> Earlier:
    timings = record["timings"]
    train, frames = timings.get("train_seconds") or 0.0, timings.get("frames")
    trained = train + (timings.get("initialise_seconds") or 0.0)
    parts = sum(timings.get(f"{part}_seconds") or 0.0 for part in ("data", "evaluate"))
    total = timings.get("total_seconds")
    complete = (folder / "checkpoints").is_dir()
    return Earlier(
        model=record["name"],
        data=record["data"]["name"],
        step_seconds=timings.get("step_seconds") if timings.get("steps") else None,
        frame_seconds=train / frames if frames else None,
        beside_budget=parts if total is None else max(total - trained, 0.0),
        added={
            name: timings[key] + (timings.get("data_seconds") or 0.0)
            for name, key in _ADDED.items()
            if timings.get(key)
        },
        bytes=sum(f.stat().st_size for f in _files(folder)) if complete else None,
    )


def _files(folder: Path) -> list[Path]:
    """Files below a folder, those with several names once."""
    found = {file.stat().st_ino: file for file in folder.rglob("*") if file.is_file()}
    return list(found.values())
