"""Reads and writes the text of `nep.txt`, GPUMD's file of a NEP model, number by number.

Lines, in this order (`[...]` only in files of kind `nep4_zbl`):

    nep4 C symbols...                       or nep4_zbl; nep3 and nep3_zbl are read, too
    [zbl inner outer [factor]]              Å; 0 0 for a table of pairs at the end of the file
    cutoff radial angular NR NA             Å, and the room for neighbours
    n_max radial angular
    basis_size radial angular
    l_max 3-body 4-body 5-body
    ANN H 0
    one number a line: for each element w0 (H, D), b0 (H), w1 (H); b1; the radial and then the
    angular c by n, k, centre, neighbour; the D factors of the descriptor; [the table of pairs]

nep3 has one network for all elements, which is given to each here. Numbers are written as GPUMD
does, with eight digits, and with 17 where eight would not give back the same float64.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from os import PathLike
from pathlib import Path
from typing import NoReturn

import numpy as np
from numpy.typing import NDArray

from sus2bench.models.nep.repulsion import PAIR_COLUMNS

Array = NDArray[np.float64]
KINDS = ("nep4", "nep4_zbl", "nep3", "nep3_zbl")


class NEPFormatError(ValueError):
    """A `nep.txt` file is malformed or holds what is not supported; names file, line and field."""


@dataclass
class NEPFile:
    """Content of a `nep.txt` file: C elements, H neurons, D descriptors.

    Attributes:
        species: chemical symbols in type order.
        cutoff: of the radial descriptors, Å.
        angular_cutoff: of the angular ones, Å.
        neighbours: radial and angular neighbours that GPUMD makes room for.
        n_max: highest n, radial and angular.
        basis_size: highest k, radial and angular.
        l_max: of 3, 4 and 5 bodies; 2 or 0 for 4, 1 or 0 for 5.
        w0: (C, H, D).
        b0: (C, H).
        w1: (C, H), eV.
        b1: eV, common to all elements.
        radial: c of the radial functions, (C, C, basis_size + 1, n_max + 1).
        angular: c of the angular functions, likewise.
        descriptor_scaler: (D,).
        zbl: inner and outer cutoff, Å, and the factor of the radii or None; None without ZBL or
            with a table.
        zbl_pairs: rows of ten numbers for each pair of types, or None.
    """

    species: tuple[str, ...]
    cutoff: float
    angular_cutoff: float
    neighbours: tuple[int, int]
    n_max: tuple[int, int]
    basis_size: tuple[int, int]
    l_max: tuple[int, int, int]
    w0: Array
    b0: Array
    w1: Array
    b1: float
    radial: Array
    angular: Array
    descriptor_scaler: Array
    zbl: tuple[float, float, float | None] | None = None
    zbl_pairs: Array | None = None


def read_nep(path: str | PathLike[str]) -> NEPFile:
    """Reads a `nep.txt` file of a potential (nep3, nep4, with or without ZBL).

    Raises:
        NEPFormatError: the file is malformed, or is of a kind that is not supported.
        OSError: the file cannot be read.
    """
    lines = _Lines(Path(path))
    kind, species = _first_line(lines)
    zbl = _zbl_line(lines) if kind.endswith("_zbl") else None
    flexible = zbl is not None and zbl[:2] == (0.0, 0.0)
    cutoff, angular_cutoff, neighbours, factor = _cutoff_line(lines, len(species))
    n_max = lines.integers("n_max", 2)
    basis_size = lines.integers("basis_size", 2)
    l_max = _l_max_line(lines)
    neurons, second = lines.integers("ANN", 2)
    if second:
        lines.fail("ANN", "a second hidden layer is not supported")
    inputs = n_max[0] + 1 + (n_max[1] + 1) * (l_max[0] + bool(l_max[1]) + bool(l_max[2]))
    count = len(species)
    networks = 1 if kind.startswith("nep3") else count
    sizes = [(basis_size[i] + 1) * (n_max[i] + 1) * count**2 for i in (0, 1)]
    pairs = count * (count + 1) // 2
    parts = lines.numbers(
        {
            "networks": networks * (inputs + 2) * neurons,
            "b1": 1,
            "radial c": sizes[0],
            "angular c": sizes[1],
            "descriptor scaling": inputs,
            "flexible ZBL": pairs * PAIR_COLUMNS if flexible else 0,
        }
    )
    ann = parts["networks"].reshape(networks, -1).repeat(count // networks, axis=0)
    w0, b0, w1 = np.split(ann, [inputs * neurons, (inputs + 1) * neurons], axis=1)
    if zbl is not None and factor is not None and not flexible:
        zbl = (zbl[0], zbl[1], factor)
    return NEPFile(
        species=species,
        cutoff=cutoff,
        angular_cutoff=angular_cutoff,
        neighbours=neighbours,
        n_max=(n_max[0], n_max[1]),
        basis_size=(basis_size[0], basis_size[1]),
        l_max=l_max,
        w0=w0.reshape(count, neurons, inputs),
        b0=b0,
        w1=w1,
        b1=float(parts["b1"][0]),
        radial=_by_pair(parts["radial c"], count, n_max[0], basis_size[0]),
        angular=_by_pair(parts["angular c"], count, n_max[1], basis_size[1]),
        descriptor_scaler=parts["descriptor scaling"],
        zbl=None if flexible else zbl,
        zbl_pairs=parts["flexible ZBL"].reshape(pairs, PAIR_COLUMNS) if flexible else None,
    )


def format_nep(nep: NEPFile) -> str:
    """The text of a `nep4` or `nep4_zbl` file."""
    repulsion = nep.zbl is not None or nep.zbl_pairs is not None
    lines = [f"nep4{'_zbl' if repulsion else ''} {len(nep.species)} {' '.join(nep.species)}"]
    if nep.zbl_pairs is not None:
        lines.append("zbl 0 0")
    elif nep.zbl is not None:
        lines.append("zbl " + " ".join(_short(x) for x in nep.zbl if x is not None))
    lines += [
        f"cutoff {_short(nep.cutoff)} {_short(nep.angular_cutoff)} "
        f"{nep.neighbours[0]} {nep.neighbours[1]}",
        f"n_max {nep.n_max[0]} {nep.n_max[1]}",
        f"basis_size {nep.basis_size[0]} {nep.basis_size[1]}",
        f"l_max {nep.l_max[0]} {nep.l_max[1]} {nep.l_max[2]}",
        f"ANN {nep.w1.shape[1]} 0",
    ]
    count = len(nep.species)
    networks = np.concatenate([nep.w0.reshape(count, -1), nep.b0, nep.w1], axis=1)
    numbers = [networks.ravel(), np.array([nep.b1])]
    numbers += [c.transpose(3, 2, 0, 1).ravel() for c in (nep.radial, nep.angular)]
    numbers.append(nep.descriptor_scaler)
    if nep.zbl_pairs is not None:
        numbers.append(nep.zbl_pairs.ravel())
    lines += [_number(value) for value in np.concatenate(numbers).tolist()]
    return "\n".join(lines) + "\n"


def _by_pair(flat: Array, count: int, n_max: int, basis_size: int) -> Array:
    """Coefficients by centre, neighbour, k, n, from the file's order n, k, centre, neighbour."""
    return flat.reshape(n_max + 1, basis_size + 1, count, count).transpose(2, 3, 1, 0)


def _number(value: float) -> str:
    """C's %15.7e, or %.16e where eight digits do not give back the same float64."""
    text = f"{value:15.7e}"
    return text if float(text) == value else f"{value:.16e}"


def _short(value: float) -> str:
    """The shortest text that gives back the same float64, without a needless `.0`."""
    return f"{value:g}" if float(f"{value:g}") == value else repr(value)


class _Lines:
    """The lines of a file, taken one by one, with errors that name file, line and field."""

    def __init__(self, path: Path) -> None:
        self.path = path
        try:
            self.lines = path.read_bytes().decode("ascii").splitlines()
        except UnicodeDecodeError as error:
            raise NEPFormatError(f"{path} is not text ({error}); this is no nep.txt") from None
        self.place = 0

    def fail(self, field: str, message: str) -> NoReturn:
        """Raises an error about the line that was taken last."""
        raise NEPFormatError(f"{self.path}, line {self.place}, field {field}: {message}")

    def words(self, field: str) -> list[str]:
        """What stands behind the name of a field in the next line."""
        words = self.lines[self.place].split() if self.place < len(self.lines) else []
        self.place += 1
        if not words or words[0] != field:
            found = f"is {words[0]!r}" if words else "is missing"
            self.fail(field, f"the line of this name should stand here, but {found}")
        return words[1:]

    def integers(self, field: str, count: int) -> list[int]:
        """The next line: a field and so many whole numbers of at least 0."""
        words = self.words(field)
        if len(words) != count:
            self.fail(field, f"needs {count} whole numbers, not {len(words)}")
        return [self.integer(field, word) for word in words]

    def integer(self, field: str, word: str) -> int:
        """A word as a whole number of at least 0."""
        if not word.isdigit():
            self.fail(field, f"{word!r} is no whole number of at least 0")
        return int(word)

    def real(self, field: str, word: str) -> float:
        """A word as a finite number."""
        try:
            value = float(word)
        except ValueError:
            value = math.nan
        if not math.isfinite(value):
            self.fail(field, f"{word!r} is no finite number")
        return value

    def numbers(self, sizes: dict[str, int]) -> dict[str, Array]:
        """All lines to the end of the file, one number each, in parts of the given sizes."""
        rest = [line.strip() for line in self.lines[self.place :]]
        while rest and not rest[-1]:
            rest.pop()
        wanted = sum(sizes.values())
        parts, first = {}, self.place
        for field, size in sizes.items():
            values = np.empty(size)
            for index in range(size):
                if self.place - first >= len(rest):
                    self.place += 1
                    self.fail(
                        field,
                        f"the file ends after {len(rest)} of {wanted} numbers that its header "
                        "asks for; it may be truncated",
                    )
                word = rest[self.place - first]
                self.place += 1
                values[index] = self.real(field, word)
            parts[field] = values
        if len(rest) > wanted:
            self.place += 1
            self.fail(
                [field for field, size in sizes.items() if size][-1],
                f"the file goes on, with {len(rest)} numbers, but its header asks for {wanted}",
            )
        return parts


def _first_line(lines: _Lines) -> tuple[str, tuple[str, ...]]:
    words = lines.lines[0].split() if lines.lines else []
    lines.place = 1
    if not words or words[0] not in KINDS:
        lines.fail(
            "nep4",
            f"the file is of kind {words[0] if words else ''!r}; only potentials "
            f"({', '.join(KINDS)}) are supported, not models of charges, dipoles and the like",
        )
    if len(words) < 3 or lines.integer(words[0], words[1]) != len(words) - 2:
        lines.fail(words[0], "needs the number of elements and as many chemical symbols")
    return words[0], tuple(words[2:])


def _zbl_line(lines: _Lines) -> tuple[float, float, float | None]:
    words = lines.words("zbl")
    if len(words) not in (2, 3):
        lines.fail("zbl", f"needs an inner and an outer cutoff, not {len(words)} numbers")
    values = [lines.real("zbl", word) for word in words]
    if not (0 <= values[0] < values[1] or values[0] == values[1] == 0):
        lines.fail("zbl", "the cutoffs must be 0 <= inner < outer, or 0 0 for a table of pairs")
    return values[0], values[1], values[2] if len(values) == 3 else None


def _cutoff_line(
    lines: _Lines, species_count: int
) -> tuple[float, float, tuple[int, int], float | None]:
    """Cutoffs, room for neighbours and, from files of 2024, the factor of the ZBL cutoff."""
    words = lines.words("cutoff")
    values = [lines.real("cutoff", word) for word in words]
    factor = None
    if len(words) == 7 and species_count * 2 + 2 != 7:
        if values[4] > 0 or values[5] > 0:
            lines.fail("cutoff", "radial and angular cutoffs by covalent radii are not supported")
        factor = values[6] if values[6] > 0 else None
        values, words = values[:4], words[:4]
    cutoffs = values[:-2]
    if len(words) not in (4, species_count * 2 + 2):
        lines.fail(
            "cutoff",
            "needs the radial and angular cutoff and two numbers of neighbours, not "
            f"{len(words)} numbers",
        )
    if len(set(cutoffs[0::2])) > 1 or len(set(cutoffs[1::2])) > 1:
        lines.fail("cutoff", "cutoffs that differ between elements are not supported")
    if not 0 < cutoffs[1] <= cutoffs[0]:
        lines.fail("cutoff", "the cutoffs must be positive, the angular not beyond the radial one")
    room = [lines.integer("cutoff", word) for word in words[-2:]]
    return cutoffs[0], cutoffs[1], (room[0], room[1]), factor


def _l_max_line(lines: _Lines) -> tuple[int, int, int]:
    words: Sequence[str] = lines.words("l_max")
    if len(words) < 3:
        lines.fail("l_max", f"needs three whole numbers, not {len(words)}")
    values = [lines.integer("l_max", word) for word in words]
    if any(values[3:]):
        lines.fail(
            "l_max", "4-body descriptors of mixed l (the fourth number on) are not supported"
        )
    if values[1] not in (0, 2) or values[2] not in (0, 1):
        lines.fail("l_max", f"the second number is 0 or 2, the third 0 or 1, not {values[1:3]}")
    return values[0], values[1], values[2]
