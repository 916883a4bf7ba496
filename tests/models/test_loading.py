"""Potentials are written whole, read back for ever, and wrong files are named."""

import json
import os
import pickle
from pathlib import Path

import ase
import numpy as np
import pytest
import torch
from ase.build import bulk

import sus2bench
from sus2bench.models.loading import PotentialFileError, load_potential, save_potential
from sus2bench.models.potential import PAYLOAD_VERSION, Potential
from sus2bench.models.schnet import SchNet
from sus2bench.models.sus2 import SUS2
from sus2bench.models.zbl import ZBL

FIXTURES = Path(__file__).parents[1] / "fixtures"
EXPECTED = json.loads((FIXTURES / "potentials_v1.json").read_text())


def small_potential():
    model = SchNet(["Cu", "Au"], 4.0, features=4, interactions=1, gaussians=5)
    return Potential(model, {"Cu": -3.5}, zbl=ZBL(["Cu", "Au"]))


@pytest.fixture
def payload():
    return small_potential().to_payload()


@pytest.fixture
def saved(tmp_path):
    def save(content, name="potential.pt"):
        torch.save(content, tmp_path / name)
        return tmp_path / name

    return save


@pytest.mark.parametrize("file", sorted(EXPECTED["potentials"]))
def test_files_of_format_version_1_are_still_read(file):
    atoms = ase.Atoms(**EXPECTED["atoms"], pbc=True)
    atoms.calc = load_potential(FIXTURES / file).calculator()
    expected = EXPECTED["potentials"][file]
    # Sums may run in another order on another machine.
    assert atoms.get_potential_energy() == pytest.approx(expected["energy"], abs=1e-9)
    np.testing.assert_allclose(atoms.get_forces(), expected["forces"], atol=1e-9)
    np.testing.assert_allclose(atoms.get_stress(), expected["stress"], atol=1e-9)


def test_the_package_offers_load_potential():
    assert sus2bench.load_potential is load_potential


def test_dtype_is_that_asked_for_and_atomic_energies_stay_in_float64(tmp_path):
    save_potential(small_potential(), tmp_path / "a.pt")
    assert load_potential(tmp_path / "a.pt").dtype == torch.float64
    potential = load_potential(tmp_path / "a.pt", dtype=torch.float32)
    assert potential.dtype == torch.float32
    assert potential.atomic_energies.values.dtype == torch.float64
    assert not potential.training


def test_a_checkpoint_holds_its_payload_under_potential(saved, payload):
    path = saved({"potential": payload, "epoch": 3, "state_dict": {}}, "last.ckpt")
    assert load_potential(path).species == ("Cu", "Au")


def test_saving_replaces_the_file_and_leaves_nothing_else(tmp_path):
    path = tmp_path / "a.pt"
    path.write_text("older")
    save_potential(small_potential(), path)
    load_potential(path)
    assert [file.name for file in tmp_path.iterdir()] == ["a.pt"]


def test_a_failed_save_keeps_the_older_file(tmp_path, monkeypatch):
    path = tmp_path / "a.pt"
    save_potential(small_potential(), path)
    before = path.read_bytes()

    def fail(*_):
        raise OSError("disk full")

    monkeypatch.setattr(torch, "save", fail)
    with pytest.raises(OSError, match="disk full"):
        save_potential(small_potential(), path)
    assert path.read_bytes() == before
    assert len(list(tmp_path.iterdir())) == 1


def test_saving_into_a_missing_folder_names_it(tmp_path):
    with pytest.raises(FileNotFoundError, match="nowhere"):
        save_potential(small_potential(), tmp_path / "nowhere" / "a.pt")


def test_missing_file_is_named(tmp_path):
    with pytest.raises(FileNotFoundError, match=r"absent\.pt"):
        load_potential(tmp_path / "absent.pt")


@pytest.mark.parametrize("content", [b"", b"no archive", pickle.dumps({"a": os.getcwd})])
def test_foreign_files_are_refused(tmp_path, content):
    path = tmp_path / "foreign.pt"
    path.write_bytes(content)
    with pytest.raises(PotentialFileError, match=r"foreign\.pt is not a sus2bench potential"):
        load_potential(path)


def test_truncated_file_is_refused(tmp_path):
    path = tmp_path / "short.pt"
    save_potential(small_potential(), path)
    path.write_bytes(path.read_bytes()[:-500])
    with pytest.raises(PotentialFileError, match=r"short\.pt"):
        load_potential(path)


@pytest.mark.parametrize("content", [{"state_dict": {}}, [1, 2], {"potential": {"format": "?"}}])
def test_torch_files_of_others_are_refused(saved, content):
    with pytest.raises(PotentialFileError, match="is not a sus2bench potential"):
        load_potential(saved(content))


def test_newer_version_asks_for_an_upgrade(saved, payload):
    path = saved({**payload, "version": PAYLOAD_VERSION + 1})
    with pytest.raises(PotentialFileError, match=r"version 2.*upgrade"):
        load_potential(path)


def test_missing_fields_are_named(saved, payload):
    del payload["state_dict"]
    with pytest.raises(PotentialFileError, match="state_dict"):
        load_potential(saved(payload))


def test_state_that_does_not_fit_is_refused(saved, payload):
    payload["state_dict"].pop("model.embedding.weight")
    with pytest.raises(PotentialFileError, match=r"embedding\.weight"):
        load_potential(saved(payload))


@pytest.mark.parametrize(
    ("target", "message"),
    [
        ("os.mkdir", "not a SiteEnergyModel"),
        ("torch.nn.Linear", "not a SiteEnergyModel"),
        ("sus2bench.models.potential.Potential", "not a SiteEnergyModel"),
        ("sus2bench.models.schnet.Missing", "cannot be imported"),
        ("no_such_package.Model", "cannot be imported"),
    ],
)
def test_only_models_are_ever_called(saved, payload, tmp_path, target, message):
    payload["model"] = {"target": target, "hyperparameters": {"path": str(tmp_path / "made")}}
    with pytest.raises(PotentialFileError, match=message):
        load_potential(saved(payload))
    assert not (tmp_path / "made").exists()


def test_species_of_a_file_that_knows_its_own_must_agree(tmp_path):
    save_potential(small_potential(), tmp_path / "a.pt")
    assert load_potential(tmp_path / "a.pt", species=["Cu", "Au"]).species == ("Cu", "Au")
    with pytest.raises(PotentialFileError, match="Cu, Au, in this order, but Au, Cu"):
        load_potential(tmp_path / "a.pt", species=["Au", "Cu"])


def test_integer_dtype_is_refused(tmp_path):
    save_potential(small_potential(), tmp_path / "a.pt")
    with pytest.raises(ValueError, match=r"torch\.int64"):
        load_potential(tmp_path / "a.pt", dtype=torch.int64)


class TestPublishedFiles:
    def test_mtp_asks_for_species(self, shared):
        with pytest.raises(PotentialFileError, match=r"perovskite\.mtp.*species"):
            load_potential(shared / "reference/models/perovskite.mtp")

    def test_wrong_number_of_species_is_refused(self, shared):
        with pytest.raises(ValueError, match=r"species_count = \d+, but 2"):
            load_potential(shared / "reference/models/perovskite.mtp", species=["Ba", "O"])

    def test_unknown_symbol_is_refused(self, shared):
        species = json.loads((shared / "reference/species.json").read_text())["perovskite"]
        with pytest.raises(ValueError, match="'Xx'"):
            load_potential(shared / "reference/models/perovskite.mtp", species=["Xx", *species[1:]])

    def test_loaded_file_predicts(self, shared):
        species = json.loads((shared / "reference/species.json").read_text())["perovskite"]
        potential = load_potential(shared / "reference/models/perovskite.mtp", species=species)
        atoms = bulk("NaCl", "rocksalt", a=5.6)
        atoms.symbols[:] = ["Mg", "O"]
        atoms.calc = potential.calculator()
        assert np.isfinite(atoms.get_potential_energy())
        assert potential.species == tuple(species)


def test_backend_of_a_file_can_be_chosen(tmp_path):
    save_potential(Potential(SUS2(["Cu"], 4.0, channels=1)), tmp_path / "sus2.pt")
    assert load_potential(tmp_path / "sus2.pt").model.backend == "eager"
    assert load_potential(tmp_path / "sus2.pt", backend="cpp").model.backend == "cpp"
    with pytest.raises(ValueError, match="'fast' is none of eager, cpp"):
        load_potential(tmp_path / "sus2.pt", backend="fast")


def test_backend_is_refused_for_models_that_have_none(tmp_path):
    model = SchNet(["Cu"], 4.0, features=4, interactions=1, gaussians=4)
    save_potential(Potential(model), tmp_path / "schnet.pt")
    with pytest.raises(ValueError, match="for SUS2 and MTP, but .* is a SchNet"):
        load_potential(tmp_path / "schnet.pt", backend="cpp")
