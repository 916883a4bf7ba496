"""What a model costs and how it fares without labels, averaged over its runs.

`benchmark.costs` says what the numbers of a run are. Machines, frames and structures here are not
LAMBench's: figures of one table go together, and with those of its leaderboard they do not.
"""

from collections.abc import Iterable

import numpy as np

from sus2bench.benchmark.costs import REFERENCE_US_PER_ATOM, speed_of, stability_of, time_of
from sus2bench.benchmark.records import Record


def costs(records: Iterable[Record]) -> dict[str, float]:
    """Means over the runs of a model; NaN where no run has a number.

    Returns:
        `us_per_atom` (energy and forces, medians), `efficiency`, and what `stability_of` has.
    """
    runs = list(records)
    time = _mean([time_of(speed_of(record)) for record in runs])
    checks = [stability_of(record) for record in runs]
    found = {name: _mean([check[name] for check in checks]) for name in checks[0]}
    return {"us_per_atom": time, "efficiency": REFERENCE_US_PER_ATOM / time, **found}


def _mean(values: Iterable[float | None]) -> float:
    known = [value for value in values if value is not None]
    return float(np.mean(known)) if known else np.nan
