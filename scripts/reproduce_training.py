"""The runs behind results/training: SUS2 by Levenberg-Marquardt on four sets of real data.

    SUS2BENCH_SHARED=FOLDER python scripts/reproduce_training.py diamond40 mlearn unipero alloy53
    python scripts/reproduce_training.py mlearn --data mlearn_Ni mlearn_Cu --seeds 0
    python scripts/training_report.py results/training/mlearn_* --out results/training/mlearn-report

Times are processor time of one thread, for each of three seeds: diamond40 6 min (and one run of
30), mlearn 6 to 16 min for each of six elements, unipero 40 min, alloy53 5 min for each of three
forms. A run that is complete is kept; one that was cut goes on.
"""

import argparse
import json
import os
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

ENVIRONMENT = {**os.environ, "OMP_NUM_THREADS": "1", "MKL_NUM_THREADS": "1"}

SEEDS = (0, 1, 2)
# Where a step over all frames is long: first on a part of them, then from there on all, with a
# damping that has proved small enough.
GO_ON = "optimizer.algorithm.damping=1e-6"
# Sizes below those of the MTPs of Zuo et al. (2020): 330 parameters for Ni, Cu and Mo, 126 for Li,
# 914 for Si and Ge; cutoffs in Å are theirs.
TWENTY = ("model.level=20", "model.max_rank=5", "model.radial_basis_size=7")
TWENTY_LK = (*TWENTY[:2], "model.radial_basis_size=5", "model.scaling_map=LK")
TWENTY_FOUR = (
    "model.level=24",
    "model.max_rank=5",
    "model.channels=3",
    "model.radial_basis_size=11",
    "model.scaling_map=LK",
)
# Of the frames for validation, four or five here: the MTPs were trained on all.
FEW = "data.valid_fraction=0.02"
SIXTEEN = (
    "model.level=16",
    "model.max_rank=5",
    "model.channels=1",
    "model.radial_basis_size=10",
    "model.scaling_map=LK",
)
# Settings, and minutes: of one run, or of one on a quarter of the frames and one on all.
MLEARN: dict[str, tuple[tuple[str, ...], tuple[int, ...]]] = {
    "Mo": ((*TWENTY, "model.cutoff=5.2"), (10,)),
    "Li": ((*SIXTEEN, "model.cutoff=5.1"), (6,)),
    "Ni": ((*TWENTY, "model.cutoff=4.0"), (9,)),
    "Cu": ((*TWENTY_LK, "model.cutoff=3.9", "loss.energy=30"), (10,)),
    "Si": ((*TWENTY_FOUR, "model.cutoff=4.7", "loss.energy=60", FEW), (4, 12)),
    "Ge": ((*TWENTY_FOUR, "model.cutoff=5.1", FEW), (4, 12)),
}

Run = tuple[str, str, list[str]]
"""Data, name and settings."""


def runs(results: Path, seeds: Sequence[int] = SEEDS) -> dict[str, list[Run]]:
    """Of each figure its runs, in their order."""
    long = ("diamond40", "long_seed0", ["seed=0", "budget.max_time=30 min"])
    forms = ("element_ordered", "element_symmetric", "pair")
    return {
        "diamond40": [*(_single("diamond40", "lm", seed, (), 6) for seed in seeds), long],
        "mlearn": [
            run
            for seed in seeds
            for element, (settings, minutes) in MLEARN.items()
            for run in _growing(results / f"mlearn_{element}", seed, settings, minutes, 0.25)
        ],
        "unipero": [
            run
            for seed in seeds
            for run in _growing(
                results / "unipero", seed, (), (5, 40), 0.125, names=("eighth", "full")
            )
        ],
        "alloy53": [
            _single("alloy53", form, seed, (f"model.parametrization={form}",), 5)
            for seed in seeds
            for form in forms
        ],
    }


def _single(data: str, name: str, seed: int, settings: Sequence[str], minutes: int) -> Run:
    common = [f"seed={seed}", f"budget.max_time={minutes} min"]
    return data, f"{name}_seed{seed}", [*settings, *common]


def _growing(
    folder: Path,
    seed: int,
    settings: Sequence[str],
    minutes: Sequence[int],
    fraction: float,
    names: tuple[str, str] = ("quarter", "lm"),
) -> list[Run]:
    """One run on all frames, after one on a part of them where there are minutes for two."""
    data, (first, second) = folder.name, names
    if len(minutes) == 1:
        return [_single(data, second, seed, settings, minutes[0])]
    part = _single(data, first, seed, (*settings, f"data.train_fraction={fraction:g}"), minutes[0])
    kept = [setting for setting in settings if not setting.startswith("model.")]
    start = f"potential.start={folder / part[1] / 'checkpoints' / 'last.ckpt'}"
    return [part, _single(data, second, seed, (*kept, start, GO_ON), minutes[1])]


def train(figure: str, data: str, name: str, settings: list[str], results: Path) -> bool:
    """One run, unless its completed record is there; whether it is then."""
    record = results / data / name / "record.json"
    if record.is_file() and json.loads(record.read_text())["status"] == "completed":
        print(f"{data}/{name}: kept, {record} is complete", flush=True)
        return True
    arguments = [
        f"experiment={figure if figure == 'diamond40' else f'{figure}_sus2'}",
        f"data={data}",
        f"paths.results={results}",
        f"name={name}",
        "resume=true",
        *settings,
    ]
    command = [sys.executable, "-m", "sus2bench", "train", *arguments]
    print(" ".join(command), flush=True)
    return subprocess.run(command, env=ENVIRONMENT).returncode == 0


def main() -> int:
    """Run what is asked for; 0 if all of it is complete."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("figures", nargs="+", choices=runs(Path()))
    parser.add_argument("--data", nargs="+", help="only these data sets, such as mlearn_Ni")
    parser.add_argument("--seeds", type=int, nargs="+", default=list(SEEDS))
    parser.add_argument("--results", type=Path, default=Path("results/training"))
    options = parser.parse_args()
    results = options.results.resolve()
    known = runs(results, options.seeds)
    chosen = [(figure, *run) for figure in options.figures for run in known[figure]]
    if options.data:
        chosen = [run for run in chosen if run[1] in options.data]
        if missing := sorted(set(options.data) - {run[1] for run in chosen}):
            parser.error(f"--data: {', '.join(missing)} not in {', '.join(options.figures)}")
    return 0 if all([train(*run, results) for run in chosen]) else 1


if __name__ == "__main__":
    sys.exit(main())
