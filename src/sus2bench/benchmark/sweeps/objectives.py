"""The numbers a sweep is to make small, from the record of a run."""

import math
from collections.abc import Mapping, Sequence
from typing import Any


def objectives(record: Mapping[str, Any], names: Sequence[str]) -> list[float]:
    """Numbers of a record, NaN where it has none.

    Args:
        record: of a run.
        names: each an error on the validation set (`forces_rmse_meV_A`), a median of the speed of
            this potential (`energy_and_forces_us_per_atom`), or a timing (`train_seconds`).
    """
    speed = record.get("speed", {}).get(record.get("name"), {})
    places = (record.get("metrics", {}).get("valid", {}), speed, record.get("timings", {}))
    return [_number(name, places) for name in names]


def objective_names(optimized_metric: str | Sequence[str] | None) -> list[str]:
    """The names in the key `optimized_metric` of a configuration: one or several."""
    if optimized_metric is None:
        return []
    return [optimized_metric] if isinstance(optimized_metric, str) else list(optimized_metric)


def _number(name: str, places: Sequence[Mapping[str, Any]]) -> float:
    value = next((place[name] for place in places if name in place), None)
    if isinstance(value, Mapping):
        value = value.get("median")
    return math.nan if value is None else float(value)
