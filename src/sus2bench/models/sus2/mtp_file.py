"""Reads and writes ``.mtp`` files, the text format of SUS2 models (SUS2 specification, section 1).

A file is `MTP`, then lines `field = value`. A trained model has five blocks of coefficients
(``shift_coeffs``, ``scal_coeffs``, ``radial_coeffs``, ``species_coeffs``, ``moment_coeffs``); an
untrained table has none of them.
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
    "MTPFile",
    "MTPFormatError",
    "format_mtp",
    "read_mtp",
    "table_from_file",
    "write_mtp",
]

VERSION = "1.1.0"
RADIAL_BASIS_TYPES = ("RBChebyshev_sss", "RBChebyshev_ss", "RBChebyshev_sss_lmp")
SCALING_MAPS = ("K", "L", "LK")

_COEFFICIENTS = ("shift_coeffs", "scal_coeffs", "radial_coeffs", "species_coeffs", "moment_coeffs")
_HEADER_FIELDS = (
    "version",
    "potential_name",
    "scaling",
    "L",
    "scaling_map",
    "species_count",
    "potential_tag",
    "radial_basis_type",
    "min_dist",
    "max_dist",
    "radial_basis_size",
    "radial_funcs_count",
)
# Files of MLIP have none of these.
OWN_FIELDS = frozenset({"L", "scaling_map", "shift_coeffs", "scal_coeffs"})
_FIELDS = (*_HEADER_FIELDS, *_COEFFICIENTS, *TABLE_FIELDS)


@dataclass
class MTPFile:
    """Content of an ``.mtp`` file. C species, mu radial functions, R basis functions, H scalings.

    Attributes:
        potential_name: free text of one line.
        scaling: s, multiplies every radial function.
        L: highest tensor rank.
        scaling_map: ``K``, ``L`` or ``LK``: what the scaling channel eta of a radial function is.
        species_count: C.
        potential_tag: free text of one line, mostly empty.
        radial_basis_type: one of ``RADIAL_BASIS_TYPES``.
        min_dist: Å, enters initial values only.
        max_dist: cutoff, Å.
        radial_basis_size: R, number of Chebyshev polynomials.
        radial_funcs_count: mu = K (L + 1).
        table: the contractions.
        shift_coeffs: E0, shape (C,), eV; None in an untrained table, as the next four.
        scal_coeffs: shape (H, 2, C, C), [eta, 0: alpha in 1/Å or 1: r0 in Å, central, neighbour].
        radial_coeffs: shape (mu, R + C), Chebyshev coefficients, then species factors (of which
            only those of mu = 0 are used).
        species_coeffs: w, shape (C,), eV.
        moment_coeffs: xi, shape (number of scalars,).
        version: format version, ``1.1.0``.

    Raises:
        MTPFormatError: a value is unknown, not finite, or has the wrong shape.
    """

    potential_name: str
    scaling: float
    L: int
    scaling_map: str
    species_count: int
    potential_tag: str
    radial_basis_type: str
    min_dist: float
    max_dist: float
    radial_basis_size: int
    radial_funcs_count: int
    table: ContractionTable
    shift_coeffs: NDArray[np.float64] | None = None
    scal_coeffs: NDArray[np.float64] | None = None
    radial_coeffs: NDArray[np.float64] | None = None
    species_coeffs: NDArray[np.float64] | None = None
    moment_coeffs: NDArray[np.float64] | None = None
    version: str = VERSION

    def __post_init__(self) -> None:
        """Check every field."""
        self.check()

    @property
    def channels(self) -> int:
        """K, radial channels per rank."""
        return self.radial_funcs_count // (self.L + 1)

    @property
    def scaling_channels(self) -> int:
        """H, number of scaling channels eta."""
        return {"K": self.channels, "L": self.L + 1, "LK": self.radial_funcs_count}[
            self.scaling_map
        ]

    @property
    def is_trained(self) -> bool:
        """Whether the five coefficient blocks are there."""
        return self.moment_coeffs is not None

    def check(self) -> None:
        """Check every field; called on construction and before writing.

        Raises:
            MTPFormatError: a value is unknown, not finite, or has the wrong shape.
        """
        self._check_header()
        self._check_table()
        self._check_coefficients()

    def _check_header(self) -> None:
        if self.version != VERSION:
            fail("version", f"is {self.version!r}; only {VERSION} is known")
        for field in ("potential_name", "potential_tag"):
            text = getattr(self, field)
            if text != text.strip() or len(text.splitlines()) > 1:
                fail(field, f"{text!r} has line breaks or spaces at its ends; remove them")
        for field, known in (
            ("scaling_map", SCALING_MAPS),
            ("radial_basis_type", RADIAL_BASIS_TYPES),
        ):
            if getattr(self, field) not in known:
                fail(field, f"is {getattr(self, field)!r}; known are {', '.join(known)}")
        for field, smallest in (
            ("L", 0),
            ("species_count", 1),
            ("radial_basis_size", 1),
            ("radial_funcs_count", 1),
        ):
            if getattr(self, field) < smallest:
                fail(field, f"is {getattr(self, field)}; it has to be at least {smallest}")
        for field in ("scaling", "min_dist", "max_dist"):
            if not math.isfinite(getattr(self, field)):
                fail(field, f"is {getattr(self, field)}; it has to be a finite number")
        if not self.max_dist > max(0.0, self.min_dist):
            fail("max_dist", f"is {self.max_dist}; it has to exceed 0 and min_dist")
        if self.radial_funcs_count % (self.L + 1):
            fail(
                "radial_funcs_count",
                f"is {self.radial_funcs_count}, no multiple of L + 1 = {self.L + 1}; every rank "
                "0..L has the same number of radial functions",
            )

    def _check_table(self) -> None:
        for moment in self.table.basic:
            entry = "{" + ", ".join(map(str, moment)) + "}"
            if moment.mu >= self.radial_funcs_count:
                fail(
                    "alpha_index_basic",
                    f"{entry} names radial function {moment.mu}, but radial_funcs_count is "
                    f"{self.radial_funcs_count}",
                )
            if sum(moment[1:]) != moment.mu % (self.L + 1):
                fail(
                    "alpha_index_basic",
                    f"{entry} has rank {sum(moment[1:])}, but radial function mu has rank "
                    f"mu modulo (L + 1) = {moment.mu % (self.L + 1)}",
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
        species, functions = self.species_count, self.radial_funcs_count
        shapes = {
            "shift_coeffs": ((species,), "species_count"),
            "scal_coeffs": (
                (self.scaling_channels, 2, species, species),
                f"scaling_map {self.scaling_map}, species_count",
            ),
            "radial_coeffs": (
                (functions, self.radial_basis_size + species),
                "radial_funcs_count, radial_basis_size + species_count",
            ),
            "species_coeffs": ((species,), "species_count"),
            "moment_coeffs": ((self.table.scalar_count,), "alpha_scalar_moments"),
        }
        for field in present:
            shape, reason = shapes[field]
            numbers = np.asarray(getattr(self, field), dtype=np.float64)
            if numbers.size != math.prod(shape) or (
                numbers.shape != shape and field != "scal_coeffs"
            ):
                fail(
                    field,
                    f"has shape {numbers.shape} ({numbers.size} numbers), but {reason} ask for "
                    f"{shape} ({math.prod(shape)} numbers)",
                )
            if not np.isfinite(numbers).all():
                bad = int(np.flatnonzero(~np.isfinite(numbers))[0])
                fail(field, f"number {bad} is {numbers.flat[bad]}; all have to be finite")
            setattr(self, field, numbers.reshape(shape))


def read_mtp(path: str | os.PathLike[str]) -> MTPFile:
    """Read an ``.mtp`` file, trained or not.

    Raises:
        MTPFormatError: the file is malformed; the message names file, line and field.
        OSError: the file cannot be read.
    """
    lines = MTPLines(path, _FIELDS)
    with lines.naming_places():
        return MTPFile(
            version=lines.text("version"),
            potential_name=lines.text("potential_name"),
            scaling=lines.real("scaling"),
            L=lines.integer("L"),
            scaling_map=lines.text("scaling_map"),
            species_count=lines.integer("species_count"),
            potential_tag=lines.text("potential_tag"),
            radial_basis_type=lines.text("radial_basis_type"),
            min_dist=lines.real("min_dist"),
            max_dist=lines.real("max_dist"),
            radial_basis_size=lines.integer("radial_basis_size"),
            radial_funcs_count=lines.integer("radial_funcs_count"),
            shift_coeffs=lines.coefficients("shift_coeffs"),
            scal_coeffs=lines.coefficients("scal_coeffs"),
            radial_coeffs=_radial_coefficients(lines),
            species_coeffs=lines.coefficients("species_coeffs"),
            moment_coeffs=lines.coefficients("moment_coeffs"),
            table=read_table(lines),
        )


def _radial_coefficients(lines: MTPLines) -> NDArray[np.float64] | None:
    """The rows of the one block; None where the file has none."""
    columns = lines.integer("radial_basis_size") + lines.integer("species_count")
    blocks = lines.radial_blocks(columns, "radial_basis_size + species_count")
    if blocks is None:
        return None
    headings = [block.heading for block in blocks]
    if headings != ["0-0"]:
        wrong = next((block for block in blocks if block.heading != "0-0"), None)
        fail(
            "radial_coeffs",
            f"has blocks headed {', '.join(headings) or 'nothing'}; SUS2 has one block, headed "
            "0-0, for all pairs of species",
            wrong.line if wrong else None,
        )
    return blocks[0].rows


def table_from_file(path: str | os.PathLike[str]) -> ContractionTable:
    """Read only the contraction table (the ``alpha_*`` fields) of an ``.mtp`` file.

    Raises:
        MTPFormatError: the table is malformed; the message names file, line and field.
        OSError: the file cannot be read.
    """
    lines = MTPLines(path, _FIELDS)
    with lines.naming_places():
        return read_table(lines)


def write_mtp(mtp: MTPFile, path: str | os.PathLike[str], *, overwrite: bool = False) -> None:
    """Write an ``.mtp`` file with the fields, order and number format of the published models.

    The file appears at once or not at all.

    Raises:
        FileExistsError: the file exists and ``overwrite`` is False.
        MTPFormatError: ``mtp`` is inconsistent.
    """
    mtp.check()
    write_text(format_mtp(mtp), path, overwrite=overwrite)


def format_mtp(mtp: MTPFile) -> str:
    """Text of an ``.mtp`` file; like the published models it ends without a line break."""
    lines = [
        "MTP",
        f"version = {mtp.version}",
        f"potential_name = {mtp.potential_name}",
        f"scaling = {number(mtp.scaling)}",
        f"L = {mtp.L}",
        f"scaling_map = {mtp.scaling_map}",
        f"species_count = {mtp.species_count}",
        f"potential_tag = {mtp.potential_tag}",
        f"radial_basis_type = {mtp.radial_basis_type}",
        f"\tmin_dist = {number(mtp.min_dist)}",
        f"\tmax_dist = {number(mtp.max_dist)}",
        f"\tradial_basis_size = {mtp.radial_basis_size}",
        f"\tradial_funcs_count = {mtp.radial_funcs_count}",
    ]
    if mtp.shift_coeffs is not None and mtp.scal_coeffs is not None:
        lines.append(f"shift_coeffs = {braces(mtp.shift_coeffs, number)}")
        lines.append(f"scal_coeffs = {braces(mtp.scal_coeffs.ravel(), number)}")
    if mtp.radial_coeffs is not None:
        lines += ["\tradial_coeffs", "\t\t0-0"]
        lines += [f"\t\t\t{braces(row, number)}" for row in mtp.radial_coeffs]
    lines += table_lines(mtp.table)
    if mtp.species_coeffs is not None and mtp.moment_coeffs is not None:
        lines.append(f"species_coeffs = {braces(mtp.species_coeffs, number)}")
        lines.append(f"moment_coeffs = {braces(mtp.moment_coeffs, number)}")
    return "\n".join(lines)
