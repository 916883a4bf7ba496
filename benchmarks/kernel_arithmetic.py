"""Arithmetic that energies and forces of a moment tensor model need, and how near its kernel is.

    python benchmarks/kernel_arithmetic.py alloy.mtp --species Li Be ... --out results/speed/kernel

Counts the floating-point operations of the formulas (spec sections 2 to 4) and of their adjoint,
per edge and per atom, and the bytes that have to come from memory; times the kernel of the backend
`cpp` on a perturbed fcc crystal, the multiplication of two matrices as a measure of what one thread
of the processor can do, and prints both. One multiplication or addition is one operation, as is one
division or square root; an exponential is as long as its polynomial.
"""

import argparse
import sys
import time
from collections.abc import Callable
from pathlib import Path

import ase.build
import numpy as np
import torch
from columns_table import table

from sus2bench import load_potential
from sus2bench.atoms.files import write_atomically
from sus2bench.atoms.frame import build_frame
from sus2bench.benchmark import records
from sus2bench.benchmark.speed import threads
from sus2bench.models.moment_tensor.base import MomentTensorModel
from sus2bench.models.moment_tensor.distinct_products import distinct_products
from sus2bench.models.moment_tensor.moments import monomial_exponents

EXPONENTIAL = {torch.float64: 32, torch.float32: 20}
"""Range reduction and a polynomial of degree 13 or 7."""
MATRIX = 1024
"""Rows and columns of the matrices."""


def operations_per_edge(model: MomentTensorModel, dtype: torch.dtype) -> dict[str, int]:
    """Operations of each part of energies and forces for one edge."""
    form = model.radial.kernel_form()
    functions, scalings, size = len(form.scaling_of), max(form.scaling_of) + 1, form.size
    basic = model.table.basic
    exponents = monomial_exponents(max(p + q + s for _, p, q, s in basic))
    products = sum(1 for exponent in exponents if sum(exponent) > 1)
    partial = sum(1 for exponent in exponents for power in exponent if power)
    embedding = EXPONENTIAL[dtype] + 8 if form.embedding == "tanh" else 10
    return {
        "vector, length, direction": 3 * 6 + 5 + 1 + 1 + 3,
        "embedding and polynomials": scalings * (2 + embedding + 2 * max(size - 2, 0) + 1),
        "radial series and slopes": functions * (2 * size + 2 * (size - 1) + 7) + 3,
        "moments": products + 2 * len(basic),
        "gradient": 4 * len(basic) + 2 * len(exponents) + 3 * partial + 5 + 2 + 9,
        "forces": 6,
    }


def operations_per_atom(model: MomentTensorModel) -> dict[str, int]:
    """Operations for one atom, apart from those of its edges."""
    products = distinct_products(model.table)
    return {
        "products and their adjoint": 8 * len(products.times),
        "readout": 4 * len(products.mapping),
    }


def bytes_per_edge() -> int:
    """Index of the neighbour (int64) and shift of its cell (3 int32): positions stay in caches."""
    return 8 + 3 * 4


def bytes_per_atom() -> int:
    """Position and force (float64), type, frame, first edge, site energy."""
    return 2 * 3 * 8 + 4 * 8


def crystal(symbols: list[str], edge: int) -> ase.Atoms:
    """Perturbed fcc with every species at random, with 54 neighbours within 6 Å."""
    atoms = ase.build.bulk("Cu", "fcc", a=4.05, cubic=True).repeat(edge)
    random = np.random.default_rng(0)
    atoms.symbols = random.choice(symbols, len(atoms))
    atoms.positions += random.normal(0, 0.05, atoms.positions.shape)
    return atoms


def seconds(job: Callable[[], object], repeats: int = 15) -> float:
    """Median time of a call."""
    times = []
    for _ in range(repeats + 2):
        start = time.perf_counter()
        job()
        times.append(time.perf_counter() - start)
    return float(np.median(times[2:]))


def peak(dtype: torch.dtype) -> float:
    """Operations per second in the product of two matrices."""
    a = torch.ones(MATRIX, MATRIX, dtype=dtype)
    return 2 * MATRIX**3 / seconds(lambda: a @ a)


def measure(options: argparse.Namespace, dtype: torch.dtype) -> dict[str, float]:
    """Counts and times in one precision; µs/atom are those of the kernel without its set-up."""
    potential = load_potential(options.model, species=options.species, dtype=dtype, backend="cpp")
    model = potential.model
    if not isinstance(model, MomentTensorModel):
        raise ValueError(f"{options.model} holds no moment tensor model")
    frame = build_frame(crystal(list(model.symbols), options.cells), potential.cutoff)
    atoms = int(frame.num_nodes)
    neighbours = frame.edge_index.shape[1] / atoms
    edge, atom = operations_per_edge(model, dtype), operations_per_atom(model)
    operations = neighbours * sum(edge.values()) + sum(atom.values())
    job = seconds(lambda: model.predict(frame, differentiable=False, virial=False)) / atoms
    rate = peak(dtype)
    return {
        "atoms": atoms,
        "neighbours": neighbours,
        **{f"operations per edge: {part}": count for part, count in edge.items()},
        **{f"operations per atom: {part}": count for part, count in atom.items()},
        "operations per atom, all": operations,
        "bytes per atom, all": neighbours * bytes_per_edge() + bytes_per_atom(),
        "matrix_product_gigaflops": rate / 1e9,
        "ideal_us_per_atom": operations / rate * 1e6,
        "measured_us_per_atom": job * 1e6,
        "measured_gigaflops": operations / job / 1e9,
        "measured_over_ideal": job * rate / operations,
    }


def main() -> int:
    """Print the table; write it with a record."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("model", type=Path, help="checkpoint or .mtp file")
    parser.add_argument("--species", nargs="+", help="of an .mtp file, in the order of its types")
    parser.add_argument("--cells", type=int, default=12, help="fcc cells along each edge")
    parser.add_argument("--out", type=Path, required=True, help="folder")
    options = parser.parse_args()
    record = records.new_record(
        "speed", "kernel-arithmetic", {"model": options.model.name, "cells": options.cells}
    )
    with threads(1):
        found = {
            str(dtype).removeprefix("torch."): measure(options, dtype)
            for dtype in (torch.float64, torch.float32)
        }
    record["metrics"] = found
    record |= {"status": "completed", "traceback": None}
    records.complete_units(record)
    records.write_record(record, options.out / records.FILE_NAME, overwrite=True)
    write_atomically(options.out / "table.md", lambda part: part.write_text(table(found, 4)))
    print(table(found, 4))
    return 0


if __name__ == "__main__":
    sys.exit(main())
