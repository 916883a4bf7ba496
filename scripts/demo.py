"""The demo: SUS2 and two graph networks trained on the same alloys, then compared in one table."""

import argparse
import os
import subprocess
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

MODELS = ("sus2", "schnet_small", "painn_small")
# One thread per process, so that as many run side by side as there are cores.
ENVIRONMENT = {**os.environ, "OMP_NUM_THREADS": "1", "MKL_NUM_THREADS": "1"}


def sus2bench(*arguments: str, log: Path | None = None) -> int:
    """Run a command of the package, output to the screen or a file; returns the exit code."""
    command = [sys.executable, "-m", "sus2bench", *arguments]
    if log is None:
        print(f"\n$ sus2bench {' '.join(arguments)}", flush=True)
        return subprocess.run(command, env=ENVIRONMENT).returncode
    with log.open("w") as stream:
        result = subprocess.run(command, env=ENVIRONMENT, stdout=stream, stderr=subprocess.STDOUT)
    return result.returncode


def train(model: str, folder: Path) -> bool:
    """Train one model by `experiment=demo`, and say how it went."""
    arguments = ("train", "experiment=demo", f"model={model}", f"paths.results={folder}")
    log = folder / f"{model}.log"
    print(f"$ sus2bench {' '.join(arguments)} overwrite=true > {log}", flush=True)
    start = time.perf_counter()
    code = sus2bench(*arguments, "overwrite=true", log=log)
    seconds = time.perf_counter() - start
    if code:
        print(f"{model} failed; the end of {log}:\n{log.read_text()[-2000:]}", flush=True)
    else:
        print(f"{model} trained, tested and timed in {seconds:.0f} s", flush=True)
    return code == 0


def main() -> int:
    """Describe the data, train the models, compare their records."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--folder", type=Path, default=Path("demo"), help="for logs and results")
    parser.add_argument("--processes", type=int, default=min(2, os.cpu_count() or 1))
    options = parser.parse_args()
    options.folder.mkdir(parents=True, exist_ok=True)
    start = time.perf_counter()

    if code := sus2bench("data", "describe", "emt-alloys"):
        return code
    print(f"\nTraining {', '.join(MODELS)}, {options.processes} side by side.", flush=True)
    with ThreadPoolExecutor(options.processes) as pool:
        if not all(list(pool.map(lambda model: train(model, options.folder), MODELS))):
            return 1
    report = options.folder / "report"
    code = sus2bench("compare", str(options.folder), "--out", str(report))
    print(f"\nDone in {time.perf_counter() - start:.0f} s. Table and figures: {report}")
    return code


if __name__ == "__main__":
    sys.exit(main())
