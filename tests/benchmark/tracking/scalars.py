"""Scalars by name and step, as `metrics.csv` and TensorBoard have them."""

import csv
from collections import defaultdict
from pathlib import Path

PLACE = ("epoch", "seconds")
"""What every row has; two rows of one step may differ in them."""


def of_csv(folder):
    """Values by name and step; of several rows of a step the last value counts."""
    found = defaultdict(dict)
    with (Path(folder) / "metrics.csv").open(newline="", encoding="utf-8") as file:
        for row in csv.DictReader(file):
            step = int(row.pop("step"))
            for name, value in row.items():
                if value:
                    found[name][step] = float(value)
    return dict(found)


def of_tensorboard(folder):
    """The same of the event files, without the results that the record has."""
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    events = EventAccumulator(str(Path(folder) / "tensorboard"), size_guidance={"scalars": 0})
    events.Reload()
    names = [name for name in events.Tags()["scalars"] if not name.startswith("record/")]
    return {name: {event.step: event.value for event in events.Scalars(name)} for name in names}


def of_wandb(rows):
    """The same of the rows of W&B, without its own columns and the panels of the end."""
    found = defaultdict(dict)
    for step, row in rows.items():
        for name, value in row.items():
            if not name.startswith(("_", "record/", "parity/")):
                found[name][step] = value
    return dict(found)
