"""What a scan has found: µs/atom against size, elements, cutoff, threads or batch."""

from collections.abc import Mapping, Sequence
from typing import Any

from matplotlib.axes import Axes
from matplotlib.figure import Figure

from sus2bench.figures.style import COLOURS, LINES, MARKERS, plain_numbers, style

_LABELS = {
    "atoms": "atoms",
    "elements": "elements",
    "cutoff": "cutoff (Å)",
    "frames": "frames in the batch",
    "threads": "threads",
}
_TIME, _MEMORY = "energy_and_forces_us_per_atom", "energy_and_forces"

Points = Sequence[Mapping[str, Any]]


def speed_scan(over: str, points: Mapping[str, Points]) -> Figure:
    """Time of energies and forces per atom, a line for each potential with bars between quartiles.

    A second panel has the peak memory by atom, where the scan goes over atoms.

    Args:
        over: what the scan goes over.
        points: by potential, as in the record.

    Raises:
        ValueError: there is nothing to draw.
    """
    drawn = {name: line for name, line in points.items() if line}
    if not drawn:
        raise ValueError("the scan has no points")
    panels = 2 if over == "atoms" else 1
    with style():
        figure = Figure(figsize=(1.6 + 3.4 * panels, 3.2), layout="constrained")
        axes = figure.subplots(1, panels, squeeze=False)[0]
        for number, (name, line) in enumerate(drawn.items()):
            look = {
                "color": COLOURS[number % len(COLOURS)],
                "marker": MARKERS[number % len(MARKERS)],
                "linestyle": LINES[number // len(COLOURS) % len(LINES)],
                "linewidth": 1.2,
                "markersize": 4,
                "label": name,
            }
            _draw_times(axes[0], line, look)
            for panel in axes[1:]:
                _draw_memory(panel, line, look)
        values = sorted({point["value"] for line in drawn.values() for point in line})
        labels = ("energy and forces (µs/atom)", "peak memory of a call (B/atom)")
        for panel, label in zip(axes, labels, strict=False):
            _finish(panel, over, values, label)
        handles = axes[0].get_legend_handles_labels()
        axes[-1].legend(*handles, loc="center left", bbox_to_anchor=(1, 0.5))
    return figure


def _draw_times(axes: Axes, line: Points, look: Mapping[str, Any]) -> None:
    timings = [point[_TIME] for point in line]
    medians = [timing["median"] for timing in timings]
    below = [timing["median"] - timing["lower_quartile"] for timing in timings]
    above = [timing["upper_quartile"] - timing["median"] for timing in timings]
    axes.errorbar([point["value"] for point in line], medians, yerr=[below, above], **look)


def _draw_memory(axes: Axes, line: Points, look: Mapping[str, Any]) -> None:
    """Where it is known and not lost among the pages of the system."""
    sizes = [(point["value"], point["peak_memory_bytes_per_atom"].get(_MEMORY)) for point in line]
    known = [(value, size) for value, size in sizes if size]
    axes.plot([value for value, _ in known], [size for _, size in known], **look)


def _finish(axes: Axes, over: str, values: Sequence[float], label: str) -> None:
    axes.set_xlabel(_LABELS[over])
    axes.set_ylabel(label)
    axes.set_yscale("log")
    plain_numbers(axes.yaxis)
    if over != "cutoff":
        axes.set_xscale("log")
    if over != "atoms":  # powers of ten say themselves
        axes.set_xticks(values, [f"{value:g}" for value in values])
        axes.minorticks_off()
