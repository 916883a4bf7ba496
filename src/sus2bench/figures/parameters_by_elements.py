"""How the number of parameters grows with the number of elements, a line per model."""

from collections.abc import Sequence
from typing import Any

from matplotlib.figure import Figure

from sus2bench.figures.style import COLOURS, style

_LINES = ("-", "--", "-.", ":")


def parameters_by_elements(counts: Sequence[dict[str, Any]]) -> Figure:
    """Trainable parameters against the number of elements, both axes logarithmic.

    Args:
        counts: of each model `name`, `elements` (numbers of elements, ascending) and `trainable`
            (as many numbers of parameters, atomic energies included).

    Raises:
        ValueError: if there is nothing to draw.
    """
    if not counts:
        raise ValueError("there are no counts of parameters to draw")
    with style():
        figure = Figure(figsize=(5.2, 3.2), layout="constrained")
        axes = figure.subplots()
        for number, model in enumerate(counts):
            axes.plot(
                model["elements"],
                model["trainable"],
                color=COLOURS[number % len(COLOURS)],
                linestyle=_LINES[number // len(COLOURS) % len(_LINES)],
                linewidth=1.2,
                marker="." if len(model["elements"]) < 20 else "",
                label=model["name"],
            )
        axes.set_xscale("log")
        axes.set_yscale("log")
        ticks = [
            n for n in (1, 2, 5, 10, 20, 50, 89) if n <= max(max(m["elements"]) for m in counts)
        ]
        axes.set_xticks(ticks, [str(n) for n in ticks])
        axes.minorticks_off()
        axes.set_xlabel("number of elements")
        axes.set_ylabel("trainable parameters")
        axes.legend(loc="center left", bbox_to_anchor=(1, 0.5))
    return figure
