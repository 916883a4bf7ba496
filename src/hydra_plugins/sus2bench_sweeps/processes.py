"""Hydra launcher: each job is a command of its own, several of them side by side."""

import logging
import os
import shlex
import signal
import subprocess
import sys
import threading
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from queue import SimpleQueue
from typing import TYPE_CHECKING

from hydra.core.utils import JobReturn, JobStatus, configure_log, setup_globals
from hydra.plugins.launcher import Launcher
from hydra.types import HydraContext, TaskFunction
from omegaconf import DictConfig, OmegaConf

from hydra_plugins.sus2bench_sweeps.grid import quoted

if TYPE_CHECKING:
    from sus2bench.benchmark.sweeps.jobs import Job

log = logging.getLogger(__name__)


class ProcessesLauncher(Launcher):
    """Starts `sus2bench train ...` for each job, as one would by hand.

    A job that is killed takes no other with it. What a job prints goes to `process.log` in its
    folder. Ctrl-C and SIGTERM reach the jobs, which then save their state.

    Args:
        n_jobs: jobs side by side.
        start: what a command begins with, in place of this Python and `-m sus2bench`, for example
            `torchrun --standalone --nproc-per-node=4 -m sus2bench`.
        gpus: numbers of GPUs; each job sees one of them, so that there are as many as jobs side by
            side. None: all jobs see all.

    Raises:
        ValueError: `n_jobs` is less than 1 or not the number of GPUs.
    """

    def __init__(
        self,
        n_jobs: int = 1,
        start: str | None = None,
        gpus: Sequence[int] | None = None,
    ) -> None:
        if n_jobs < 1 or (gpus is not None and len(gpus) != n_jobs):
            raise ValueError(
                f"hydra.launcher.n_jobs is at least 1, and the number of hydra.launcher.gpus where "
                f"they are given; got {n_jobs} and {gpus}"
            )
        self.start = shlex.split(start) if start else [sys.executable, "-m", "sus2bench"]
        self._slots: SimpleQueue[int | None] = SimpleQueue()
        for slot in gpus if gpus is not None else [None] * n_jobs:
            self._slots.put(slot)
        self.n_jobs = n_jobs
        self._running: set[subprocess.Popen[bytes]] = set()
        self._stopped = threading.Event()

    def setup(
        self, *, hydra_context: HydraContext, task_function: TaskFunction, config: DictConfig
    ) -> None:
        """Takes what Hydra gives; the function stays unused, as the commands call it themselves."""
        self.hydra_context, self.config = hydra_context, config

    def launch(
        self, job_overrides: Sequence[Sequence[str]], initial_job_idx: int
    ) -> Sequence[JobReturn]:
        """Run the jobs and wait for them.

        Returns:
            Of each job its exit code as return value.
        """
        from sus2bench.benchmark.sweeps.jobs import job_of

        setup_globals()
        configure_log(self.config.hydra.hydra_logging, self.config.hydra.verbose)
        log.info("starting %d jobs, %d side by side", len(job_overrides), self.n_jobs)
        loader = self.hydra_context.config_loader
        # All of them first: the configuration of a job passes through a place that threads share.
        jobs = [job_of(loader, self.config, o, n) for n, o in enumerate(job_overrides)]
        numbers = range(initial_job_idx, initial_job_idx + len(jobs))
        with ThreadPoolExecutor(self.n_jobs) as pool, _termination_interrupts():
            try:
                return list(pool.map(self._run, numbers, jobs))
            except BaseException:
                self._stop()
                raise

    def _run(self, number: int, job: "Job") -> JobReturn:
        """One job, from its start to its end."""
        from sus2bench.benchmark.sweeps.jobs import LOG_NAME

        result = JobReturn(overrides=job.overrides, status=JobStatus.FAILED)
        job.folder.mkdir(parents=True, exist_ok=True)
        gpu = self._slots.get()
        try:
            if self._stopped.is_set():
                return result
            log.info("#%d begins: %s", number, job.folder.name)
            with (job.folder / LOG_NAME).open("ab") as output:
                process = subprocess.Popen(
                    [*self._command(job.overrides), f"hydra.run.dir={quoted(str(job.folder))}"],
                    stdout=output,
                    stderr=subprocess.STDOUT,
                    env=self._environment(gpu),
                )
            self._running.add(process)
            code = process.wait()
            self._running.discard(process)
        finally:
            self._slots.put(gpu)
        result.return_value, result.status = code, JobStatus.COMPLETED
        log.info("#%d ends with exit code %d: %s", number, code, job.folder.name)
        return result

    def _command(self, overrides: Sequence[str]) -> list[str]:
        """The command of a job, which finds the same config folders."""
        hydra = self.config.hydra
        extra = [s.path for s in hydra.runtime.config_sources if s.provider == "command-line"]
        folders = [part for path in extra for part in ("--config-dir", str(Path(path)))]
        return [*self.start, str(hydra.job.config_name), *folders, *overrides]

    def _environment(self, gpu: int | None) -> dict[str, str]:
        own = OmegaConf.to_container(self.config.hydra.job.env_set, resolve=True)
        assert isinstance(own, dict)
        seen = {} if gpu is None else {"CUDA_VISIBLE_DEVICES": str(gpu)}
        return {**os.environ, **{str(key): str(value) for key, value in own.items()}, **seen}

    def _stop(self) -> None:
        """Let the jobs save their state and end; none of those that wait begins."""
        self._stopped.set()
        for process in list(self._running):
            process.terminate()


@contextmanager
def _termination_interrupts() -> Iterator[None]:
    """Has SIGTERM act as Ctrl-C does; outside the main thread it stays as it is."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    before = signal.signal(signal.SIGTERM, signal.default_int_handler)
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, before)
