"""Weights & Biases: one run per run folder, which a resumed run continues; offline by default."""

import logging
import os
import shutil
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Any

from lightning.pytorch.loggers import Logger
from lightning.pytorch.utilities import rank_zero_only
from matplotlib.figure import Figure

from sus2bench.benchmark import tracking, wandb_parts
from sus2bench.benchmark.provenance import scrub
from sus2bench.benchmark.records import FILE_NAME, Record
from sus2bench.benchmark.wandb_parts import SUBFOLDER

if TYPE_CHECKING:
    import wandb

logger = logging.getLogger(__name__)


class WandbLogger(Logger):
    """Shows a run in W&B: configuration, scalars with their steps, results, files.

    The step of W&B is that of the optimizer, so that what is logged at one step is one row.
    Whatever fails in W&B is a warning, and the run goes on without it.

    Args:
        project: of W&B.
        entity: user or team; W&B's own choice if not given.
        tags: of the run; those that are None are left out.
        offline: write files for a later `wandb sync`, and send nothing.
        parity: draws predictions files, given by title, as `figures.parity.parity` does.

    Raises:
        ImportError: if wandb is not installed.
    """

    def __init__(
        self,
        project: str = "sus2bench",
        *,
        entity: str | None = None,
        tags: Sequence[str | None] = (),
        offline: bool = True,
        parity: Callable[[Mapping[str, Path]], Figure] | None = None,
    ) -> None:
        super().__init__()
        if find_spec("wandb") is None:
            raise ImportError(
                "wandb is not installed: pip install 'sus2bench[wandb]', or choose logger=csv"
            )
        self.project, self.entity, self.offline, self.parity = project, entity, offline, parity
        self.tags = [str(tag) for tag in tags if tag is not None]
        self._run: wandb.Run | None = None
        self._begun, self._failed = False, False
        self._folder = Path()
        self._lost: int | None = None  # the step after which rows of a killed part are missing
        self._after: int | None = None  # the step that the rows of this part follow

    @property
    def name(self) -> str:
        """The project."""
        return self.project

    @property
    def version(self) -> str | None:
        """Id of the run, None before it has begun."""
        return None if self._run is None else self._run.id

    @rank_zero_only
    def begin_run(self, record: Record, folder: Path, goes_on: bool) -> None:
        """Begins a run of W&B, or continues that of the folder.

        A run in the folder of a sweep belongs to the group of the sweep.
        """
        self._begun, self._folder = True, folder
        if record["config"].get("overwrite"):
            shutil.rmtree(folder / SUBFOLDER, ignore_errors=True)
        sweep = sweep_folder(folder)
        with self._warned("begin"), _everything_in(folder):
            import wandb

            wandb_parts.await_own_name(folder)
            self._lost = wandb_parts.remove_killed_part(folder) if goes_on else None
            self._after = self._lost
            self._run = wandb.init(
                project=self.project,
                entity=self.entity,
                dir=folder,
                id=wandb_parts.run_id(folder, goes_on),
                resume="allow",
                reinit="create_new",  # the run of this job alone, not that of the process
                mode="offline" if self.offline else "online",
                name=record["name"] if sweep is None else str(folder.relative_to(sweep)),
                group=None if sweep is None else sweep.name,
                job_type=record["kind"],
                tags=self.tags,
                config={**record["config"], "units": tracking.LOGGED_UNITS},
                settings=wandb.Settings(console="off", silent=True),
            )
            # Of all else the summary has the last value.
            self._run.define_metric("valid/*", summary="min")
            self._note_part()
        self.describe_run(record)

    @rank_zero_only
    def describe_run(self, record: Record) -> None:
        """Shows what is run on which data and machine, as `record` in the configuration."""
        if self._run is not None and not self._failed:
            with self._warned("store the configuration"):
                described = {"record": tracking.description(record)}
                self._run.config.update(described, allow_val_change=True)

    @rank_zero_only
    def begin(self, step: int) -> None:
        """Logs anew, up to `step`, what a killed part of the run has logged."""
        if self._run is None or self._failed or not self.offline:
            return
        with self._warned("go on"):
            if self._lost is not None:
                file, self._lost = self._folder / "metrics.csv", None
                for at, values in wandb_parts.logged_rows(file, self._after or 0, step):
                    self._run.log(values, step=at)
            elif self._after is None:
                self._after = step
                self._note_part()

    def _note_part(self) -> None:
        if self._run is not None and self.offline:
            name = Path(self._run.dir).parent.name
            wandb_parts.begin_part(self._folder, name, self._after)

    @rank_zero_only
    def log_metrics(self, metrics: Mapping[str, float], step: int | None = None) -> None:
        """Adds to the row of a step.

        Raises:
            RuntimeError: if no run has begun.
        """
        if not self._begun:
            raise RuntimeError("WandbLogger logs between begin_run and end_run: see tracking.py")
        if self._run is not None and not self._failed:
            with self._warned("log"):
                self._run.log(dict(metrics), step=step)

    @rank_zero_only
    def log_hyperparams(self, params: Any, *args: Any, **kwargs: Any) -> None:
        """Does nothing: `begin_run` has the whole configuration."""

    @rank_zero_only
    def end_run(self, record: Record, folder: Path) -> None:
        """Stores the results and ends the run: with exit code 0 if it is completed, else with 1."""
        run, self._run = self._run, None
        if run is None:
            return
        completed = record["status"] == "completed"
        with self._warned("store the results"), _everything_in(folder):
            run.config.update({"record": tracking.description(record)}, allow_val_change=True)
            ending = {name: record.get(name) for name in ("status", "ended_by", "traceback")}
            texts = {f"record/{name}": text for name, text in ending.items() if text is not None}
            run.summary.update({**tracking.scalars_of(record), **texts})
            if completed:
                self._store_files(run, record, folder)
        with self._warned("finish"):
            run.finish(exit_code=0 if completed else 1)
            wandb_parts.end_part(folder)
            place = folder / SUBFOLDER
            hint = f"wandb sync {scrub(str(place / '*-run-*'))}" if self.offline else run.url
            logger.info("W&B: %s", hint)

    def _store_files(self, run: "wandb.Run", record: Record, folder: Path) -> None:
        """Parity plots and the errors as panels; these and the files of the run as an artifact."""
        import wandb

        splits = [s for s in record["metrics"] if (folder / f"predictions_{s}.npz").is_file()]
        files = [folder / FILE_NAME, *(folder / f"predictions_{s}.npz" for s in splits)]
        errors = wandb.Table(columns=list(tracking.ERROR_COLUMNS), data=tracking.error_rows(record))
        panels: dict[str, Any] = {"record/errors": errors}
        if self.parity is not None:
            for split in splits:
                picture = folder / f"parity_{split}.png"
                self.parity({split: folder / f"predictions_{split}.npz"}).savefig(picture, dpi=200)
                panels[f"parity/{split}"] = wandb.Image(str(picture))
                files.append(picture)
        run.log(panels, step=int(record["timings"].get("steps", 0)))
        artifact = wandb.Artifact(f"{run.id}-results", "results")
        artifact.add(errors, "errors")
        for file in [*files, folder / "metrics.csv"]:
            if file.is_file():  # no copies: they stay where they are
                artifact.add_file(str(file.absolute()), policy="immutable")
        run.log_artifact(artifact)

    @contextmanager
    def _warned(self, doing: str) -> Iterator[None]:
        """Turns a failure of W&B into a warning, after which only the end is told."""
        try:
            yield
        except Exception as error:
            self._failed = True
            logger.warning(
                "W&B failed to %s (%s: %s): the run goes on without it; metrics.csv and the record "
                "have everything",
                *(doing, type(error).__name__, error),
            )


def sweep_folder(folder: Path) -> Path | None:
    """The folder of the sweep that a run folder belongs to; None for a single run."""
    return next((p for p in folder.absolute().parents if (p / "multirun.yaml").is_file()), None)


@contextmanager
def _everything_in(folder: Path) -> Iterator[None]:
    """For as long as the block lasts, has W&B write to the folder of the run and not to the home.

    W&B has no setting for these but the environment; what the user has set there holds.
    """
    place = str((folder / SUBFOLDER).absolute())
    wanted = {
        "WANDB_CACHE_DIR": place,
        "WANDB_DATA_DIR": place,
        "WANDB_ERROR_REPORTING": "false",  # crashes of W&B itself, to its makers
    }
    added = {name: value for name, value in wanted.items() if name not in os.environ}
    os.environ.update(added)
    try:
        yield
    finally:
        for name in added:
            os.environ.pop(name, None)
