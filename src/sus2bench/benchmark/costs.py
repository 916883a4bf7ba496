"""What a record says of the cost of a potential, and of how it fares where there are no labels.

Cost: time and memory to use it, time to train it. Efficiency and instability are those of LAMBench
(A. Peng et al., arXiv 2504.19578): 100 µs/atom divided by the time per atom, so that more is
better, and the orders of magnitude by which the energy of molecular dynamics drifts beyond
5e-4 eV/atom/ps.
"""

from typing import Any

from sus2bench.benchmark.records import Record

REFERENCE_US_PER_ATOM = 100.0

_STABILITY = {
    "energy_drift_eV_atom_ps": ("nve", "energy_drift_eV_atom_ps"),
    "instability": ("nve", "instability"),
    "hot_md_ps": ("hot", "stable_ps"),
    "eos_minima": ("eos", "local_minima"),
    "sane_dimers": ("dimers", "sane_fraction"),
}
"""Name, and where in `record["stability"]` the number is."""


def speed_of(record: Record) -> dict[str, Any] | None:
    """The times of the record's potential: those under its name, else the first; None without."""
    found: dict[str, Any] = record["speed"]
    return found.get(record["name"]) or next(iter(found.values()), None)


def time_of(speed: dict[str, Any] | None) -> float | None:
    """Median of energy and forces, µs/atom."""
    return speed["energy_and_forces_us_per_atom"]["median"] if speed else None


def efficiency_of(speed: dict[str, Any] | None) -> float | None:
    """100 µs/atom divided by the time of energy and forces."""
    time = time_of(speed)
    return None if time is None else REFERENCE_US_PER_ATOM / time


def stability_of(record: Record) -> dict[str, float | None]:
    """What the checks without labels found; None where one was not made, or has no such number.

    `energy_drift_eV_atom_ps` and `instability` are of dynamics at constant energy, `hot_md_ps` is
    how long dynamics at a raised temperature went well, `eos_minima` the number of minima of the
    energy against the volume, `sane_dimers` the part of the pairs of elements.
    """
    checks = record.get("stability") or {}
    found = {name: (checks.get(check) or {}).get(key) for name, (check, key) in _STABILITY.items()}
    return {name: None if value is None else float(value) for name, value in found.items()}


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
