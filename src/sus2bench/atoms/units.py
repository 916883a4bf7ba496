"""Units of the numbers in a file, as factors to eV, Å and what is made of them."""

from __future__ import annotations

import re

from ase import units as ase_units

BASE_UNITS: dict[str, float] = {
    "eV": ase_units.eV,
    "meV": 1e-3 * ase_units.eV,
    "Hartree": ase_units.Hartree,
    "Ha": ase_units.Hartree,
    "Rydberg": ase_units.Rydberg,
    "Ry": ase_units.Rydberg,
    "kcal": ase_units.kcal,
    "kJ": ase_units.kJ,
    "mol": ase_units.mol,
    "Ang": ase_units.Ang,
    "Bohr": ase_units.Bohr,
    "nm": ase_units.nm,
    "GPa": ase_units.GPa,
    "kbar": 0.1 * ase_units.GPa,
    "bar": 1e-4 * ase_units.GPa,
}


def unit_factor(unit: str) -> float:
    """What one ``unit`` is in eV, Å and their products, e.g. ``kcal/mol/Ang`` or ``eV/Ang^3``.

    Raises:
        ValueError: a part of the unit is unknown; the text lists the known ones.
    """
    factor = 1.0
    for position, part in enumerate(unit.split("/")):
        match = re.fullmatch(r"\s*([A-Za-z]+)(?:\^(\d))?\s*", part)
        if match is None or match[1] not in BASE_UNITS:
            raise ValueError(
                f"unknown unit {part!r} in {unit!r}; known are {', '.join(BASE_UNITS)}, "
                "joined by / and raised by ^"
            )
        value = BASE_UNITS[match[1]] ** int(match[2] or 1)
        factor = factor * value if position == 0 else factor / value
    return factor
