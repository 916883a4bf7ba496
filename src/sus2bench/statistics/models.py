"""Which records are runs of one model: their configurations differ by seeds and by nothing else.

Two completed records belong to the same model if they have the same data set and the same
configuration, apart from

- every key `seed` (`seed`, `data.seed`, `model.seed`); `data.split_seed` stays, as it makes other
  data,
- names: `name`, `data_name`,
- what changes no prediction: `benchmark.identity.CIRCUMSTANCES`, what is measured after training,
  `threads`, `data.frames_per_block`,
- keys that are null, so that a key that is added later, switched off, separates nothing.

A run that was repeated with the same seeds is no other sample: the newest record of it counts.
"""

from __future__ import annotations

import hashlib
import json
import logging
import re
from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from sus2bench.benchmark.identity import CIRCUMSTANCES, MEASUREMENT_KEYS
from sus2bench.benchmark.records import Record

logger = logging.getLogger(__name__)

_IGNORED = {
    *(*CIRCUMSTANCES, *MEASUREMENT_KEYS),
    *("name", "data_name", "threads", "data.frames_per_block"),
}
_SHOWN = 3
"""Settings that a label names at most."""


@dataclass(frozen=True)
class ModelRuns:
    """A model on a data set: its runs, which differ by their seeds."""

    data: str
    label: str
    """Unique among the models on the data set."""
    key: str
    """SHA-256 of what the runs have in common."""
    runs: tuple[tuple[Path, Record], ...]


def models_of(found: Iterable[tuple[Path, Record]]) -> list[ModelRuns]:
    """The models among some records, in the order in which their first runs are found.

    Args:
        found: records with their files, as `benchmark.records.find_records` returns them; those
            that are not completed or hold no errors are left out.
    """
    groups: dict[tuple[str, str], list[tuple[Path, Record]]] = defaultdict(list)
    for path, record in found:
        if record["status"] == "completed" and record["metrics"]:
            groups[record["data"]["name"], model_key(record)].append((path, record))
    distinct = {place: _distinct(runs) for place, runs in groups.items()}
    labels = _labels(distinct)
    return [
        ModelRuns(data, labels[data, key], key, tuple(runs))
        for (data, key), runs in distinct.items()
    ]


def model_key(record: Record) -> str:
    """SHA-256 of the configuration without what this module lists."""
    text = json.dumps([record["kind"], settings(record["config"])], sort_keys=True)
    return hashlib.sha256(text.encode()).hexdigest()


def settings(config: Mapping[str, Any]) -> dict[str, Any]:
    """The part of a configuration that makes a model what it is, flat, by dotted names."""
    flat: dict[str, Any] = {}

    def walk(node: Mapping[str, Any], prefix: str) -> None:
        for name, value in node.items():
            full = f"{prefix}{name}"
            if full in _IGNORED or name == "seed" or value is None:
                continue
            if isinstance(value, Mapping):
                walk(value, f"{full}.")
            else:
                flat[full] = value

    walk(config, "")
    return flat


def _distinct(runs: Sequence[tuple[Path, Record]]) -> list[tuple[Path, Record]]:
    """One run for each choice of seeds, the newest."""
    newest: dict[str, tuple[Path, Record]] = {}
    for path, record in sorted(runs, key=lambda run: str(run[1]["created"])):
        newest[json.dumps(record["seeds"], sort_keys=True)] = (path, record)
    if len(newest) < len(runs):
        name = runs[0][1]["name"]
        logger.warning("%s: %d runs repeat seeds, the newest count", name, len(runs) - len(newest))
    return sorted(newest.values(), key=lambda run: str(run[0]))


def _labels(
    groups: Mapping[tuple[str, str], Sequence[tuple[Path, Record]]],
) -> dict[tuple[str, str], str]:
    """What the names of the runs have in common, and settings where that is not enough."""
    plain = {place: _common_name(runs) for place, runs in groups.items()}
    homonyms: dict[tuple[str, str], list[tuple[str, str]]] = defaultdict(list)
    for place, label in plain.items():
        homonyms[place[0], label].append(place)
    labels = dict(plain)
    for places in homonyms.values():
        if len(places) > 1:
            own = {place: settings(groups[place][0][1]["config"]) for place in places}
            for place, text in _differences(own).items():
                labels[place] = f"{plain[place]} ({text})"
    return labels


def _common_name(runs: Sequence[tuple[Path, Record]]) -> str:
    """The parts of the names that all runs share, seeds left out."""
    names = [_without_seed(record) for _, record in runs]
    parts = [re.split(r"([-_., /]+)", name) for name in names]
    if len({len(part) for part in parts}) == 1:
        common = [column[0] for column in zip(*parts, strict=True) if len(set(column)) == 1]
        shared = re.sub(r"([-_., /])[-_., /]+", r"\1", "".join(common)).strip("-_., /")
        if shared:
            return shared
    return Counter(names).most_common(1)[0][0]


def _without_seed(record: Record) -> str:
    """The name of a run less a part such as `_seed0` or `-s0` with the seed of the run."""
    name, seed = str(record["name"]), record["seeds"].get("run")
    shorter = re.sub(rf"(^|[-_., /])(seed|s)[=_-]?{seed}(?=$|[-_., /])", "", name)
    return shorter.strip("-_., /") or name


def _differences(own: Mapping[Any, Mapping[str, Any]]) -> dict[Any, str]:
    """For each of some configurations what sets it apart from the others, in short."""
    names = sorted({name for one in own.values() for name in one})
    differing = [name for name in names if len({json.dumps(o.get(name)) for o in own.values()}) > 1]
    texts = {}
    for place, one in own.items():
        entries = [f"{_short(name, differing)}={one.get(name)}" for name in differing]
        texts[place] = ", ".join(entries[:_SHOWN])
    if len(differing) > _SHOWN or len(set(texts.values())) < len(texts):
        return {place: f"{place[1][:8]}" for place in own}
    return texts


def _short(name: str, others: Sequence[str]) -> str:
    last = name.rpartition(".")[2]
    return name if sum(other.rpartition(".")[2] == last for other in others) > 1 else last
