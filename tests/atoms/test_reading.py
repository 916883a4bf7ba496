"""Labels are found under declared keys, converted once, and bad files are refused by name."""

import logging

import numpy as np
import pytest
from ase import Atoms, units
from ase.build import bulk, molecule
from ase.calculators.singlepoint import SinglePointCalculator
from ase.constraints import FixAtoms
from ase.io import write

from sus2bench.atoms.cfg import write_cfg
from sus2bench.atoms.reading import (
    LabelKeys,
    ReadingError,
    Units,
    label_census,
    read_labelled,
)
from sus2bench.atoms.units import unit_factor

STRESS = np.array([1.0, 2.0, 3.0, 4.0, 5.0, 6.0]) * 1e-3


def crystal(labels=("energy", "forces", "stress")):
    atoms = bulk("NaCl", "rocksalt", a=5.6)
    results = {"energy": -6.5, "forces": np.arange(6.0).reshape(2, 3), "stress": STRESS}
    atoms.calc = SinglePointCalculator(atoms, **{label: results[label] for label in labels})
    return atoms


def test_labels_known_to_ase_are_read(tmp_path):
    path = tmp_path / "data.extxyz"
    write(path, [crystal(), crystal()])
    frames = read_labelled(path)
    assert label_census(frames) == {"frames": 2, "energy": 2, "forces": 2, "stress": 2}
    assert frames[0].energy == -6.5
    assert np.array_equal(frames[0].forces, np.arange(6.0).reshape(2, 3))
    assert np.array_equal(frames[1].stress[[0, 1, 2, 1, 0, 0], [0, 1, 2, 2, 2, 1]], STRESS)
    assert np.array_equal(frames[1].stress, frames[1].stress.T)


def test_labels_under_other_keys_and_units_are_read(tmp_path):
    atoms = bulk("Cu", cubic=True)
    atoms.info["REF_energy"] = -1.5
    atoms.arrays["REF_forces"] = np.full((4, 3), 0.25)
    atoms.info["pressure_like"] = 10 * np.eye(3)
    path = tmp_path / "data.extxyz"
    write(path, atoms)
    keys = LabelKeys("REF_energy", "REF_forces", "pressure_like")
    (frame,) = read_labelled(
        path, keys, Units(energy="Hartree", forces="Hartree/Bohr", stress="kbar", stress_sign=-1)
    )
    assert frame.energy == pytest.approx(-1.5 * units.Hartree, rel=1e-14)
    assert frame.forces[0, 0] == pytest.approx(0.25 * units.Hartree / units.Bohr, rel=1e-14)
    assert frame.stress[0, 0] == pytest.approx(-1.0 * units.GPa, rel=1e-14)


def test_virials_become_stresses_with_the_opposite_sign(tmp_path):
    atoms = crystal(["energy"])
    atoms.info["virial"] = np.diag([1.0, 2.0, 3.0])
    path = tmp_path / "data.extxyz"
    write(path, atoms)
    (frame,) = read_labelled(path, LabelKeys(forces=None, stress=None, virial="virial"))
    assert np.allclose(frame.stress, -np.diag([1.0, 2.0, 3.0]) / atoms.get_volume(), rtol=1e-15)
    with pytest.raises(ValueError, match="set one of them to null"):
        LabelKeys(virial="virial")


def test_constraints_do_not_zero_the_forces(tmp_path):
    atoms = crystal()
    atoms.set_constraint(FixAtoms([0, 1]))
    for name in ("data.extxyz", "data.traj", "data.json"):
        write(tmp_path / name, atoms)
        (frame,) = read_labelled(tmp_path / name)
        assert np.allclose(frame.forces, np.arange(6.0).reshape(2, 3), rtol=1e-15), name


def test_missing_labels_of_some_frames_are_none_and_said(tmp_path, caplog):
    path = tmp_path / "data.extxyz"
    write(path, [crystal(), crystal(["energy", "forces"])])
    with caplog.at_level(logging.INFO):
        frames = read_labelled(path)
    assert frames[1].stress is None
    assert "1 of 2 frames have no 'stress'" in caplog.text
    assert "'frames': 2, 'energy': 2, 'forces': 2, 'stress': 1" in caplog.text


def test_a_key_that_no_frame_has_is_an_error_with_what_there_is(tmp_path):
    path = tmp_path / "data.extxyz"
    atoms = crystal(["energy", "forces"])
    atoms.info["dft_stress"] = np.eye(3)
    write(path, atoms)
    with pytest.raises(ReadingError, match=r"forces key 'force' is in none.*forces \(1\)"):
        read_labelled(path, LabelKeys(forces="force"))
    with pytest.raises(
        ReadingError, match=r"data.extxyz: the stress key 'stress'.*dft_stress.*null"
    ):
        read_labelled(path)
    (frame,) = read_labelled(path, LabelKeys(stress=None))
    assert frame.stress is None


def test_labels_that_are_nan_are_no_labels(tmp_path):
    path = tmp_path / "data.extxyz"
    nan, partly = crystal(), crystal()
    nan.calc.results["energy"] = np.nan
    partly.calc.results["forces"][0] = np.nan
    write(path, [nan, partly])
    frames = read_labelled(path)
    assert frames[0].energy is None
    assert np.isnan(frames[1].forces).sum() == 3
    write(path, nan)
    with pytest.raises(ReadingError, match="holds only NaN"):
        read_labelled(path)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda a: a.positions.__setitem__((1, 0), np.nan), "frame 1: the position of atom 1"),
        (lambda a: a.positions.__setitem__((0, 0), np.inf), "frame 1: the position of atom 0"),
        (lambda a: a.calc.results.update(energy=-1e9), "frame 1: an energy of -5e"),
        (lambda a: a.calc.results.update(energy=np.inf), "frame 1: 'energy' is infinite"),
        (lambda a: a.calc.results.update(forces=np.full((2, 3), 1e7)), "frame 1: a force of 1e"),
        (lambda a: a.numbers.__setitem__(0, 0), "frame 1: atom 0 is of no chemical element"),
    ],
)
def test_absurd_numbers_are_refused_with_file_and_frame(tmp_path, change, message):
    bad = crystal()
    change(bad)
    path = tmp_path / "data.extxyz"
    write(path, [crystal(), bad])
    with pytest.raises(ReadingError, match=f"data.extxyz, {message}"):
        read_labelled(path)


def test_damaged_files_are_refused(tmp_path):
    with pytest.raises(FileNotFoundError, match=r"nothing.extxyz"):
        read_labelled(tmp_path / "nothing.extxyz")
    path = tmp_path / "data.extxyz"
    path.write_text("")
    with pytest.raises(ReadingError, match="data.extxyz: the file is empty"):
        read_labelled(path)
    write(path, [crystal(), crystal()])
    lines = path.read_text().splitlines(keepends=True)
    path.write_text("".join(lines[:-1]))
    with pytest.raises(ReadingError, match=r"data.extxyz, frame 1: cannot be read"):
        read_labelled(path)
    path.write_text("".join([*lines[:4], "\n", *lines[4:]]))
    with pytest.raises(ReadingError, match=r"line 6, after frame 0, is not read"):
        read_labelled(path)
    path.write_text("hello\n")
    with pytest.raises(ReadingError, match=r"data.extxyz, frame 0: cannot be read"):
        read_labelled(path)


def test_molecules_and_cfg_files_are_read(tmp_path):
    atoms = molecule("H2O")
    atoms.calc = SinglePointCalculator(atoms, energy=1.0, forces=np.zeros((3, 3)))
    write(tmp_path / "water.xyz", atoms, format="extxyz")
    (frame,) = read_labelled(tmp_path / "water.xyz", LabelKeys(stress=None))
    assert not frame.atoms.pbc.any()
    write_cfg(tmp_path / "salt.cfg", [crystal()], ["Na", "Cl"])
    (frame,) = read_labelled(tmp_path / "salt.cfg", species=["Na", "Cl"])
    assert np.allclose(frame.stress[0], [STRESS[0], STRESS[5], STRESS[4]], rtol=1e-14)
    with pytest.raises(ReadingError, match="species map"):
        read_labelled(tmp_path / "salt.cfg")
    with pytest.raises(ReadingError, match="type 1 has no chemical symbol"):
        read_labelled(tmp_path / "salt.cfg", species=["Na"])


def test_units_are_products_of_known_ones():
    assert unit_factor("kcal/mol/Ang") == pytest.approx(0.0433641, rel=1e-5)
    assert unit_factor("eV/Ang^3") == 1
    assert unit_factor("GPa") == pytest.approx(1 / 160.21766, rel=1e-7)
    with pytest.raises(ValueError, match="unknown unit 'parsec'"):
        Units(length="parsec")
    with pytest.raises(ValueError, match="1 or -1"):
        Units(stress_sign=0)


def test_an_isolated_atom_without_labels_needs_null_keys(tmp_path):
    write(tmp_path / "atom.extxyz", Atoms("He"))
    (frame,) = read_labelled(tmp_path / "atom.extxyz", LabelKeys(None, None, None))
    assert frame.energy is None
    assert frame.forces is None
