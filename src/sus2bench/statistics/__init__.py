"""How sure one can be of errors, differences and ranks: intervals, paired tests, no idle bold."""

from sus2bench.statistics.summaries import paired, summary

__all__ = ["paired", "summary"]
