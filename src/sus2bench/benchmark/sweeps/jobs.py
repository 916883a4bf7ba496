"""The jobs of a sweep: where each runs, with what configuration, and how far it has got."""

import json
import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from hydra.core.config_loader import ConfigLoader
from hydra.core.hydra_config import HydraConfig
from omegaconf import DictConfig, OmegaConf, open_dict, read_write

from sus2bench.benchmark import lock, provenance
from sus2bench.benchmark.identity import identity, lacking
from sus2bench.benchmark.records import FILE_NAME

State = Literal["completed", "incomplete", "interrupted", "failed", "running", "other", "missing"]
"""Of a job: `other` is a run of another configuration in the folder of the job; `interrupted` is
one that left a checkpoint or a record, but no end of it; `incomplete` is a completed one that
lacks measurements, which can be added."""
LOG_NAME = "process.log"
"""What a job of a process of its own prints, in its folder."""

# Launchers of Hydra that call a job in a process that has called others, or will.
_WITHIN_A_PROCESS = ("basic", "joblib", "ray")


@dataclass(frozen=True)
class Job:
    """One run of a sweep."""

    overrides: tuple[str, ...]
    """Of the configuration, as typed."""
    folder: Path
    """Of the run."""
    config: Mapping[str, Any]
    """The resolved configuration, as a record has it."""

    @property
    def record(self) -> dict[str, Any] | None:
        """What the run has written down, unchecked; None if there is nothing to read."""
        return read_record(self.folder / FILE_NAME)

    @property
    def state(self) -> State:
        """How far the job is, by its folder."""
        if lock.is_held(self.folder):
            return "running"
        record = self.record
        begun = (self.folder / "checkpoints" / "last.ckpt").is_file()
        if record is None:
            return "interrupted" if begun else "missing"
        if identity(record["config"]) != identity(self.config):
            return "other"
        if record["status"] == "failed":
            return "failed"
        if record["status"] != "completed":
            return "interrupted"
        return "incomplete" if lacking(record, self.config) else "completed"

    @property
    def lacking(self) -> list[str]:
        """Measurements that are asked for and that the completed run has not."""
        record = self.record
        return [] if record is None else lacking(record, self.config)

    @property
    def differences(self) -> list[str]:
        """Keys in which the run in the folder of the job has another configuration."""
        mine, other = (dict(_leaves(identity(c))) for c in (self.config, self._found_config))
        return sorted(key for key in {*mine, *other} if mine.get(key) != other.get(key))

    @property
    def _found_config(self) -> Mapping[str, Any]:
        record = self.record
        config: Mapping[str, Any] = {} if record is None else record["config"]
        return config


def read_record(path: Path) -> dict[str, Any] | None:
    """A record as it is, or None if there is none that can be read."""
    try:
        record = json.loads(path.read_text("utf-8"))
    except (OSError, ValueError):
        return None
    return record if isinstance(record, dict) and {"status", "config"} <= record.keys() else None


def job_of(loader: ConfigLoader, master: DictConfig, overrides: Sequence[str], number: int) -> Job:
    """The job that Hydra makes of some overrides.

    Args:
        loader: Hydra's.
        master: configuration of the sweep.
        overrides: of the job; a sweep has one value of each key here.
        number: of the job in the sweep.

    Raises:
        HydraException, OmegaConfBaseException: the overrides do not fit the configuration.
    """
    cfg = loader.load_sweep_config(master, list(overrides))
    with open_dict(cfg):
        cfg.hydra.job.num, cfg.hydra.job.id = number, str(number)
    before = HydraConfig.instance().cfg
    try:
        HydraConfig.instance().set_config(cfg)
        folder = Path(cfg.hydra.sweep.dir) / cfg.hydra.sweep.subdir
        with read_write(cfg.hydra.runtime), open_dict(cfg.hydra.runtime):
            cfg.hydra.runtime.output_dir = os.path.abspath(folder)
        HydraConfig.instance().set_config(cfg)
        own = OmegaConf.masked_copy(cfg, [str(key) for key in cfg if key != "hydra"])
        config = provenance.plain(OmegaConf.to_container(own, resolve=True))
    finally:
        HydraConfig.instance().cfg = before
    return Job(tuple(overrides), folder, config)


def check_folders(jobs: Sequence[Job]) -> None:
    """Raise ValueError if two jobs would run in the same folder."""
    taken: dict[Path, Job] = {}
    for job in jobs:
        other = taken.setdefault(job.folder, job)
        if other.overrides != job.overrides:
            raise ValueError(
                f"{' '.join(job.overrides)} and {' '.join(other.overrides)} would both run in "
                f"{job.folder}: leave hydra.sweep.subdir and name as they are, or make them depend "
                "on all that is swept"
            )


def check_processes(jobs: Sequence[Job], launcher: str) -> None:
    """Raise ValueError if jobs of several processes each would be started within this one.

    The further processes of a job are started with the command line of the first, which here is
    that of the whole sweep.
    """
    if launcher not in _WITHIN_A_PROCESS:
        return
    for job in jobs:
        trainer = job.config.get("trainer") or {}
        alone = str(trainer.get("devices", 1)) == "1" and trainer.get("num_nodes", 1) == 1
        if not alone or trainer.get("strategy", "auto") != "auto":
            raise ValueError(
                f"jobs of several processes are no jobs for hydra/launcher={launcher}: take "
                "submitit_slurm with hydra.launcher.tasks_per_node=N, or processes with "
                "hydra.launcher.start='torchrun --standalone --nproc-per-node=N -m sus2bench'; or "
                "set trainer=cpu or trainer=gpu"
            )


def _leaves(config: Any, prefix: str = "") -> list[tuple[str, Any]]:
    if not isinstance(config, Mapping):
        return [(prefix.rstrip("."), config)]
    pairs = [_leaves(value, f"{prefix}{key}.") for key, value in config.items()]
    return [leaf for part in pairs for leaf in part]
