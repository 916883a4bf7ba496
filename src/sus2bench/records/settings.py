"""The settings in a record as a configuration that runs on this machine and with this version."""

import difflib
import os
import re
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import yaml
from hydra import compose, initialize_config_dir
from omegaconf import DictConfig, OmegaConf

from sus2bench.benchmark.records import Record
from sus2bench.data.catalogue import data_folder
from sus2bench.records.table import flat

_SHARED = "${SUS2BENCH_SHARED}"
_PLAIN_SECTIONS = ("budget", "potential")
"""Settings that are filled up with new keys; all other groups are taken as they are."""


def restored(value: Any) -> Any:
    """Settings with the folders of this machine in place of the names that a record has for them.

    Raises:
        ValueError: there is a file in the shared folder, and no such folder here.
    """
    if isinstance(value, dict):
        return {key: restored(item) for key, item in value.items()}
    if isinstance(value, list):
        return [restored(item) for item in value]
    if not isinstance(value, str):
        return value
    shared = os.environ.get("SUS2BENCH_SHARED")
    if value == _SHARED:
        return shared
    if _SHARED in value and shared is None:
        raise ValueError(f"the record names {value}: set SUS2BENCH_SHARED to the folder it is in")
    for name, folder in (
        (_SHARED, shared),
        ("<environment>", sys.prefix),
        ("<python>", sys.base_prefix),
    ):
        value = value.replace(name, str(folder))
    return re.sub(r"(?<![\w.-])~/", lambda _: f"{Path.home()}/", value)


def configuration(record: Record, changes: Sequence[str], out: Path | None = None) -> DictConfig:
    """The configuration that repeats the run of a record.

    Settings that the record's version did not have yet are those of the present config files. The
    number of threads is that of then, because sums depend on it.

    Args:
        record: of the run.
        changes: ``KEY=VALUE`` with dotted keys of the configuration and YAML values.
        out: folder of the new run; ``runs/rerun/DATA/NAME`` if not given.

    Raises:
        ValueError: a change is no such pair or of a key that there is not, or see `restored`.
    """
    settings = restored(record["config"])
    with initialize_config_dir(str(data_folder().parent.absolute()), version_base="1.3"):
        config = compose(record["kind"])
    OmegaConf.set_struct(config, False)
    trainer = settings.get("trainer", {})
    if trainer.pop("deterministic", False) is True:  # where it was until version 2 of the schema
        settings["deterministic"] = True
    for key, value in settings.items():
        present = config.get(key) if key in _PLAIN_SECTIONS else None
        if isinstance(value, dict) and isinstance(present, DictConfig):
            value = {**present, **value}
        config[key] = value
    config.overwrite = False
    if "resume" in config:
        config.resume = False
    _change(config, changes)
    place = Path("runs", "rerun", record["data"]["name"], str(config.name))
    config.paths.output = str(place if out is None else out)
    if config.threads is None:
        config.threads = record["hardware"]["threads"]
    if OmegaConf.is_dict(config.data) and "cache_dir" in config.data:
        config.paths.cache = config.data.cache_dir = os.environ.get("SUS2BENCH_CACHE")
    return config


def _change(config: DictConfig, changes: Sequence[str]) -> None:
    known = flat(OmegaConf.to_container(config, resolve=False))  # type: ignore[arg-type]
    for change in changes:
        key, equals, text = change.partition("=")
        if not equals:
            raise ValueError(f"'{change}' must be KEY=VALUE")
        if key not in known:
            near = difflib.get_close_matches(key, known, n=3, cutoff=0.5)
            hint = f"; did you mean {' or '.join(near)}?" if near else ""
            raise ValueError(f"the record has no setting '{key}'{hint}")
        OmegaConf.update(config, key, yaml.safe_load(text))
