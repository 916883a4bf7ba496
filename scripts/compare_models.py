"""Train several models on the same data under the same budget, time them in turn, compare them.

Training runs go side by side, one thread each; a run that is complete is kept. Times per atom are
measured afterwards, all potentials of an environment in one run on the same frames, with nothing
else running. A model is named by its config, `painn_small`, or with an optimizer config other than
the common one, `mace_small+mace`; the latter's run is called `mace_small+mace`, too.

Models of packages that exclude each other need environments of their own: `--python
mace=.nox/external-mace/bin/python` runs the models whose names begin with `mace` there. Each
environment times the first model of the list, too, so that its times can be told from theirs.
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


def sus2bench(*arguments: str, log: Path | None = None, python: str = sys.executable) -> int:
    """Run a command of the package, output to the screen or a file; returns the exit code."""
    print(f"$ sus2bench {' '.join(arguments)}" + (f" > {log}" if log else ""), flush=True)
    command = [python, "-m", "sus2bench", *arguments]
    if log is None:
        return subprocess.run(command, env=ENVIRONMENT).returncode
    with log.open("w") as stream:
        result = subprocess.run(command, env=ENVIRONMENT, stdout=stream, stderr=subprocess.STDOUT)
    return result.returncode


def interpreter(model: str, options: argparse.Namespace) -> str:
    """The Python of the environment that has the model's package."""
    for entry in options.python:
        prefix, _, path = entry.partition("=")
        if model.startswith(prefix):
            return path
    return sys.executable


def train(model: str, data: str, options: argparse.Namespace) -> bool:
    """Train one model unless its completed record is there, and say how it went."""
    record = options.folder / data / model / "record.json"
    if record.is_file() and json.loads(record.read_text())["status"] == "completed":
        print(f"{data}, {model}: kept, {record} is complete", flush=True)
        return True
    config, _, optimizer = model.partition("+")
    log = options.folder / f"{data}-{model}.log"
    start = time.perf_counter()
    code = sus2bench(
        "train",
        f"experiment={options.experiment}",
        f"data={data}",
        f"model={config}",
        *([f"optimizer={optimizer}", f"name='{model}'"] if optimizer else []),
        f"paths.results={options.folder}",
        "speed=false",
        "resume=true",
        log=log,
        python=interpreter(model, options),
    )
    if code:
        print(f"{data}, {model} failed; the end of {log}:\n{log.read_text()[-2000:]}", flush=True)
    else:
        seconds = time.perf_counter() - start
        print(f"{data}, {model}: trained and tested in {seconds:.0f} s", flush=True)
    return code == 0


def measure_speed(data: str, options: argparse.Namespace) -> int:
    """Time the best checkpoints of all models, those of one environment in one run, in turn."""
    runs = options.folder / data
    models = [model for model in options.models if "+" not in model]
    groups: dict[str, list[str]] = {}
    for model in models:
        groups.setdefault(interpreter(model, options), []).append(model)
    codes = []
    for number, (python, group) in enumerate(groups.items()):
        timed = dict.fromkeys([models[0], *group])
        files = ",".join(f"{model}:{runs / model / 'checkpoints' / 'best.ckpt'}" for model in timed)
        codes.append(
            sus2bench(
                "speed",
                f"data={data}",
                f"potentials={{{files}}}",
                f"mode={options.mode}",
                f"name=speed{number or ''}",
                "dtype=float32",
                f"paths.results={options.folder}",
                "overwrite=true",
                python=python,
            )
        )
    return max(codes)


def compare(data: str, options: argparse.Namespace) -> int:
    """Time the models and write the report of one data set."""
    if options.speed and (code := measure_speed(data, options)):
        return code
    runs, report = options.folder / data, options.folder / f"{data}-report"
    speed = options.folder / "speed" / data
    sources = [str(folder) for folder in (runs, speed) if folder.is_dir()]
    code = sus2bench("compare", *sources, "--out", str(report))
    print(f"\nTable and figures of {data}: {report}", flush=True)
    return code


def main() -> int:
    """Describe the data, train the models, time them, compare their records."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--experiment", default="demo", help="budget and settings (demo)")
    parser.add_argument("--data", nargs="+", default=["emt-alloys"], help="data sets (emt-alloys)")
    parser.add_argument("--models", nargs="+", default=["sus2", "schnet_small", "painn_small"])
    parser.add_argument("--folder", type=Path, default=Path("demo"), help="for logs and results")
    parser.add_argument("--processes", type=int, default=min(2, os.cpu_count() or 1))
    parser.add_argument(
        "--python", nargs="+", default=[], metavar="PREFIX=PATH", help="environments of models"
    )
    parser.add_argument("--mode", default="eager", help="inference mode of the timing (eager)")
    parser.add_argument("--no-speed", dest="speed", action="store_false", help="train only")
    options = parser.parse_args()
    options.folder.mkdir(parents=True, exist_ok=True)
    start = time.perf_counter()

    # The data are made on first use: once, before several processes ask for them.
    for data in options.data:
        if code := sus2bench("data", "describe", data):
            return code
    print(f"Training {', '.join(options.models)}, {options.processes} side by side.", flush=True)
    jobs = [(model, data) for model in options.models for data in options.data]
    with ThreadPoolExecutor(options.processes) as pool:
        trained = list(pool.map(lambda job: train(*job, options), jobs))
    if not all(trained):
        return 1
    codes = [compare(data, options) for data in options.data]
    print(f"Done in {time.perf_counter() - start:.0f} s.")
    return max(codes)


if __name__ == "__main__":
    sys.exit(main())
