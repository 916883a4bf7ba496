"""How many parameters a potential has: stored, trainable, and those its training data can reach.

Spec section 7: `stored` is what a file of the model holds, `trainable` leaves out numbers that
never enter the energy, `effective` leaves out what belongs to pairs of elements that never meet
within the cutoff in the training data.
"""

from collections.abc import Iterable, Mapping, Set
from typing import Any, Protocol, runtime_checkable

import torch
from torch import nn
from torch_geometric.data import Data

from sus2bench.models.potential import Potential
from sus2bench.training import freezing

Pairs = Set[tuple[int, int]]
Counts = dict[str, int | None]

KINDS = ("stored", "trainable", "effective")
_ATOMIC_ENERGIES = "atomic_energies"
_CODE = 128  # more than there are elements: pair (a, b) as the number a * _CODE + b


@runtime_checkable
class CountsItsParameters(Protocol):
    """A model that knows better than its list of tensors what its parameters are."""

    def parameter_blocks(self, pairs: Pairs) -> Mapping[str, Mapping[str, int]]:
        """Counts by block, given the ordered pairs (Z of centre, Z of neighbour) that occur."""


def count(potential: Potential, pairs: Pairs | None = None) -> dict[str, Any]:
    """Parameter counts of a potential.

    Args:
        potential: the potential; atomic energies are counted for every architecture alike.
        pairs: ordered pairs of atomic numbers that occur within the cutoff in the training data
            (see :func:`species_pairs`). Without them the effective count is unknown (None).

    Returns:
        ``stored``, ``trainable``, ``effective`` and ``blocks`` with the same three by block.
    """
    model = potential.model
    blocks: dict[str, Counts] = {}
    if isinstance(model, CountsItsParameters):
        known = model.parameter_blocks(pairs or set())
        blocks = {block: dict(counts) for block, counts in known.items()}
        for block, names in freezing.blocks(potential).items():
            if block in blocks and potential.held.issuperset(names):
                blocks[block] |= {"trainable": 0, "effective": 0}
    else:
        blocks = _blocks_of_tensors(model)
    if _ATOMIC_ENERGIES not in blocks:
        blocks[_ATOMIC_ENERGIES] = _atomic_energies(potential, pairs)
    if pairs is None:
        for counts in blocks.values():
            counts["effective"] = None
    return {**{kind: _total(blocks, kind) for kind in KINDS}, "blocks": blocks}


def _total(blocks: Mapping[str, Counts], kind: str) -> int | None:
    numbers = [counts[kind] for counts in blocks.values()]
    return None if None in numbers else sum(number for number in numbers if number is not None)


def _blocks_of_tensors(model: nn.Module) -> dict[str, Counts]:
    """Every tensor of the model by the top-level part it belongs to; all of them are effective."""
    blocks: dict[str, Counts] = {}
    for name, parameter in model.named_parameters():
        counts = blocks.setdefault(name.partition(".")[0], dict.fromkeys(KINDS, 0))
        trainable = parameter.numel() if parameter.requires_grad else 0
        for kind, number in zip(KINDS, (parameter.numel(), trainable, trainable), strict=True):
            counts[kind] = (counts[kind] or 0) + number
    return blocks


def _atomic_energies(potential: Potential, pairs: Pairs | None) -> Counts:
    values = potential.atomic_energies.values
    trainable = values.numel() if values.requires_grad else 0
    met = {centre for centre, _ in pairs or ()}
    return {
        "stored": values.numel(),
        "trainable": trainable,
        "effective": min(trainable, len(met.intersection(potential.model.species))),
    }


def species_pairs(dataset: Iterable[Data]) -> set[tuple[int, int]]:
    """Ordered pairs (Z of centre, Z of neighbour) that meet within the cutoff in any frame."""
    codes: set[int] = set()
    for frame in dataset:
        numbers = frame.atomic_numbers
        neighbour, centre = frame.edge_index
        found = torch.unique(numbers[centre] * _CODE + numbers[neighbour])
        codes.update(found.tolist())
    return {(code // _CODE, code % _CODE) for code in codes}
