"""TensorBoard: the scalars of metrics.csv, the configuration, and the results to compare by."""

from importlib.util import find_spec
from pathlib import Path

from lightning.pytorch.loggers import TensorBoardLogger as LightningLogger
from lightning.pytorch.utilities import rank_zero_only
from omegaconf import OmegaConf

from sus2bench.benchmark.records import Record
from sus2bench.benchmark.tracking import scalars_of


class TensorBoardLogger(LightningLogger):
    """Lightning's logger, which a resumed run continues, and which knows the record.

    The configuration is a text at the beginning. At the end the HPARAMS tab gets it beside
    `scalars_of` the record.

    Raises:
        ImportError: if tensorboard is not installed.
    """

    def __init__(self) -> None:
        if find_spec("tensorboard") is None:
            raise ImportError(
                "tensorboard is not installed: pip install 'sus2bench[tensorboard]', or choose "
                "logger=csv"
            )
        super().__init__(save_dir="", name=None, version="tensorboard", default_hp_metric=False)
        self.folder: Path | None = None
        """Of the run; the files are in `tensorboard/` below it."""

    @property
    def root_dir(self) -> str:
        """The folder of the run.

        Raises:
            ValueError: if no run has begun.
        """
        if self.folder is None:
            raise ValueError("TensorBoardLogger logs between begin_run and end_run: set its folder")
        return str(self.folder)

    @rank_zero_only
    def begin(self, step: int) -> None:
        """Has TensorBoard forget what an earlier part of the run has logged after `step`."""
        if step:
            from tensorboard.compat.proto.event_pb2 import Event, SessionLog

            start = SessionLog(status=SessionLog.START)
            writer = self.experiment._get_file_writer()
            writer.add_event(Event(session_log=start), step=step + 1)

    @rank_zero_only
    def begin_run(self, record: Record, folder: Path, goes_on: bool) -> None:
        """Starts anew, unless the run goes on."""
        self.folder = folder
        if not goes_on:
            for file in Path(self.log_dir).glob("events.out.tfevents.*"):
                file.unlink()
            # TensorBoard takes an indented text as it is.
            lines = OmegaConf.to_yaml(OmegaConf.create(record["config"])).splitlines()
            self.experiment.add_text("config", "\n".join(f"    {line}" for line in lines))

    @rank_zero_only
    def describe_run(self, record: Record) -> None:
        """Does nothing: the end has it."""

    @rank_zero_only
    def end_run(self, record: Record, folder: Path) -> None:
        """Adds the results at the last step."""
        step = int(record["timings"].get("steps", 0))
        self.log_hyperparams(record["config"], scalars_of(record), step)
        self.experiment.close()
