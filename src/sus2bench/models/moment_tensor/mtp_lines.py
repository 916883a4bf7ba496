"""Splits the text of an ``.mtp`` file into fields and numbers, remembering the line of each."""

from __future__ import annotations

import json
import os
import re
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, NamedTuple, NoReturn

import numpy as np
from numpy.typing import NDArray

from sus2bench.models.moment_tensor.contraction_table import ContractionError

FILE_SUFFIXES = (".mtp", ".almtp")

_INTEGER = re.compile(r"[+-]?[0-9]{1,9}")
_REAL = re.compile(r"[+-]?([0-9]+\.?[0-9]*|\.[0-9]+)([eE][+-]?[0-9]+)?")
_HEADING = re.compile(r"[0-9]{1,9}-[0-9]{1,9}")
_SHOWN_CHARACTERS = 40
# MLIP-3 appends the state of its active learning, partly binary, behind this line.
_END_OF_MODEL = b"\n#MVS_"


class MTPFormatError(ValueError):
    """An ``.mtp`` file or its content is malformed.

    Attributes:
        field: the field at fault, as the file spells it; None where no field is.
        message: what is wrong and what to do.
        path: the file; None for an object that never was one.
        line: line number, counted from 1; None where the field is absent.
    """

    def __init__(
        self,
        message: str,
        *,
        field: str | None = None,
        path: str | os.PathLike[str] | None = None,
        line: int | None = None,
    ) -> None:
        place = [str(path)] if path is not None else []
        place += [f"line {line}"] if line is not None else []
        place += [f"field {field}"] if field is not None else []
        super().__init__(": ".join([", ".join(place), message] if place else [message]))
        self.field = field
        self.message = message
        self.path = path
        self.line = line


def fail(field: str, message: str, line: int | None = None) -> NoReturn:
    """Raise an error that names a field; the file and its line are added by ``MTPLines``."""
    raise MTPFormatError(message, field=field, line=line)


class RadialBlock(NamedTuple):
    """Radial coefficients of one pair of species."""

    line: int
    """Line of the heading."""
    heading: str
    """`a-b`: the species of the centre and of the neighbour."""
    rows: NDArray[np.float64]
    """A row of coefficients per radial function."""


class MTPLines:
    """Fields of an ``.mtp`` file as text, with conversions that complain about the right line.

    Args:
        path: the file.
        fields: names of all fields there are.
        refused: names of fields that are known but cannot be read, and why.

    Raises:
        MTPFormatError: the text is no sequence of known fields.
        OSError: the file cannot be read.
    """

    def __init__(
        self,
        path: str | os.PathLike[str],
        fields: Sequence[str],
        refused: Mapping[str, str] | None = None,
    ) -> None:
        self._path = path
        self._fields = fields
        self._values: dict[str, tuple[int, str]] = {}
        self._refused = refused or {}
        self._radial_blocks: list[tuple[int, str, list[tuple[int, str]]]] = []
        with self.naming_places():
            self._split(_text(Path(path)))

    @contextmanager
    def naming_places(self) -> Iterator[None]:
        """Add the file and the line of the field to errors that do not name them yet."""
        try:
            yield
        except (MTPFormatError, ContractionError) as error:
            line = getattr(error, "line", None)
            if line is None and error.field in self._values:
                line = self._values[error.field][0]
            raise MTPFormatError(
                error.message, field=error.field, path=self._path, line=line
            ) from None

    def has(self, field: str) -> bool:
        """Whether the file has a field."""
        return field in self._values

    def one_of(self, fields: Sequence[str]) -> str:
        """Which of several names of one field the file uses; the first where it has none."""
        return next((field for field in fields if field in self._values), fields[0])

    def text(self, field: str, default: str | None = None) -> str:
        """What stands behind the equals sign; the default, if there is one, for no such field."""
        if field not in self._values and default is not None:
            return default
        if field not in self._values:
            fail(
                field,
                "is missing; the file may be truncated (get it anew), or not of this kind of model",
            )
        return self._values[field][1]

    def integer(self, field: str) -> int:
        """A whole number."""
        text = self.text(field)
        if not _INTEGER.fullmatch(text):
            fail(field, f"{_shown(text)} is no whole number of up to nine digits")
        return int(text)

    def real(self, field: str) -> float:
        """A decimal number."""
        text = self.text(field)
        if not _REAL.fullmatch(text):
            fail(field, f"{_shown(text)} is no finite decimal number")
        return float(text)

    def integers(self, field: str, columns: int | None) -> list[Any]:
        """A list of whole numbers, or of tuples of ``columns`` whole numbers."""
        items = _parse_braces(field, self.text(field), self._values[field][0])
        for position, item in enumerate(items):
            row = [item] if columns is None else item
            if not (isinstance(row, list) and all(type(number) is int for number in row)):
                fail(field, f"entry {position} is not made of whole numbers")
            if columns is not None and len(row) != columns:
                fail(field, f"entry {position} has {len(row)} numbers; it needs {columns}")
        return items if columns is None else [tuple(item) for item in items]

    def coefficients(self, field: str) -> NDArray[np.float64] | None:
        """A list of finite decimal numbers, flat; None where the file has no such field."""
        if field not in self._values:
            return None
        line, text = self._values[field]
        return np.array(_decimal_numbers(field, text, line), dtype=np.float64)

    def radial_blocks(self, columns: int, reason: str) -> list[RadialBlock] | None:
        """The blocks of ``radial_coeffs`` in their order; None where the file has no such field.

        Args:
            columns: how many numbers each row has to have.
            reason: what says so, for the error.
        """
        field = "radial_coeffs"
        if field not in self._values:
            return None
        blocks = []
        for line, heading, lines in self._radial_blocks:
            rows = []
            for row_line, text in lines:
                row = _decimal_numbers(field, text, row_line)
                if len(row) != columns:
                    fail(
                        field,
                        f"this row has {len(row)} numbers; {reason} = {columns} are needed",
                        row_line,
                    )
                rows.append(row)
            array = np.array(rows, dtype=np.float64).reshape(len(rows), columns)
            blocks.append(RadialBlock(line, heading, array))
        return blocks

    def _split(self, text: str) -> None:
        lines = [line.strip() for line in text.split("\n")]
        if lines[0] != "MTP":
            raise MTPFormatError("does not begin with MTP; this is no .mtp file", line=1)
        in_radial = False
        for number, line in enumerate(lines[1:], start=2):
            if not line:
                continue
            if in_radial and _HEADING.fullmatch(line):
                self._radial_blocks.append((number, line, []))
            elif in_radial and self._radial_blocks and line.startswith("{"):
                self._radial_blocks[-1][2].append((number, line))
            elif in_radial and not self._radial_blocks:
                fail(
                    "radial_coeffs",
                    f"the heading is followed by {_shown(line)}; it needs a pair of species "
                    "such as 0-0",
                    number,
                )
            else:
                in_radial = self._add_field(line, number) == "radial_coeffs"

    def _add_field(self, line: str, number: int) -> str:
        """Note one `field = value`; returns the name of the block that it opens, if any."""
        field, equals, value = (part.strip() for part in line.partition("="))
        opens_block = field == "radial_coeffs"
        if field in self._refused:
            fail(field, self._refused[field], number)
        if field not in self._fields or opens_block == bool(equals):
            raise MTPFormatError(
                f"{_shown(line)} is no known line; known fields are {', '.join(self._fields)}",
                line=number,
            )
        if field in self._values:
            fail(field, f"occurs again; it stands in line {self._values[field][0]}", number)
        self._values[field] = (number, value)
        return field if opens_block else ""


def field_names(path: str | os.PathLike[str]) -> set[str]:
    """What stands before an equals sign in any line of a file, of whatever kind it is.

    Raises:
        MTPFormatError: the file is not text.
        OSError: the file cannot be read.
    """
    lines = _text(Path(path)).split("\n")
    return {line.partition("=")[0].strip() for line in lines if "=" in line}


def _text(path: Path) -> str:
    try:
        return path.read_bytes().partition(_END_OF_MODEL)[0].decode("utf-8")
    except UnicodeDecodeError as error:
        raise MTPFormatError(f"is not text ({error}); this is no .mtp file") from None


def _decimal_numbers(field: str, text: str, line: int) -> list[float]:
    numbers = _parse_braces(field, text, line)
    for position, number in enumerate(numbers):
        # Comparing with the largest numbers also turns away NaN, and does not round integers.
        if type(number) not in (int, float) or not -_LARGEST <= number <= _LARGEST:
            fail(field, f"number {position} is not a finite decimal number", line)
    return [float(number) for number in numbers]


_LARGEST = float(np.finfo(np.float64).max)


def _parse_braces(field: str, text: str, line: int) -> list[Any]:
    """Items of `{a, b, ...}`, nested or not: the grammar is JSON's with braces for brackets."""
    if not text.startswith("{"):
        fail(field, f"{_shown(text)} does not begin with an opening brace", line)
    translated = text.translate(_BRACES_TO_BRACKETS)
    try:
        items: list[Any] = json.loads(translated)
    except json.JSONDecodeError as error:
        fail(
            field,
            f"is no list in braces ({error.msg.lower()} after {_shown(text[: error.pos], True)}); "
            "the line may be truncated",
            line,
        )
    except (ValueError, RecursionError) as error:
        fail(field, f"is no list in braces ({error})", line)
    return items


# Brackets become braces, which JSON refuses here: an .mtp file has none of them.
_BRACES_TO_BRACKETS = str.maketrans("{}[]", "[]{}")


def _shown(text: str, end: bool = False) -> str:
    """The beginning (or end) of a text that may be very long."""
    if len(text) <= _SHOWN_CHARACTERS:
        return repr(text)
    return repr("..." + text[-_SHOWN_CHARACTERS:] if end else text[:_SHOWN_CHARACTERS] + "...")
