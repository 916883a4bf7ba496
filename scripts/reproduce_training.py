"""The runs behind results/training: SUS2 by Levenberg-Marquardt on four sets of real data.

    SUS2BENCH_SHARED=FOLDER python scripts/reproduce_training.py diamond40 mlearn unipero alloy53
    python scripts/reproduce_training.py mlearn --data mlearn_Ni mlearn_Cu
    python scripts/training_report.py results/training/diamond40 --out results/training/diamond40

Times are processor time of one thread: diamond40 three seeds of 6 min and one of 30, mlearn six
elements of 6 to 12 min, unipero 47 min for one seed and 40 for another, alloy53 twice 5 min. A run
that is complete is kept; one that was cut goes on.
"""

import argparse
import json
import os
import subprocess
import sys
from pathlib import Path

ENVIRONMENT = {**os.environ, "OMP_NUM_THREADS": "1", "MKL_NUM_THREADS": "1"}

# Sizes below those of the MTPs of Zuo et al. (2020): 330 parameters for Ni, Cu and Mo, 126 for Li,
# 914 for Si and Ge; cutoffs in Å are theirs.
TWENTY = ("model.level=20", "model.max_rank=5", "model.radial_basis_size=7")
TWENTY_LK = (*TWENTY[:2], "model.radial_basis_size=5", "model.scaling_map=LK")
TWENTY_FOUR = (
    "model.level=24",
    "model.max_rank=5",
    "model.radial_basis_size=11",
    "model.scaling_map=LK",
)
SIXTEEN = (
    "model.level=16",
    "model.max_rank=5",
    "model.channels=1",
    "model.radial_basis_size=10",
    "model.scaling_map=LK",
)
MLEARN = {
    "Mo": (*TWENTY, "model.cutoff=5.2", "budget.max_time=10 min"),
    "Li": (*SIXTEEN, "model.cutoff=5.1", "budget.max_time=6 min"),
    "Ni": (*TWENTY, "model.cutoff=4.0", "budget.max_time=9 min"),
    "Cu": (*TWENTY_LK, "model.cutoff=3.9", "loss.energy=30", "budget.max_time=10 min"),
    "Si": (*TWENTY_FOUR, "model.cutoff=4.7"),
    "Ge": (*TWENTY_FOUR, "model.cutoff=5.1"),
}
# Where a step over all frames is long: first on a quarter of them, then from there on all.
QUARTER = ("data.train_fraction=0.25", "budget.max_time=3 min")


def runs(results: Path) -> dict[str, list[tuple[str, str, list[str]]]]:
    """Of each figure: data, name and settings of its runs, in their order."""
    mlearn: list[tuple[str, str, list[str]]] = []
    for element, settings in MLEARN.items():
        data = f"mlearn_{element}"
        if settings[: len(TWENTY_FOUR)] == TWENTY_FOUR:
            mlearn.append((data, "quarter", [*settings, *QUARTER]))
            start = results / data / "quarter" / "checkpoints" / "last.ckpt"
            settings = (f"potential.start={start}", "budget.max_time=9 min")
        mlearn.append((data, "lm_seed0", list(settings)))
    return {
        "diamond40": [
            *(
                ("diamond40", f"lm_seed{s}", [f"seed={s}", "budget.max_time=6 min"])
                for s in range(3)
            ),
            ("diamond40", "long_seed0", ["seed=0", "budget.max_time=30 min"]),
        ],
        "mlearn": mlearn,
        "unipero": [run for seed in (0, 1) for run in _perovskites(results, seed)],
        "alloy53": [
            ("alloy53", "element_ordered", ["model.parametrization=element_ordered"]),
            ("alloy53", "pair", ["model.parametrization=pair"]),
        ],
    }


def _perovskites(results: Path, seed: int) -> list[tuple[str, str, list[str]]]:
    """First an eighth of the frames, then from there on all of them."""
    suffix = f"_seed{seed}" if seed else ""
    start = results / "unipero" / f"eighth{suffix}" / "checkpoints" / "last.ckpt"
    common, minutes = [f"seed={seed}"], "budget.max_time={} min".format
    eighth = [*common, "data.train_fraction=0.125", minutes(5)]
    whole = [*common, f"potential.start={start}", minutes(42 if seed == 0 else 35)]
    return [("unipero", f"eighth{suffix}", eighth), ("unipero", f"full{suffix}", whole)]


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
    parser.add_argument("--results", type=Path, default=Path("results/training"))
    options = parser.parse_args()
    results = options.results.resolve()
    known = runs(results)
    chosen = [(figure, *run) for figure in options.figures for run in known[figure]]
    if options.data:
        chosen = [run for run in chosen if run[1] in options.data]
        if missing := sorted(set(options.data) - {run[1] for run in chosen}):
            parser.error(f"--data: {', '.join(missing)} not in {', '.join(options.figures)}")
    return 0 if all([train(*run, results) for run in chosen]) else 1


if __name__ == "__main__":
    sys.exit(main())
