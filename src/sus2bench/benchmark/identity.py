"""What makes a run another run, and which measurements a completed one lacks."""

from collections.abc import Mapping
from copy import deepcopy
from typing import Any

MEASUREMENTS = {"test": ("test",), "stability": ("stability",), "speed": ("speed", "mode")}
"""What is measured after training, each with its keys in the configuration, the first of which
switches it on."""

MEASUREMENT_KEYS = tuple(key for keys in MEASUREMENTS.values() for key in keys)
CIRCUMSTANCES = (
    *("paths", "logger", "resume", "overwrite", "optimized_metric", "hydra", "callbacks.progress"),
    *("data.cutoff", "data.cache_dir", "data.num_workers"),  # the cutoff follows from the model
    *("data.source.folder", "data.source.shared_dir", "data.source.base_url"),
)
"""Settings that change no number of a run: where it is kept or found, how it is begun or shown."""


def identity(config: Mapping[str, Any]) -> dict[str, Any]:
    """A configuration without its `CIRCUMSTANCES`.

    Of a training run also without what is measured after it, which can be added later.
    """
    kept: dict[str, Any] = deepcopy(dict(config))
    for dotted in (*CIRCUMSTANCES, *(MEASUREMENT_KEYS if _trains(config) else ())):
        *parents, last = dotted.split(".")
        node: Any = kept
        for name in parents:
            node = node.get(name) if isinstance(node, dict) else None
        if isinstance(node, dict):
            node.pop(last, None)
    return kept


def lacking(record: Mapping[str, Any], config: Mapping[str, Any]) -> list[str]:
    """The `MEASUREMENTS` that a configuration asks for and a completed run of it was made without.

    Those that were made in another way are among them. A run that is not completed, or of another
    configuration, or without training, lacks none.
    """
    made: Mapping[str, Any] = record["config"]
    if record["status"] != "completed" or identity(made) != identity(config):
        return []
    return [
        name
        for name, keys in MEASUREMENTS.items()
        if _trains(config)
        and config.get(name) not in (None, False)
        and any(config.get(key) != made.get(key) for key in keys)
    ]


def _trains(config: Mapping[str, Any]) -> bool:
    """Whether a configuration is that of a training run, the only kind that can be resumed."""
    return "resume" in config
