"""Hydra's sweeper of all combinations, which runs only those without a completed record."""

import os
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from hydra._internal.core_plugins.basic_sweeper import BasicSweeper
from hydra.core.override_parser.overrides_parser import OverridesParser
from hydra.core.override_parser.types import Override
from hydra.types import HydraContext, TaskFunction
from omegaconf import DictConfig, OmegaConf, open_dict

if TYPE_CHECKING:
    from sus2bench.benchmark.sweeps.jobs import Job


def quoted(text: str) -> str:
    """A text as a value of an override."""
    return "'" + text.replace("'", "\\'") + "'"


class GridSweeper(BasicSweeper):
    """All combinations of the values of `params` and of the command line.

    A job whose folder holds the completed record of the same configuration is kept, one that was
    interrupted goes on, one that failed is repeated.

    Args:
        params: values by key, as one types them (`seed: 0,1,2`); the command line has precedence.
        dry_run: say what would be done, and do nothing.
        records: folders with records to estimate time and disk from, beside that of the results.

    Raises:
        SystemExit: with 1 after a sweep of which not every job is completed.
    """

    def __init__(
        self,
        params: dict[str, str] | None = None,
        dry_run: bool = False,
        records: Sequence[str] = (),
    ) -> None:
        super().__init__(max_batch_size=None, params=params)
        self.dry_run, self.records = dry_run, [Path(folder) for folder in records]

    def setup(
        self, *, hydra_context: HydraContext, task_function: TaskFunction, config: DictConfig
    ) -> None:
        """Takes what Hydra gives; a sweep without an experiment is named by its command."""
        folder = Path(config.hydra.sweep.dir)
        if folder.name == "None":
            folder = folder.with_name(str(config.hydra.job.config_name))
            with open_dict(config):
                config.hydra.sweep.dir = str(folder)
                config.hydra.overrides.hydra.append(f"hydra.sweep.dir={quoted(str(folder))}")
        super().setup(hydra_context=hydra_context, task_function=task_function, config=config)

    def sweep(self, arguments: list[str]) -> Any:
        """Run the sweep; `arguments` are the overrides of the command line."""
        from sus2bench.benchmark.sweeps import reporting
        from sus2bench.benchmark.sweeps.running import run_missing

        overrides = self.parsed(arguments)
        self.name_jobs_by(overrides)
        jobs = self.jobs(self.split_arguments(overrides, None)[0])
        if self.dry_run:
            reporting.show_plan(jobs, self.known_records, self.side_by_side)
            return []
        self.write_config()
        assert self.launcher is not None
        endings = run_missing(self.launcher, jobs)
        reporting.show_endings(jobs, endings)
        if set(endings) - {"done", "kept"}:
            raise SystemExit(1)
        return []

    @property
    def known_records(self) -> list[Path]:
        """Folders whose records tell what a run takes."""
        assert self.config is not None
        return [Path(self.config.paths.results), *self.records]

    @property
    def side_by_side(self) -> int:
        """Jobs that the launcher runs at the same time."""
        assert self.config is not None
        launcher = self.config.hydra.launcher
        number = launcher.get("n_jobs") or launcher.get("array_parallelism") or 1
        return int(number) if number > 0 else os.cpu_count() or 1

    def parsed(self, arguments: Sequence[str]) -> list[Override]:
        """The parameters of the configuration and of the command line, in that order."""
        assert self.hydra_context is not None
        parser = OverridesParser.create(config_loader=self.hydra_context.config_loader)
        return parser.parse_overrides([*self._parse_config(), *arguments])

    def name_jobs_by(self, overrides: Sequence[Override]) -> None:
        """Leaves what all jobs share out of the names of their folders.

        Should it change, the records tell: they are of another configuration then.
        """
        assert self.config is not None
        swept = {item.key_or_group for item in overrides if item.is_sweep_override()}
        known = {*self.config.hydra.job.config.override_dirname.exclude_keys}
        aside = sorted((known | {item.key_or_group for item in overrides}) - swept)
        line = f"hydra.job.config.override_dirname.exclude_keys=[{','.join(aside)}]"
        with open_dict(self.config):
            self.config.hydra.overrides.hydra.append(line)

    def jobs(self, combinations: Sequence[Sequence[str]], first: int = 0) -> "list[Job]":
        """The jobs of some combinations of overrides, the numbers of which begin at `first`."""
        from sus2bench.benchmark.sweeps.jobs import check_folders, check_processes, job_of

        assert self.hydra_context is not None
        assert self.config is not None
        loader = self.hydra_context.config_loader
        launcher = self.config.hydra.runtime.choices["hydra/launcher"]
        jobs = [job_of(loader, self.config, c, n) for n, c in enumerate(combinations, first)]
        try:
            check_folders(jobs)
            check_processes(jobs, launcher)
        except ValueError as error:
            raise SystemExit(f"sus2bench: error: {error}") from error
        return jobs

    def write_config(self) -> None:
        """Leaves the configuration of the sweep in its folder, as Hydra's own sweeper does."""
        assert self.config is not None
        folder = Path(self.config.hydra.sweep.dir)
        folder.mkdir(parents=True, exist_ok=True)
        OmegaConf.save(self.config, folder / "multirun.yaml")
