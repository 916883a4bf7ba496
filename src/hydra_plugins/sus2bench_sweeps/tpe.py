"""Hydra's sweeper by proposals of Optuna's TPE, with a study that survives the process."""

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from hydra.core.override_parser.types import IntervalSweep, Override

from hydra_plugins.sus2bench_sweeps.grid import GridSweeper

if TYPE_CHECKING:
    from sus2bench.benchmark.sweeps.jobs import Job
    from sus2bench.benchmark.sweeps.study import Study


class TPESweeper(GridSweeper):
    """Trials that TPE proposes to make `optimized_metric` small: one number, or several at once.

    Values to choose from are given as to any sweeper (`a,b`, `range(1, 5)`), and as intervals:
    `interval(0.0, 1.0)`, `tag(log, interval(1e-4, 1e-2))`. The study is in `study.journal` in the
    folder of the sweep; the same command goes on with it. A job that has failed is a trial without
    a result, and is not repeated.

    Args:
        params: values by key; the command line has precedence.
        dry_run: say what would be done, and do nothing.
        records: folders with records to estimate time and disk from.
        n_trials: in all, those of earlier calls included.
        n_jobs: trials that are proposed and launched together.
        seed: of the proposals.

    Raises:
        SystemExit: with 1 after a sweep of which not every job is completed.
    """

    def __init__(
        self,
        params: dict[str, str] | None = None,
        dry_run: bool = False,
        records: Sequence[str] = (),
        n_trials: int = 20,
        n_jobs: int = 1,
        seed: int = 0,
    ) -> None:
        super().__init__(params=params, dry_run=dry_run, records=records)
        self.n_trials, self.n_jobs, self.seed = n_trials, n_jobs, seed

    def sweep(self, arguments: list[str]) -> Any:
        """Run the sweep; `arguments` are the overrides of the command line."""
        from sus2bench.benchmark.sweeps import reporting

        overrides = self.parsed(arguments)
        self.name_jobs_by(overrides)
        last = {item.get_key_element(): item for item in overrides}
        fixed = [f"{k}={i.get_value_element_as_str()}" for k, i in last.items() if not _varies(i)]
        space = {key: item for key, item in last.items() if _varies(item)}
        if self.dry_run:
            example = [*fixed, *(f"{key}={_example(item)}" for key, item in space.items())]
            [job] = self.jobs([example])
            reporting.show_plan_of_trials(job, self.n_trials, self.known_records, self.n_jobs)
            return []
        self.write_config()
        study = self._study(space)
        study.begin()
        jobs, endings = [], []
        while (left := self.n_trials - len(study.tried)) > 0:
            batch = study.propose(min(self.n_jobs, left))
            found = self._run(study, batch, fixed, first=len(study.tried))
            jobs += [job for job, _ in found]
            endings += [ending for _, ending in found]
            if "missing" in endings:
                break  # what has not ended is no result; it is proposed again
        reporting.show_endings(jobs, endings)
        reporting.show_trials(study, self.n_trials)
        if set(endings) - {"done", "kept"}:
            raise SystemExit(1)
        return []

    def _study(self, space: dict[str, Override]) -> "Study":
        from sus2bench.benchmark.sweeps.objectives import objective_names
        from sus2bench.benchmark.sweeps.study import Study, distribution_of

        assert self.config is not None
        names = objective_names(self.config.optimized_metric)
        if not names or not space:
            raise SystemExit(
                "sus2bench: error: hydra/sweeper=tpe needs values to choose from, such as "
                "optimizer.algorithm.lr='tag(log, interval(1e-4, 1e-2))', and an optimized_metric"
            )
        path = Path(self.config.hydra.sweep.dir) / "study.journal"
        distributions = {key: distribution_of(item) for key, item in space.items()}
        return Study(path, distributions, names, self.seed)

    def _run(
        self, study: "Study", batch: dict[int, dict[str, str]], fixed: list[str], first: int
    ) -> "list[tuple[Job, Any]]":
        """Run the jobs of some trials, those of equal values once, and tell their results."""
        from sus2bench.benchmark.sweeps.objectives import objectives
        from sus2bench.benchmark.sweeps.running import run_missing

        lines = {n: [*fixed, *(f"{k}={v}" for k, v in p.items())] for n, p in batch.items()}
        distinct = list(dict.fromkeys(map(tuple, lines.values())))
        jobs = dict(zip(distinct, self.jobs(distinct, first), strict=True))
        assert self.launcher is not None
        endings = run_missing(self.launcher, list(jobs.values()), first)
        by_line = dict(zip(distinct, endings, strict=True))
        for number, line in lines.items():
            ending = by_line[tuple(line)]
            completed = jobs[tuple(line)].record if ending in ("done", "kept") else None
            if ending != "missing":
                study.tell(number, objectives(completed or {}, study.names))
        return [(jobs[line], by_line[line]) for line in distinct]


def _example(item: Override) -> str:
    """One of the values that may be proposed."""
    value = item.value()
    if isinstance(value, IntervalSweep):
        return str(value.start)
    return next(iter(item.sweep_string_iterator()))


def _varies(item: Override) -> bool:
    return bool(item.is_sweep_override())
