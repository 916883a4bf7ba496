"""Data sets read once: their graphs are kept on disk under a key of all that made them."""

from __future__ import annotations

import hashlib
import json
import logging
import os
import time
import zipfile
from collections.abc import Sequence
from dataclasses import asdict
from os import PathLike
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from sus2bench.atoms.files import sha256_of, write_atomically
from sus2bench.atoms.reading import LabelKeys, Units, read_labelled
from sus2bench.data.dataset import FIELDS, FrameDataset, build_store

log = logging.getLogger(__name__)

# To be raised when the stored tensors or the way they are made change.
FORMAT_VERSION = 1


def default_cache_folder() -> Path:
    """`$SUS2BENCH_CACHE`, else `sus2bench` in the user's cache folder."""
    if folder := os.environ.get("SUS2BENCH_CACHE"):
        return Path(folder)
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "sus2bench"


def load_dataset(
    path: str | PathLike[str],
    cutoff: float,
    *,
    keys: LabelKeys | None = None,
    units: Units | None = None,
    species_map: Sequence[str] | None = None,
    cache_dir: str | PathLike[str] | None = None,
    name: str | None = None,
    processes: int | None = None,
) -> FrameDataset:
    """The frames of a file with their graphs, from the cache where they are there.

    The key of the cache covers the content of the file, the label keys, units and species map, the
    cutoff and the version of the format. A damaged entry is made anew.

    Args:
        path: extended XYZ, `.cfg`, or what else ASE reads.
        cutoff: Å.
        keys: where the labels are.
        units: units of the file.
        species_map: chemical symbols in the order of the types, for `.cfg`.
        cache_dir: folder of the cache; `default_cache_folder` by default.
        name: of the data set; the file's name by default.
        processes: how many build the graphs; by default as many as pay.

    Raises:
        ReadingError, ValueError: what is wrong with the file, by frame.
    """
    keys, units = keys or LabelKeys(), units or Units()
    name = name or Path(path).stem
    if not Path(path).is_file():
        raise FileNotFoundError(f"there is no file {path}")
    made_of = {
        "version": FORMAT_VERSION,
        "sha256": sha256_of(path),
        "keys": asdict(keys),
        "units": asdict(units),
        "species_map": list(species_map or []),
        "cutoff": float(cutoff),
    }
    key = hashlib.sha256(json.dumps(made_of, sort_keys=True).encode()).hexdigest()[:24]
    folder = Path(cache_dir) if cache_dir is not None else default_cache_folder()
    entry = folder / "graphs" / f"{Path(path).stem}-{key}.pt"
    if (store := _read(entry)) is None:
        start = time.perf_counter()
        frames = read_labelled(path, keys, units, species_map)
        store = build_store(frames, cutoff, str(path), processes)
        content: dict[str, Any] = {"made_of": made_of, "store": store}
        write_atomically(entry, lambda part: torch.save(content, part))
        log.info(
            "%s: %d frames, %d edges within %g Å, %.1f s",
            path, len(frames), store["edge_index"].shape[1], cutoff, time.perf_counter() - start,
        )  # fmt: skip
    return FrameDataset(store, name, cutoff)


def _read(entry: Path) -> dict[str, Tensor] | None:
    if not entry.is_file():
        return None
    try:
        with zipfile.ZipFile(entry) as archive:  # torch.load does not look at the checksums
            if (broken := archive.testzip()) is not None:
                raise ValueError(f"the checksum of {broken} is wrong")
        store: dict[str, Tensor] = torch.load(entry, weights_only=True)["store"]
        if set(store) != set(FIELDS):
            raise KeyError(f"fields {sorted(store)}")
    # Whatever a damaged file makes the reader raise: the entry can always be made anew.
    except Exception as error:
        log.warning("%s is damaged (%s: %s) and is made anew", entry, type(error).__name__, error)
        return None
    return store
