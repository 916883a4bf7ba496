"""`nep.txt` files keep every digit, and wrong ones are refused by file, line and field."""

import ase
import numpy as np
import pytest
import torch

from sus2bench.models.loading import load_potential, save_potential
from sus2bench.models.nep import NEP, NEPRepulsion, potential_from_nep, potential_to_nep
from sus2bench.models.nep.file import recognises
from sus2bench.models.painn import PaiNN
from sus2bench.models.potential import Potential
from sus2bench.models.zbl import ZBL
from sus2bench.testing import perturb
from sus2bench.testing.potentials import predict
from sus2bench.testing.structures import structures

SYMBOLS = ("Cu", "Au")
SIZES = {"n_max": (1, 1), "basis_size": (2, 2), "l_max": (2, 2, 1), "neurons": 2}


def small(energies=None, zbl=None):
    return perturb(Potential(NEP(SYMBOLS, 4.0, **SIZES), energies, energy_scale=2.0, zbl=zbl))


def written(potential, tmp_path, name="nep.txt"):
    potential_to_nep(potential, tmp_path / name)
    return tmp_path / name


@pytest.fixture
def gpumd(tmp_path):
    """A file as GPUMD writes it: eight digits, 8 header lines with ZBL."""
    potential = small(zbl=NEPRepulsion(SYMBOLS, 2.0))
    potential.atomic_energies.set_values({"Cu": 0.0, "Au": 0.0})
    path = written(potential, tmp_path)
    lines = path.read_text().splitlines()
    lines = lines[:7] + [f"{float(line):15.7e}" for line in lines[7:]]
    path.write_text("\n".join(lines) + "\n")
    return path


def changed(path, line, text):
    lines = path.read_text().splitlines()
    lines[line - 1] = text
    path.write_text("\n".join(lines) + "\n")
    return path


def check_same(potential, other):
    for atoms in structures(SYMBOLS).values():
        expected, actual = predict(potential, atoms), predict(other, atoms)
        torch.testing.assert_close(actual.energy, expected.energy, rtol=1e-13, atol=1e-13)
        torch.testing.assert_close(actual.forces, expected.forces, rtol=1e-12, atol=1e-12)


def test_file_of_gpumd_is_rewritten_byte_for_byte(gpumd, tmp_path):
    assert gpumd.read_text().startswith(
        "nep4_zbl 2 Cu Au\nzbl 1 2\ncutoff 4 4 400 200\nn_max 1 1\n"
    )
    again = written(load_potential(gpumd), tmp_path, "again.txt")
    assert again.read_bytes() == gpumd.read_bytes()


def test_number_of_parameters_is_that_of_gpumd(gpumd):
    # Descriptor: 2 radial and 2 (2 + 1 + 1) angular components.
    assert len(gpumd.read_text().splitlines()) - 7 == 2 * (10 + 2) * 2 + 1 + 4 * (6 + 6) + 10


@pytest.mark.parametrize("energies", [None, {"Cu": -3.5, "Au": -3.5}, {"Cu": -3000.0, "Au": 7.0}])
@pytest.mark.parametrize(
    "zbl",
    [
        None,
        NEPRepulsion(SYMBOLS, 2.5),
        NEPRepulsion(SYMBOLS, 2.5, factor=0.6),
        NEPRepulsion(SYMBOLS, pairs=3 * [[0.5, 2.6, *4 * [0.25, 1.0]]]),
    ],
)
def test_written_potential_is_read_back(energies, zbl, tmp_path):
    potential = small(energies, zbl)
    path = written(potential, tmp_path)
    loaded = load_potential(path)
    check_same(potential, loaded)
    again = written(loaded, tmp_path, "again.txt")
    assert again.read_bytes() == path.read_bytes()


def test_energies_of_the_elements_take_one_neuron_and_come_back(tmp_path):
    potential = small({"Cu": -3000.0, "Au": 7.0})
    with torch.no_grad():
        potential.atomic_energies.values.copy_(torch.tensor([-3000.0, 7.0]))
    path = written(potential, tmp_path)
    assert "ANN 3 0\n" in path.read_text()
    loaded = load_potential(path, dtype=torch.float32)
    assert loaded.atomic_energies.as_dict() == {"Cu": -3000.0, "Au": 7.0}
    assert loaded.model.networks.w1.shape == (2, 2)


def test_network_of_nep3_serves_all_elements(tmp_path):
    potential = small()
    with torch.no_grad():
        for parameter in (potential.model.networks.w0, potential.model.networks.w1):
            parameter[1] = parameter[0]
        potential.model.networks.b0[1] = potential.model.networks.b0[0]
        potential.atomic_energies.values.zero_()
    path = written(potential, tmp_path)
    lines = path.read_text().splitlines()
    one = (10 + 2) * 2
    nep3 = ["nep3 2 Cu Au", *lines[1 : 6 + one], *lines[6 + 2 * one :]]
    path.write_text("\n".join(nep3) + "\n")
    check_same(potential, load_potential(path))


def test_older_and_newer_header_lines_are_understood(gpumd):
    expected = load_potential(gpumd)
    # 2024: factors of typewise cutoffs behind the room for neighbours. Later: a cutoff per element,
    # and the factor in the line of ZBL; and flags of further descriptors behind l_max.
    changed(gpumd, 3, "cutoff 4 4 4 4 400 200")
    changed(gpumd, 6, "l_max 2 2 1 0 0")
    check_same(expected, load_potential(gpumd))
    changed(gpumd, 3, "cutoff 4 4 400 200 0 0 0.6")
    by_cutoff = load_potential(gpumd)
    assert by_cutoff.zbl.factor == 0.6
    changed(gpumd, 3, "cutoff 4 4 400 200")
    changed(gpumd, 2, "zbl 1 2 0.6")
    check_same(by_cutoff, load_potential(gpumd))


@pytest.mark.parametrize(
    ("line", "text", "message"),
    [
        (1, "nep4_charge1 2 Cu Au", "line 1, field nep4: .*kind 'nep4_charge1'"),
        (1, "nep4_zbl 3 Cu Au", "line 1, field nep4_zbl: needs the number of elements"),
        (1, "nep4_zbl 2 Cu Xx", "'Xx' is not a chemical element"),
        (1, "nep4_zbl 2 Cu Cu", "names an element twice"),
        (2, "zbl 2 1", "line 2, field zbl: the cutoffs must be"),
        (2, "cutoff 4 4 400 200", "line 2, field zbl: the line of this name should stand here"),
        (3, "cutoff 4 400 200", "line 3, field cutoff: needs the radial and angular"),
        (3, "cutoff 4 5 400 200", "line 3, field cutoff: .*not beyond the radial"),
        (3, "cutoff 4 4 5 4 400 200", "line 3, field cutoff: .*differ between elements"),
        (3, "cutoff 4 4 400 200 2.5 2 0", "line 3, field cutoff: .*covalent radii"),
        (4, "n_max 1 -1", "line 4, field n_max: '-1' is no whole number"),
        (5, "basis_size 2", "line 5, field basis_size: needs 2 whole numbers"),
        (6, "l_max 2 2 1 1", "line 6, field l_max: 4-body descriptors of mixed l"),
        (6, "l_max 2 1 0", "line 6, field l_max: the second number is 0 or 2"),
        (7, "ANN 2 3", "line 7, field ANN: a second hidden layer"),
        (7, "ANN 200 0", "line 115, field networks: the file ends after 107 of 4859"),
        (7, "ANN 1 0", "line 91, field descriptor scaling: the file goes on, with 107 numbers"),
        (9, "1.0 2.0", "line 9, field networks: '1.0 2.0' is no finite number"),
        (10, "nan", "line 10, field networks: 'nan' is no finite number"),
        (11, "", "line 11, field networks: '' is no finite number"),
    ],
)
def test_malformed_file_is_refused_by_file_line_and_field(gpumd, line, text, message):
    changed(gpumd, line, text)
    with pytest.raises(ValueError, match=message) as error:
        load_potential(gpumd)
    assert str(gpumd) in str(error.value)


def test_truncated_and_foreign_files_are_refused(gpumd, tmp_path):
    lines = gpumd.read_text().splitlines()
    gpumd.write_text("\n".join(lines[:20]))
    with pytest.raises(ValueError, match=r"line 21, field networks: the file ends after 13 of 107"):
        load_potential(gpumd)
    gpumd.write_text("\n".join(lines[:3]))
    with pytest.raises(ValueError, match=r"line 4, field n_max: .* is missing"):
        load_potential(gpumd)
    gpumd.write_bytes("nep4 1 Cu \nä".encode())
    with pytest.raises(ValueError, match="is not text"):
        load_potential(gpumd)


def test_only_nep_files_are_recognised(gpumd, tmp_path):
    assert recognises(gpumd)
    saved = tmp_path / "potential.pt"
    save_potential(small(), saved)
    assert not recognises(saved)
    for text in (b"", b"neptune 8 C", b"nep", b"MTP\nversion = 1.1.0"):
        saved.write_bytes(text)
        assert not recognises(saved)


def test_species_if_given_must_be_those_of_the_file(gpumd):
    assert load_potential(gpumd, ["Cu", "Au"]).species == ("Cu", "Au")
    with pytest.raises(ValueError, match="species are Cu, Au"):
        load_potential(gpumd, ["Au", "Cu"])


def test_what_the_file_cannot_hold_is_refused(tmp_path):
    with pytest.raises(ValueError, match=r"potential\.zbl=.*NEPRepulsion"):
        potential_to_nep(small(zbl=ZBL(SYMBOLS)), tmp_path / "nep.txt")
    other = Potential(PaiNN(SYMBOLS, 4.0, features=2, interactions=1, bessels=2))
    with pytest.raises(ValueError, match="only NEP"):
        potential_to_nep(other, tmp_path / "nep.txt")


def test_existing_file_is_replaced_only_when_asked(gpumd):
    potential = potential_from_nep(gpumd)
    with pytest.raises(FileExistsError, match="overwrite=True"):
        potential_to_nep(potential, gpumd)
    potential_to_nep(potential, gpumd, overwrite=True)


def test_saved_potential_keeps_itsrepulsion_of(tmp_path):
    for zbl in (
        NEPRepulsion(SYMBOLS, 2.6, inner=0.3),
        NEPRepulsion(SYMBOLS, pairs=3 * [[0.5, 2.6, *4 * [0.25, 1.0]]]),
    ):
        potential = small(zbl=zbl)
        save_potential(potential, tmp_path / "potential.pt")
        loaded = load_potential(tmp_path / "potential.pt")
        assert loaded.zbl.hyperparameters() == zbl.hyperparameters()
        check_same(potential, loaded)


def test_repulsion_needs_cutoffs_in_order_and_known_radii():
    with pytest.raises(ValueError, match="either the outer cutoff"):
        NEPRepulsion(SYMBOLS)
    with pytest.raises(ValueError, match="0 <= inner < outer"):
        NEPRepulsion(SYMBOLS, 2.0, inner=2.0)
    with pytest.raises(ValueError, match="3 rows of 10"):
        NEPRepulsion(SYMBOLS, pairs=[[0.5, 2.6, *4 * [0.25, 1.0]]])
    with pytest.raises(ValueError, match="no covalent radius for Am"):
        NEPRepulsion(["Am"], 2.0, factor=0.6)


def test_pair_energy_of_the_repulsion_is_the_formula():
    potential = Potential(
        NEP(["Si"], 4.0, **SIZES), energy_scale=0.0, zbl=NEPRepulsion(["Si"], 2.0, inner=1.0)
    )
    x = 1.5 * 2.134563 * 2 * 14**0.23
    phi = np.dot(
        (0.18175, 0.50986, 0.28022, 0.02817),
        np.exp(-x * np.array([3.1998, 0.94229, 0.4029, 0.20162])),
    )
    energy = predict(potential, ase.Atoms("Si2", positions=[(0, 0, 0), (0, 0, 1.5)])).energy
    assert energy.item() == pytest.approx(14.399645 * 14 * 14 / 1.5 * phi / 2, rel=1e-12)


def test_configuration_of_a_run_can_ask_for_therepulsion_of():
    from omegaconf import OmegaConf

    from sus2bench.benchmark.beginning import repulsion_of

    target = "sus2bench.models.nep.NEPRepulsion"
    asked = OmegaConf.create({"potential": {"zbl": {"_target_": target, "outer": 2.0}}})
    assert repulsion_of(asked, ["Cu"]).hyperparameters()["inner"] == 1.0
    assert type(repulsion_of(OmegaConf.create({"potential": {"zbl": True}}), ["Cu"])) is ZBL
    assert repulsion_of(OmegaConf.create({"potential": {"zbl": False}}), ["Cu"]) is None
