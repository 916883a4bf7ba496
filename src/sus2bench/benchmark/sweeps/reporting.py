"""What a sweep says: its plan before, and how its jobs have ended after."""

from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from rich.box import SIMPLE_HEAD
from rich.console import Console
from rich.table import Table

from sus2bench.benchmark.sweeps.estimates import Estimate, earlier_runs, estimate
from sus2bench.benchmark.sweeps.jobs import Job, State
from sus2bench.benchmark.sweeps.running import Ending, is_wanted, problem
from sus2bench.benchmark.sweeps.study import Study

_TO_RUN = {
    "missing": "to run",
    "interrupted": "to go on",
    "failed": "to repeat",
    "incomplete": "to complete",
    "completed": "kept",
    "running": "running elsewhere",
    "other": "other configuration",
}
_REPLACED = "to replace"


def show_plan(jobs: Sequence[Job], records: Sequence[Path], side_by_side: int = 1) -> None:
    """Print what a sweep would do: each job, how many there are of a kind, time and disk.

    Args:
        jobs: of the sweep.
        records: folders with records to estimate from, those that are there.
        side_by_side: jobs that run at the same time.
    """
    states = [job.state for job in jobs]
    estimates = _estimates(jobs, records)
    planned = [is_wanted(job, state) for job, state in zip(jobs, states, strict=True)]
    kinds = [_kind(job, state) for job, state in zip(jobs, states, strict=True)]
    rows = [
        [kind, _time(guess) if runs else "", job.folder.name]
        for job, kind, guess, runs in zip(jobs, kinds, estimates, planned, strict=True)
    ]
    _print(["", "time", f"job in {jobs[0].folder.parent}" if jobs else "job"], rows)
    counts = Counter(kinds)
    told = (f"{counts[kind]} {kind}" for kind in (*_TO_RUN.values(), _REPLACED) if counts[kind])
    print(f"{len(jobs)} jobs: {', '.join(told)}")
    left = [guess for guess, runs in zip(estimates, planned, strict=True) if runs]
    if left:
        print(_time_in_all(left, side_by_side))
        print(_disk_in_all(left))


def show_plan_of_trials(
    example: Job, number: int, records: Sequence[Path], side_by_side: int
) -> None:
    """Print what trials would take that are proposed one after another.

    Args:
        example: a job as any of them might be.
        number: of trials.
        records: as of `show_plan`.
        side_by_side: trials that are proposed and run at the same time.
    """
    left = _estimates([example], records) * number
    print(f"{number} trials in {example.folder.parent}, those of earlier calls included")
    print(_time_in_all(left, side_by_side))
    print(_disk_in_all(left))


def show_endings(jobs: Sequence[Job], endings: Sequence[Ending]) -> None:
    """Print how many jobs have ended how, and why others have not."""
    rows = [
        [ending, job.folder.name, problem(job)]
        for job, ending in zip(jobs, endings, strict=True)
        if ending in ("failed", "missing")
    ]
    if rows:
        _print(["", f"job in {jobs[0].folder.parent}", "why"], rows)
    counts = Counter(endings)
    kinds: tuple[Ending, ...] = ("done", "kept", "failed", "missing")
    print(f"{len(jobs)} jobs: {', '.join(f'{counts[kind]} {kind}' for kind in kinds)}")
    if rows:
        print("the same command runs what is missing, goes on with what was interrupted, and")
        print("repeats what has failed; the whole tracebacks are in the records")


def show_trials(study: Study, number: int) -> None:
    """Print how far a study is and the trials that no other is better than in everything."""
    tried = study.tried
    print(f"{len(tried)} of {number} trials; the rest is proposed as results come in")
    keys = list(study.space)
    rows = [
        [*(f"{value:.6g}" for value in trial.values), *(str(trial.params[key]) for key in keys)]
        for trial in study.best
    ]
    if rows:
        _print([*study.names, *keys], rows)


def _kind(job: Job, state: State) -> str:
    """What would become of a job, in words."""
    there = state in ("completed", "incomplete", "interrupted", "other")
    return _REPLACED if there and job.config.get("overwrite") else _TO_RUN[state]


def _estimates(jobs: Sequence[Job], records: Sequence[Path]) -> list[Estimate]:
    earlier = earlier_runs(folder for folder in records if folder.is_dir())
    return [estimate(job, earlier) for job in jobs]


def _time_in_all(left: Sequence[Estimate], side_by_side: int) -> str:
    known = [guess.seconds for guess in left if guess.seconds is not None]
    unknown = len(left) - len(known)
    origins = _listed(Counter(guess.of_time for guess in left))
    text = f"time: {_duration(sum(known))} one after another"
    if side_by_side > 1:
        text += f", {_duration(sum(known) / side_by_side)} with {side_by_side} side by side"
    if unknown:
        text += f", and {unknown} jobs of which nobody knows: no record of the same model and data"
    return f"{text} (by: {origins})"


def _disk_in_all(left: Sequence[Estimate]) -> str:
    origins = _listed(Counter(guess.of_bytes for guess in left))
    return f"disk: {sum(guess.bytes for guess in left) / 1e6:.0f} MB (by: {origins})"


def _time(guess: Estimate) -> str:
    return "unknown" if guess.seconds is None else _duration(guess.seconds)


def _duration(value: float) -> str:
    """Seconds as people say them."""
    if value < 100:
        return f"{value:.0f} s"
    return f"{value / 60:.0f} min" if value < 6000 else f"{value / 3600:.1f} h"


def _listed(counts: Counter[Any]) -> str:
    return ", ".join(f"{number} {kind}" for kind, number in counts.most_common())


def _print(titles: Sequence[str], rows: Sequence[Sequence[str]]) -> None:
    """Print a table as wide as it is."""
    drawn = Table(box=SIMPLE_HEAD, pad_edge=False)
    for title in titles:
        drawn.add_column(title, no_wrap=True)
    for row in rows:
        drawn.add_row(*row)
    Console(width=Console(width=1000).measure(drawn).maximum, markup=False).print(drawn)
