"""Measurements that are added to a completed training run, from the checkpoint it has left."""

import logging
import time
from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import torch
from lightning.pytorch.utilities import rank_zero_only
from omegaconf import DictConfig, OmegaConf

from sus2bench.benchmark import measure, provenance, records
from sus2bench.benchmark.beginning import dtype_of, plain
from sus2bench.benchmark.identity import MEASUREMENTS, lacking
from sus2bench.benchmark.lock import held
from sus2bench.benchmark.records import Record
from sus2bench.benchmark.stability import settings_of
from sus2bench.benchmark.stopwatch import threads
from sus2bench.data.datamodule import FrameDataModule
from sus2bench.models.loading import load_potential
from sus2bench.models.potential import Potential
from sus2bench.training.deterministic import deterministic

logger = logging.getLogger(__name__)


def to_add(cfg: DictConfig) -> list[str]:
    """What `resume=true` would add to the run in the folder of a configuration.

    Returns:
        Names of `MEASUREMENTS`; none unless the run there is a completed one of the same
        configuration.
    """
    file = Path(cfg.paths.output) / records.FILE_NAME
    if not file.is_file():
        return []
    return lacking(records.load_record(file), _resolved(cfg))


def add(cfg: DictConfig, names: Sequence[str]) -> Record:
    """Measure what a completed run lacks and write it into its record, all of it or nothing.

    What the record says already stays as it is; an entry in `additions` tells where and with which
    code the new numbers were taken. Of several processes the first does it.

    Args:
        cfg: of the run.
        names: what to measure, of `MEASUREMENTS`.

    Returns:
        The record.

    Raises:
        ValueError: the checkpoint is gone, the data are others than those of the run, or times
            would be those of another processor.
    """
    folder = Path(cfg.paths.output)
    if getattr(rank_zero_only, "rank", 0):
        return records.load_record(folder / records.FILE_NAME)
    gpu = cfg.trainer.accelerator != "cpu" and torch.cuda.is_available()
    same_bits = deterministic(cfg.deterministic, gpu=gpu)
    with held(folder), threads(cfg.threads), same_bits:
        start = time.perf_counter()
        record = records.load_record(folder / records.FILE_NAME)
        potential, datamodule = _restored(cfg, record, folder)
        if "speed" in names:
            _check_processor(record)
        measure.measure_trained(
            record,
            potential,
            datamodule,
            folder,
            test="test" in names,
            checks=settings_of(plain(cfg.stability)) if "stability" in names else None,
            mode=cfg.mode if "speed" in names else None,
        )
        _note(record, _resolved(cfg), names, time.perf_counter() - start)
        written = records.write_record(record, folder / records.FILE_NAME, overwrite=True)
    logger.info("added %s: %s", ", ".join(names), provenance.scrub(str(folder)))
    return written


def _restored(cfg: DictConfig, record: Record, folder: Path) -> tuple[Potential, FrameDataModule]:
    """The potential and the data of a run; those of the data that it was trained on."""
    checkpoint = folder / str(record["model"].get("checkpoint"))
    if not checkpoint.is_file():
        raise ValueError(
            f"{folder} holds a completed run without its checkpoint, so that nothing can be "
            "measured; overwrite=true repeats the run"
        )
    potential = load_potential(checkpoint, dtype=dtype_of(cfg))
    now: Record = {"timings": {}}
    datamodule = measure.prepare_data(now, cfg, potential.cutoff)
    for key in ("files", "split_hash"):
        if now["data"][key] != record["data"][key]:
            raise ValueError(
                f"the data are not those of the completed run in {folder}: {key} differs from its "
                "record; overwrite=true repeats the run with the data that are here"
            )
    return potential, datamodule


def _check_processor(record: Record) -> None:
    """A record has one machine, to which its times belong."""
    here, there = provenance.hardware(), record["hardware"]
    if any(here[key] != there[key] for key in ("cpu", "gpu")):
        raise ValueError(
            f"the run was made on {there['gpu'] or there['cpu']}, and its record cannot take times "
            f"of {here['gpu'] or here['cpu']}: leave speed out, or take sus2bench speed"
        )


def _note(record: Record, config: dict[str, Any], names: Sequence[str], seconds: float) -> None:
    """Write down what was added: its settings, when, by what, and how long it took."""
    keys = [key for name in names for key in MEASUREMENTS[name]]
    record["config"] |= {key: config[key] for key in keys}
    record["config_sha256"] = records.config_hash(record["config"])
    records.complete_units(record)
    timings = record["timings"]
    timings["total_seconds"] = (timings.get("total_seconds") or 0.0) + seconds
    entry = {
        "created": datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%SZ"),
        "measured": list(names),
        "command": provenance.command_line(),
        "git": provenance.git_state(),
        "packages": provenance.package_versions(),
        "hardware": provenance.hardware(),
    }
    record["additions"] = [*record.get("additions", ()), entry]


def _resolved(cfg: DictConfig) -> dict[str, Any]:
    """The configuration as a record has it."""
    config: dict[str, Any] = provenance.plain(OmegaConf.to_container(cfg, resolve=True))
    return config
