"""Runs what is missing of a sweep, and says how each of its jobs has ended."""

import logging
import os
import shutil
from collections.abc import Sequence
from typing import Literal

from hydra.plugins.launcher import Launcher

from sus2bench.benchmark.records import FILE_NAME
from sus2bench.benchmark.sweeps.jobs import LOG_NAME, Job, State

logger = logging.getLogger(__name__)

Ending = Literal["done", "kept", "failed", "missing"]
FAILED_RECORD = "record.failed.json"


def run_missing(launcher: Launcher, jobs: Sequence[Job], first: int = 0) -> list[Ending]:
    """Run the jobs that have no completed record of all that is asked for.

    Those that were interrupted go on, and completed ones get the measurements that they lack.
    A launcher that fails as a whole does not hide the jobs that have ended: the folders tell.

    Args:
        launcher: Hydra's.
        jobs: each with a folder of its own.
        first: number of the first job that is launched, for Hydra's count.

    Returns:
        How each has ended: `done` now, `kept` from before, `failed`, or `missing` still.
    """
    before = [job.state for job in jobs]
    wanted = [job for job, state in zip(jobs, before, strict=True) if is_wanted(job, state)]
    for job in wanted:
        if job.state == "failed":
            _clear(job)
    if wanted:
        try:
            launcher.launch([_overrides(job) for job in wanted], initial_job_idx=first)
        except Exception:
            logger.exception(
                "the launcher failed; what has ended until now counts. Jobs that wait in a queue "
                "or run there go on: begin again when they are through"
            )
    endings: list[Ending] = []
    for job, state in zip(jobs, before, strict=True):
        after = job.state
        if after == "completed":
            endings.append("done" if job in wanted else "kept")
        else:
            endings.append("failed" if after in ("failed", "other") else "missing")
        if state == "running":
            logger.warning("another process runs in %s: left to it", job.folder)
    return endings


def is_wanted(job: Job, state: State) -> bool:
    """Whether a job in such a state is to be run."""
    if state in ("completed", "other"):
        return bool(job.config.get("overwrite"))
    return state != "running"


def problem(job: Job) -> str:
    """What kept a job from its end, in a line."""
    state, record = job.state, job.record
    if state == "other":
        return (
            f"holds a run with other {', '.join(job.differences[:4])}: another hydra.sweep.dir, or "
            "overwrite=true to replace it"
        )
    if state == "failed" and record is not None:
        return str(record["traceback"]).strip().splitlines()[-1]
    known = f"completed, but without {', '.join(job.lacking)}" if state == "incomplete" else state
    return f"{known}; see {LOG_NAME} there" if (job.folder / LOG_NAME).is_file() else known


def _overrides(job: Job) -> list[str]:
    """Those of the job, which begins where its folder says, and anew if there is nothing.

    So does one that a queue ends and starts again.
    """
    again = "resume" in job.config and not job.config["overwrite"]
    return [*job.overrides, *(["resume=true"] if again else [])]


def _clear(job: Job) -> None:
    """Make room for another try; the record of the failure stays under another name."""
    if (job.folder / FILE_NAME).is_file():
        os.replace(job.folder / FILE_NAME, job.folder / FAILED_RECORD)
    shutil.rmtree(job.folder / "checkpoints", ignore_errors=True)
