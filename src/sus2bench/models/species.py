"""Potentials for fewer elements, or for more: the numbers of each element are taken or copied.

A model says which axes of its tensors run over its types (`HasSpeciesTensors`). Leaving elements
out leaves their rows out, which no frame without these elements can notice. An element that is
added starts with the rows of a known one, by default the one of the nearest covalent radius
(B. Cordero et al., Dalton Trans. 2008, 2832, from `ase.data`); distances grow by what the radius
is larger. The known elements keep every number, and so every prediction among them.
"""

from collections.abc import Iterable, Mapping, Sequence
from typing import NamedTuple, Protocol, runtime_checkable

import torch
from ase.data import chemical_symbols, covalent_radii
from torch import Tensor

from sus2bench.models.base import atomic_number
from sus2bench.models.potential import Potential
from sus2bench.models.zbl import LAST_RADIUS


class SpeciesTensor(NamedTuple):
    """A tensor with numbers of elements, or of pairs of elements."""

    axes: tuple[int, ...]
    """Those that run over the types."""
    distance: bool = False
    """Whether it holds distances between atoms, Å, which depend on the size of both."""
    blocks: int = 1
    """Times that an axis runs over the types, one after the other."""


@runtime_checkable
class HasSpeciesTensors(Protocol):
    """A model of which elements can be taken away, and to which they can be added."""

    def species_tensors(self) -> Mapping[str, SpeciesTensor]:
        """Tensors by their name in the model's `state_dict`; all others belong to no element."""


def prune(potential: Potential, species: Sequence[str]) -> Potential:
    """A new potential for some of the elements, with the same predictions for them.

    Args:
        potential: its model must be `HasSpeciesTensors`; stays as it is.
        species: chemical symbols to keep, in the new type order.

    Raises:
        ValueError: an element that the potential lacks, or a model that cannot be pruned.
    """
    unknown = [symbol for symbol in species if symbol not in potential.species]
    if unknown:
        raise ValueError(
            f"the potential has no {', '.join(unknown)} to keep; it knows "
            f"{', '.join(potential.species)}"
        )
    return _rebuilt(potential, species, species)


def extend(potential: Potential, like: Mapping[str, str]) -> Potential:
    """A new potential with more elements, and with the same predictions for those it had.

    Atomic energies of the new elements are copies, too, and wait for data or better knowledge.

    Args:
        potential: its model must be `HasSpeciesTensors`; stays as it is.
        like: by new element the known one whose numbers it starts from; see `nearest_species`.

    Raises:
        ValueError: an element that is not new, one to start from that is not known, one without
            a covalent radius, or a model that cannot be extended.
    """
    known = potential.species
    repeated = sorted(set(like) & set(known))
    if repeated:
        raise ValueError(f"the potential knows {', '.join(repeated)} already: leave them out")
    missing = sorted(set(like.values()) - set(known))
    if missing:
        raise ValueError(
            f"new elements cannot start from {', '.join(missing)}: the potential knows only "
            f"{', '.join(known)}"
        )
    return _rebuilt(potential, [*known, *like], [*known, *like.values()])


def nearest_species(new: Iterable[str], known: Sequence[str]) -> dict[str, str]:
    """For each new element the known one of the nearest covalent radius (then: atomic number).

    Raises:
        ValueError: an element is unknown, or has no covalent radius.
    """

    def distance(symbol: str, other: str) -> tuple[float, int]:
        numbers = atomic_number(symbol) - atomic_number(other)
        return round(abs(_radius(symbol) - _radius(other)), 6), abs(numbers)

    return {symbol: min(known, key=lambda other: distance(symbol, other)) for symbol in new}


def _radius(symbol: str) -> float:
    """Covalent radius, Å."""
    number = atomic_number(symbol)
    if number > LAST_RADIUS:
        raise ValueError(
            f"there is no covalent radius for {symbol}; the reference ends at "
            f"{chemical_symbols[LAST_RADIUS]}"
        )
    return float(covalent_radii[number])


def _rebuilt(potential: Potential, species: Sequence[str], sources: Sequence[str]) -> Potential:
    """A potential for `species`, each of which takes the numbers of its source."""
    model = potential.model
    if not isinstance(model, HasSpeciesTensors):
        raise ValueError(
            f"{type(model).__name__} does not say which of its numbers belong to which element, so "
            "that elements can be neither left out nor added"
        )
    index = torch.tensor([potential.species.index(symbol) for symbol in sources])
    growth = torch.tensor(
        [_growth(*pair) for pair in zip(species, sources, strict=True)], dtype=torch.float64
    )
    state = dict(potential.state_dict())
    tensors = {f"model.{name}": tensor for name, tensor in model.species_tensors().items()}
    tensors["atomic_energies.values"] = SpeciesTensor((0,))
    for name, tensor in tensors.items():
        state[name] = _taken(state[name], tensor, index, growth)
    arguments = model.hyperparameters() | {"species": list(species)}
    zbl = None if potential.zbl is None else potential.zbl.for_species(species)
    new = Potential(type(model)(**arguments), zbl=zbl).to(potential.device, potential.dtype)
    new.load_state_dict(state)
    return new.train(potential.training)


def _growth(symbol: str, source: str) -> float:
    """By how much an element is larger than the one whose numbers it takes, Å."""
    return 0.0 if symbol == source else _radius(symbol) - _radius(source)


def _taken(values: Tensor, tensor: SpeciesTensor, index: Tensor, growth: Tensor) -> Tensor:
    """Rows `index` of a tensor along each of its axes; distances grow with both elements."""
    values = values.detach()
    for axis in tensor.axes:
        types = values.shape[axis] // tensor.blocks
        chosen = torch.cat([index + block * types for block in range(tensor.blocks)])
        values = values.index_select(axis, chosen.to(values.device))
        if tensor.distance:
            shape = [1] * values.ndim
            shape[axis] = -1
            values = values + growth.repeat(tensor.blocks).to(values).view(shape)
    return values
