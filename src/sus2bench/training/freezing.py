"""Parameters that a fit leaves as they are, chosen by readable names of blocks.

A frozen parameter takes no gradient, and `potential.held` names it, so that exact solves leave it
alone, too.
"""

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Protocol, runtime_checkable

from sus2bench.models.potential import Potential

ATOMIC_ENERGIES = "atomic_energies"
READOUT = "scalar_coefficients"
"""The block of the linear coefficients."""


@runtime_checkable
class NamesItsBlocks(Protocol):
    """A model whose parameters have readable names."""

    def block_parameters(self) -> Mapping[str, Sequence[str]]:
        """By block, the parameters of the model, or modules, that it consists of."""


def blocks(potential: Potential) -> dict[str, tuple[str, ...]]:
    """Names of the parameters of each block that can be frozen, as of `named_parameters`.

    Blocks are those that the model names, or else the parts it consists of, and atomic energies.
    """
    model, names = potential.model, [name for name, _ in potential.named_parameters()]
    if isinstance(model, NamesItsBlocks):
        parts = {block: tuple(names) for block, names in model.block_parameters().items()}
    else:
        tops = [name.split(".")[1] for name in names if name.startswith("model.")]
        parts = {top: (top,) for top in tops}
    prefixes = {block: tuple(f"model.{part}" for part in names) for block, names in parts.items()}
    prefixes[ATOMIC_ENERGIES] = (ATOMIC_ENERGIES,)
    return {block: _below(names, chosen) for block, chosen in prefixes.items()}


def freeze(potential: Potential, chosen: Sequence[str]) -> None:
    """Takes parameters out of every fit that follows.

    Args:
        potential: its parameters and `held` are changed.
        chosen: blocks (see `blocks`), or beginnings of parameter names of the model, such as
            `interactions.0`.

    Raises:
        ValueError: a name stands for no parameter, or nothing would be left to train.
    """
    known = blocks(potential)
    parameters = dict(potential.named_parameters())
    held: set[str] = set()
    for name in chosen:
        found = known.get(name) or _below(list(parameters), (f"model.{name}",))
        if not found:
            raise ValueError(
                f"potential.freeze: {type(potential.model).__name__} has no block {name!r}; it has "
                f"{', '.join(known)}, or give the beginning of a parameter's name: "
                f"{', '.join(sorted(name.removeprefix('model.') for name in parameters))}"
            )
        held.update(found)
    if held == set(parameters):
        raise ValueError(
            f"potential.freeze={list(chosen)} leaves nothing to train: take a block out of it, or "
            "use `sus2bench evaluate`"
        )
    for name in held:
        parameters[name].requires_grad_(False)
    potential.held = frozenset(held)


@contextmanager
def thawed(potential: Potential) -> Iterator[None]:
    """Lets exact solves change everything for a while: initial values of what is frozen then."""
    held, potential.held = potential.held, frozenset()
    try:
        yield
    finally:
        potential.held = held


def readout_is_held(potential: Potential) -> bool:
    """Whether the linear coefficients are frozen."""
    return not potential.held.isdisjoint(blocks(potential).get(READOUT, ()))


def atomic_energies_are_held(potential: Potential) -> bool:
    """Whether E0 is frozen."""
    return not potential.held.isdisjoint(blocks(potential)[ATOMIC_ENERGIES])


def _below(names: Sequence[str], prefixes: Sequence[str]) -> tuple[str, ...]:
    """Parameters that are one of the prefixes, or within a module of that name."""
    return tuple(
        name
        for name in names
        if any(name == prefix or name.startswith(f"{prefix}.") for prefix in prefixes)
    )
