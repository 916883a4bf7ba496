"""Cost against error: microseconds per atom, force error, and parameters as marker area."""

from collections.abc import Sequence
from typing import Any

import numpy as np
from matplotlib.figure import Figure

from sus2bench.figures.style import COLOURS, MARKERS, plain_numbers, style

_QUANTITIES = (
    ("energy_per_atom_rmse_meV", "energy RMSE (meV/atom)"),
    ("forces_rmse_meV_A", "force RMSE (meV/Å)"),
)


def pareto(records: Sequence[dict[str, Any]], split: str) -> Figure:
    """Errors on a split against the time per atom of energies and forces.

    Args:
        records: records with metrics of the split and a speed; others are left out.
        split: for example ``test``.

    Raises:
        ValueError: if no record has both.
    """
    points = [point for record in records if (point := _point(record, split)) is not None]
    if not points:
        raise ValueError(f"no record has both a speed and errors on the split {split!r}")
    with style():
        figure = Figure(figsize=(6.4, 3.0), layout="constrained")
        for axes, (metric, label) in zip(figure.subplots(1, 2), _QUANTITIES, strict=True):
            for number, point in enumerate(points):
                if point[metric] is None:
                    continue
                colour = COLOURS[number % len(COLOURS)]
                area = 30 * max(np.log10(max(point["parameters"] or 0, 10)), 1.0)
                axes.errorbar(
                    point["time"],
                    point[metric],
                    xerr=[[point["time"] - point["low"]], [point["high"] - point["time"]]],
                    color=colour,
                    linewidth=0.8,
                )
                axes.scatter(
                    point["time"],
                    point[metric],
                    s=area,
                    color=colour,
                    marker=MARKERS[number // len(COLOURS) % len(MARKERS)],
                    label=point["name"],
                )
            axes.set_xscale("log")
            axes.set_yscale("log")
            plain_numbers(axes.xaxis)
            plain_numbers(axes.yaxis)
            axes.set_xlabel("energy and forces (µs/atom)")
            axes.set_ylabel(f"{split} {label}")
        axes.legend(
            title="area: log of trainable\nparameters", loc="center left", bbox_to_anchor=(1, 0.5)
        )
    return figure


def _point(record: dict[str, Any], split: str) -> dict[str, Any] | None:
    metrics = record["metrics"].get(split)
    speed = record["speed"].get(record["name"])
    if not metrics or not speed:
        return None
    timing = speed["energy_and_forces_us_per_atom"]
    return {
        "name": record["name"],
        "time": timing["median"],
        "low": timing["lower_quartile"],
        "high": timing["upper_quartile"],
        "parameters": (record["parameters"] or {}).get("trainable"),
        **{metric: metrics.get(metric) for metric, _ in _QUANTITIES},
    }
