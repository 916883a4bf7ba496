"""Numbers as pages carry them: few digits, and null where there is none."""

import math
from typing import Any

DIGITS = 5
"""More than a plot can show."""


def short(value: Any, digits: int = DIGITS) -> float | None:
    """The number to so many significant digits; None for what is missing or not finite."""
    try:
        number = float(value)
    except (TypeError, ValueError):  # None, pandas.NA
        return None
    return float(f"{number:.{digits}g}") if math.isfinite(number) else None
