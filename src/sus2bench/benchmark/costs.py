"""What a record says of the cost of a potential: time and memory to use it, time to train it."""

from typing import Any

from sus2bench.benchmark.records import Record


def speed_of(record: Record) -> dict[str, Any] | None:
    """The times of the record's potential: those under its name, else the first; None without."""
    found: dict[str, Any] = record["speed"]
    return found.get(record["name"]) or next(iter(found.values()), None)


def time_of(speed: dict[str, Any] | None) -> float | None:
    """Median of energy and forces, µs/atom."""
    return speed["energy_and_forces_us_per_atom"]["median"] if speed else None


def memory_of(speed: dict[str, Any] | None, what: str) -> float | None:
    """MB at most; records of version 0.1.0 have those of a prediction on a GPU only.

    Args:
        speed: entry of one potential.
        what: `energy_and_forces` or `training_gradient`.
    """
    entry = speed or {}
    old = {"energy_and_forces": entry.get("peak_gpu_memory_MB")}
    value: float | None = entry.get("peak_memory_MB", old).get(what)
    return value


def training_seconds(record: Record) -> float | None:
    """Time of training, s, with that of initial values: an exact solve is training, too."""
    timings = record["timings"]
    if "train_seconds" not in timings:
        return None
    return float(timings["train_seconds"] + (timings.get("initialise_seconds") or 0.0))
