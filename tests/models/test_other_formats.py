"""Files of other programs are read by the module that recognises them."""

import importlib
import sys
from types import ModuleType

import pytest
import torch

from sus2bench.models import loading
from sus2bench.models.loading import PotentialFileError, load_potential, save_potential
from sus2bench.models.potential import Potential
from sus2bench.models.schnet import SchNet


def small_potential(species, energy=0.0):
    model = SchNet(species, 4.0, features=4, interactions=1, gaussians=5)
    return Potential(model, {species[0]: energy})


class MadeUp(ModuleType):
    """A module that reads a made-up format and notes what it is asked."""

    def __init__(self, name, magic, energy):
        super().__init__(name)
        self.magic, self.energy, self.asked, self.read = magic, energy, [], []

    def recognises(self, path):
        self.asked.append(path.name)
        return path.read_bytes().startswith(self.magic)

    def read_potential(self, path, species):
        self.read.append((path.name, species))
        return small_potential(["Cu", "Au"], self.energy)


@pytest.fixture
def formats(monkeypatch):
    """Two formats; the second module also claims what the first does."""
    modules = [MadeUp("made_up", b"MADE UP", -1.0), MadeUp("also_made_up", b"MADE", -2.0)]
    for module in modules:
        monkeypatch.setitem(sys.modules, module.__name__, module)
    monkeypatch.setattr(loading, "OTHER_FORMATS", tuple(module.__name__ for module in modules))
    return modules


def write(path, content):
    path.write_bytes(content)
    return path


def test_a_recognised_file_is_read_by_its_module(formats, tmp_path):
    path = write(tmp_path / "a.model", b"MADE UP by someone")
    potential = load_potential(path)
    assert potential.atomic_energies.as_dict()["Cu"] == -1.0
    assert formats[0].read == [("a.model", None)]
    assert potential.dtype == torch.float64
    assert not potential.training


def test_the_first_module_that_recognises_a_file_reads_it(formats, tmp_path):
    load_potential(write(tmp_path / "a.model", b"MADE UP by someone"))
    assert formats[1].asked == []
    other = load_potential(write(tmp_path / "b.model", b"MADE otherwise"))
    assert other.atomic_energies.as_dict()["Cu"] == -2.0
    assert formats[0].asked == ["a.model", "b.model"]


def test_dtype_is_that_asked_for(formats, tmp_path):
    path = write(tmp_path / "a.model", b"MADE UP")
    assert load_potential(path, dtype=torch.float32).dtype == torch.float32


def test_species_are_passed_on_and_must_be_those_of_the_file(formats, tmp_path):
    path = write(tmp_path / "a.model", b"MADE UP")
    assert load_potential(path, ["Cu", "Au"]).species == ("Cu", "Au")
    with pytest.raises(PotentialFileError, match=r"a\.model.*Cu, Au, in this order, but Au, Cu"):
        load_potential(path, ["Au", "Cu"])
    assert formats[0].read == [("a.model", ["Cu", "Au"]), ("a.model", ["Au", "Cu"])]


def test_files_that_no_module_recognises_are_taken_for_our_own(formats, tmp_path):
    save_potential(small_potential(["Ag"]), tmp_path / "ours.pt")
    assert load_potential(tmp_path / "ours.pt").species == ("Ag",)
    with pytest.raises(PotentialFileError, match="not a sus2bench potential"):
        load_potential(write(tmp_path / "foreign.pt", b"something else"))
    assert formats[1].asked == ["ours.pt", "foreign.pt"]


def test_an_mtp_file_is_known_by_its_suffix_without_asking_the_modules(formats, tmp_path):
    with pytest.raises(PotentialFileError, match="species"):
        load_potential(write(tmp_path / "a.mtp", b"MADE UP"))
    assert formats[0].asked == []


def test_the_modules_of_the_package_recognise_neither_our_files_nor_foreign_ones(tmp_path):
    save_potential(small_potential(["Ag"]), tmp_path / "ours.pt")
    files = [
        tmp_path / "ours.pt",
        write(tmp_path / "empty.pt", b""),
        write(tmp_path / "text.txt", b"no model"),
    ]
    for name in loading.OTHER_FORMATS:
        file_format = importlib.import_module(name)
        assert callable(file_format.read_potential)
        assert not any(file_format.recognises(file) for file in files), name
