"""Folders that matgl saves models in (model.json, model.pt, state.pt), read as a potential.

The folder holds either a `Potential` of matgl or a bare network. PyTorch reads both of its archives
as tensors and plain data (`weights_only=True`), so that reading runs no code of theirs.
"""

import importlib
import inspect
import json
import warnings
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import torch
from torch import Tensor

from sus2bench.models.external.chgnet import CHGNet
from sus2bench.models.external.isolation import import_extra
from sus2bench.models.external.m3gnet import M3GNet, M3GNetRough
from sus2bench.models.external.matgl_graph import EXTRA, MatGLModel
from sus2bench.models.external.tensornet import TensorNet
from sus2bench.models.loading import PotentialFileError
from sus2bench.models.potential import Potential

DESCRIPTION, ARGUMENTS, STATE = "model.json", "model.pt", "state.pt"
ADAPTERS: tuple[type[MatGLModel], ...] = (TensorNet, M3GNet, M3GNetRough, CHGNet)
"""The first that has the file's class and fixed arguments is taken."""
NETWORK = "model."
"""Prefix of the network's names in the state of a `Potential` of matgl."""
CHECKED = ("calc_repuls", "calc_charge")
"""Options of a `Potential` of matgl that add to its energy what ours cannot."""
UNUSED = "sitewise_readout."
"""Prefix of parameters that the energy does not depend on: the head for magnetic moments."""
JOINED = "tensor_embedding.distance_proj"
"""Three layers of TensorNet that its accelerated form keeps as one."""


class _Network(NamedTuple):
    """What a folder says of the network in it."""

    kind: str
    version: int
    arguments: dict[str, Any]
    state: dict[str, Tensor]


def recognises(path: Path) -> bool:
    """Whether a file is the `model.json` of matgl."""
    if path.name != DESCRIPTION:
        return False
    try:
        description = json.loads(path.read_text(encoding="utf-8"))
    except ValueError:
        return False
    module = description.get("@module", "") if isinstance(description, dict) else ""
    return isinstance(module, str) and module.partition(".")[0] == "matgl"


def read_potential(path: Path, species: Sequence[str] | None = None) -> Potential:
    """Reads what `matgl.load_model` reads, in float64, on the CPU.

    matgl's `element_refs` and `data_std` become E0 and scale. Heads for other properties are left
    out. The initial weights' seed is not in such files and becomes 0.

    Args:
        path: the `model.json`; the two archives are expected beside it.
        species: not needed, the file has them.

    Raises:
        MissingExtraError: matgl is not installed.
        PotentialFileError: an archive is missing or does not fit, another class of model, or
            something in the energy that is no sum over atoms.
    """
    description = json.loads(path.read_text(encoding="utf-8"))
    # This also tells PyTorch, for good, which types of NumPy such archives may hold.
    import_extra("matgl.models", EXTRA)
    arguments, state = _archive(path.with_name(ARGUMENTS)), _archive(path.with_name(STATE))
    if description["@class"] != "Potential":
        version = description.get("@model_version", 0)
        network = _Network(description["@class"], version, arguments, state)
        return Potential(_model(path, network))
    inner = arguments["model"]
    network = _Network(
        inner["@class"],
        inner.get("@model_version", 0),
        inner["init_args"],
        {n.removeprefix(NETWORK): v for n, v in state.items() if n.startswith(NETWORK)},
    )
    added = [name for name in CHECKED if arguments.get(name)]
    if added or float(state.get("data_mean", torch.zeros(()))) != 0.0:
        raise PotentialFileError(
            f"{path}: the energy has {', '.join(added) or 'a data_mean'} in it, which a sum of "
            "site energies, E0 and scale does not; it can only be used with matgl itself"
        )
    model = _model(path, network)
    return Potential(
        model,
        _atomic_energies(path, model.symbols, state.get("element_refs.property_offset")),
        energy_scale=float(state.get("data_std", torch.ones(()))),
    )


def _archive(path: Path) -> dict[str, Any]:
    if not path.is_file():
        raise PotentialFileError(
            f"{path} is missing: a model of matgl is a folder with {DESCRIPTION}, {ARGUMENTS} and "
            f"{STATE}"
        )
    try:
        content: dict[str, Any] = torch.load(path, map_location="cpu", weights_only=True)
    except Exception as error:  # torch and pickle raise a dozen kinds for a file that is no archive
        reason = str(error).partition("\n")[0]
        raise PotentialFileError(
            f"{path} cannot be read as tensors and plain data ({type(error).__name__}: {reason})"
        ) from error
    return content


def _atomic_energies(
    path: Path, symbols: Sequence[str], offsets: Tensor | None
) -> dict[str, float] | None:
    if offsets is None:
        return None
    if offsets.shape != (len(symbols),):
        raise PotentialFileError(
            f"{path}: element_refs have the shape {tuple(offsets.shape)}, not one energy for each "
            f"of {len(symbols)} elements"
        )
    return dict(zip(symbols, offsets.tolist(), strict=True))


def _model(path: Path, network: _Network) -> MatGLModel:
    """The adapter with the file's architecture and weights."""
    kind = _adapter(path, network)
    package_class = getattr(importlib.import_module("matgl.models"), network.kind)
    version = getattr(package_class, "__version__", 0)
    if network.version != version:
        warnings.warn(
            f"{path} was written by version {network.version} of matgl's {network.kind}, and is "
            f"read by version {version}: compare its energies with those of the former",
            stacklevel=2,
        )
    defaults = importlib.import_module(package_class.__module__).DEFAULT_ELEMENTS
    known = set(inspect.signature(kind).parameters) - {"species", "seed"}
    arguments = {name: value for name, value in network.arguments.items() if name in known}
    species = network.arguments.get("element_types") or defaults
    try:
        model = kind(list(species), **arguments)
    except (TypeError, ValueError) as error:
        raise PotentialFileError(f"{path}: {error}") from error
    _load_state(path, model, network.state)
    return model


def _adapter(path: Path, network: _Network) -> type[MatGLModel]:
    """The adapter of the file's class whose fixed arguments are the file's."""
    known = [kind for kind in ADAPTERS if kind.package_class == network.kind]
    if not known:
        names = dict.fromkeys(kind.package_class for kind in ADAPTERS)
        raise PotentialFileError(
            f"{path} holds a {network.kind}; models of matgl that can be used are "
            f"{', '.join(names)}"
        )
    differences = [_differences(kind, network.arguments) for kind in known]
    if all(differences):
        fewest = min(differences, key=lambda names: len(names))
        raise PotentialFileError(
            f"{path}: this {network.kind} has {', '.join(fewest)}, which "
            f"{known[0].__module__}.{known[0].__name__} cannot have; use it with matgl itself"
        )
    return known[next(n for n, different in enumerate(differences) if not different)]


def _differences(kind: type[MatGLModel], arguments: Mapping[str, Any]) -> list[str]:
    """The arguments of a file that an adapter cannot have; matgl ignores those it does not know."""
    package_class = getattr(importlib.import_module("matgl.models"), kind.package_class)
    known = set(inspect.signature(package_class).parameters)
    free = {"element_types", *inspect.signature(kind).parameters, *kind.without_effect}
    return [
        f"{name} = {value!r}"
        for name, value in arguments.items()
        if name in known - free and not (name in kind.fixed and value == kind.fixed[name])
    ]


def _load_state(path: Path, model: MatGLModel, state: Mapping[str, Tensor]) -> None:
    """Weights and constants; constants may be missing, the arguments make them again."""
    network = model.network
    result = network.load_state_dict(_separated(state), strict=False)
    parameters = dict(network.named_parameters())
    missing = [name for name in result.missing_keys if name in parameters]
    unknown = [name for name in result.unexpected_keys if not name.startswith(UNUSED)]
    if missing or unknown:
        raise PotentialFileError(
            f"{path.with_name(STATE)} does not fit the installed matgl: it lacks {missing[:3]} and "
            f"has {unknown[:3]}; write it anew with the installed version"
        )


def _separated(state: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """The state with the names that layers have without acceleration."""
    plain = dict(state)
    for kind in ("weight", "bias"):
        if f"{JOINED}.{kind}" in plain:
            for number, part in enumerate(plain.pop(f"{JOINED}.{kind}").chunk(3)):
                plain[f"{JOINED}{number + 1}.{kind}"] = part
    return plain
