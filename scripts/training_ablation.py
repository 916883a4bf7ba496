"""Ablation of how SUS2 is trained: one choice changed at a time, same data and processor time.

    python scripts/training_ablation.py [--only NAME ...] [--seeds 0 1]
    python scripts/training_report.py results/training/ablation --out FOLDER

Runs go one after another, one thread each, all choices for a seed before the next seed; a run that
is complete is kept. Leaves FOLDER/NAME_seedN/record.json.
"""

import argparse
import json
import os
import subprocess
import sys
import time
from pathlib import Path

ENVIRONMENT = {**os.environ, "OMP_NUM_THREADS": "1", "MKL_NUM_THREADS": "1"}
COMMON = (
    "data=emt-alloys",
    "dtype=float64",
    "threads=1",
    "trainer=cpu",
    "budget.clock=processor",
    "speed=false",
    "resume=true",
)
SECOND_ORDER = "optimizer=levenberg_marquardt"
# What each run has beside what all of them share; lm is the one the later ones change.
CHOICES: dict[str, tuple[str, ...]] = {
    "adamw_0.002": ("optimizer=adamw", "optimizer.algorithm.lr=0.002"),
    "adamw_0.01": ("optimizer=adamw", "optimizer.algorithm.lr=0.01"),
    "lbfgs": ("optimizer=lbfgs",),
    "variable_projection": ("optimizer=variable_projection",),
    "polish": ("training=polish",),
    "lm": (SECOND_ORDER,),
    "lm_straight": (SECOND_ORDER, "optimizer.algorithm.acceleration=false"),
    "lm_level16": (SECOND_ORDER, "model=sus2_level"),
    "lm_min_dist_0": (SECOND_ORDER, "model.min_dist=0.0"),
    "lm_observed": (SECOND_ORDER, "model.initial_scaling=observed"),
    "lm_LK": (SECOND_ORDER, "model.scaling_map=LK"),
    "lm_element_ordered": (SECOND_ORDER, "model.parametrization=element_ordered"),
    "lm_element_symmetric": (SECOND_ORDER, "model.parametrization=element_symmetric"),
    "lm_energy_33": (SECOND_ORDER, "loss.energy=33"),
    "lm_energy_100": (SECOND_ORDER, "loss.energy=100"),
    "lm_multistart_16": (SECOND_ORDER, "potential.multistart={starts: 16}"),
    "lm_regularized": (SECOND_ORDER, "regularization=default"),
    "lm_zbl": (SECOND_ORDER, "potential.zbl=true"),
}


def train(choice: str, seed: int, options: argparse.Namespace) -> bool:
    """Train with one choice and seed unless its completed record is there; whether it is then."""
    name = f"{choice}_seed{seed}"
    record = options.folder / name / "record.json"
    if record.is_file() and json.loads(record.read_text())["status"] == "completed":
        print(f"{name}: kept, {record} is complete", flush=True)
        return True
    arguments = [
        *COMMON,
        *CHOICES[choice],
        f"seed={seed}",
        f"name={name}",
        f"budget.max_time={options.seconds:g}",
        f"hydra.run.dir={options.folder / name}",
    ]
    log = options.folder / f"{name}.log"
    start = time.perf_counter()
    with log.open("w") as stream:
        command = [sys.executable, "-m", "sus2bench", "train", *arguments]
        code = subprocess.run(
            command, env=ENVIRONMENT, stdout=stream, stderr=subprocess.STDOUT
        ).returncode
    if code:
        print(f"{name} failed; the end of {log}:\n{log.read_text()[-2000:]}", flush=True)
        return False
    errors = json.loads(record.read_text())["metrics"]["valid"]
    print(
        f"{name}: E {errors['energy_per_atom_rmse_meV']:.2f} meV/atom, "
        f"F {errors['forces_rmse_meV_A']:.1f} meV/Å in validation; "
        f"{time.perf_counter() - start:.0f} s with everything around it",
        flush=True,
    )
    return True


def main() -> int:
    """Run what is asked for; 0 if all of it is complete."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--only", nargs="+", choices=CHOICES, default=list(CHOICES), metavar="NAME")
    parser.add_argument("--seeds", type=int, nargs="+", default=[0, 1])
    parser.add_argument("--seconds", type=float, default=45.0, help="of processor time (45)")
    parser.add_argument("--folder", type=Path, default=Path("results/training/ablation"))
    options = parser.parse_args()
    options.folder.mkdir(parents=True, exist_ok=True)
    complete = [train(choice, seed, options) for seed in options.seeds for choice in options.only]
    return 0 if all(complete) else 1


if __name__ == "__main__":
    sys.exit(main())
