"""What the models of the package nequip have in common: its graphs, its state, its constants.

An edge of nequip leads from the centre (row 0) to the neighbour (row 1) and its vector is ours, so
that the rows of the edge index change places. nequip takes the vectors as they are.
"""

import warnings
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor
from torch_geometric.data import Data

from sus2bench.models.base import SiteEnergyModel
from sus2bench.models.external.edges import edges_within, mean_neighbours
from sus2bench.models.external.isolation import import_extra, isolated
from sus2bench.models.float64 import Float64Module

EXTRA = "equivariant"


class NequIPNetwork(SiteEnergyModel):
    """Site energies of a network of nequip, which a subclass builds or reads.

    Args:
        species: chemical symbols or atomic numbers, in the order of the network's types.
        cutoff: Å.
    """

    smoothness = 2  # of the polynomial envelope, whatever its exponent

    network: Any
    """The layers of the package up to the energy of each atom, without shift."""

    def forward(self, frame: Data) -> Tensor:
        """Site energies (N,) in float64, without atomic reference energies."""
        vectors, edge_index = edges_within(frame, self.cutoff)
        graph = {
            "edge_index": edge_index.flip(0),
            "edge_vectors": vectors,
            "atom_types": self.types(frame.atomic_numbers),
        }
        site: Tensor = self.network(graph)["atomic_energy"].squeeze(-1)
        return site

    def _apply(self, fn: Callable[[Tensor], Tensor], recurse: bool = True) -> Any:
        """Moves tensors, and the types that nequip casts to, which it keeps as Python values."""
        super()._apply(fn, recurse)  # type: ignore[no-untyped-call]
        self._follow_dtype()
        return self

    def _follow_dtype(self) -> None:
        dtype = next(p.dtype for p in self.network.parameters() if p.is_floating_point())
        for module in self.network.modules():
            for name in ("_output_dtype", "model_dtype"):
                if name in vars(module):
                    setattr(module, name, dtype)


class _Neighbours(Float64Module):
    """The average number of neighbours, whose inverse root nequip keeps out of its files."""

    average: Tensor

    def __init__(self) -> None:
        super().__init__()
        self.register_buffer("average", torch.ones((), dtype=torch.float64))


class BuiltNetwork(NequIPNetwork):
    """A network that a builder of nequip makes from hyperparameters.

    Args:
        species: chemical symbols or atomic numbers, in type order.
        cutoff: Å.
        arguments: of the constructor of the subclass, `seed` among them.

    Raises:
        MissingExtraError: the package is not installed.
        ValueError: a bad species list or cutoff.
    """

    def __init__(
        self, species: Sequence[str | int], cutoff: float, arguments: Mapping[str, Any]
    ) -> None:
        super().__init__(species, cutoff)
        self._arguments = dict(arguments)
        self.neighbours = _Neighbours()
        self.register_load_state_dict_post_hook(  # type: ignore[no-untyped-call]
            _hand_over_neighbours
        )
        with nequip_state(seed=self._arguments["seed"]):
            self.network = energy_layers(self.native(do_derivatives=False))

    def native(self, **changes: Any) -> Any:
        """The package's whole model with fresh weights; call it inside `nequip_state`.

        Args:
            changes: arguments of the package's builder, in addition or in place of the model's.
        """
        common = {
            "seed": self._arguments["seed"],
            "model_dtype": "float64",
            "type_names": list(self.symbols),
            "r_max": self.cutoff,
            "avg_num_neighbors": float(self.neighbours.average),
        }
        return self._builder()(**common | self._builder_arguments() | changes)

    def _builder(self) -> Callable[..., Any]:
        """The package's function that builds the model."""
        raise TypeError(f"{type(self).__name__} does not say which builder makes its network")

    def _builder_arguments(self) -> dict[str, Any]:
        """The arguments of the builder that are the architecture's own."""
        return {name: value for name, value in self._arguments.items() if name != "seed"}

    def set_avg_num_neighbors(self, average: float) -> None:
        """Sets the number whose square root divides sums over neighbours."""
        self.neighbours.average.fill_(average)
        _hand_over_neighbours(self)

    def scale_to_data(self, batches: Iterable[Data]) -> dict[str, float]:
        """Takes the mean number of neighbours of all atoms within the cutoff."""
        average = mean_neighbours(batches, self.cutoff)
        if average is not None:
            self.set_avg_num_neighbors(average)
        return {"avg_num_neighbors": float(self.neighbours.average)}

    def _apply(self, fn: Callable[[Tensor], Tensor], recurse: bool = True) -> Any:
        super()._apply(fn, recurse)
        # From the float64 number again: a visit to float32 must leave no trace.
        _hand_over_neighbours(self)
        return self

    def hyperparameters(self) -> dict[str, Any]:
        """The constructor's arguments."""
        return {"species": list(self.symbols), "cutoff": self.cutoff, **self._arguments}


def _hand_over_neighbours(model: BuiltNetwork, *_: object) -> None:
    """Gives the network the average that the model's buffer holds."""
    for module in model.network.modules():
        if "norm_const" in module._buffers:
            module.norm_const.fill_(float(model.neighbours.average) ** -0.5)


def energy_layers(model: Any) -> Any:
    """The layers of a model of nequip up to the energy of each atom.

    `Potential` has the sum over atoms and the derivatives.

    Raises:
        ValueError: the model has no energy of each atom.
    """
    layers = getattr(getattr(model, "model", None), "func", None)
    if layers is None or not hasattr(layers, "total_energy_sum"):
        raise ValueError("the model of nequip predicts no energy as a sum over atoms")
    del layers.total_energy_sum
    return layers


@contextmanager
def nequip_state(seed: int | None = None) -> Iterator[None]:
    """Lets nequip build and read models without the process-wide settings it insists on.

    Its builders refuse to work before `set_global_state`, which changes the default dtype, seeds,
    tensor sharing, the compiler and e3nn for good. What of this matters here is set and put back.

    Args:
        seed: of all random numbers in the block.
    """
    state: Any = import_extra("nequip.utils.global_state", EXTRA)
    e3nn = import_extra("e3nn", EXTRA)
    with isolated(seed=seed):
        # Scales and shifts, whose absence nequip warns of, are added by `Potential`.
        warnings.simplefilter("ignore")
        declared, options = state._GLOBAL_STATE_INITIALIZED, dict(e3nn.get_optimization_defaults())
        state._GLOBAL_STATE_INITIALIZED = True
        # Scripted functions can neither be copied nor, in new versions of torch, be trusted.
        e3nn.set_optimization_defaults(jit_script_fx=False, jit_mode="eager")
        try:
            yield
        finally:
            state._GLOBAL_STATE_INITIALIZED = declared
            e3nn.set_optimization_defaults(**options)


def check_sizes(name: str, arguments: Mapping[str, Any], least: Mapping[str, int]) -> None:
    """Raises ValueError for a size below the least that makes sense."""
    for size, smallest in least.items():
        if arguments[size] is not None and arguments[size] < smallest:
            raise ValueError(f"{name} needs {size} >= {smallest}, not {arguments[size]}")
