"""The runs of a report: records under names that tell them apart, and the files beside them."""

import re
from collections import defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

from sus2bench.benchmark.records import Record, with_joint_speeds

_PREDICTIONS = "predictions_"
_LONGEST_NAME = 100


@dataclass(frozen=True)
class Run:
    """A record, and what a report calls it."""

    path: Path
    """File of the record."""
    record: Record
    """With the speed of a joint `speed` run, where there is one."""
    label: str
    """Name of the run; where a data set has it twice, with its seed, or the folders in which they
    differ."""
    slug: str
    """Name of its files."""

    @property
    def data(self) -> str:
        """Name of the data set."""
        return str(self.record["data"]["name"])

    @property
    def family(self) -> str:
        """Class of the model, or the name where that is unknown."""
        return str(self.record["model"]["target"] or self.record["name"]).rpartition(".")[2]

    @cached_property
    def predictions(self) -> dict[str, Path]:
        """Files of predictions beside the record, by split."""
        files = sorted(self.path.parent.glob(f"{_PREDICTIONS}*.npz"))
        return {file.stem.removeprefix(_PREDICTIONS): file for file in files}

    @cached_property
    def curve(self) -> Path | None:
        """What was logged in training, if it is there."""
        file = self.path.parent / "metrics.csv"
        return file if file.is_file() else None

    @cached_property
    def log(self) -> Path | None:
        """The log file, if it is there."""
        return next(iter(sorted(self.path.parent.glob("*.log"))), None)


def runs_of(found: Iterable[tuple[Path, Record]]) -> list[Run]:
    """Runs of records and their files, sorted by data set, name and path.

    Joint `speed` runs give the others their times, and are runs themselves, so that a reader finds
    the machine they were timed on.
    """
    pairs = sorted(found, key=lambda pair: (pair[1]["data"]["name"], pair[1]["name"], pair[0]))
    timed = dict(with_joint_speeds(pairs))
    groups: dict[tuple[str, str], list[tuple[Path, Record]]] = defaultdict(list)
    for path, record in pairs:
        groups[record["data"]["name"], record["name"]].append((path, record))
    labels = {
        path: label
        for (_, name), runs in groups.items()
        for (path, _), label in zip(runs, _labels(name, runs), strict=True)
    }
    slugs = unique_slugs([f"{r['data']['name']}-{labels[path]}" for path, r in pairs])
    return [
        Run(path, timed.get(path, record), labels[path], slug)
        for (path, record), slug in zip(pairs, slugs, strict=True)
    ]


def _labels(name: str, runs: Sequence[tuple[Path, Record]]) -> list[str]:
    """The name, and of several their seeds.

    Where these are no more different, the folders in which the paths differ, counted from the end.
    """
    if len(runs) == 1:
        return [name]
    seeds = [record["seeds"].get("run") for _, record in runs]
    if None not in seeds and len(set(seeds)) == len(seeds):
        return [f"{name}, seed {seed}" for seed in seeds]
    paths = [path for path, _ in runs]
    folders = [
        path.parts[-2::-1] if path.name == "record.json" else path.parts[::-1] for path in paths
    ]
    depth = max(map(len, folders))
    padded = [parts + ("",) * (depth - len(parts)) for parts in folders]
    places = [place for place in range(depth) if len({parts[place] for parts in padded}) > 1]
    # From the end: the folder of the run says more than those far above it.
    for count in range(1, len(places) + 1):
        tails = ["/".join(p[place] for place in reversed(places[:count])) for p in padded]
        if len(set(tails)) == len(tails):
            break
    return [name if tail == name else f"{name} ({tail.strip('/')})" for tail in tails]


def unique_slugs(names: Sequence[str]) -> list[str]:
    """Names made of letters, digits, `.`, `_` and `-`, different on any file system."""
    slugs: list[str] = []
    taken: set[str] = set()
    for name in names:
        slug = re.sub(r"[^A-Za-z0-9._]+", "-", name)[:_LONGEST_NAME].strip("-.") or "run"
        number, base = 2, slug
        while slug.lower() in taken:
            slug, number = f"{base}-{number}", number + 1
        taken.add(slug.lower())
        slugs.append(slug)
    return slugs
