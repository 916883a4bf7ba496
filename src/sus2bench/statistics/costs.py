"""What a model costs and how it fares without labels, averaged over its runs.

Efficiency and instability are those of LAMBench (A. Peng et al., arXiv 2504.19578): 100 µs/atom
divided by the time per atom, so that more is better, and the orders of magnitude by which the
energy of molecular dynamics drifts beyond 5e-4 eV/atom/ps. Machines, frames and structures here are
not LAMBench's: figures of one table go together, and with those of its leaderboard they do not.
"""

from collections.abc import Iterable, Mapping
from typing import Any

import numpy as np

from sus2bench.benchmark.records import Record

REFERENCE_US_PER_ATOM = 100.0

_STABILITY = {
    "instability": ("nve", "instability"),
    "hot_md_ps": ("hot", "stable_ps"),
    "eos_minima": ("eos", "local_minima"),
    "sane_dimers": ("dimers", "sane_fraction"),
}
"""Column, and where in `record["stability"]` it comes from."""


def costs(records: Iterable[Record]) -> dict[str, float]:
    """Means over the runs of a model; NaN where no run has a number.

    Returns:
        `us_per_atom` (energy and forces, medians), `efficiency`, and of the checks of stability
        `instability`, `hot_md_ps`, `eos_minima`, `sane_dimers`.
    """
    runs = list(records)
    times = [time for record in runs if (time := us_per_atom(record)) is not None]
    time = float(np.mean(times)) if times else np.nan
    found = {"us_per_atom": time, "efficiency": REFERENCE_US_PER_ATOM / time}
    for column, (check, number) in _STABILITY.items():
        values = [_number(record.get("stability", {}).get(check), number) for record in runs]
        known = [value for value in values if value is not None]
        found[column] = float(np.mean(known)) if known else np.nan
    return found


def us_per_atom(record: Record) -> float | None:
    """Median time of energies and forces of the potential that a record is about."""
    speed = record["speed"].get(record["name"]) or next(iter(record["speed"].values()), None)
    return float(speed["energy_and_forces_us_per_atom"]["median"]) if speed else None


def _number(check: Mapping[str, Any] | None, name: str) -> float | None:
    value = (check or {}).get(name)
    return None if value is None else float(value)
