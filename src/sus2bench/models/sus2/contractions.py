"""Contraction sets of the SUS2 model: tables from `(L, K)` and tables read from files."""

from __future__ import annotations

from sus2bench.models.sus2.contraction_table import (
    ContractionError,
    ContractionTable,
    basic_moments,
    evaluate,
)
from sus2bench.models.sus2.mtp_file import table_from_file

__all__ = [
    "ContractionError",
    "ContractionTable",
    "basic_moments",
    "evaluate",
    "table_from_file",
]
