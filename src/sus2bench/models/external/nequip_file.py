"""Reads the files of nequip, with models of NequIP, Allegro and their kin, as potentials.

Read are packages (`.nequip.zip`) and checkpoints (`.ckpt`), which run any code when they are read.
Shifts of elements become our E0; scales become our energy scale, and what differs between elements
stays in the network.
"""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from sus2bench.models.base import atomic_number
from sus2bench.models.external.archives import pickle_of
from sus2bench.models.external.isolation import MissingExtraError, import_extra
from sus2bench.models.external.nequip_graph import (
    EXTRA,
    NequIPNetwork,
    energy_layers,
    nequip_state,
)
from sus2bench.models.potential import Potential

PACKAGE = ".nequip.zip"
COMPILED = (".nequip.pth", ".nequip.pt2")
MARKS = (b"info_dict", b"training_module", b"nequip")
"""What the pickle of every checkpoint of nequip holds."""
SOLE_MODEL = "sole_model"
"""nequip's name of the model of a file that has only one."""


class LoadedNequIP(NequIPNetwork):
    """The network of a file of nequip: to be evaluated, not to be rebuilt from hyperparameters.

    Args:
        path: of the file, for messages.
        model: as nequip reads it.

    Raises:
        ValueError: the model predicts no site energies, or has types that are not elements.
    """

    def __init__(self, path: Path, model: Any) -> None:
        metadata = model.metadata
        names = metadata["type_names"].split(" ")
        try:
            species = [atomic_number(name) for name in names]
        except ValueError as error:
            raise ValueError(
                f"{path}: the atom types {', '.join(names)} are not all chemical symbols; only "
                "models whose types are named by their elements can be read"
            ) from error
        super().__init__(species, float(metadata["r_max"]))
        try:
            self.network = energy_layers(model)
        except ValueError as error:
            raise ValueError(f"{path}: {error}") from error
        self._path = path

    def hyperparameters(self) -> dict[str, Any]:
        """Raises ValueError: the file holds the network itself, and no numbers to rebuild it."""
        raise ValueError(
            f"the network of {self._path} cannot be written to another file: keep that file, and "
            "give its path wherever a potential is asked for"
        )


def recognises(path: Path) -> bool:
    """Whether a file is a package, compiled model or checkpoint of nequip."""
    if path.name.endswith((PACKAGE, *COMPILED)):
        return True
    if path.suffix != ".ckpt":
        return False
    content = pickle_of(path)
    return all(mark in content for mark in MARKS)


def read_potential(path: Path, species: Sequence[str] | None) -> Potential:
    """Reads a package or a checkpoint in float64; of a checkpoint the averaged weights, if any.

    Raises:
        MissingExtraError: nequip, or a package whose model the file holds, is not installed.
        ValueError: a compiled model, or a file that holds something else than one energy model.
    """
    if path.name.endswith(COMPILED):
        raise ValueError(
            f"{path} is a compiled model of nequip, whose site energies cannot be differentiated; "
            f"give the package ({PACKAGE}) or checkpoint (.ckpt) that it was compiled from"
        )
    model = LoadedNequIP(path, _native(path)).double()
    shifts, scale = _take_shifts_and_scale(model.network, len(model.species))
    energies = dict(zip(model.symbols, shifts.tolist(), strict=True))
    return Potential(model, energies, energy_scale=scale)


def _native(path: Path) -> Any:
    """The package's model in evaluation mode, on the CPU."""
    reader = import_extra("nequip.model.saved_models.load_utils", EXTRA)
    with nequip_state():
        try:
            models = reader.load_saved_model(path.resolve(), model_key=None)
        except ImportError as error:
            raise MissingExtraError(f"{path}: {error}; install what its model needs") from error
        except Exception as error:  # unpickling runs any code, which may raise anything
            reason = str(error).partition("\n")[0]
            raise ValueError(
                f"{path} cannot be read as a file of nequip ({type(error).__name__}: {reason})"
            ) from error
    if list(models) != [SOLE_MODEL]:
        raise ValueError(f"{path} holds the models {', '.join(models)}; only one can be read")
    return models[SOLE_MODEL].eval()


def _take_shifts_and_scale(network: Any, species: int) -> tuple[Tensor, float]:
    """Removes the shifts (eV per element) and a common scale from the network; returns both."""
    layer = network.per_type_energy_scale_shift
    shifts = torch.zeros(species, dtype=torch.float64)
    if layer.has_shifts:
        shifts = shifts + layer.shifts.detach().reshape(-1)
        del layer.shifts
        layer.register_buffer("shifts", torch.zeros(0, dtype=torch.float64))
        layer.has_shifts = False
    # A pair potential is added after the scale, and must not be scaled.
    if not layer.has_scales or hasattr(network, "pair_potential"):
        return shifts, 1.0
    scale = float(layer.scales.detach().mean())
    if scale <= 0:
        return shifts, 1.0
    with torch.no_grad():
        layer.scales.div_(scale)
    return shifts, scale
