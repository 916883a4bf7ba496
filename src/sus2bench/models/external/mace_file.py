"""Files of mace (`.model`): read as a potential, and a potential written as one.

Such a file is a pickled module: **reading it runs code that the file names**, so only read files
that you trust. PyTorch is told so for this one call (`weights_only=False`).
"""

import copy
import logging
import math
import zipfile
from collections.abc import Sequence
from os import PathLike
from pathlib import Path
from typing import Any

import numpy as np
import torch
from ase import Atoms
from torch import Tensor

from sus2bench.atoms.files import write_atomically
from sus2bench.atoms.frame import build_frame, edge_vectors
from sus2bench.models.external.archives import pickle_of
from sus2bench.models.external.isolation import import_extra, isolated
from sus2bench.models.external.mace import EXTRA, MACE, MACENetwork
from sus2bench.models.loading import PotentialFileError
from sus2bench.models.potential import Potential

logger = logging.getLogger(__name__)

CONSTANTS = ("atomic_energies_fn.atomic_energies", "scale_shift.scale", "scale_shift.shift")
"""What belongs to `Potential` and is 0, 1 and 0 inside the network."""


class LoadedMACE(MACENetwork):
    """A network as it was in a file, of a kind that `MACE` cannot build.

    Args:
        path: of the file, for messages.
        network: the module, with atomic energies 0, scale 1 and shift 0.
        head: which of its readouts is asked.
    """

    def __init__(self, path: Path, network: Any, head: int) -> None:
        numbers: list[int] = network.atomic_numbers.tolist()
        super().__init__(numbers, float(network.r_max))
        self.path, self.network, self.head = path, network, head
        self.set_avg_num_neighbors(float(self.network.interactions[0].avg_num_neighbors))

    def hyperparameters(self) -> dict[str, Any]:
        """There are none: ValueError."""
        raise ValueError(
            f"{self.path} has an architecture that sus2bench.models.external.mace.MACE cannot "
            "build, so that the potential cannot be saved as a file of sus2bench or trained; use "
            "the .model file itself, or mace_to_file"
        )


def recognises(path: Path) -> bool:
    """Whether a file is named as mace names its own (`a.model`, `2023-12-03-model`) and is one.

    The name must agree because reading runs code: no other file is ever read in this way.
    """
    if not path.name.endswith("model"):
        return False
    if not zipfile.is_zipfile(path):
        return path.suffix == ".model"
    return b"mace.modules" in pickle_of(path)


def read_potential(path: Path, species: Sequence[str] | None = None) -> Potential:
    """Reads a pickled `ScaleShiftMACE`, in float64, on the CPU.

    Atomic energies with the shift, and the scale, become those of `Potential`. Of several heads
    the one named `default` is taken, as mace's calculator does.

    Args:
        path: the file; reading it runs code.
        species: not needed, the file has them.

    Raises:
        MissingExtraError: mace-torch is not installed.
        PotentialFileError: not a file of mace, another class of model, or heads without a default.
    """
    network = _unpickled(path)
    head = _head(path, network)
    shift, scale = _entry(network, CONSTANTS[2], head), _entry(network, CONSTANTS[1], head)
    energies = _entry(network, CONSTANTS[0], head) + shift
    _set_constants(network, 0.0, 1.0)
    loaded = LoadedMACE(path, network, head)
    model = _rebuilt(loaded) or loaded
    atomic_energies = dict(zip(model.symbols, energies.tolist(), strict=True))
    return Potential(model, atomic_energies, energy_scale=float(scale))


def mace_to_file(potential: Potential, path: str | PathLike[str]) -> None:
    """Writes a potential as a `.model` file, which mace's own tools read.

    E0 and the energy scale go into the module; numbers are in the potential's dtype, in which
    mace rounds E0 too. A program that has imported mace through sus2bench and then reads such files
    by `MACECalculator(model_paths=...)` must import `mace.calculators` itself, which sets the
    environment variable that lets PyTorch unpickle modules.

    Args:
        potential: with a model of mace, and without a repulsion of ours.
        path: whole file, conventionally `NAME.model`.

    Raises:
        ValueError: the model is another one, or a repulsion is added to it.
    """
    model = potential.model
    if not isinstance(model, MACENetwork):
        raise ValueError(f"a .model file holds a MACE, not a {type(model).__name__}")
    if potential.zbl is not None:
        raise ValueError(
            "a .model file cannot hold the repulsion of potential.zbl; train with "
            "model.pair_repulsion=true for that of mace"
        )
    network = copy.deepcopy(model.network).cpu()
    energies = potential.atomic_energies.values.detach().cpu()
    _set_constants(network, energies, float(potential.atomic_energies.scale), model.head)
    write_atomically(path, lambda part: torch.save(network, part))


def _unpickled(path: Path) -> Any:
    """The module of a file, in float64."""
    mace = import_extra("mace.modules", EXTRA)
    try:
        with isolated():
            network = torch.load(path, map_location="cpu", weights_only=False)
    except Exception as error:  # unpickling runs any code, which may raise anything
        raise PotentialFileError(
            f"{path} cannot be read as a model of mace ({type(error).__name__}: {error}); it may "
            "be damaged, or of another version of mace-torch"
        ) from error
    if type(network) is not mace.ScaleShiftMACE or hasattr(network, "joint_embedding"):
        raise PotentialFileError(
            f"{path} holds a {type(network).__name__} of mace; only ScaleShiftMACE without "
            "embeddings of charge or spin can be read here"
        )
    return network.double().requires_grad_(True)


def _head(path: Path, network: Any) -> int:
    heads = list(getattr(network, "heads", None) or ["Default"])
    if len(heads) == 1:
        return 0
    for index, name in enumerate(heads):
        if name.lower() == "default":
            return index
    raise PotentialFileError(
        f"{path} has the heads {', '.join(heads)} and none is called default: write the one that "
        "you want to a file of its own, with mace_select_head"
    )


def _rebuilt(loaded: LoadedMACE) -> MACE | None:
    """The same network as a `MACE`, or None if that cannot express it."""
    try:
        model = MACE(loaded.symbols, loaded.cutoff, **_arguments(loaded.network))
        state = loaded.network.state_dict()
        constants = {name: model.network.get_buffer(name) for name in CONSTANTS}
        # Files of older versions lack some constants, which the comparison below covers.
        model.network.load_state_dict({**state, **constants}, strict=False)
    except (AttributeError, KeyError, RuntimeError, ValueError) as error:
        logger.info("MACE cannot build the network of %s: %s", loaded.path, error)
        return None
    model.set_avg_num_neighbors(float(loaded.neighbours.average))
    return model if _agree(model, loaded) else None


def _arguments(network: Any) -> dict[str, Any]:
    """Arguments of `MACE` that give the network; KeyError or ValueError if there are none."""
    mace = import_extra("mace.modules", EXTRA)
    scripts = import_extra("mace.tools.scripts_utils", EXTRA)
    with isolated():
        config = scripts.extract_config_mace_model(network)
    if len(config["heads"]) > 1:
        raise ValueError("it has several heads")
    names = {kind: name for name, kind in mace.interaction_classes.items()}
    gates = {function: name for name, function in mace.gate_dict.items()}
    return {
        "hidden_irreps": str(config["hidden_irreps"]),
        "max_ell": int(config["max_ell"]),
        "correlation": int(config["correlation"]),
        "num_interactions": int(config["num_interactions"]),
        "num_radial_basis": int(config["num_bessel"]),
        "num_cutoff_basis": int(config["num_polynomial_cutoff"]),
        "radial_type": config["radial_type"],
        "radial_MLP": [int(width) for width in config["radial_MLP"]],
        "MLP_irreps": str(config["MLP_irreps"]),
        "gate": gates[config["gate"]],
        "interaction": names[config["interaction_cls"]],
        "interaction_first": names[config["interaction_cls_first"]],
        "distance_transform": config["distance_transform"] or "None",
        "pair_repulsion": bool(config["pair_repulsion"]),
        "apply_cutoff": bool(config["apply_cutoff"]),
        "use_agnostic_product": bool(config["use_agnostic_product"]),
        "use_last_readout_only": bool(config["use_last_readout_only"]),
    }


def _agree(one: MACENetwork, other: MACENetwork) -> bool:
    """Whether two models give a cluster that has every element the same site energies.

    Not all that the package can be told shows in names and shapes of weights.
    """
    rng = np.random.default_rng(0)
    side = max(2, math.ceil(len(one.species) ** (1 / 3)))
    grid = np.indices((side, side, side)).reshape(3, -1).T * 0.45 * one.cutoff
    positions = grid + rng.normal(0.0, 0.02 * one.cutoff, grid.shape)
    frame = build_frame(Atoms(np.resize(one.species, len(grid)), positions), one.cutoff)
    frame.edge_vectors = edge_vectors(frame)
    with torch.no_grad():
        # Sums of a few hundred terms of order one, in another order.
        return torch.allclose(one(frame), other(frame), rtol=1e-9, atol=1e-9)


def _entry(network: Any, name: str, head: int) -> Tensor:
    """A constant of one head, from a tensor with or without a dimension for heads."""
    tensor: Tensor = network.get_buffer(name).detach().clone()
    per_head = 2 if name == CONSTANTS[0] else 1
    return tensor[head] if tensor.ndim == per_head else tensor


def _set_constants(
    network: Any, energies: Tensor | float, scale: float, head: int | None = None
) -> None:
    """Sets E0, scale and shift 0 of one head, or of all."""
    for name, value in zip(CONSTANTS, (energies, scale, 0.0), strict=True):
        tensor: Tensor = network.get_buffer(name)
        per_head = 2 if name == CONSTANTS[0] else 1
        target = tensor[head] if head is not None and tensor.ndim == per_head else tensor
        target.copy_(torch.as_tensor(value, dtype=tensor.dtype).expand_as(target))
