"""The look all figures share, and saving them."""

import math
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import matplotlib as mpl
from matplotlib.axis import Axis
from matplotlib.figure import Figure
from matplotlib.ticker import LogLocator, NullFormatter, StrMethodFormatter

# Colours that stay apart for colour-blind readers (Okabe and Ito).
COLOURS = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9", "#000000")
MARKERS = ("o", "s", "^", "D", "v", "P", "X")
LINES = ("-", "--", ":", "-.")
FORMATS = ("pdf", "svg", "png")

_SETTINGS: Any = {
    "font.size": 9.0,
    "axes.labelsize": 9.0,
    "axes.titlesize": 9.0,
    "legend.fontsize": 8.0,
    "xtick.labelsize": 8.0,
    "ytick.labelsize": 8.0,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.linewidth": 0.8,
    "legend.frameon": False,
    "savefig.dpi": 200.0,
    "pdf.fonttype": 42,
    "svg.hashsalt": "sus2bench",
}


@contextmanager
def style() -> Iterator[None]:
    """Draw with the shared settings, leaving matplotlib's own as they were."""
    with mpl.rc_context(_SETTINGS):
        yield


def plain_numbers(axis: Axis) -> None:
    """Ticks 1, 2, 3, 5, 7, 10, ... on a logarithmic axis, written without powers of ten.

    Call it when all is drawn: over several decades there are fewer of them.
    """
    low, high = axis.get_view_interval()
    decades = math.log10(high / low)
    axis.set_major_locator(
        LogLocator(subs=(1, 2, 3, 5, 7) if decades < 1 else (1, 2, 5) if decades < 2 else (1,))
    )
    axis.set_major_formatter(StrMethodFormatter("{x:g}"))
    axis.set_minor_formatter(NullFormatter())


def save(figure: Figure, folder: Path, name: str, formats: Sequence[str] = FORMATS) -> list[Path]:
    """Write a figure as pdf, svg and png, or some of them; returns the files."""
    folder.mkdir(parents=True, exist_ok=True)
    files = [folder / f"{name}.{suffix}" for suffix in formats]
    with style():
        for file in files:
            # Without dates, so that the same records give the same file.
            dates = {"pdf": {"CreationDate": None}, "svg": {"Date": None}, "png": {}}
            figure.savefig(file, bbox_inches="tight", metadata=dates[file.suffix[1:]])
    return files
