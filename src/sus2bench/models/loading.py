"""Reads and writes potentials: our own files, checkpoints, files of other programs."""

import importlib
import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Protocol, cast

import torch

from sus2bench.atoms.files import write_atomically
from sus2bench.models.moment_tensor.base import MomentTensorModel
from sus2bench.models.moment_tensor.mtp_lines import FILE_SUFFIXES, field_names
from sus2bench.models.potential import PAYLOAD_FORMAT, PAYLOAD_VERSION, Potential

PAYLOAD_FIELDS = ("model", "zbl", "dtype", "state_dict")
CHECKPOINT_KEY = "potential"
FOLDER_ENTRY = "model.json"
"""The file that stands for a folder in which another program saves a potential as several files."""
OTHER_FORMATS: tuple[str, ...] = (
    "sus2bench.models.nep.file",
    "sus2bench.models.external.mace_file",
    "sus2bench.models.external.nequip_file",
    "sus2bench.models.external.sevennet_file",
    "sus2bench.models.external.matgl_file",
)
"""Modules that read files of other programs, asked in turn; each is a `FileFormat`."""


class FileFormat(Protocol):
    """A module that reads potentials of one other program."""

    def recognises(self, path: Path) -> bool:
        """Whether a file, which exists, is of this format; tells without the other program."""

    def read_potential(self, path: Path, species: Sequence[str] | None) -> Potential:
        """Reads it in float64; `species` are the elements in type order, where they are given."""


class PotentialFileError(ValueError):
    """A file that cannot be read as a potential; the message names the file and the remedy."""


def load_potential(
    path: str | os.PathLike[str],
    species: Sequence[str] | None = None,
    dtype: torch.dtype = torch.float64,
    device: str | torch.device = "cpu",
    backend: str | None = None,
) -> Potential:
    """Reads a potential, ready to predict.

    Args:
        path: a file of `save_potential`, a checkpoint of a training run, an `.mtp` file of SUS2,
            MLIP-2 or MLIP-3 (`.almtp`), a file of another program (`OTHER_FORMATS`), or a folder
            that holds such a `model.json`. Some of those are pickles, which can run any code when
            they are read: only read what you trust.
        species: chemical symbols in type order. An `.mtp` file does not hold them, so they must
            be given; for other files they may be, and must then be the file's.
        dtype: floating-point type in which the model computes.
        device: where it computes.
        backend: of SUS2 and MTP, what computes: `eager`, `cpp`, `triton` or `compile`; that of the
            file if not given.

    Raises:
        FileNotFoundError: there is no such file.
        PotentialFileError: the file is not a potential, is damaged, was written by a newer
            version, or does not fit `species`.
        ValueError: an `.mtp` file is malformed, `species` has an unknown symbol, or there is no
            such backend.
    """
    path = Path(path)
    if path.is_dir():
        path = path / FOLDER_ENTRY
    if not path.is_file():
        raise FileNotFoundError(f"no potential at {path}: the file does not exist")
    if not dtype.is_floating_point:
        raise ValueError(f"dtype must be a floating-point type such as torch.float64, not {dtype}")
    potential = _read(path, species)
    if species is not None and tuple(species) != potential.species:
        raise PotentialFileError(
            f"{path}: the file's species are {', '.join(potential.species)}, in this order, but "
            f"{', '.join(species)} were given; leave species out for this kind of file"
        )
    if backend is not None:
        if not isinstance(potential.model, MomentTensorModel):
            raise ValueError(
                f"backend={backend} is for SUS2 and MTP, but {path} is a "
                f"{type(potential.model).__name__}: leave it out"
            )
        potential.model.backend = backend
    return potential.to(device=device, dtype=dtype).eval()


def save_potential(potential: Potential, path: str | os.PathLike[str]) -> None:
    """Writes a potential as tensors and plain data; the file appears whole or not at all.

    Raises:
        FileNotFoundError: the folder does not exist.
    """
    path = Path(path)
    if not path.parent.is_dir():
        raise FileNotFoundError(f"cannot write {path}: the folder {path.parent} does not exist")
    write_atomically(path, lambda part: torch.save(potential.to_payload(), part))


def _read(path: Path, species: Sequence[str] | None) -> Potential:
    if path.suffix in FILE_SUFFIXES:
        return _from_mtp(path, species)
    for name in OTHER_FORMATS:
        file_format = cast(FileFormat, importlib.import_module(name))
        if file_format.recognises(path):
            return file_format.read_potential(path, species)
    return _from_torch(path)


def _from_mtp(path: Path, species: Sequence[str] | None) -> Potential:
    """Reads SUS2 or MTP: the fields of the file say which."""
    from sus2bench.models.mtp.conversion import potential_from_mtp as read_mtp
    from sus2bench.models.sus2.conversion import potential_from_mtp as read_sus2
    from sus2bench.models.sus2.mtp_file import OWN_FIELDS

    if species is None:
        raise PotentialFileError(
            f"{path}: an .mtp file does not say which elements its types are; pass "
            "species=[...], the chemical symbols in type order"
        )
    read = read_sus2 if OWN_FIELDS & field_names(path) else read_mtp
    return read(path, list(species))


def _from_torch(path: Path) -> Potential:
    payload = _payload(path)
    try:
        return Potential.from_payload(payload)
    except (ValueError, TypeError, RuntimeError) as error:
        raise PotentialFileError(f"{path}: {error}") from error


def _payload(path: Path) -> Mapping[str, Any]:
    try:
        content = torch.load(path, map_location="cpu", weights_only=True)
    except Exception as error:  # torch and pickle raise a dozen kinds for a file that is no archive
        reason = str(error).partition("\n")[0]
        raise PotentialFileError(
            f"{path} is not a sus2bench potential, or is damaged: give a file of save_potential, "
            f"a checkpoint or an .mtp file ({type(error).__name__}: {reason})"
        ) from error
    if isinstance(content, Mapping) and CHECKPOINT_KEY in content:
        content = content[CHECKPOINT_KEY]
    if not isinstance(content, Mapping) or content.get("format") != PAYLOAD_FORMAT:
        raise PotentialFileError(
            f"{path} is not a sus2bench potential: neither it nor an entry {CHECKPOINT_KEY!r} in "
            f"it says format = {PAYLOAD_FORMAT!r}"
        )
    version = content.get("version")
    if not isinstance(version, int) or version > PAYLOAD_VERSION:
        raise PotentialFileError(
            f"{path} was written in format version {version}; this installation reads up to "
            f"version {PAYLOAD_VERSION}: upgrade sus2bench"
        )
    missing = [field for field in PAYLOAD_FIELDS if field not in content]
    if missing:
        raise PotentialFileError(f"{path} lacks the fields {missing}: the file is incomplete")
    return content
