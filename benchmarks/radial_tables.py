"""Times polynomials against tables of radial functions, in plain torch and beside the kernel.

    python benchmarks/radial_tables.py alloy.mtp --species Li Be ... --frames valid.extxyz \
        --out results/speed/radial-tables

Tables are made of the pairs in all frames of the file, and timed on some of them; see
`sus2bench.models.moment_tensor.tabulated`. Writes a record as `sus2bench speed` does, with the
length of the cells, the size of the tables, and by how much they change forces.
"""

import argparse
import sys
from pathlib import Path
from typing import Any

import ase.io
import numpy as np
import torch

from sus2bench import load_potential
from sus2bench.atoms.frame import build_frame
from sus2bench.benchmark import records, speed
from sus2bench.models.moment_tensor.tabulated import tabulated


def measure(options: argparse.Namespace, dtype: torch.dtype) -> tuple[dict[str, Any], ...]:
    """What the tables are, and the times of the three."""
    given = {"species": options.species, "dtype": dtype}
    plain = load_potential(options.model, **given, backend="eager").eval()
    kernel = load_potential(options.model, **given, backend="cpp").eval()
    frames = [build_frame(atoms, plain.cutoff) for atoms in ase.io.iread(options.frames)]
    tables = tabulated(plain, frames)
    radial = tables.model.radial
    atoms = np.cumsum([len(frame.pos) for frame in frames])
    chosen = frames[: 1 + int(np.searchsorted(atoms, options.atoms))]
    differences = [
        float((tables(frame).forces - plain(frame).forces).norm(dim=1).max()) for frame in chosen
    ]
    described = {
        "pairs": len(radial.table) // (radial.cells + 1),
        "cell_A": radial.cutoff / radial.cells,
        "tables_MB": radial.table.numel() * radial.table.element_size() / 1e6,
        "largest_force_difference_eV_A": max(differences),
    }
    timed = speed.compare(
        {"polynomials": plain, "tables": tables, "kernel": kernel},
        chosen,
        quantities=["energy_and_forces"],
        clock="processor",
    )
    return described, timed


def main() -> int:
    """Print the times; write a record."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("model", type=Path, help="of SUS2 or MTP: a checkpoint or .mtp file")
    parser.add_argument("--species", nargs="+", help="of an .mtp file, in the order of its types")
    parser.add_argument("--frames", type=Path, required=True, help="file that ASE reads")
    parser.add_argument("--atoms", type=int, default=1000, help="to be timed, at least")
    parser.add_argument("--out", type=Path, required=True, help="folder")
    options = parser.parse_args()
    settings = {"model": options.model.name, "frames": options.frames.name, "atoms": options.atoms}
    record = records.new_record("speed", "radial-tables", settings)
    record["speed"] = {}
    for dtype in (torch.float64, torch.float32):
        name = str(dtype).removeprefix("torch.")
        record["metrics"][name], timed = measure(options, dtype)
        print(name, record["metrics"][name])
        for form, result in timed.items():
            record["speed"][f"{form}_{name}"] = result
            print(f"  {form}: {result['energy_and_forces_us_per_atom']['median']:.3g} µs/atom")
    record |= {"status": "completed", "traceback": None}
    records.complete_units(record)
    records.write_record(record, options.out / records.FILE_NAME, overwrite=True)
    return 0


if __name__ == "__main__":
    sys.exit(main())
