"""NEP potentials from and to GPUMD's `nep.txt`."""

import re
from collections.abc import Sequence
from os import PathLike
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from sus2bench.atoms.files import write_atomically
from sus2bench.models.nep.model import NEP
from sus2bench.models.nep.repulsion import NEPRepulsion
from sus2bench.models.nep.text import Array, NEPFile, NEPFormatError, format_nep, read_nep
from sus2bench.models.potential import Potential

SATURATED = -30.0
"""b0 of a neuron that carries an energy per element: tanh(30) is 1 in float32 and in float64."""

_FIRST_LINE = re.compile(rb"\s*nep\d?(_[a-z0-9_]+)?\s+\d+\s+[A-Z][a-z]?\s")
_LONGEST_FIRST_LINE = 1024


def recognises(path: Path) -> bool:
    """Whether the file begins as a `nep.txt` does."""
    with path.open("rb") as stream:
        return _FIRST_LINE.match(stream.read(_LONGEST_FIRST_LINE)) is not None


def read_potential(path: Path, species: Sequence[str] | None) -> Potential:
    """Reads a `nep.txt`, which names its elements itself, in float64."""
    return potential_from_nep(path)


def potential_from_nep(path: str | PathLike[str]) -> Potential:
    """Reads the potential in a `nep.txt` file, in float64.

    Energies per element that `potential_to_nep` wrote into a neuron become E0 again.

    Raises:
        NEPFormatError: the file is malformed, or of a kind that is not supported.
        OSError: the file cannot be read.
    """
    nep = read_nep(path)
    energies = _take_energies(nep)
    try:
        model = NEP(
            nep.species,
            nep.cutoff,
            angular_cutoff=nep.angular_cutoff,
            n_max=nep.n_max,
            basis_size=nep.basis_size,
            l_max=nep.l_max,
            neurons=nep.w1.shape[1],
        )
        potential = Potential(model, energies, zbl=_repulsion(nep))
    except ValueError as error:
        raise NEPFormatError(f"{path}: {error}") from error
    for tensor, values in _tensors(model, nep):
        tensor.data.copy_(torch.tensor(values))
    return potential


def potential_to_nep(
    potential: Potential, path: str | PathLike[str], *, overwrite: bool = False
) -> None:
    """Writes a NEP potential as a `nep.txt` that GPUMD reads.

    The file has no field for atomic energies but b1, which is common to all elements. Where they
    differ, one more neuron carries them: its w0 is zero and its b0 is -30, so that its tanh is 1
    and its w1 the energy of the element. The energy scale is multiplied into w1 and b1.

    Args:
        potential: of a `NEP`, with no repulsion or `NEPRepulsion`.
        path: the file to write.
        overwrite: whether an existing file may be replaced.

    Raises:
        ValueError: the potential is no NEP, or has a repulsion that the file cannot hold.
        FileExistsError: the file exists.
    """
    path = Path(path)
    nep = _to_nep(potential)
    if path.exists() and not overwrite:
        raise FileExistsError(
            f"{path} exists; choose another name, or pass overwrite=True to replace it"
        )
    text = format_nep(nep)
    write_atomically(path, lambda part: part.write_text(text, encoding="ascii", newline="\n"))


def _to_nep(potential: Potential) -> NEPFile:
    model, zbl = potential.model, potential.zbl
    if not isinstance(model, NEP):
        raise ValueError(f"only NEP can be written as nep.txt, not {type(model).__name__}")
    if not (zbl is None or isinstance(zbl, NEPRepulsion)):
        raise ValueError(
            f"a nep.txt file cannot hold the repulsion {type(zbl).__name__}: train without or with "
            "potential.zbl={_target_: sus2bench.models.nep.NEPRepulsion, outer: 2.0}"
        )
    networks, descriptor = model.networks, model.descriptor
    scale = float(potential.atomic_energies.scale)
    nep = NEPFile(
        species=model.symbols,
        cutoff=model.cutoff,
        angular_cutoff=model.angular_cutoff,
        neighbours=(int(model.neighbours[0]), int(model.neighbours[1])),
        n_max=(model.n_max[0], model.n_max[1]),
        basis_size=(model.basis_size[0], model.basis_size[1]),
        l_max=(model.l_max[0], model.l_max[1], model.l_max[2]),
        w0=_numbers(networks.w0),
        b0=_numbers(networks.b0),
        w1=scale * _numbers(networks.w1),
        b1=scale * float(networks.b1.detach()),
        radial=_numbers(descriptor.radial.coefficients),
        angular=_numbers(descriptor.angular.coefficients),
        descriptor_scaler=_numbers(model.descriptor_scaler),
    )
    if zbl is not None and zbl.pairs is not None:
        nep.zbl_pairs = np.array(zbl.pairs)
    elif zbl is not None and zbl.inner is not None and zbl.outer is not None:
        nep.zbl = (zbl.inner, zbl.outer, zbl.factor)
    _put_energies(nep, _numbers(potential.atomic_energies.values))
    return nep


def _put_energies(nep: NEPFile, energies: Array) -> None:
    """Adds E0 (C,): to b1 if all elements have the same, else as one more neuron."""
    if (energies == energies[0]).all():
        nep.b1 -= float(energies[0])
        return
    column = np.ones((len(energies), 1))
    nep.w0 = np.concatenate([nep.w0, np.zeros_like(nep.w0[:, :1])], axis=1)
    nep.b0 = np.concatenate([nep.b0, SATURATED * column], axis=1)
    nep.w1 = np.concatenate([nep.w1, energies[:, None] * column], axis=1)


def _take_energies(nep: NEPFile) -> dict[str, float] | None:
    """Removes the neuron of `_put_energies`, if the last one is such; returns E0 by element."""
    if nep.w1.shape[1] < 2 or nep.w0[:, -1].any() or (nep.b0[:, -1] != SATURATED).any():
        return None
    energies = dict(zip(nep.species, nep.w1[:, -1].tolist(), strict=True))
    nep.w0, nep.b0, nep.w1 = nep.w0[:, :-1], nep.b0[:, :-1], nep.w1[:, :-1]
    return energies


def _repulsion(nep: NEPFile) -> NEPRepulsion | None:
    if nep.zbl_pairs is not None:
        return NEPRepulsion(nep.species, pairs=nep.zbl_pairs.tolist())
    if nep.zbl is None:
        return None
    inner, outer, factor = nep.zbl
    return NEPRepulsion(nep.species, outer, inner=inner, factor=factor)


def _tensors(model: NEP, nep: NEPFile) -> list[tuple[Tensor, Array]]:
    """Tensors of the model, and what the file has for them."""
    return [
        (model.networks.w0, nep.w0),
        (model.networks.b0, nep.b0),
        (model.networks.w1, nep.w1),
        (model.networks.b1, np.array(nep.b1)),
        (model.descriptor.radial.coefficients, nep.radial),
        (model.descriptor.angular.coefficients, nep.angular),
        (model.descriptor_scaler, nep.descriptor_scaler),
        (model.neighbours, np.array(nep.neighbours)),
    ]


def _numbers(tensor: Tensor) -> Array:
    values: Array = tensor.detach().cpu().double().numpy()
    return values
