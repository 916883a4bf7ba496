"""Reads and writes the files of MLIP-2 (``.mtp``) and MLIP-3 (``.almtp``): text, version 1.1.0.

A file is `MTP`, then lines `field = value`. A trained model has three blocks of coefficients
(``radial_coeffs``, ``species_coeffs``, ``moment_coeffs``); an untrained table has none of them.
MLIP-3 leaves out ``scaling`` where it is 1, and heads the blocks of ``radial_coeffs`` with whatever
type numbers its training set has. Its magnetic potentials, and what its active learning
appends to a file, are not read.
"""

from __future__ import annotations

import math
import os
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from sus2bench.models.moment_tensor.contraction_table import ContractionTable
from sus2bench.models.moment_tensor.mtp_lines import MTPFormatError, MTPLines, fail
from sus2bench.models.moment_tensor.mtp_table import (
    TABLE_FIELDS,
    braces,
    number,
    read_table,
    table_lines,
    write_text,
)

__all__ = [
    "MLIPFile",
    "MTPFormatError",
    "format_mlip",
    "read_mlip",
    "table_from_file",
    "write_mlip",
]

VERSION = "1.1.0"
DEFAULT_NAME = "MTP1m"
RADIAL_BASIS_TYPES = ("RBChebyshev",)

_COEFFICIENTS = ("radial_coeffs", "species_coeffs", "moment_coeffs")
# The three numbers of the radial basis have other names in files with a second, magnetic basis,
# and in those that motep writes.
_BASIS_FIELDS = (
    ("min_dist", "min_val", "min"),
    ("max_dist", "max_val", "max"),
    ("radial_basis_size", "basis_size", "size"),
)
_FIELDS = (
    "version",
    "potential_name",
    "scaling",
    "species_count",
    "potential_tag",
    "radial_basis_type",
    *(name for names in _BASIS_FIELDS for name in names),
    "radial_funcs_count",
    *_COEFFICIENTS,
    *TABLE_FIELDS,
)
_REFUSED = {
    "magnetic_basis_type": "makes this a magnetic moment tensor potential, which has other "
    "functions; only potentials without magnetic moments can be read",
}


@dataclass
class MLIPFile:
    """Content of a file of MLIP. C species, mu radial functions, R basis functions.

    Attributes:
        species_count: C.
        min_dist: r_min, Å.
        max_dist: r_c, Å.
        radial_basis_size: R, number of Chebyshev polynomials.
        radial_funcs_count: number of radial functions.
        table: the contractions.
        scaling: s, multiplies every radial function.
        potential_name: one word.
        potential_tag: free text of one line, mostly empty.
        radial_basis_type: ``RBChebyshev``.
        type_numbers: how the headings of ``radial_coeffs`` name the species, 0 .. C - 1 if None.
        radial_coeffs: shape (C, C, mu, R), [centre, neighbour]; None in an untrained table, as the
            next two.
        species_coeffs: E0, shape (C,), eV.
        moment_coeffs: xi, shape (number of scalars,), eV.
        version: format version, ``1.1.0``.

    Raises:
        MTPFormatError: a value is unknown, not finite, or has the wrong shape.
    """

    species_count: int
    min_dist: float
    max_dist: float
    radial_basis_size: int
    radial_funcs_count: int
    table: ContractionTable
    scaling: float = 1.0
    potential_name: str = DEFAULT_NAME
    potential_tag: str = ""
    radial_basis_type: str = "RBChebyshev"
    type_numbers: tuple[int, ...] | None = None
    radial_coeffs: NDArray[np.float64] | None = None
    species_coeffs: NDArray[np.float64] | None = None
    moment_coeffs: NDArray[np.float64] | None = None
    version: str = VERSION

    def __post_init__(self) -> None:
        """Check every field."""
        if self.type_numbers is None:
            self.type_numbers = tuple(range(self.species_count))
        self.check()

    @property
    def is_trained(self) -> bool:
        """Whether the three coefficient blocks are there."""
        return self.moment_coeffs is not None

    def check(self) -> None:
        """Check every field; called on construction and before writing.

        Raises:
            MTPFormatError: a value is unknown, not finite, or has the wrong shape.
        """
        self._check_header()
        self._check_functions()
        self._check_coefficients()

    def _check_header(self) -> None:
        if self.version != VERSION:
            fail("version", f"is {self.version!r}; only {VERSION} is known")
        if self.potential_name.split() != [self.potential_name]:
            fail("potential_name", f"{self.potential_name!r} is not one word, as MLIP reads it")
        if self.potential_tag != self.potential_tag.strip() or "\n" in self.potential_tag:
            fail("potential_tag", "has line breaks or spaces at its ends; remove them")
        if self.radial_basis_type not in RADIAL_BASIS_TYPES:
            fail(
                "radial_basis_type",
                f"is {self.radial_basis_type!r}; known are {', '.join(RADIAL_BASIS_TYPES)}",
            )
        for field in ("species_count", "radial_basis_size", "radial_funcs_count"):
            if getattr(self, field) < 1:
                fail(field, f"is {getattr(self, field)}; it has to be at least 1")
        for field in ("scaling", "min_dist", "max_dist"):
            if not math.isfinite(getattr(self, field)):
                fail(field, f"is {getattr(self, field)}; it has to be a finite number")
        if not self.max_dist > max(0.0, self.min_dist):
            fail("max_dist", f"is {self.max_dist}; it has to exceed 0 and min_dist")

    def _check_functions(self) -> None:
        highest = max(moment.mu for moment in self.table.basic)
        if highest != self.radial_funcs_count - 1:
            fail(
                "radial_funcs_count",
                f"is {self.radial_funcs_count}, but alpha_index_basic uses the radial functions "
                f"0 to {highest}",
            )
        types = self.type_numbers or ()
        if len(types) != self.species_count or len(set(types)) != len(types):
            fail(
                "radial_coeffs",
                f"names the species {', '.join(map(str, types))}; species_count = "
                f"{self.species_count} different ones are needed",
            )

    def _check_coefficients(self) -> None:
        present = [field for field in _COEFFICIENTS if getattr(self, field) is not None]
        if 0 < len(present) < len(_COEFFICIENTS):
            absent = next(field for field in _COEFFICIENTS if field not in present)
            fail(
                absent,
                f"is missing while {present[0]} is there; a trained model has all of "
                f"{', '.join(_COEFFICIENTS)} and an untrained one none: the file may be truncated",
            )
        species = self.species_count
        shapes = {
            "radial_coeffs": (
                (species, species, self.radial_funcs_count, self.radial_basis_size),
                "species_count (twice), radial_funcs_count, radial_basis_size",
            ),
            "species_coeffs": ((species,), "species_count"),
            "moment_coeffs": ((self.table.scalar_count,), "alpha_scalar_moments"),
        }
        for field in present:
            shape, reason = shapes[field]
            numbers = np.asarray(getattr(self, field), dtype=np.float64)
            if numbers.shape != shape:
                fail(
                    field,
                    f"has shape {numbers.shape} ({numbers.size} numbers), but {reason} ask for "
                    f"{shape} ({math.prod(shape)} numbers)",
                )
            if not np.isfinite(numbers).all():
                bad = int(np.flatnonzero(~np.isfinite(numbers))[0])
                fail(field, f"number {bad} is {numbers.flat[bad]}; all have to be finite")
            setattr(self, field, numbers)


def read_mlip(path: str | os.PathLike[str]) -> MLIPFile:
    """Read a file of MLIP-2 or MLIP-3, trained or not.

    Raises:
        MTPFormatError: the file is malformed; the message names file, line and field.
        OSError: the file cannot be read.
    """
    lines = MTPLines(path, _FIELDS, _REFUSED)
    with lines.naming_places():
        smallest, largest, size = (lines.one_of(names) for names in _BASIS_FIELDS)
        content = MLIPFile(
            version=lines.text("version"),
            potential_name=lines.text("potential_name", "") or DEFAULT_NAME,
            scaling=lines.real("scaling") if lines.has("scaling") else 1.0,
            species_count=lines.integer("species_count"),
            potential_tag=lines.text("potential_tag", ""),
            radial_basis_type=lines.text("radial_basis_type"),
            min_dist=lines.real(smallest),
            max_dist=lines.real(largest),
            radial_basis_size=lines.integer(size),
            radial_funcs_count=lines.integer("radial_funcs_count"),
            table=read_table(lines),
        )
        content.type_numbers, content.radial_coeffs = _radial(lines, content)
        content.species_coeffs = lines.coefficients("species_coeffs")
        content.moment_coeffs = lines.coefficients("moment_coeffs")
        content.check()
        return content


def _radial(
    lines: MTPLines, content: MLIPFile
) -> tuple[tuple[int, ...] | None, NDArray[np.float64] | None]:
    """The numbers of the types and the coefficients (C, C, mu, R), as the blocks give them."""
    blocks = lines.radial_blocks(content.radial_basis_size, "radial_basis_size")
    if blocks is None:
        return content.type_numbers, None
    field, species = "radial_coeffs", content.species_count
    if len(blocks) != species**2:
        fail(field, f"has {len(blocks)} blocks; species_count = {species} needs {species**2}")
    pairs = [tuple(map(int, block.heading.split("-"))) for block in blocks]
    types = tuple(neighbour for _, neighbour in pairs[:species])
    wanted = [(a, b) for a in types for b in types]
    for block, pair, right in zip(blocks, pairs, wanted, strict=True):
        if pair != right:
            fail(
                field,
                f"has a block headed {block.heading} where {right[0]}-{right[1]} is due; blocks "
                "are sorted by centre, then by neighbour",
                block.line,
            )
        if len(block.rows) != content.radial_funcs_count:
            fail(
                field,
                f"the block {block.heading} has {len(block.rows)} rows; radial_funcs_count = "
                f"{content.radial_funcs_count} are needed",
                block.line,
            )
    rows = np.stack([block.rows for block in blocks])
    return types, rows.reshape(species, species, *rows.shape[1:])


def table_from_file(path: str | os.PathLike[str]) -> ContractionTable:
    """Read only the contraction table (the ``alpha_*`` fields).

    Raises:
        MTPFormatError: the table is malformed; the message names file, line and field.
        OSError: the file cannot be read.
    """
    lines = MTPLines(path, _FIELDS, _REFUSED)
    with lines.naming_places():
        return read_table(lines)


def write_mlip(content: MLIPFile, path: str | os.PathLike[str], *, overwrite: bool = False) -> None:
    """Write a file with the fields, order and number format of MLIP-2; MLIP-3 reads it too.

    The file appears at once or not at all.

    Raises:
        FileExistsError: the file exists and ``overwrite`` is False.
        MTPFormatError: ``content`` is inconsistent.
    """
    content.check()
    write_text(format_mlip(content), path, overwrite=overwrite)


def format_mlip(content: MLIPFile) -> str:
    """Text of a file."""
    lines = [
        "MTP",
        f"version = {content.version}",
        f"potential_name = {content.potential_name}",
        f"scaling = {number(content.scaling)}",
        f"species_count = {content.species_count}",
        f"potential_tag = {content.potential_tag}",
        f"radial_basis_type = {content.radial_basis_type}",
        f"\tmin_dist = {number(content.min_dist)}",
        f"\tmax_dist = {number(content.max_dist)}",
        f"\tradial_basis_size = {content.radial_basis_size}",
        f"\tradial_funcs_count = {content.radial_funcs_count}",
    ]
    if content.radial_coeffs is not None:
        lines.append("\tradial_coeffs")
        types = content.type_numbers or ()
        for centre, of_centre in zip(types, content.radial_coeffs, strict=True):
            for neighbour, rows in zip(types, of_centre, strict=True):
                lines.append(f"\t\t{centre}-{neighbour}")
                lines += [f"\t\t\t{braces(row, number)}" for row in rows]
    lines += table_lines(content.table)
    if content.species_coeffs is not None and content.moment_coeffs is not None:
        lines.append(f"species_coeffs = {braces(content.species_coeffs, number)}")
        lines.append(f"moment_coeffs = {braces(content.moment_coeffs, number)}")
    return "\n".join(lines) + "\n"
