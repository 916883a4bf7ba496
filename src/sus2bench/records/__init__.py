"""Many records as one table: to load, query, merge, verify and repeat them.

:mod:`sus2bench.benchmark.records` has the single record; here is what is done with many::

    from sus2bench import records

    table = records.load(["runs", "results"], config="differing")  # pandas
    table.query("data == 'alloy53' and split == 'test'").sort_values("forces_rmse_meV_A")

Of a record, what it says of its run is in :mod:`~sus2bench.records.columns`.
"""

from sus2bench.records.table import load, load_metrics, to_polars

__all__ = ["load", "load_metrics", "to_polars"]
