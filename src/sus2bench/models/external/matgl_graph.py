"""What the adapters of matgl's models share: building a network, our edges as a graph of matgl.

matgl's edges lead from the centre (row 0) to the neighbour (row 1), ours name the neighbour first.
"""

from collections.abc import Mapping, Sequence
from types import SimpleNamespace
from typing import Any, ClassVar, NamedTuple

import torch
from torch import Tensor, nn
from torch_geometric.data import Data

from sus2bench.models.base import SiteEnergyModel
from sus2bench.models.external.isolation import import_extra, isolated

EXTRA = "matgl"


class Edges(NamedTuple):
    """The E edges of a frame that are no longer than a cutoff."""

    vectors: Tensor
    """(E, 3) Å, from the centre to the neighbour, with their gradient."""
    lengths: Tensor
    """(E,) Å."""
    ends: Tensor
    """(2, E) in matgl's order: centres, which are sorted, and neighbours."""


class MatGLModel(SiteEnergyModel):
    """Site energies of one of matgl's networks, which is built here in float64.

    Args:
        species: chemical symbols or atomic numbers, in type order.
        cutoff: Å.
        arguments: of the package's class, by its names, as plain data.
        seed: of the initial weights.

    Raises:
        MissingExtraError: matgl is not installed.
        ValueError: a bad species list or cutoff, or what the package refuses.
    """

    mixed_precision = True

    package_class: ClassVar[str]
    """Name of the network's class in `matgl.models`."""
    fixed: ClassVar[Mapping[str, Any]]
    """Arguments of that class without which it is no model of site energies."""
    without_effect: ClassVar[frozenset[str]]
    """Arguments of that class that change nothing, given the fixed ones."""

    network: Any
    """The package's module."""

    def __init__(
        self, species: Sequence[str | int], cutoff: float, arguments: Mapping[str, Any], seed: int
    ) -> None:
        super().__init__(species, cutoff)
        self._arguments = {
            name: list(value)
            if isinstance(value, Sequence) and not isinstance(value, str)
            else value
            for name, value in arguments.items()
        }
        self.seed = seed
        kind = getattr(import_extra("matgl.models", EXTRA), self.package_class)
        with isolated(seed=seed):
            network: nn.Module = kind(
                element_types=self.symbols, cutoff=self.cutoff, **self._arguments, **self.fixed
            )
        self.network = network.double()  # the package's own default is float32 in places

    def edges(self, frame: Data) -> Edges:
        """The edges within the cutoff, which matgl takes inclusive."""
        lengths = _lengths(frame.edge_vectors.detach())
        inside = (lengths <= self.cutoff).nonzero().squeeze(1)
        vectors = frame.edge_vectors[inside]
        return Edges(vectors, _lengths(vectors), frame.edge_index[:, inside].flip(0))

    def graph(self, frame: Data, edges: Edges) -> SimpleNamespace:
        """A graph of matgl: atoms at the origin, so that the shifts alone are the edge vectors.

        Every atom is a frame of its own to the network, whose energies per frame are thereby our
        site energies; nothing else in it depends on frames.
        """
        types = self.types(frame.atomic_numbers)
        return SimpleNamespace(
            node_type=types,
            pos=edges.vectors.new_zeros(len(types), 3),
            edge_index=edges.ends,
            pbc_offshift=edges.vectors,
            batch=torch.arange(len(types), device=types.device),
            num_graphs=len(types),
        )

    def site_energies(self, graph: SimpleNamespace, **arguments: Any) -> Tensor:
        """Runs the network on a graph with one atom per frame, (N,)."""
        site: Tensor = self.network(graph, **arguments)
        # The network keeps its features, and with them the autograd graph, until the next call.
        self.network.feature_dict = {}
        return site.reshape(-1)

    def hyperparameters(self) -> dict[str, Any]:
        """The constructor's arguments."""
        return {
            "species": list(self.symbols),
            "cutoff": self.cutoff,
            **self._arguments,
            "seed": self.seed,
        }


def check_threebody_cutoff(threebody_cutoff: float, cutoff: float) -> None:
    """Raises ValueError where pairs of the three-body terms would be missing."""
    if threebody_cutoff > cutoff:
        raise ValueError(
            f"threebody_cutoff = {threebody_cutoff} Å is larger than cutoff = {cutoff} Å, so "
            "three-body terms would end in a step: lower model.threebody_cutoff"
        )


def edges_from(atom: Tensor, centre: Tensor, atoms: int) -> tuple[Tensor, Tensor]:
    """Joins every edge with all edges that leave one atom of it.

    Args:
        atom: (E,) the atom of each edge whose edges it is joined with.
        centre: (E,) the atom that each edge leaves, sorted.
        atoms: number of atoms.

    Returns:
        Numbers of edges (P,) and (P,), the first sorted: `centre[second] == atom[first]`.
    """
    degree = torch.bincount(centre, minlength=atoms)
    begin = degree.cumsum(0) - degree
    partners = degree[atom]
    first = torch.repeat_interleave(partners)
    place = torch.arange(len(first), device=first.device) - (partners.cumsum(0) - partners)[first]
    return first, begin[atom[first]] + place


def _plain(value: Any) -> Any:
    return list(value) if isinstance(value, Sequence) and not isinstance(value, str) else value


def _lengths(vectors: Tensor) -> Tensor:
    """As matgl computes them: the three-body cutoff must find the same edges there and here."""
    lengths: Tensor = torch.norm(vectors, dim=1)
    return lengths
