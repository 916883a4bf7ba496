"""Writes extended XYZ with all digits, so that every float64 comes back bit for bit."""

from __future__ import annotations

from collections.abc import Iterable
from os import PathLike

import numpy as np
import numpy.typing as npt

from sus2bench.atoms.files import write_atomically
from sus2bench.atoms.reading import LabelledAtoms


def write_extxyz(path: str | PathLike[str], frames: Iterable[LabelledAtoms]) -> None:
    """Writes frames under ASE's keys (energy eV, forces eV/Å, stress eV/Å^3), replacing the file.

    A label that a frame does not have is left out.
    """
    text = "".join(_format(frame) for frame in frames)
    write_atomically(path, lambda part: part.write_text(text, encoding="utf-8"))


def _format(frame: LabelledAtoms) -> str:
    atoms = frame.atoms
    columns = [atoms.positions] if frame.forces is None else [atoms.positions, frame.forces]
    header = ["Properties=species:S:1:pos:R:3" + (":forces:R:3" if len(columns) == 2 else "")]
    if atoms.cell.array.any():
        header.insert(0, f'Lattice="{_numbers(atoms.cell.array)}"')
    if frame.energy is not None:
        header.append(f"energy={_numbers(frame.energy)}")
    if frame.stress is not None:
        header.append(f'stress="{_numbers(frame.stress)}"')
    header.append('pbc="{}"'.format(" ".join("T" if periodic else "F" for periodic in atoms.pbc)))
    rows = [
        f"{symbol} {_numbers(row)}"
        for symbol, row in zip(atoms.symbols, np.hstack(columns), strict=True)
    ]
    return "\n".join([str(len(atoms)), " ".join(header), *rows, ""])


def _numbers(values: npt.ArrayLike) -> str:
    return " ".join(repr(float(value)) for value in np.asarray(values, dtype=np.float64).ravel())
