"""Compares the published SUS2 models with reference values of the authors' program.

    SUS2BENCH_SHARED=... python scripts/parity.py [--out results/parity]

Reads `reference/models/*.mtp`, `reference/species.json` and `reference/structures/*.json` of the
shared folder and writes `record.json` and `table.md`: the largest deviation of energy, forces and
virial for each model, in float64 and float32. Exits with 1 if one of them exceeds its bound.
"""

import argparse
import json
import os
import sys
from pathlib import Path

import ase
import numpy as np
import torch

from sus2bench import load_potential
from sus2bench.atoms.frame import build_frame, collate, full_stress
from sus2bench.benchmark import parameters, records
from sus2bench.models.potential import Potential

# Largest allowed deviation: energy (eV), force (eV/Å), virial (eV).
EXACT = (1e-9, 1e-9, 1e-8)
TABULATED = (1e-7, 1e-7, 1e-7)  # RBChebyshev_sss_lmp: the reference is a table, ours the function
SINGLE = (1e-4, 1e-3, float("inf"))  # energy per atom


def deviations(potential: Potential, frames: list[dict]) -> tuple[float, float, float, float]:
    """Largest deviation of energy, energy per atom, force component and virial component."""
    graphs = []
    for entry in frames:
        atoms = ase.Atoms(
            entry["symbols"], entry["positions"], cell=entry["cell"], pbc=entry["pbc"]
        )
        graphs.append(build_frame(atoms, potential.cutoff))
    predicted = potential(collate(graphs))
    energy = np.array([entry["energy"] for entry in frames])
    atoms_per_frame = np.array([len(entry["symbols"]) for entry in frames])
    forces = np.concatenate([entry["forces"] for entry in frames])
    # PlusStress is minus the virial, in the order xx yy zz yz xz xy.
    virial = np.stack([-full_stress(entry["plus_stress"]) for entry in frames])
    of_energy = np.abs(predicted.energy.numpy() - energy)
    return (
        of_energy.max(),
        (of_energy / atoms_per_frame).max(),
        np.abs(predicted.forces.double().numpy() - forces).max(),
        np.abs(predicted.virial.double().numpy() - virial).max(),
    )


def main() -> int:
    """Write the record and the table; returns the exit code."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--out", type=Path, default=Path("results/parity"))
    out = parser.parse_args().out
    shared = os.environ.get("SUS2BENCH_SHARED")
    if not shared:
        print("SUS2BENCH_SHARED is unset: it names the folder of reference models", file=sys.stderr)
        return 2
    reference = Path(shared) / "reference"
    species = json.loads((reference / "species.json").read_text())
    record = records.new_record("evaluate", "published-models", {"bounds": [EXACT, SINGLE]})
    record["data"]["name"] = "reference structures"
    blocks, rows, within = {}, [], True
    for file in sorted((reference / "models").glob("*.mtp")):
        frames = json.loads((reference / "structures" / f"{file.stem}.json").read_text())["frames"]
        tabulated = "_lmp" in file.read_text()[:500]
        for dtype in (torch.float64, torch.float32):
            potential = load_potential(file, species=species[file.stem], dtype=dtype)
            energy, per_atom, force, virial = deviations(potential, frames)
            precision = str(dtype).removeprefix("torch.")
            bounds = SINGLE if dtype is torch.float32 else TABULATED if tabulated else EXACT
            first = per_atom if dtype is torch.float32 else energy
            good = bool((np.array([first, force, virial]) <= bounds).all())
            within = within and good
            record["metrics"][f"{file.stem}/{precision}"] = {
                "energy_deviation_eV": energy,
                "energy_per_atom_deviation_eV": per_atom,
                "force_deviation_eV_A": force,
                "virial_deviation_eV": virial,
            }
            rows.append((file.stem, precision, len(frames), energy, per_atom, force, virial, good))
        counts = parameters.count(potential)
        blocks[file.stem] = {kind: counts[kind] for kind in parameters.KINDS}
    record["parameters"] = {**dict.fromkeys(parameters.KINDS), "blocks": blocks}
    record |= {"status": "completed", "traceback": None}
    records.complete_units(record)
    records.write_record(record, out / records.FILE_NAME, overwrite=True)
    (out / "table.md").write_text(table(rows, blocks))
    print(table(rows, blocks))
    return 0 if within else 1


def table(rows: list[tuple], blocks: dict) -> str:
    """The deviations as Markdown."""
    lines = [
        "Largest deviation from the authors' program.",
        "",
        "| model | stored | precision | frames | energy (eV) | energy (eV/atom) | force (eV/Å) "
        "| virial (eV) | within bounds |",
        "|---|---:|---|---:|---:|---:|---:|---:|---|",
    ]
    for model, precision, frames, *values, good in rows:
        shown = " | ".join(f"{value:.1e}" for value in values)
        stored = f"{blocks[model]['stored']:,}"
        verdict = "yes" if good else "NO"
        lines.append(f"| {model} | {stored} | {precision} | {frames} | {shown} | {verdict} |")
    return "\n".join(lines) + "\n"


if __name__ == "__main__":
    sys.exit(main())
