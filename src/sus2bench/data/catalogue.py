"""The data sets that come with a configuration: what they are and where their files come from."""

from __future__ import annotations

import difflib
import os
from collections.abc import Mapping
from dataclasses import dataclass
from importlib.resources import files
from os import PathLike
from pathlib import Path
from typing import Any, Protocol

import yaml

from sus2bench.atoms.files import sha256_of
from sus2bench.data.cache import default_cache_folder


class DataUnavailableError(FileNotFoundError):
    """A file of a data set that is not on this machine; the text says how to get it."""


class Source(Protocol):
    """Where the files of a data set come from."""

    def locate(self, file: str, cache_dir: Path) -> Path:
        """The path of one of its files on this machine."""


@dataclass(frozen=True)
class PublishedFiles:
    """Files of a published data set, verified by their SHA-256.

    Args:
        name: of the data set, and of the folder that holds its files where they are looked for.
        title: one line.
        page: where the data are published.
        licence: under which.
        citation: what to cite.
        method: how the labels were computed.
        notes: what a user has to know.
        sha256: by file name; files that are not listed are not of this data set.
        subfolder: in place of ``name`` as the name of that folder.
        folder: where the files are; by default looked for in ``shared_dir`` and the cache.
        shared_dir: folder of shared reference data; its ``data/<name>`` is looked into.
        base_url: where the files can be downloaded from, if anywhere; the file name is appended.
    """

    name: str
    title: str
    page: str
    licence: str
    citation: str
    method: str
    sha256: Mapping[str, str]
    notes: str = ""
    folder: str | None = None
    shared_dir: str | None = None
    base_url: str | None = None
    subfolder: str | None = None

    def locate(self, file: str, cache_dir: Path) -> Path:
        """The path of a file whose content is verified, downloaded if need be and possible.

        Raises:
            DataUnavailableError: it is nowhere and cannot be downloaded; names the source page
                and the folders that were looked into.
            ValueError: the file is not one of this data set, or its content is another.
        """
        if file not in self.sha256:
            raise ValueError(f"{self.name} has no file {file!r}; it has {', '.join(self.sha256)}")
        folders = self._folders(cache_dir)
        for folder in folders:
            if (folder / file).is_file():
                return self._verified(folder / file)
        if self.base_url is not None:
            return self._download(file, folders[-1])
        looked = "\n".join(f"  {folder}" for folder in folders)
        raise DataUnavailableError(
            f"the file {file} of the data set {self.name} is not on this machine.\n"
            f"It is made from what {self.page} publishes (licence: {self.licence}; docs/data.md). "
            f"Place it in one of\n{looked}\n"
            "or set data.source.folder to the folder that holds it, data.source.base_url to where "
            "it can be downloaded, or SUS2BENCH_SHARED to a folder with data/<set> in it."
        )

    def _folders(self, cache_dir: Path) -> list[Path]:
        if self.folder is not None:
            return [Path(self.folder).expanduser()]
        inside = self.subfolder or self.name
        shared = self.shared_dir or os.environ.get("SUS2BENCH_SHARED")
        cached = cache_dir / "downloads" / inside
        return [Path(shared) / "data" / inside, cached] if shared else [cached]

    def _verified(self, path: Path) -> Path:
        found = sha256_of(path)
        if found != self.sha256[path.name]:
            raise ValueError(
                f"{path} is not the file that {self.name} was split into: its SHA-256 is {found}, "
                f"expected {self.sha256[path.name]}. Restore it, or use data=extxyz for files of "
                f"your own, such as others made from {self.page}"
            )
        return path

    def _download(self, file: str, folder: Path) -> Path:
        import pooch

        try:
            path = pooch.retrieve(
                f"{str(self.base_url).rstrip('/')}/{file}",
                known_hash=f"sha256:{self.sha256[file]}",
                fname=file,
                path=folder,
            )
        except (OSError, ValueError) as error:
            raise DataUnavailableError(
                f"the file {file} of {self.name} could not be downloaded from {self.base_url}: "
                f"{error}\nThe data are published at {self.page}"
            ) from error
        return Path(path)


def data_folder() -> Path:
    """Folder of the configurations of data sets: of the installed package or the repository."""
    package = Path(str(files("sus2bench")))
    for root in (package, package.parents[1]):
        if (root / "conf" / "data").is_dir():
            return root / "conf" / "data"
    raise FileNotFoundError(f"no configurations of data sets beside {package}: reinstall sus2bench")


def data_set_names() -> list[str]:
    """Names of the data sets, as `data=NAME` takes them."""
    return sorted(path.stem for path in data_folder().glob("*.yaml") if path.stem[0] != "_")


def configuration(name: str) -> dict[str, Any]:
    """The configuration of a data set as it is written, with that of a data set it builds on.

    Raises:
        KeyError: there is no such data set; names the near ones.
    """
    names = data_set_names()
    if name not in names:
        near = difflib.get_close_matches(name, names, n=3, cutoff=0.4) or names
        raise KeyError(f"there is no data set {name!r}; did you mean {', '.join(near)}?")
    content: dict[str, Any] = yaml.safe_load((data_folder() / f"{name}.yaml").read_text("utf-8"))
    inherited = [configuration(base) for base in content.get("defaults", ()) if base in names]
    return {key: value for part in (*inherited, content) for key, value in part.items()}


def list_data_sets() -> str:
    """A line for each data set: its name, whether it is here, and its title."""
    rows = [(name, _state(name), _source(name)["title"]) for name in data_set_names()]
    wide = max(len(name) for name, _, _ in rows)
    return "\n".join(f"{name:<{wide}}  {state:<12}  {title}" for name, state, title in rows)


def describe(name: str) -> str:
    """What a data set is: its origin, licence, files, labels and how it is split."""
    content = configuration(name)
    source = _source(name)
    lines = [f"{name}: {source['title']}", ""]
    for key in ("method", "page", "licence", "citation", "notes"):
        if source.get(key):
            lines.append(f"{key + ':':<10} {' '.join(str(source[key]).split())}")
    units = content["units"]
    for label, key in content["label_keys"].items():
        if label == "virial" and not key:
            continue
        unit = units[label]
        lines.append(f"{label + ':':<10} {f'key {key}, {unit}' if key else 'not used'}")
    lines.append(f"{'train:':<10} {content.get('train_file')}")
    lines.append(f"{'valid:':<10} {content.get('valid_file') or 'a fraction of the training file'}")
    for test, file in (content.get("test_files") or {}).items():
        lines.append(f"{'test:':<10} {file} ({test})")
    lines.append(f"{'here:':<10} {_state(name)}")
    return "\n".join(lines)


def _source(name: str) -> dict[str, Any]:
    """Facts of the source of a data set, also of the one that has none."""
    source: dict[str, Any] | None = configuration(name)["source"]
    return source or {"title": "Your own files: extended XYZ, MLIP's .cfg, or what else ASE reads"}


def _state(name: str) -> str:
    source = _source(name)
    if "sha256" not in source:
        return "built in" if "_target_" in source else "your files"
    shared = os.environ.get("SUS2BENCH_SHARED")
    inside = source.get("subfolder") or source["name"]
    folders = [default_cache_folder() / "downloads" / inside]
    if shared:
        folders.append(Path(shared) / "data" / inside)
    here = [all((folder / file).is_file() for file in source["sha256"]) for folder in folders]
    return "here" if any(here) else "not here"


def locate(
    source: Source | None, file: str | PathLike[str], cache_dir: Path, label: str = "data"
) -> Path:
    """The path of a file that a source has, or, without one, of a file of the user's own.

    Raises:
        FileNotFoundError: there is no such file.
    """
    if source is not None:
        return source.locate(str(file), cache_dir)
    path = Path(file).expanduser()
    if not path.is_file():
        raise FileNotFoundError(f"the {label} file {path.absolute()} does not exist")
    return path
