"""Many records as one table: to load, query, merge, verify and repeat them.

:mod:`sus2bench.benchmark.records` has the single record; here is what is done with many::

    from sus2bench import records

    table = records.load(["runs", "results"], config="differing")  # pandas
    table.query("data == 'alloy53' and split == 'test'").sort_values("forces_rmse_meV_A")

What it says of each run is in :mod:`~sus2bench.records.columns`. Records are held against what they
were made of in :mod:`~sus2bench.records.verification`, and their runs repeated in
:mod:`~sus2bench.records.rerunning`.
"""

from sus2bench.records.merging import merge
from sus2bench.records.store import build, connect, query
from sus2bench.records.table import load, load_metrics, to_polars

__all__ = ["build", "connect", "load", "load_metrics", "merge", "query", "to_polars"]
