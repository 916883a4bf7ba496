"""Train several models on the same data under the same budget, time them in turn, compare them.

Training runs go side by side, one thread each. Times per atom are measured afterwards, all
potentials in one run on the same frames, with nothing else running.
"""

import argparse
import json
import os
import subprocess
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

# One thread per process, so that as many run side by side as there are cores.
ENVIRONMENT = {**os.environ, "OMP_NUM_THREADS": "1", "MKL_NUM_THREADS": "1"}


def sus2bench(*arguments: str, log: Path | None = None) -> int:
    """Run a command of the package, output to the screen or a file; returns the exit code."""
    print(f"$ sus2bench {' '.join(arguments)}" + (f" > {log}" if log else ""), flush=True)
    command = [sys.executable, "-m", "sus2bench", *arguments]
    if log is None:
        return subprocess.run(command, env=ENVIRONMENT).returncode
    with log.open("w") as stream:
        result = subprocess.run(command, env=ENVIRONMENT, stdout=stream, stderr=subprocess.STDOUT)
    return result.returncode


def train(model: str, options: argparse.Namespace) -> bool:
    """Train one model unless its completed record is there, and say how it went."""
    record = options.folder / options.data / model / "record.json"
    if record.is_file() and json.loads(record.read_text())["status"] == "completed":
        print(f"{model}: kept, {record} is complete", flush=True)
        return True
    log = options.folder / f"{options.data}-{model}.log"
    start = time.perf_counter()
    code = sus2bench(
        "train",
        f"experiment={options.experiment}",
        f"data={options.data}",
        f"model={model}",
        f"paths.results={options.folder}",
        "speed=false",
        "resume=true",
        log=log,
    )
    if code:
        print(f"{model} failed; the end of {log}:\n{log.read_text()[-2000:]}", flush=True)
    else:
        print(f"{model}: trained and tested in {time.perf_counter() - start:.0f} s", flush=True)
    return code == 0


def measure_speed(options: argparse.Namespace) -> int:
    """Time the best checkpoints of all models in one run, in turn."""
    runs = options.folder / options.data
    checkpoints = ",".join(
        f"{model}:{runs / model / 'checkpoints' / 'best.ckpt'}" for model in options.models
    )
    return sus2bench(
        "speed",
        f"data={options.data}",
        f"potentials={{{checkpoints}}}",
        "dtype=float32",
        f"paths.results={options.folder}",
        "overwrite=true",
    )


def main() -> int:
    """Describe the data, train the models, time them, compare their records."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--experiment", default="demo", help="budget and settings (demo)")
    parser.add_argument("--data", default="emt-alloys", help="data set (emt-alloys)")
    parser.add_argument("--models", nargs="+", default=["sus2", "schnet_small", "painn_small"])
    parser.add_argument("--folder", type=Path, default=Path("demo"), help="for logs and results")
    parser.add_argument("--processes", type=int, default=min(2, os.cpu_count() or 1))
    options = parser.parse_args()
    options.folder.mkdir(parents=True, exist_ok=True)
    start = time.perf_counter()

    # The data are made on first use: once, before several processes ask for them.
    if code := sus2bench("data", "describe", options.data):
        return code
    print(f"Training {', '.join(options.models)}, {options.processes} side by side.", flush=True)
    with ThreadPoolExecutor(options.processes) as pool:
        if not all(list(pool.map(lambda model: train(model, options), options.models))):
            return 1
    if code := measure_speed(options):
        return code
    runs, report = options.folder / options.data, options.folder / f"{options.data}-report"
    speed = options.folder / "speed" / options.data
    code = sus2bench("compare", str(runs), str(speed), "--out", str(report))
    print(f"\nDone in {time.perf_counter() - start:.0f} s. Table and figures: {report}")
    return code


if __name__ == "__main__":
    sys.exit(main())
