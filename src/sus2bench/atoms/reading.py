"""Reads files of atoms with labels: keys declared, units converted once, bad input refused."""

from __future__ import annotations

import logging
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from os import PathLike
from pathlib import Path
from typing import Any

import ase
import ase.io
import numpy as np
import numpy.typing as npt

from sus2bench.atoms.cfg import CfgError, is_cfg, read_cfg
from sus2bench.atoms.frame import full_stress
from sus2bench.atoms.units import unit_factor

log = logging.getLogger(__name__)

# No method gives a total energy this large: 28,000 Hartree per atom is uranium, all electrons.
LARGEST_ENERGY_PER_ATOM = 2e6
# Atoms as near as a hundredth of an Å repel each other with about this force.
LARGEST_FORCE = 1e5


class ReadingError(ValueError):
    """A file that cannot be used; the text names the file, the frame and the remedy."""


@dataclass(frozen=True)
class LabelKeys:
    """Under which keys a file holds its labels; None says that a label is not there or not used.

    ``virial`` is read in place of ``stress``, in the sign of QUIP, GPUMD and DeePMD:
    virial = -V stress. At most one of the two may be given.
    """

    energy: str | None = "energy"
    forces: str | None = "forces"
    stress: str | None = "stress"
    virial: str | None = None

    def __post_init__(self) -> None:
        if self.stress is not None and self.virial is not None:
            raise ValueError(
                f"keys for both stress ({self.stress!r}) and virial ({self.virial!r}) are given: "
                "set one of them to null"
            )

    def given(self) -> dict[str, str]:
        """Label -> key for the labels that the file is said to hold."""
        keys = {
            "energy": self.energy,
            "forces": self.forces,
            "stress": self.stress,
            "virial": self.virial,
        }
        return {label: key for label, key in keys.items() if key is not None}


@dataclass(frozen=True)
class Units:
    """Units of the numbers in a file. ``stress_sign`` is -1 where compression is positive."""

    length: str = "Ang"
    energy: str = "eV"
    forces: str = "eV/Ang"
    stress: str = "eV/Ang^3"
    virial: str = "eV"
    stress_sign: int = 1

    def __post_init__(self) -> None:
        if self.stress_sign not in (1, -1):
            raise ValueError(f"stress_sign must be 1 or -1, not {self.stress_sign}")
        for unit in (self.length, self.energy, self.forces, self.stress, self.virial):
            unit_factor(unit)


@dataclass
class LabelledAtoms:
    """Atoms in Å with labels in eV, eV/Å and eV/Å^3 (ASE's sign); None where there is none."""

    atoms: ase.Atoms
    energy: float | None = None
    forces: npt.NDArray[np.float64] | None = None
    stress: npt.NDArray[np.float64] | None = None


def read_labelled(
    path: str | PathLike[str],
    keys: LabelKeys | None = None,
    units: Units | None = None,
    species: Sequence[str] | None = None,
) -> list[LabelledAtoms]:
    """All frames of a file with their labels, checked and in eV and Å.

    Reads extended XYZ, MLIP's `.cfg` and whatever else ASE reads. A label is looked for among the
    results of the frame's calculator (where ASE puts the keys it knows, untouched by constraints),
    then in ``info`` and ``arrays``. Labels that are NaN in the file count as none.

    Args:
        path: the file.
        keys: where the labels are; ASE's names by default.
        units: units of the file; eV and Å by default.
        species: chemical symbols in the order of the types, for `.cfg` only.

    Raises:
        FileNotFoundError: there is no such file.
        ReadingError: the file is empty, truncated or malformed; no frame has a key that was
            declared; a number is infinite or absurd. Names the file, the frame and the remedy.
    """
    keys, units = keys or LabelKeys(), units or Units()
    found: Counter[str] = Counter()
    frames: list[LabelledAtoms] = []
    missing: Counter[str] = Counter()
    for index, atoms in enumerate(_read_atoms(Path(path), species)):
        where = f"{path}, frame {index}"
        found.update(_available(atoms))
        labelled = _label(atoms, keys, units, where)
        _check(labelled, where)
        frames.append(labelled)
        for label, key in keys.given().items():
            missing[key] += getattr(labelled, "stress" if label == "virial" else label) is None
    if not frames:
        raise ReadingError(f"{path}: holds no frames")
    _check_keys(path, keys, found, missing, len(frames))
    log.info("%s: %s", path, label_census(frames))
    return frames


def label_census(frames: Iterable[LabelledAtoms]) -> dict[str, int]:
    """How many frames there are and how many have each label."""
    census = {"frames": 0, "energy": 0, "forces": 0, "stress": 0}
    for frame in frames:
        census["frames"] += 1
        for label in ("energy", "forces", "stress"):
            census[label] += getattr(frame, label) is not None
    return census


def _read_atoms(path: Path, species: Sequence[str] | None) -> Iterator[ase.Atoms]:
    if not path.is_file():
        raise FileNotFoundError(f"there is no file {path}")
    if path.stat().st_size == 0:
        raise ReadingError(f"{path}: the file is empty")
    if path.suffix == ".cfg" and is_cfg(path):
        if species is None:
            raise ReadingError(
                f"{path}: MLIP's format numbers the elements: give the species map, the chemical "
                "symbols in the order of the types"
            )
        try:
            yield from read_cfg(path, species)
        except CfgError as error:
            raise ReadingError(str(error)) from error
        return
    count = lines = 0
    try:
        for atoms in ase.io.iread(path, index=":"):
            yield atoms
            count += 1
            lines += len(atoms) + 2
    # ASE's readers raise anything on a damaged file, from KeyError to AssertionError.
    except Exception as error:
        raise ReadingError(
            f"{path}, frame {count}: cannot be read, the file may be truncated or of another "
            f"format ({type(error).__name__}: {error})"
        ) from error
    if path.suffix in (".xyz", ".extxyz"):
        _check_all_read(path, count, lines)


def _check_all_read(path: Path, count: int, read: int) -> None:
    """ASE stops without a word at a blank line: the frames behind it must not be lost."""
    text = path.read_text(encoding="utf-8")
    if not text.endswith("\n"):
        log.warning("%s: the last line has no end: the file may be truncated", path)
    lines = enumerate(text.splitlines(), 1)
    rest = [number for number, line in lines if number > read and line.strip()]
    if rest and "VEC" not in text:
        raise ReadingError(
            f"{path}: line {rest[0]}, after frame {count - 1}, is not read because of a blank "
            "line before it: remove the blank line"
        )


def _available(atoms: ase.Atoms) -> set[str]:
    results = atoms.calc.results if atoms.calc is not None else {}
    own = {"numbers", "positions"}
    return {key for source in (results, atoms.info, atoms.arrays) for key in source} - own


def _find(atoms: ase.Atoms, key: str) -> Any:
    results = atoms.calc.results if atoms.calc is not None else {}
    for source in (results, atoms.info, atoms.arrays):
        if source.get(key) is not None:
            return source[key]
    return None


def _numbers(atoms: ase.Atoms, key: str | None, size: int, where: str) -> Any:
    """The numbers under a key, or None where there is none or all of them are NaN."""
    value = None if key is None else _find(atoms, key)
    if value is None:
        return None
    try:
        array = np.asarray(value, dtype=np.float64).ravel()
    except (TypeError, ValueError) as error:
        raise ReadingError(f"{where}: {key!r} is not numeric: {value!r}") from error
    allowed = (6, 9) if size == 9 else (size,)
    if array.size not in allowed:
        raise ReadingError(
            f"{where}: {key!r} has {array.size} numbers, expected {' or '.join(map(str, allowed))}"
        )
    if np.isinf(array).any():
        raise ReadingError(f"{where}: {key!r} is infinite")
    return None if np.isnan(array).all() else array


def _label(atoms: ase.Atoms, keys: LabelKeys, units: Units, where: str) -> LabelledAtoms:
    if len(atoms) == 0:
        raise ReadingError(f"{where}: has no atoms")
    energy = _numbers(atoms, keys.energy, 1, where)
    forces = _numbers(atoms, keys.forces, 3 * len(atoms), where)
    stress = _numbers(atoms, keys.stress, 9, where)
    virial = _numbers(atoms, keys.virial, 9, where)
    length = unit_factor(units.length)
    clean = ase.Atoms(
        numbers=atoms.numbers,
        positions=length * atoms.positions,
        cell=length * atoms.cell.array,
        pbc=atoms.pbc,
    )
    labelled = LabelledAtoms(clean)
    if energy is not None:
        labelled.energy = float(energy[0] * unit_factor(units.energy))
    if forces is not None:
        labelled.forces = forces.reshape(-1, 3) * unit_factor(units.forces)
    if stress is not None:
        labelled.stress = full_stress(stress) * (units.stress_sign * unit_factor(units.stress))
    if virial is not None:
        if abs(clean.cell.volume) == 0:
            raise ReadingError(f"{where}: a virial ({keys.virial!r}) but a cell without volume")
        labelled.stress = -full_stress(virial) * unit_factor(units.virial) / clean.cell.volume
    return labelled


def _check(frame: LabelledAtoms, where: str) -> None:
    """Refuses what no model can learn from and no calculation gives."""
    if not np.isfinite(frame.atoms.positions).all():
        atom = int(np.argmin(np.isfinite(frame.atoms.positions).all(axis=1)))
        raise ReadingError(
            f"{where}: the position of atom {atom} is {frame.atoms.positions[atom].tolist()}"
        )
    if not np.isfinite(frame.atoms.cell.array).all():
        raise ReadingError(f"{where}: the cell is not finite: {frame.atoms.cell.array.tolist()}")
    if (frame.atoms.numbers < 1).any():
        atom = int(np.argmin(frame.atoms.numbers))
        raise ReadingError(f"{where}: atom {atom} is of no chemical element")
    if frame.energy is not None:
        per_atom = frame.energy / len(frame.atoms)
        if abs(per_atom) > LARGEST_ENERGY_PER_ATOM:
            raise ReadingError(
                f"{where}: an energy of {per_atom:.6g} eV per atom is absurd: check the energy "
                "key and unit, or remove the frame"
            )
    if frame.forces is not None and (largest := float(np.abs(frame.forces).max())) > LARGEST_FORCE:
        raise ReadingError(
            f"{where}: a force of {largest:.6g} eV/Å is absurd: check the forces key and unit, or "
            "remove the frame"
        )


def _check_keys(
    path: str | PathLike[str],
    keys: LabelKeys,
    found: Counter[str],
    missing: Counter[str],
    frames: int,
) -> None:
    for label, key in keys.given().items():
        if missing[key] < frames:
            if missing[key]:
                log.info("%s: %d of %d frames have no %r", path, missing[key], frames, key)
            continue
        has = ", ".join(f"{name} ({number})" for name, number in sorted(found.items()))
        state = "holds only NaN" if found[key] else "is in none of the frames"
        raise ReadingError(
            f"{path}: the {label} key {key!r} {state}; the file has (frames): {has or 'nothing'}. "
            f"Name the right key, or set the {label} key to null if there is no such label"
        )
