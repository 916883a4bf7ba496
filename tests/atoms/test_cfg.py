"""MLIP's `.cfg`: what is written is read back, signs are right, damage is named by its line."""

import os
from pathlib import Path

import numpy as np
import pytest
from ase import Atoms
from ase.build import bulk
from ase.calculators.singlepoint import SinglePointCalculator

from sus2bench.atoms.cfg import CfgError, is_cfg, read_cfg, write_cfg

SPECIES = ["Na", "Cl"]

EXAMPLE = """BEGIN_CFG
 Size
    2
 Supercell
    4.0 0.0 0.0
    0.0 5.0 0.0
    0.0 0.0 6.0
 AtomData:  id type direct_x direct_y direct_z fx fy fz
    1 0 0.0 0.0 0.0 0.1 0.2 0.3
    2 1 0.5 0.5 0.5 -0.1 -0.2 -0.3
 Energy
    -7.25
 PlusStress:  xx yy zz yz xz xy
    1.0 2.0 3.0 4.0 5.0 6.0
 Feature   EFS_by\tsome program
END_CFG
"""


def example(tmp_path, text=EXAMPLE):
    path = tmp_path / "example.cfg"
    path.write_text(text)
    return path


def test_fields_signs_and_units(tmp_path):
    (atoms,) = read_cfg(example(tmp_path), SPECIES)
    assert atoms.get_chemical_formula() == "ClNa"
    assert np.allclose(atoms.positions[1], [2.0, 2.5, 3.0], atol=0)
    assert atoms.pbc.all()
    assert atoms.calc.results["energy"] == -7.25
    assert np.array_equal(atoms.calc.results["forces"][0], [0.1, 0.2, 0.3])
    # ASE's stress is -PlusStress / V in the same order; V = 120 Å^3.
    assert np.allclose(atoms.calc.results["stress"], -np.arange(1.0, 7.0) / 120, rtol=1e-15)
    assert atoms.info["features"] == {"EFS_by": "some program"}


def test_round_trip_keeps_every_bit(tmp_path):
    rng = np.random.default_rng(5)
    crystal = bulk("NaCl", "rocksalt", a=5.6, cubic=True)
    crystal.rattle(0.1, seed=1)
    crystal.set_cell(crystal.cell.array + rng.normal(size=(3, 3)))
    crystal.calc = SinglePointCalculator(
        crystal, energy=-1 / 3, forces=rng.normal(size=(8, 3)), stress=rng.normal(size=6)
    )
    crystal.set_array("charges", rng.normal(size=8))
    crystal.info["features"] = {"origin": "test 1", "note": ""}
    molecule = Atoms("NaCl", rng.normal(size=(2, 3)))
    molecule.calc = SinglePointCalculator(molecule, energy=1e-300)
    wire = Atoms("Na", rng.normal(size=(1, 3)), cell=np.diag([2.0, 0, 0]), pbc=[True, False, False])
    path = tmp_path / "written.cfg"
    write_cfg(path, [crystal, molecule, wire], SPECIES)
    back = read_cfg(path, SPECIES)
    assert [len(atoms) for atoms in back] == [8, 2, 1]
    for old, new in zip([crystal, molecule, wire], back, strict=True):
        assert np.array_equal(old.numbers, new.numbers)
        assert np.array_equal(old.positions, new.positions)
        assert np.array_equal(old.pbc, new.pbc)
        assert np.array_equal(old.cell.array[old.pbc], new.cell.array[new.pbc])
        assert old.info == new.info
    assert back[0].calc.results["energy"] == -1 / 3
    assert np.array_equal(back[0].calc.results["forces"], crystal.calc.results["forces"])
    assert np.array_equal(back[0].arrays["charges"], crystal.arrays["charges"])
    # Through the volume and back: two roundings.
    assert np.allclose(back[0].calc.results["stress"], crystal.calc.results["stress"], rtol=1e-15)
    assert set(back[1].calc.results) == {"energy"}
    assert back[2].calc is None


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        ("    2\n Super", "    3\n Super", r"line 11: AtomData has 2 rows, Size says 3"),
        ("    2\n Super", "    two\n Super", r"line 3: Size must be"),
        ("0.1 0.2 0.3\n", "0.1 0.2\n", r"line 9: AtomData row 1 of 2 takes 8 finite numbers"),
        ("0.1 0.2 0.3\n", "0.1 0.2 nan\n", r"line 9: AtomData row 1 of 2"),
        ("-7.25", "minus", r"line 12: Energy: could not convert"),
        ("xx yy zz yz xz xy", "xx yy zz", r"line 13: PlusStress has the components"),
        ("    2 1 0.5", "    2 2 0.5", r"type 2 has no chemical symbol.*Na, Cl"),
        ("END_CFG\n", "", r"line 15: the file ends inside a configuration: it is truncated"),
        (" Energy", " Enregy", r"line 11: unknown field 'Enregy'"),
        ("direct_z", "direct_w", r"line 8: AtomData has unknown columns \['direct_w'\]"),
        ("BEGIN_CFG", "BEGIN", r"line 1: expected BEGIN_CFG"),
    ],
)
def test_damage_is_named_with_its_line(tmp_path, old, new, message):
    assert old in EXAMPLE
    with pytest.raises(CfgError, match=message):
        read_cfg(example(tmp_path, EXAMPLE.replace(old, new, 1)), SPECIES)


def test_every_truncation_is_an_error(tmp_path):
    lines = EXAMPLE.splitlines(keepends=True)
    for end in range(len(lines)):
        with pytest.raises(CfgError):
            read_cfg(example(tmp_path, "".join(lines[:end])), SPECIES)


def test_writing_refuses_what_the_format_cannot_say(tmp_path):
    with pytest.raises(CfgError, match="configuration 0: no type for K"):
        write_cfg(tmp_path / "x.cfg", [Atoms("K")], SPECIES)
    slab = Atoms("Na", cell=[3, 3, 3], pbc=[False, True, True])
    with pytest.raises(CfgError, match="reorder the cell"):
        write_cfg(tmp_path / "x.cfg", [slab], SPECIES)
    assert not list(tmp_path.iterdir())


@pytest.mark.skipif("SUS2BENCH_SHARED" not in os.environ, reason="SUS2BENCH_SHARED is not set")
def test_published_files_are_read_in_full(tmp_path):
    folder = Path(os.environ["SUS2BENCH_SHARED"]) / "data" / "diamond"
    for name, count in (("train", 200), ("valid", 114)):
        path = folder / f"{name}.cfg"
        assert is_cfg(path)
        configurations = read_cfg(path, ["C"])
        assert len(configurations) == count
        assert all(
            set(atoms.calc.results) == {"energy", "forces", "stress"} and len(atoms) == 64
            for atoms in configurations
        )
    write_cfg(tmp_path / "copy.cfg", configurations, ["C"])
    for old, new in zip(configurations, read_cfg(tmp_path / "copy.cfg", ["C"]), strict=True):
        assert np.array_equal(old.positions, new.positions)
        assert np.array_equal(old.calc.results["forces"], new.calc.results["forces"])
