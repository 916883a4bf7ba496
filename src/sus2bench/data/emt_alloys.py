"""`emt-alloys`: alloys of seven metals made by a seeded recipe, with labels from ASE's EMT.

Effective medium theory (Jacobsen, Stoltze, Nørskov, Surf. Sci. 366, 394 (1996)) costs nothing and
is smooth, many-body and defined for every mixture of its metals, so that models can be compared
in minutes and far outside their training data. Its interactions end at 5.88 Å: a model with a
cutoff of 6 Å sees all of them.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import ase
import numpy as np
import numpy.typing as npt
from ase import units
from ase.build import bulk, fcc100, fcc110, fcc111
from ase.calculators.emt import EMT

from sus2bench.atoms.reading import LabelledAtoms
from sus2bench.atoms.writing import write_extxyz

log = logging.getLogger(__name__)

# To be raised with every change of the recipe.
VERSION = 1
SEED = 20250
# Lattice constants of fcc at EMT's own minimum of energy, Å.
LATTICE = {
    "Al": 3.9943, "Ni": 3.4871, "Cu": 3.5898, "Pd": 3.8787, "Ag": 4.0636, "Pt": 3.9218,
    "Au": 4.0562,
}  # fmt: skip
ELEMENTS = tuple(LATTICE)
# Pairs that never make a binary alloy outside `ood_composition`.
HELD_OUT = (("Al", "Pt"), ("Ni", "Au"), ("Cu", "Pd"))
# Probability of one, two, ... five elements.
ORDER_WEIGHTS = (0.20, 0.30, 0.20, 0.15, 0.15)

KINDS = ("strained", "vacancies", "surfaces", "hot")
# Frames of each kind; those of `hot` are taken from trajectories that belong to one part only.
COUNTS = {"train": (210, 100, 130, 160), "valid": (35, 15, 20, 30), "test": (70, 30, 40, 60)}
PARTS = (*COUNTS, "ood_eos", "ood_composition")
SNAPSHOTS = 10  # of a trajectory
STEPS = 10  # between snapshots
TIME_STEP = 4.0 * units.fs
FRICTION = 0.02 / units.fs
EOS_VOLUMES = np.linspace(0.5, 2.0, 13)
EOS_ALLOYS = 5
OOD_COMPOSITIONS = 90

# Digits that are kept: fewer than all, so that the last bits of a machine's exp and sqrt do not
# show, and more than any model resolves.
DIGITS_LENGTH, DIGITS_LABEL = 6, 10


@dataclass(frozen=True)
class EMTAlloys:
    """The source of the data set: its files are generated in the cache when first asked for."""

    name: str = "emt-alloys"
    title: str = ""
    page: str = ""
    licence: str = ""
    citation: str = ""
    method: str = ""
    notes: str = ""

    def locate(self, file: str, cache_dir: Path) -> Path:
        """The path of ``train.extxyz`` and so on, for each of `PARTS`.

        Raises:
            ValueError: there is no such file.
        """
        part = file.removesuffix(".extxyz")
        if part not in PARTS or part == file:
            names = ", ".join(f"{part}.extxyz" for part in PARTS)
            raise ValueError(f"{self.name} has no file {file!r}; it has {names}")
        path = cache_dir / "generated" / f"emt-alloys-{VERSION}" / file
        if not path.is_file():
            log.info("emt-alloys: generating %s, once", file)
            start = time.perf_counter()
            write_extxyz(path, generate(part))
            log.info("emt-alloys: %s in %.0f s", path, time.perf_counter() - start)
        return path


def generate(part: str) -> list[LabelledAtoms]:
    """The frames of one of `PARTS`, the same to the bit in every run.

    Stress is given where all three directions are periodic.
    """
    if part == "ood_eos":
        return [_label(atoms) for atoms in _equations_of_state()]
    if part == "ood_composition":
        return [_label(atoms) for atoms in _foreign_compositions()]
    frames = []
    for kind, count in zip(KINDS, COUNTS[part], strict=True):
        if kind == "hot":
            for index in range(count // SNAPSHOTS):
                frames += [_label(a) for a in _trajectory(_generator(part, kind, index), index)]
            continue
        for index in range(count):
            generator = _generator(part, kind, index)
            frames.append(_label(_make(kind, generator, _draw_elements(generator, index))))
    return frames


def _generator(part: str, kind: str, index: int) -> np.random.Generator:
    """One for each frame, so that none depends on how many came before."""
    kinds = (*KINDS, "other")
    return np.random.default_rng([SEED, PARTS.index(part), kinds.index(kind), index])


def _draw_elements(generator: np.random.Generator, index: int) -> list[str]:
    """One to five elements; unaries take turns, held-out binaries are left out."""
    while True:
        count = int(generator.choice(len(ORDER_WEIGHTS), p=ORDER_WEIGHTS)) + 1
        if count == 1:
            return [ELEMENTS[index % len(ELEMENTS)]]
        chosen = sorted(generator.choice(len(ELEMENTS), size=count, replace=False))
        elements = [ELEMENTS[number] for number in chosen]
        if tuple(elements) not in HELD_OUT:
            return elements


def _make(kind: str, generator: np.random.Generator, elements: list[str]) -> ase.Atoms:
    if kind == "surfaces":
        return _surface(generator, elements)
    atoms = _crystal(generator, elements, largest_only=kind == "vacancies")
    if kind == "vacancies":
        del atoms[generator.choice(len(atoms), size=generator.integers(1, 3), replace=False)]
    return _distort(atoms, generator, strain=0.04, rattle=float(generator.uniform(0.0, 0.15)))


def _crystal(
    generator: np.random.Generator, elements: list[str], largest_only: bool = False
) -> ase.Atoms:
    """fcc, bcc or hcp with sites occupied at random; each element has at least one."""
    choices = [
        ("fcc", False, (1, 1, 1)), ("fcc", False, (2, 2, 2)), ("fcc", True, (2, 2, 1)),
        ("bcc", True, (2, 2, 2)), ("hcp", True, (2, 2, 1)), ("fcc", True, (2, 2, 2)),
        ("hcp", True, (2, 2, 2)),
    ]  # fmt: skip
    start = 5 if largest_only else 0 if len(elements) == 1 else 1
    structure, conventional, repeat = choices[generator.integers(start, len(choices))]
    lattice = float(np.mean([LATTICE[element] for element in elements]))
    if structure == "fcc":
        atoms = bulk("Cu", "fcc", a=lattice, cubic=conventional)
    elif structure == "bcc":
        atoms = bulk("Cu", "bcc", a=lattice / 2 ** (1 / 3), cubic=True)
    else:
        side = lattice / np.sqrt(2)
        atoms = bulk("Cu", "hcp", a=side, c=side * np.sqrt(8 / 3), orthorhombic=True)
    atoms = ase.Atoms(atoms.repeat(repeat))
    _occupy(atoms, generator, elements)
    return atoms


def _occupy(atoms: ase.Atoms, generator: np.random.Generator, elements: list[str]) -> None:
    """Elements on random sites in random proportions, each on at least one; sets the volume."""
    shares = generator.dirichlet(np.ones(len(elements)))
    extra = generator.choice(len(elements), size=len(atoms) - len(elements), p=shares)
    kinds = generator.permutation(np.concatenate([np.arange(len(elements)), extra]))
    atoms.set_chemical_symbols([elements[kind] for kind in kinds])
    sides = np.array([LATTICE[symbol] for symbol in atoms.get_chemical_symbols()])
    reference = np.mean([LATTICE[element] for element in elements])
    factor = float(np.cbrt(np.mean(sides**3)) / reference)
    atoms.set_cell(atoms.cell.array * factor, scale_atoms=True)


def _surface(generator: np.random.Generator, elements: list[str]) -> ase.Atoms:
    """A slab with a free surface on both sides, not periodic across it."""
    faces: list[tuple[Any, list[tuple[int, int, int]]]] = [
        (fcc111, [(2, 2, 3), (2, 2, 5), (2, 3, 4)]),
        (fcc100, [(2, 2, 4), (2, 2, 6), (3, 2, 4)]),
        (fcc110, [(2, 2, 6), (2, 3, 5)]),
    ]
    build, sizes = faces[generator.integers(len(faces))]
    size = sizes[generator.integers(len(sizes))]
    lattice = float(np.mean([LATTICE[element] for element in elements]))
    slab = build("Cu", size=size, a=lattice, vacuum=6.0)
    atoms = ase.Atoms("Cu" * len(slab), slab.positions, cell=slab.cell, pbc=[True, True, False])
    _occupy(atoms, generator, elements)
    return _distort(atoms, generator, strain=0.02, rattle=float(generator.uniform(0.02, 0.15)))


def _distort(
    atoms: ase.Atoms, generator: np.random.Generator, strain: float, rattle: float
) -> ase.Atoms:
    """A random symmetric strain and random displacements, normal with these widths."""
    tensor = generator.normal(scale=strain, size=(3, 3))
    atoms.set_cell(atoms.cell.array @ (np.eye(3) + (tensor + tensor.T) / 2), scale_atoms=True)
    atoms.positions += generator.normal(scale=rattle, size=atoms.positions.shape)
    return atoms


def _trajectory(generator: np.random.Generator, index: int) -> Iterator[ase.Atoms]:
    """Snapshots of Langevin dynamics (BAOAB) at 300 to 2500 K."""
    atoms = _crystal(generator, _draw_elements(generator, index))
    if len(atoms) == 1:
        atoms = atoms.repeat((2, 2, 2))
    _distort(atoms, generator, strain=0.02, rattle=0.08)
    thermal = units.kB * float(generator.uniform(300.0, 2500.0))
    masses = atoms.get_masses()[:, None]
    velocities = generator.normal(size=(len(atoms), 3)) * np.sqrt(thermal / masses)
    keep = np.exp(-FRICTION * TIME_STEP)
    kick = np.sqrt((1 - keep**2) * thermal / masses)
    atoms.calc = EMT()
    forces = atoms.get_forces()
    for _ in range(SNAPSHOTS):
        for _ in range(STEPS):
            velocities += 0.5 * TIME_STEP * forces / masses
            atoms.positions += 0.5 * TIME_STEP * velocities
            velocities = keep * velocities + kick * generator.normal(size=velocities.shape)
            atoms.positions += 0.5 * TIME_STEP * velocities
            forces = atoms.get_forces()
            velocities += 0.5 * TIME_STEP * forces / masses
        yield atoms.copy()


def _equations_of_state() -> Iterator[ase.Atoms]:
    """Crystals from half to twice their volume: the metals, and alloys at random sites."""
    crystals = [bulk(element, "fcc", a=LATTICE[element]) for element in ELEMENTS]
    for index in range(EOS_ALLOYS):
        generator = _generator("ood_eos", "other", index)
        atoms = bulk("Cu", "fcc", a=1.0, cubic=True).repeat((2, 1, 1))
        elements = [ELEMENTS[n] for n in sorted(generator.choice(7, size=index + 2, replace=False))]
        atoms.set_cell(atoms.cell.array * np.mean([LATTICE[e] for e in elements]), scale_atoms=True)
        _occupy(atoms, generator, elements)
        crystals.append(atoms)
    for crystal in crystals:
        for volume in EOS_VOLUMES:
            atoms = crystal.copy()
            atoms.set_cell(crystal.cell.array * np.cbrt(volume), scale_atoms=True)
            yield atoms


def _foreign_compositions() -> Iterator[ase.Atoms]:
    """The held-out binaries, and alloys of six and of all seven elements."""
    for index in range(OOD_COMPOSITIONS):
        generator = _generator("ood_composition", "other", index)
        choice = index % 5
        if choice < len(HELD_OUT):
            elements = list(HELD_OUT[choice])
        else:
            chosen = sorted(generator.choice(7, size=choice + 3, replace=False))
            elements = [ELEMENTS[number] for number in chosen]
        yield _make(KINDS[index % 3], generator, elements)


def _label(atoms: ase.Atoms) -> LabelledAtoms:
    """Rounded atoms with EMT's labels for just these, rounded too."""
    rounded = ase.Atoms(
        numbers=atoms.numbers,
        positions=_round(atoms.positions, DIGITS_LENGTH),
        cell=_round(atoms.cell.array, DIGITS_LENGTH),
        pbc=atoms.pbc,
    )
    rounded.calc = EMT()
    energy = float(_round(np.array(rounded.get_potential_energy()), DIGITS_LABEL))
    forces = _round(rounded.get_forces(), DIGITS_LABEL)
    stress = None
    if rounded.pbc.all():
        stress = _round(rounded.get_stress(voigt=False), DIGITS_LABEL)
    rounded.calc = None
    return LabelledAtoms(rounded, energy, forces, stress)


def _round(values: npt.NDArray[np.float64], digits: int) -> npt.NDArray[np.float64]:
    """Rounded, without negative zeros."""
    return np.asarray(np.round(values, digits) + 0.0)
