"""The runs behind results/training: SUS2 by Levenberg-Marquardt on four sets of real data.

    SUS2BENCH_SHARED=FOLDER python scripts/reproduce_training.py diamond40 mlearn unipero alloy53
    python scripts/reproduce_training.py mlearn --data mlearn_Ni mlearn_Cu --seeds 0
    python scripts/training_report.py results/training/mlearn_* --out results/training/mlearn-report

Times are processor time of one thread, for each of three seeds: diamond40 6 min (and one run of
30), mlearn 8 to 18 min for each of six elements, unipero 5, 42 and 45 min, alloy53 5 min for each
of five forms. A run that is complete is kept; one that was cut goes on.
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
# Minutes on a quarter of the frames before those on all, which conf/experiment/mlearn_*.yaml have
# with the sizes.
MLEARN = {"Mo": 0, "Li": 0, "Ni": 3, "Cu": 2, "Si": 4, "Ge": 4}
REGULARIZED = (
    "regularization=default",
    "regularization.readout=1e-4",
    "regularization.smoothness=1e-6",
)
# Numbers of elements or of pairs, which differ most in how many there are to be held back.
ALLOYS: dict[str, tuple[str, ...]] = {
    "element_ordered": ("model.parametrization=element_ordered",),
    "element_symmetric": ("model.parametrization=element_symmetric",),
    "pair": (),
    "element_ordered_regularized": ("model.parametrization=element_ordered", *REGULARIZED),
    "pair_regularized": REGULARIZED,
}

Run = tuple[str, str, str, list[str]]
"""Experiment, data, name and settings."""


def runs(results: Path, seeds: Sequence[int] = SEEDS) -> dict[str, list[Run]]:
    """Of each figure its runs, in their order."""
    long = ("diamond40", "diamond40", "long_seed0", ["seed=0", "budget.max_time=30 min"])
    return {
        "diamond40": [*(_run("diamond40", "diamond40", "lm", seed) for seed in seeds), long],
        "mlearn": [
            run
            for seed in seeds
            for element, minutes in MLEARN.items()
            for run in _growing(
                f"mlearn_{element}", results / f"mlearn_{element}", ("quarter", "lm"), seed, minutes
            )
        ],
        "unipero": [
            run
            for seed in seeds
            for run in [
                *_growing("unipero_sus2", results / "unipero", ("eighth", "full"), seed, 5, 0.125),
                _longer("unipero_sus2", results / "unipero", "full", seed, 45),
            ]
        ],
        "alloy53": [
            _run("alloy53_sus2", "alloy53", form, seed, *settings)
            for seed in seeds
            for form, settings in ALLOYS.items()
        ],
    }


def _run(experiment: str, data: str, name: str, seed: int, *settings: str) -> Run:
    return experiment, data, f"{name}_seed{seed}", [*settings, f"seed={seed}"]


def _growing(
    experiment: str,
    folder: Path,
    names: tuple[str, str],
    seed: int,
    minutes: int,
    fraction: float = 0.25,
) -> list[Run]:
    """One run on all frames, after one on a part of them if that has minutes."""
    data, (first, second) = folder.name, names
    if not minutes:
        return [_run(experiment, data, second, seed)]
    few = (f"data.train_fraction={fraction:g}", f"budget.max_time={minutes} min")
    part = _run(experiment, data, first, seed, *few)
    return [part, _run(experiment, data, second, seed, *_from(folder / part[2]))]


def _longer(experiment: str, folder: Path, first: str, seed: int, minutes: int) -> Run:
    """A run that goes on from where the one called ``first`` of this seed has ended."""
    start = _from(folder / f"{first}_seed{seed}")
    return _run(experiment, folder.name, "longer", seed, *start, f"budget.max_time={minutes} min")


def _from(run: Path) -> tuple[str, str]:
    return f"potential.start={run / 'checkpoints' / 'last.ckpt'}", GO_ON


def train(experiment: str, data: str, name: str, settings: list[str], results: Path) -> bool:
    """One run, unless its completed record is there; whether it is then."""
    record = results / data / name / "record.json"
    if record.is_file() and json.loads(record.read_text())["status"] == "completed":
        print(f"{data}/{name}: kept, {record} is complete", flush=True)
        return True
    arguments = [
        f"experiment={experiment}",
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
    chosen = [run for figure in options.figures for run in known[figure]]
    if options.data:
        chosen = [run for run in chosen if run[1] in options.data]
        if missing := sorted(set(options.data) - {run[1] for run in chosen}):
            parser.error(f"--data: {', '.join(missing)} not in {', '.join(options.figures)}")
    return 0 if all([train(*run, results) for run in chosen]) else 1


if __name__ == "__main__":
    sys.exit(main())
