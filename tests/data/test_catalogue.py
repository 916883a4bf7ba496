"""Data sets are found where they are, verified, described, or refused with the way to get them."""

import functools
import hashlib
import threading
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer

import pytest
from hydra import compose, initialize_config_dir
from hydra.utils import instantiate
from omegaconf import OmegaConf

from sus2bench.data.catalogue import (
    DataUnavailableError,
    PublishedFiles,
    configuration,
    data_folder,
    data_set_names,
    describe,
    list_data_sets,
    locate,
)
from sus2bench.data.datamodule import FrameDataModule


def source(content=b"1\n\nH 0 0 0\n", **settings):
    facts = dict.fromkeys(["title", "licence", "citation", "method"], "some")
    return PublishedFiles(
        name="tiny", page="https://example.org/tiny", **facts,
        sha256={"train.xyz": hashlib.sha256(content).hexdigest()}, **settings,
    )  # fmt: skip


@pytest.fixture(autouse=True)
def _no_shared_folder(monkeypatch):
    monkeypatch.delenv("SUS2BENCH_SHARED", raising=False)


@pytest.mark.parametrize("how", ["folder", "shared_dir", "environment", "cache"])
def test_files_are_found_where_they_may_be(tmp_path, monkeypatch, how):
    folders = {"folder": "mine", "cache": "c/downloads/tiny"}
    folder = tmp_path / folders.get(how, "s/data/tiny")
    folder.mkdir(parents=True)
    (folder / "train.xyz").write_bytes(b"1\n\nH 0 0 0\n")
    settings = {"folder": {"folder": str(folder)}, "shared_dir": {"shared_dir": f"{tmp_path}/s"}}
    if how == "environment":
        monkeypatch.setenv("SUS2BENCH_SHARED", str(tmp_path / "s"))
    found = source(**settings.get(how, {})).locate("train.xyz", tmp_path / "c")
    assert found == folder / "train.xyz"


def test_other_content_is_refused(tmp_path):
    (tmp_path / "train.xyz").write_bytes(b"1\n\nH 0 0 1\n")
    with pytest.raises(ValueError, match=r"train.xyz is not the file that tiny was split into"):
        source(folder=str(tmp_path)).locate("train.xyz", tmp_path)
    with pytest.raises(ValueError, match=r"no file 'test.xyz'; it has train.xyz"):
        source().locate("test.xyz", tmp_path)


def test_a_missing_file_names_the_page_and_the_places(tmp_path):
    with pytest.raises(DataUnavailableError) as error:
        source(shared_dir=f"{tmp_path}/s").locate("train.xyz", tmp_path / "c")
    for text in ("https://example.org/tiny", f"{tmp_path}/s/data/tiny",
                 f"{tmp_path}/c/downloads/tiny", "SUS2BENCH_SHARED"):  # fmt: skip
        assert text in str(error.value)


@pytest.fixture
def server(tmp_path):
    folder = tmp_path / "served"
    folder.mkdir()
    handler = functools.partial(SilentHandler, directory=str(folder))
    with ThreadingHTTPServer(("127.0.0.1", 0), handler) as running:
        thread = threading.Thread(target=running.serve_forever)
        thread.start()
        yield folder, f"http://127.0.0.1:{running.server_port}"
        running.shutdown()
        thread.join()


class SilentHandler(SimpleHTTPRequestHandler):
    def log_message(self, *arguments):
        pass


def test_files_are_downloaded_once_and_verified(tmp_path, server):
    folder, url = server
    (folder / "train.xyz").write_bytes(b"1\n\nH 0 0 0\n")
    path = source(base_url=url).locate("train.xyz", tmp_path / "c")
    assert path.read_bytes() == b"1\n\nH 0 0 0\n"
    (folder / "train.xyz").unlink()
    assert source(base_url=url).locate("train.xyz", tmp_path / "c") == path
    with pytest.raises(DataUnavailableError, match=r"could not be downloaded from http"):
        source(base_url=url).locate("train.xyz", tmp_path / "d")
    (folder / "train.xyz").write_bytes(b"1\n\nHe 0 0 0\n")
    with pytest.raises(DataUnavailableError, match=r"https://example.org/tiny"):
        source(base_url=url).locate("train.xyz", tmp_path / "d")


def test_paths_of_ones_own_are_taken_as_they_are(data_file, tmp_path):
    assert locate(None, data_file, tmp_path) == data_file
    with pytest.raises(FileNotFoundError, match=r"the train file .*nothing.xyz does not exist"):
        locate(None, "nothing.xyz", tmp_path, "train")


def test_every_data_set_is_listed_and_described():
    names = data_set_names()
    assert {"emt-alloys", "alloy53", "unipero", "lmnto", "lgps", "nbmotaw", "acac", "diamond",
            "extxyz", "mlearn_Ni"} <= set(names)  # fmt: skip
    table = list_data_sets()
    assert len(table.splitlines()) == len(names)
    for name in names:
        text = describe(name)
        assert text.startswith(f"{name}: ")
        assert name in table
    assert "BSD-3" in describe("nbmotaw")
    assert "not used" in describe("mlearn_Ni")
    with pytest.raises(KeyError, match="did you mean alloy53"):
        configuration("alloy54")


@pytest.mark.parametrize("name", data_set_names())
def test_every_configuration_builds_a_data_module(name, tmp_path):
    with initialize_config_dir(str(data_folder()), version_base="1.3"):
        config = compose(name, overrides=["train_file=x.xyz"] if name == "extxyz" else [])
    root = OmegaConf.create({"data": config, "seed": 4, "paths": {"cache": str(tmp_path),
                             "shared": None}})  # fmt: skip
    module = instantiate(root.data)
    assert isinstance(module, FrameDataModule)
    assert module.seed == 4
    assert module.cache_dir == tmp_path
    files = {module.train_file, *module.test_files.values(), module.valid_file} - {None}
    if hasattr(module.source, "sha256"):
        assert files == set(module.source.sha256)


def test_own_files_are_given_on_the_command_line(tmp_path):
    overrides = [
        "train_file=t.xyz",
        "test_files={test: a.xyz, hot: b.xyz}",
        "label_keys={energy: REF_energy, stress: null}",
        "units.energy=Hartree",
    ]
    with initialize_config_dir(str(data_folder()), version_base="1.3"):
        config = compose("extxyz", overrides=overrides)
    paths = {"cache": str(tmp_path), "shared": None}
    module = instantiate(OmegaConf.create({"data": config, "paths": paths}).data)
    assert module.test_files == {"test": "a.xyz", "hot": "b.xyz"}
    assert module.label_keys.given() == {"energy": "REF_energy", "forces": "forces"}
    assert module.units.energy == "Hartree"


def test_stresses_with_an_offset_are_not_used():
    for element in ("Li", "Mo", "Si", "Ge"):
        assert configuration(f"mlearn_{element}")["label_keys"]["stress"] == "stress"
    for element in ("Ni", "Cu"):
        assert configuration(f"mlearn_{element}")["label_keys"]["stress"] is None
