"""Reads the checkpoints (`.pth`) of the package sevenn as potentials.

A checkpoint holds the configuration of the model and its tensors. Shift and scale become our E0
and energy scale; a scale for each element stays in the model, relative to their mean.
"""

import pickle
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import torch
from ase.data import chemical_symbols
from torch import Tensor

from sus2bench.models.external.archives import pickle_of
from sus2bench.models.external.isolation import import_extra, isolated
from sus2bench.models.external.sevennet import EXTRA, SevenNet
from sus2bench.models.potential import Potential

MARKS = (b"model_state_dict", b"num_convolution_layer")
"""Keys of every checkpoint of sevenn."""
ARGUMENTS = (
    "channel",
    "lmax",
    "lmax_edge",
    "lmax_node",
    "is_parity",
    "num_convolution_layer",
    "radial_basis",
    "cutoff_function",
    "act_radial",
    "act_scalar",
    "act_gate",
    "weight_nn_hidden_neurons",
    "conv_denominator",
    "train_denominator",
    "self_connection_type",
    "use_bias_in_linear",
    "readout_as_fcn",
    "readout_fcn_hidden_neurons",
    "readout_fcn_activation",
)
"""Arguments of `SevenNet` that have the same name and meaning in a configuration."""


def recognises(path: Path) -> bool:
    """Whether a file is a checkpoint of sevenn: `.pth`, with the keys of one."""
    if path.suffix != ".pth":
        return False
    content = pickle_of(path)
    return all(mark in content for mark in MARKS)


def read_potential(path: Path, species: Sequence[str] | None) -> Potential:
    """Reads a checkpoint in float64.

    Raises:
        MissingExtraError: sevenn is not installed.
        ValueError: the file is of a model that is no `SevenNet`, or lacks a tensor.
    """
    content = _content(path)
    config, version = dict(content["config"]), import_extra("sevenn", EXTRA).__version__
    _check(path, config)
    history = import_extra("sevenn.scripts.backward_compatibility", EXTRA)
    with isolated():
        config = history.patch_old_config(config)
    model = SevenNet(**_arguments(config))
    with isolated():
        state = history.patch_state_dict_if_old(_doubled(content), config, model.network)
    _fill(model, state, f"{path} (written by sevenn {config['version']}, read by {version})")
    return _rescaled(model, state)


def _content(path: Path) -> Mapping[str, Any]:
    """The file: as tensors and plain data, and where it holds more, as the pickle that it is."""
    try:
        content = torch.load(path, map_location="cpu", weights_only=True)
    except pickle.UnpicklingError:
        import_extra("sevenn", EXTRA)
        with isolated():
            content = torch.load(path, map_location="cpu", weights_only=False)
    if not isinstance(content, Mapping) or not {"config", "model_state_dict"} <= set(content):
        raise ValueError(
            f"{path} is no checkpoint of sevenn: it lacks 'config' or 'model_state_dict'"
        )
    return content


def _check(path: Path, config: Mapping[str, Any]) -> None:
    """Raises ValueError for a model that the adapter cannot be."""
    if config.get("use_modality", False):
        raise ValueError(
            f"{path} holds a model of several modalities, {sorted(config.get('_modal_map', {}))}, "
            "which is not supported: give a checkpoint of one modality"
        )
    missing = [key for key in ("version", "cutoff", "_type_map") if key not in config]
    if missing:
        raise ValueError(f"{path}: the configuration in the file lacks {missing}")
    if config.get("interaction_type", "nequip") != "nequip":
        raise ValueError(f"{path}: unknown interaction_type {config['interaction_type']!r}")


def _arguments(config: Mapping[str, Any]) -> dict[str, Any]:
    """Arguments of `SevenNet`; what a configuration does not say is sevenn's default."""
    default = import_extra("sevenn._const", EXTRA).DEFAULT_E3_EQUIVARIANT_MODEL_CONFIG
    known = {**default, **config}
    number_of = known["_type_map"]
    arguments = {name: known[name] for name in ARGUMENTS if name in known}
    # The divisors themselves are among the tensors; a name stands for those of training data.
    if isinstance(arguments["conv_denominator"], Tensor):
        arguments["conv_denominator"] = arguments["conv_denominator"].tolist()
    return arguments | {
        "species": [chemical_symbols[z] for z in sorted(number_of, key=number_of.__getitem__)],
        "cutoff": float(known["cutoff"]),
        "irreps_manual": [str(i) for i in known["irreps_manual"] or ()] or None,
        "normalize_sph": known["_normalize_sph"],
    }


def _doubled(content: Mapping[str, Any]) -> dict[str, Tensor]:
    state = content["model_state_dict"]
    return {k: v.double() if v.is_floating_point() else v for k, v in state.items()}


def _fill(model: SevenNet, state: Mapping[str, Tensor], what: str) -> None:
    """Copies tensors by name, coupling coefficients too: in float64, they are the file's float32.

    sevenn writes the tensors of its accelerated forms in other shapes, but in the same order.
    """
    own = model.network.state_dict()
    parameters = dict(model.network.named_parameters())
    missing = [name for name, tensor in parameters.items() if tensor.numel() and name not in state]
    if missing:
        raise ValueError(f"{what} lacks the tensors {missing}")
    with torch.no_grad():
        for name, tensor in own.items():
            if name in state:
                tensor.copy_(state[name].reshape(tensor.shape))


def _rescaled(model: SevenNet, state: Mapping[str, Tensor]) -> Potential:
    """The potential with the file's shift as E0 and its scale as energy scale."""
    species = len(model.species)
    shift = state["rescale_atomic_energy.shift"].flatten().expand(species)
    scale = state["rescale_atomic_energy.scale"].flatten().expand(species)
    common = float(scale.mean())
    model.species_scale.copy_(scale / common)
    energies = dict(zip(model.symbols, shift.tolist(), strict=True))
    return Potential(model, energies, energy_scale=common)
