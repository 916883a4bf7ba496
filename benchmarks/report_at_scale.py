"""How long `sus2bench report` and `sus2bench compare --statistics` take over many records.

    python benchmarks/report_at_scale.py --runs 1000 --predictions 50

Makes up records of as many runs (data sets, models, sizes and seeds in turn) with learning curves,
and predictions beside the first of them, in a folder that goes away at the end. Prints the time,
the processor time and the memory of each command, and the size of what it has written.
"""

import argparse
import resource
import subprocess
import sys
import tempfile
import time
from functools import cache
from itertools import islice, product
from pathlib import Path
from typing import Any

import numpy as np

from sus2bench.benchmark.accuracy import Arrays, errors_of, save_predictions
from sus2bench.benchmark.records import (
    Record,
    complete_units,
    config_hash,
    new_record,
    write_record,
)

DATA, MODELS, SIZES, SEEDS = 4, 10, 5, 5
ELEMENTS = {"Al": 13, "Ni": 28, "Cu": 29}
FRAMES, ATOMS = 200, 32
"""Of a test set; atoms of each frame."""
POINTS = 200
"""Of a learning curve."""
COUNTS = ("_frames", "_components")
"""Ends of names of metrics that are no errors."""


def runs(count: int) -> list[tuple[str, str, int, int]]:
    """Data set, model, size and seed of each run; more seeds where the others do not suffice."""
    seeds = max(SEEDS, -(-count // (DATA * MODELS * SIZES)))
    every = product(range(DATA), range(MODELS), range(SIZES), range(seeds))
    return [(f"alloys{d}", f"model{m}", 2**s, seed) for d, m, s, seed in islice(every, count)]


def predictions(error: float, seed: int) -> Arrays:
    """Predictions that err by normal numbers (eV/Å, eV/atom) on labels that are always the same."""
    labels, noise = np.random.default_rng(0), np.random.default_rng([seed, 1])
    atoms = FRAMES * ATOMS
    shapes = {"energy": (FRAMES,), "forces": (atoms, 3), "stress": (FRAMES, 3, 3)}
    arrays: Arrays = {
        "atomic_numbers": np.resize(list(ELEMENTS.values()), atoms),
        "frame_index": np.arange(FRAMES),
        "frame_offsets": np.arange(FRAMES + 1) * ATOMS,
        "composition_energy": np.zeros(FRAMES),
    }
    for name, shape in shapes.items():
        arrays[f"{name}_reference"] = labels.normal(size=shape)
        arrays[name] = arrays[f"{name}_reference"] + error * noise.normal(size=shape)
    return arrays


@cache
def empty_record() -> Record:
    """A record without results: what it says of machine and environment takes a while to find."""
    return new_record("train", "", {})


@cache
def unit_errors() -> tuple[dict[str, float], dict[str, float]]:
    """Errors of predictions that err by 1, and those of the composition fit."""
    return errors_of(predictions(1.0, 0))


def write_run(folder: Path, number: int, place: tuple[str, str, int, int], stored: bool) -> None:
    """Write the record of a run with its learning curve, and on request predictions."""
    data, model, size, seed = place
    error = 0.1 * (1 + int(model[-1])) / size**0.5 * np.exp(0.03 * np.sin(number))
    name = f"{model}-{size}-s{seed}"
    config: dict[str, Any] = {"name": name, "seed": seed}
    config["model"] = {"_target_": f"package.{model.title()}", "channels": size}
    metrics, baseline = unit_errors()
    metrics = {k: v if k.endswith(COUNTS) else error * v for k, v in metrics.items()}
    if stored:
        arrays = predictions(error, number)
        save_predictions(arrays, folder / "predictions_test.npz")
        metrics, baseline = errors_of(arrays)
    record = empty_record() | {"name": name, "config": config, "config_sha256": config_hash(config)}
    record["model"] = {"name": name, "target": config["model"]["_target_"], "dtype": "float32"}
    record["data"] = record["data"] | {"name": data, "species": list(ELEMENTS)}
    speed = {"frames": 8, "atoms": 256, "edges": 9000, "dtype": "float32", "device": "cpu"}
    timing = {"median": 9.0 * size, "lower_quartile": 8.0, "upper_quartile": 10.0, "repeats": 9}
    counts = dict.fromkeys(("stored", "trainable", "effective"), 1000 * size)
    record |= {
        **{"status": "completed", "traceback": None, "seeds": {"run": seed}},
        **{"metrics": {"valid": metrics, "test": metrics}, "baseline": {"test": baseline}},
        "parameters": counts | {"blocks": {}},
        "timings": {"train_seconds": 60.0 * size, "steps": 10 * POINTS},
        "speed": {name: speed | {"threads": 1, "energy_and_forces_us_per_atom": timing}},
    }
    complete_units(record)
    write_record(record, folder / "record.json")
    rows = [f"{10 * i},{i},{1 / i},{1e3 * error * (1 + 9 / i)}" for i in range(1, POINTS + 1)]
    head = "step,seconds,train/loss,valid/forces_rmse_meV_A"
    (folder / "metrics.csv").write_text("\n".join([head, *rows]) + "\n", "utf-8")


def timed(*arguments: str) -> str:
    """Run the program; the time it takes, its processor time and its memory at most, as text."""
    before, start = resource.getrusage(resource.RUSAGE_CHILDREN), time.perf_counter()
    command = [sys.executable, "-m", "sus2bench", *arguments]
    subprocess.run(command, check=True, stdout=subprocess.DEVNULL)
    wall, after = time.perf_counter() - start, resource.getrusage(resource.RUSAGE_CHILDREN)
    processor = after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime
    return f"{wall:.0f} s, {processor:.0f} s of processor, {after.ru_maxrss / 1024:.0f} MB"


def size_of(folder: Path) -> str:
    """Number and size of the files below a folder."""
    sizes = [file.stat().st_size for file in folder.rglob("*") if file.is_file()]
    return f"{len(sizes)} files, {sum(sizes) / 1e6:.0f} MB"


def main() -> None:
    """Make records, and time the commands on them."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--runs", type=int, default=1000)
    parser.add_argument("--predictions", type=int, default=0, metavar="RUNS")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as place:
        root, site = Path(place) / "runs", Path(place) / "site"
        for number, run in enumerate(runs(options.runs)):
            folder = root / run[0] / f"{run[1]}-{run[2]}-s{run[3]}"
            write_run(folder, number, run, number < options.predictions)
        print(f"{options.runs} runs, {options.predictions} with predictions: {size_of(root)}")
        print(f"compare --statistics: {timed('compare', str(root), '--statistics')}", flush=True)
        print(f"report: {timed('report', str(root), '--out', str(site))}")
        print(f"site: {size_of(site)}")
        print(f"index.html: {(site / 'index.html').stat().st_size / 1e6:.1f} MB")


if __name__ == "__main__":
    main()
