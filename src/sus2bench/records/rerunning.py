"""The run of a record once more, and what came out differently."""

import os
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pandas as pd
from hydra import initialize_config_dir

from sus2bench.benchmark import run
from sus2bench.benchmark.records import FILE_NAME, Record, find_records, load_record
from sus2bench.data.catalogue import data_folder
from sus2bench.records.differences import circumstances, numbers
from sus2bench.records.settings import configuration


@dataclass(frozen=True)
class Rerun:
    """A record and that of its repetition."""

    then: Record
    now: Record
    folder: Path
    """Of the repetition."""

    @property
    def numbers(self) -> pd.DataFrame:
        """Both side by side; see :func:`~sus2bench.records.differences.numbers`."""
        return numbers(self.then, self.now)

    @property
    def circumstances(self) -> dict[str, tuple[Any, Any]]:
        """What else differs; see :func:`~sus2bench.records.differences.circumstances`."""
        return circumstances(self.then, self.now)

    @property
    def identical(self) -> bool:
        """Whether all metrics, those of single elements included, are the same to the last bit."""
        return bool(self.then["metrics"] == self.now["metrics"])


def rerun(
    source: str | os.PathLike[str],
    out: str | os.PathLike[str] | None = None,
    changes: Sequence[str] = (),
) -> Rerun:
    """Repeat the run of a record with its settings and its number of threads.

    Args:
        source: record file, or folder that holds one.
        out: folder of the run; ``runs/rerun/DATA/NAME`` if not given.
        changes: ``KEY=VALUE`` with dotted keys of the configuration and YAML values; `overwrite`,
            `resume` and `name` are about the new run.

    Raises:
        FileNotFoundError: there is no record, or no file that the run needs.
        ValueError: there are several records, the folder of the run holds one already, a change
            does not fit, or settings do not fit this version or machine.
    """
    found = find_records([source])
    if len(found) > 1:
        raise ValueError(f"{source} holds {len(found)} records: name one of them")
    then = found[0][1]
    config = configuration(then, changes, Path(out) if out else None)
    folder = Path(config.paths.output)
    # Models that are timed untrained are composed from the config files.
    with initialize_config_dir(str(data_folder().parent.absolute()), version_base="1.3"):
        getattr(run, then["kind"])(config)
    return Rerun(then, load_record(folder / FILE_NAME), folder)
