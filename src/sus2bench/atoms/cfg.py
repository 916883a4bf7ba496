"""Reads and writes configurations in the `.cfg` format of the MLIP programs (spec section 10)."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from itertools import islice
from os import PathLike
from pathlib import Path
from typing import Any

import ase
import numpy as np
import numpy.typing as npt
from ase.calculators.singlepoint import SinglePointCalculator

from sus2bench.atoms.files import write_atomically

STRESS_ORDER = ("xx", "yy", "zz", "yz", "xz", "xy")
POSITIONS = {
    "cartesian": ("cartes_x", "cartes_y", "cartes_z"),
    "direct": ("direct_x", "direct_y", "direct_z"),
}
FORCES = ("fx", "fy", "fz")
SITE_NUMBERS = {"site_en": "site_energies", "charges": "charges", "charge": "charges"}


class CfgError(ValueError):
    """A `.cfg` file that cannot be read; the text names the file, the line and the field."""


def is_cfg(path: str | PathLike[str]) -> bool:
    """Whether a file is one of MLIP's `.cfg` (AtomEye's format has the same ending)."""
    with open(path, encoding="utf-8", errors="replace") as stream:
        return any(line.split()[:1] == ["BEGIN_CFG"] for line in islice(stream, 20))


def read_cfg(path: str | PathLike[str], species: Sequence[str]) -> list[ase.Atoms]:
    """All configurations of a `.cfg` file.

    Energy (eV), forces (eV/Å) and stress (eV/Å^3, ASE's sign: -PlusStress / V) stand in a
    ``SinglePointCalculator``, each only where the file has it; site energies and charges are
    arrays, features are entries of ``atoms.info["features"]``. A configuration is periodic along
    the lattice vectors it has.

    Args:
        path: the file.
        species: chemical symbols in the order of the types; type 0 is the first.

    Raises:
        CfgError: the file is empty, truncated or malformed, or a type has no symbol.
    """
    lines = Path(path).read_text(encoding="utf-8").splitlines()
    reader = _Lines(path, lines)
    configurations = []
    while (line := reader.next_filled()) is not None:
        if line.split() != ["BEGIN_CFG"]:
            raise reader.error(f"expected BEGIN_CFG, found {line!r}")
        configurations.append(_read_one(reader, species))
    if not configurations:
        raise CfgError(f"{path}: holds no configuration")
    return configurations


def write_cfg(
    path: str | PathLike[str], configurations: Iterable[ase.Atoms], species: Sequence[str]
) -> None:
    """Writes configurations with the labels their calculators hold, all digits.

    Args:
        path: replaced as a whole once everything is written.
        configurations: labels are taken from ``atoms.calc.results`` (energy eV, forces eV/Å,
            stress eV/Å^3), site energies, charges and features from where `read_cfg` puts them.
        species: chemical symbols in the order of the types.

    Raises:
        CfgError: an element without a type, or periodicity that the format cannot say (it must be
            along the first lattice vectors).
    """
    text = "".join(
        _format_one(atoms, species, f"{path}: configuration {index}")
        for index, atoms in enumerate(configurations)
    )
    write_atomically(path, lambda part: part.write_text(text, encoding="utf-8"))


class _Lines:
    """The lines of a file with a position, and errors that name it."""

    def __init__(self, path: str | PathLike[str], lines: list[str]) -> None:
        self.path, self.lines, self.position = path, lines, 0

    def next_filled(self) -> str | None:
        while self.position < len(self.lines):
            line = self.lines[self.position].strip()
            self.position += 1
            if line:
                return line
        return None

    def required(self, field: str) -> str:
        line = self.next_filled()
        if line is None:
            raise self.error(f"the file ends inside {field}: it is truncated")
        return line

    def error(self, reason: str) -> CfgError:
        return CfgError(f"{self.path}, line {self.position}: {reason}")

    def numbers(self, text: str, field: str, count: int) -> list[float]:
        try:
            values = [float(word) for word in text.split()]
        except ValueError as error:
            raise self.error(f"{field}: {error}") from error
        if len(values) != count or not np.isfinite(values).all():
            raise self.error(f"{field} takes {count} finite numbers, found {text!r}")
        return values


def _read_one(reader: _Lines, species: Sequence[str]) -> ase.Atoms:
    begin = reader.position
    cell: list[list[float]] = []
    size: int | None = None
    table: dict[str, npt.NDArray[Any]] = {}
    labels: dict[str, Any] = {}
    features: dict[str, str] = {}
    while (line := reader.required("a configuration")) != "END_CFG":
        words = line.split()
        field = words[0].rstrip(":")
        if field == "Size":
            size = _read_size(reader, words)
        elif field == "Supercell":
            cell = _read_cell(reader)
        elif field == "AtomData":
            if size is None:
                raise reader.error("AtomData before Size")
            table = _read_atoms(reader, line.partition(":")[2].split(), size)
        elif field == "Energy":
            text = " ".join(words[1:]) or reader.required("Energy")
            labels["energy"] = reader.numbers(text, "Energy", 1)[0]
        elif field in ("PlusStress", "Virial"):
            labels["plus_stress"] = _read_stress(reader, field, words[1:])
        elif field == "Feature":
            _, key, value = (*line.split(None, 2), "", "")[:3]
            features[key] = value
        else:
            raise reader.error(f"unknown field {words[0]!r}")
    if not table:
        reader.position = begin
        raise reader.error("the configuration that begins here has no AtomData")
    return _to_atoms(reader, species, cell, table, labels, features)


def _read_size(reader: _Lines, words: list[str]) -> int:
    text = words[1] if len(words) > 1 else reader.required("Size")
    if not text.isdigit() or int(text) == 0:
        raise reader.error(f"Size must be a positive whole number, not {text!r}")
    return int(text)


def _read_cell(reader: _Lines) -> list[list[float]]:
    rows: list[list[float]] = []
    while len(rows) < 3:
        line = reader.required("Supercell")
        if line[0].isalpha():  # the next field: fewer than three lattice vectors
            reader.position -= 1
            break
        rows.append(reader.numbers(line, "Supercell", 3))
    if not rows:
        raise reader.error("Supercell without lattice vectors")
    return rows


def _read_atoms(reader: _Lines, columns: list[str], size: int) -> dict[str, npt.NDArray[Any]]:
    known = {"id", "type", *FORCES, *SITE_NUMBERS, *POSITIONS["cartesian"], *POSITIONS["direct"]}
    if unknown := [name for name in columns if name not in known]:
        raise reader.error(f"AtomData has unknown columns {unknown}; known are {sorted(known)}")
    if "type" not in columns or not any(set(names) <= set(columns) for names in POSITIONS.values()):
        raise reader.error(f"AtomData needs type and three coordinates, has {columns}")
    rows = []
    for index in range(size):
        line = reader.required("AtomData")
        try:
            rows.append(reader.numbers(line, f"AtomData row {index + 1} of {size}", len(columns)))
        except CfgError:
            if line.split()[0].rstrip(":") in ("Energy", "PlusStress", "Feature", "END_CFG"):
                raise reader.error(f"AtomData has {index} rows, Size says {size}") from None
            raise
    values = np.array(rows)
    return {name: values[:, column] for column, name in enumerate(columns)}


def _read_stress(reader: _Lines, field: str, names: list[str]) -> npt.NDArray[np.float64]:
    names = names or list(STRESS_ORDER)
    if sorted(names) != sorted(STRESS_ORDER):
        raise reader.error(f"{field} has the components {names}, needs {list(STRESS_ORDER)}")
    values = reader.numbers(reader.required(field), field, 6)
    return np.array([values[names.index(name)] for name in STRESS_ORDER])


def _to_atoms(
    reader: _Lines,
    species: Sequence[str],
    cell: list[list[float]],
    table: dict[str, npt.NDArray[Any]],
    labels: dict[str, Any],
    features: dict[str, str],
) -> ase.Atoms:
    types = table["type"].astype(int)
    if types.min() < 0 or types.max() >= len(species):
        wrong = int(types[(types < 0) | (types >= len(species))][0])
        raise reader.error(
            f"type {wrong} has no chemical symbol: the species map has {len(species)} entries "
            f"({', '.join(species)})"
        )
    lattice = np.zeros((3, 3))
    lattice[: len(cell)] = np.array(cell).reshape(-1, 3)
    atoms = ase.Atoms(
        [species[kind] for kind in types],
        cell=lattice,
        pbc=[row < len(cell) for row in range(3)],
    )
    if set(POSITIONS["cartesian"]) <= set(table):
        atoms.positions[:] = np.stack([table[name] for name in POSITIONS["cartesian"]], axis=1)
    else:
        direct = np.stack([table[name] for name in POSITIONS["direct"]], axis=1)
        if len(cell) < 3:
            raise reader.error("direct coordinates need three lattice vectors")
        atoms.positions[:] = direct @ lattice
    results = {"energy": labels["energy"]} if "energy" in labels else {}
    if set(FORCES) <= set(table):
        results["forces"] = np.stack([table[name] for name in FORCES], axis=1)
    if "plus_stress" in labels and abs(np.linalg.det(lattice)) > 0:
        results["stress"] = -labels["plus_stress"] / abs(np.linalg.det(lattice))
    for column, name in SITE_NUMBERS.items():
        if column in table:
            atoms.set_array(name, table[column])
    if features:
        atoms.info["features"] = features
    if results:
        atoms.calc = SinglePointCalculator(atoms, **results)
    return atoms


def _format_one(atoms: ase.Atoms, species: Sequence[str], where: str) -> str:
    if missing := sorted(set(atoms.get_chemical_symbols()) - set(species)):
        raise CfgError(f"{where}: no type for {', '.join(missing)}; the species are {species}")
    periodic = int(atoms.pbc.sum())
    if not atoms.pbc[:periodic].all():
        raise CfgError(
            f"{where}: periodic along {atoms.pbc.tolist()}, but the format can only say it of the "
            "first lattice vectors: reorder the cell"
        )
    results = atoms.calc.results if atoms.calc is not None else {}
    columns = [atoms.positions]
    names = list(POSITIONS["cartesian"])
    if "forces" in results:
        columns.append(np.asarray(results["forces"]))
        names += FORCES
    for column, key in (("site_en", "site_energies"), ("charges", "charges")):
        if key in atoms.arrays:
            columns.append(atoms.arrays[key][:, None])
            names.append(column)
    parts = ["BEGIN_CFG", " Size", f"    {len(atoms)}"]
    if periodic:
        parts.append(" Supercell")
        parts += [_numbers(row) for row in atoms.cell.array[:periodic]]
    parts.append(" AtomData:  id type " + " ".join(names))
    for index, (symbol, row) in enumerate(zip(atoms.symbols, np.hstack(columns), strict=True)):
        parts.append(f"    {index + 1} {species.index(symbol)}{_numbers(row)}")
    if "energy" in results:
        parts += [" Energy", _numbers([results["energy"]])]
    if "stress" in results and periodic == 3:
        plus_stress = -np.asarray(results["stress"]) * abs(np.linalg.det(atoms.cell.array))
        parts += [" PlusStress:  " + " ".join(STRESS_ORDER), _numbers(plus_stress)]
    for key, value in atoms.info.get("features", {}).items():
        parts.append(f" Feature   {key}\t{value}")
    return "\n".join([*parts, "END_CFG", "", ""])


def _numbers(values: Iterable[float]) -> str:
    """Seventeen significant digits: every float64 comes back bit for bit."""
    return "".join(f"  {value:24.16e}" for value in values)
