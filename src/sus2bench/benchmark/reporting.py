"""A run that always leaves a record: completed, interrupted, or failed with its traceback."""

import logging
import shutil
import time
import traceback
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from lightning.pytorch.utilities import rank_zero_only
from omegaconf import DictConfig, OmegaConf

from sus2bench.benchmark import provenance, records
from sus2bench.benchmark.identity import identity, lacking
from sus2bench.benchmark.lock import held
from sus2bench.benchmark.records import Record, RecordError

logger = logging.getLogger(__name__)


# Of a run that goes on: what was measured before, or is counted on.
_KEPT_TIMINGS = ("initialise_seconds", "total_seconds")


class RunInterruptedError(KeyboardInterrupt):
    """A run was ended by the user or the machine, with everything saved that it had."""


@contextmanager
def recorded(cfg: DictConfig, kind: str) -> Iterator[Record]:
    """Yield the record of a run to fill, and write it to the run's folder however the run ends.

    Args:
        cfg: the whole configuration; ``paths.output`` is the folder, ``name`` the name.
        kind: ``train``, ``evaluate`` or ``speed``.

    Raises:
        RecordError: before anything is done, if the folder holds a run that would be lost.
    """
    start = time.perf_counter()
    folder = Path(cfg.paths.output)
    config: dict[str, Any] = OmegaConf.to_container(cfg, resolve=True)  # type: ignore[assignment]
    refuse_to_lose_a_run(folder, config)
    folder.mkdir(parents=True, exist_ok=True)
    with held(folder):
        if kind == "train" and config.get("overwrite") and not _is_continued(folder, config):
            _remove_old_run(folder)
        record = records.new_record(kind, str(cfg.name), config)
        record["seeds"] = seeds(config)
        if config.get("resume") and (folder / records.FILE_NAME).is_file():
            # Initial values are set once, before the part of the run that this one goes on with.
            earlier = records.load_record(folder / records.FILE_NAME)
            record["model"]["initialisation"] = earlier["model"].get("initialisation", {})
            kept = {name: earlier["timings"].get(name) for name in _KEPT_TIMINGS}
            record["timings"] = {name: value for name, value in kept.items() if value is not None}
        try:
            yield record
            record |= {"status": "completed", "traceback": None}
        except (KeyboardInterrupt, SystemExit):  # Lightning exits after a second Ctrl-C
            record |= {"status": "interrupted", "traceback": None}
            raise
        except BaseException:
            record |= {"status": "failed", "traceback": provenance.scrub(traceback.format_exc())}
            raise
        finally:
            before = record["timings"].get("total_seconds", 0.0)
            record["timings"]["total_seconds"] = before + time.perf_counter() - start
            _write(record, folder)


@rank_zero_only  # type: ignore[untyped-decorator,unused-ignore]
def write_so_far(record: Record, folder: Path) -> None:
    """Write what a run knows before its long part: one that is killed then leaves a record, too.

    It says `interrupted`, which is what that run will have been.
    """
    so_far = record | {"status": "interrupted", "traceback": None}
    records.write_record(so_far, folder / records.FILE_NAME, overwrite=True)


def refuse_to_lose_a_run(folder: Path, config: Mapping[str, Any]) -> None:
    """Raise if a run in this folder would be lost without anybody having asked for that.

    Args:
        folder: of the run.
        config: of the run that is about to begin; its `overwrite` and `resume` say what is asked.

    Raises:
        RecordError: naming the folder and the ways on.
    """
    if config.get("overwrite"):
        _refuse_to_remove_the_start(folder, config)
        return
    file = folder / records.FILE_NAME
    record = records.load_record(file) if file.is_file() else None
    if record is not None and record["status"] == "completed":
        missing = lacking(record, provenance.plain(config))
        adds = f", resume=true to add {' and '.join(missing)} to it" if missing else ""
        raise RecordError(
            f"{folder} holds a completed run; choose another name{adds}, or overwrite=true to "
            "replace it"
        )
    if not config.get("resume") and (folder / "checkpoints" / "last.ckpt").is_file():
        raise RecordError(
            f"{folder} holds a run that did not end; resume=true goes on with it, overwrite=true "
            "starts anew, another name keeps it"
        )


def _refuse_to_remove_the_start(folder: Path, config: Mapping[str, Any]) -> None:
    potential = config.get("potential")
    start = potential.get("start") if isinstance(potential, Mapping) else None
    if start is not None and Path(start).resolve().is_relative_to(folder.resolve()):
        raise RecordError(
            f"overwrite=true removes the run in {folder}, and potential.start={start} with it: "
            "choose another name"
        )


def _is_continued(folder: Path, config: Mapping[str, Any]) -> bool:
    """Whether a run that did not end is gone on with, and not replaced by one of its own kind."""
    file = folder / records.FILE_NAME
    if not config.get("resume") or not file.is_file():
        return False
    record = records.load_record(file)
    same = identity(record["config"]) == identity(provenance.plain(config))
    return same and record["status"] != "completed"


@rank_zero_only  # type: ignore[untyped-decorator,unused-ignore]
def _remove_old_run(folder: Path) -> None:
    """Remove what a run leaves, so that none of it is taken for a part of the next one.

    Loggers other than that of `metrics.csv` begin anew by themselves.
    """
    (folder / records.FILE_NAME).unlink(missing_ok=True)  # first: it would state what is gone
    shutil.rmtree(folder / "checkpoints", ignore_errors=True)
    for pattern in ("predictions_*.npz", "parity_*.png", "metrics.csv"):
        for file in folder.glob(pattern):
            file.unlink()


def seeds(config: dict[str, Any]) -> dict[str, int]:
    """The seeds in a configuration, by the part they belong to (``run`` for the whole)."""
    found = {"run": config.get("seed")}
    for part, value in config.items():
        if isinstance(value, dict):
            found[part] = value.get("seed")
    return {part: seed for part, seed in found.items() if isinstance(seed, int)}


@rank_zero_only  # type: ignore[untyped-decorator,unused-ignore]
def _write(record: Record, folder: Path) -> None:
    records.complete_units(record)
    written = records.write_record(record, folder / records.FILE_NAME, overwrite=True)
    logger.info("%s: %s", written["status"], provenance.scrub(str(folder / records.FILE_NAME)))
