"""Steps per second of molecular dynamics, by ASE and by torch-sim on a device.

    python benchmarks/md_steps.py alloy.mtp --species Li Be ... --out results/speed/md
    python benchmarks/md_steps.py alloy.mtp --species ... --device cuda --backend triton --out ...

Velocity Verlet, 1 fs, 600 K, fcc copper, energies and forces, lists kept with the default skin:
`ase` with the potential's calculator, `torch-sim`, and `torch-sim, replayed` with the launches of a
GPU recorded (`interfaces/replay.py`). The time of a step is the difference between a long and a
short run over that of their steps, so that what a run does once does not count; the median of
several. torch-sim is needed: pip install 'sus2bench[torch-sim]'.
"""

import argparse
import sys
import time
from collections.abc import Callable
from pathlib import Path

import ase.build
import numpy as np
import torch
from ase.md.velocitydistribution import thermalize_momenta
from ase.md.verlet import VelocityVerlet
from ase.units import fs
from columns_table import table

from sus2bench import load_potential
from sus2bench.atoms.files import write_atomically
from sus2bench.benchmark import records
from sus2bench.benchmark.stopwatch import threads
from sus2bench.interfaces.replay import Replayed
from sus2bench.models.potential import Potential

TEMPERATURE = 600.0
DTYPES = {"float32": torch.float32, "float64": torch.float64}


def copper(cells: int) -> ase.Atoms:
    """4 cells^3 atoms, not in their places."""
    atoms = ase.build.bulk("Cu", "fcc", a=3.63, cubic=True).repeat(cells)
    atoms.rattle(0.05, seed=0)
    return atoms


def by_ase(potential: Potential, cells: int) -> Callable[[int], None]:
    """A run of so many steps."""
    atoms = copper(cells)
    atoms.calc = potential.calculator()
    thermalize_momenta(atoms, temperature_K=TEMPERATURE, rng=np.random.RandomState(0))
    dynamics = VelocityVerlet(atoms, timestep=1 * fs)

    def run(steps: int) -> None:
        dynamics.run(steps)

    return run


def by_torch_sim(potential: Potential, cells: int, *, replayed: bool) -> Callable[[int], None]:
    """A run of so many steps; one launch for a prediction if it is to be replayed."""
    import torch_sim

    from sus2bench.interfaces.torch_sim import TorchSimModel

    predict = Replayed(potential) if replayed else potential
    model = TorchSimModel(
        predict,
        potential.cutoff,
        device=potential.device,
        dtype=potential.dtype,
        compute_stress=False,
    )

    def run(steps: int) -> None:
        torch_sim.integrate(
            [copper(cells)],
            model,
            integrator=torch_sim.integrators.nve,
            n_steps=steps,
            temperature=TEMPERATURE,
            timestep=0.001,
        )

    return run


def seconds_per_step(run: Callable[[int], None], steps: int, repeats: int) -> float:
    """Median over pairs of a short and a long run, after one that does not count."""
    run(steps)
    found = []
    for _ in range(repeats):
        times = []
        for length in (steps, 3 * steps):
            start = time.perf_counter()
            run(length)
            if torch.cuda.is_available():
                torch.cuda.synchronize()
            times.append(time.perf_counter() - start)
        found.append((times[1] - times[0]) / (2 * steps))
    return float(np.median(found))


def measure(options: argparse.Namespace, cells: int) -> dict[str, float]:
    """Atoms, and steps per second of each way."""
    potential = load_potential(
        options.model,
        species=options.species,
        device=options.device,
        dtype=DTYPES[options.dtype],
        backend=options.backend,
    )
    ways = {
        "ase": by_ase(potential, cells),
        "torch-sim": by_torch_sim(potential, cells, replayed=False),
    }
    if options.device != "cpu":
        ways["torch-sim, replayed"] = by_torch_sim(potential, cells, replayed=True)
    atoms = 4 * cells**3
    found: dict[str, float] = {"atoms": atoms}
    for name, run in ways.items():
        step = seconds_per_step(run, options.steps, options.repeats)
        found[f"{name}: steps per second"] = 1 / step
        found[f"{name}: us per atom"] = 1e6 * step / atoms
    return found


def main() -> int:
    """Print the table; write it with a record."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("model", type=Path, help="checkpoint or .mtp file, with copper")
    parser.add_argument("--species", nargs="+", help="of an .mtp file, in the order of its types")
    parser.add_argument("--backend", default="cpp")
    parser.add_argument("--device", default="cpu")
    parser.add_argument("--dtype", choices=DTYPES, default="float32")
    parser.add_argument("--cells", nargs="+", type=int, default=[5, 10], help="along each edge")
    parser.add_argument("--steps", type=int, default=50, help="of the shorter run")
    parser.add_argument("--repeats", type=int, default=5)
    parser.add_argument("--out", type=Path, required=True, help="folder")
    options = parser.parse_args()
    settings = {name: value for name, value in vars(options).items() if name != "out"}
    settings["model"] = options.model.name
    record = records.new_record("speed", "md_steps", settings)
    with threads(1):
        found = {f"{4 * cells**3} atoms": measure(options, cells) for cells in options.cells}
    record["metrics"] = found
    record["hardware"]["threads"] = 1
    record |= {"status": "completed", "traceback": None}
    records.complete_units(record)
    records.write_record(record, options.out / records.FILE_NAME, overwrite=True)
    text = table(found, 3)
    write_atomically(options.out / "table.md", lambda part: part.write_text(text))
    print(text)
    return 0


if __name__ == "__main__":
    sys.exit(main())
