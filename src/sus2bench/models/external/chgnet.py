"""CHGNet: graph network on atoms, bonds and angles, computed by layers of the package matgl.

B. Deng et al., "CHGNet as a pretrained universal neural network potential for charge-informed
atomistic modelling", Nat. Mach. Intell. 5, 1031 (2023), doi 10.1038/s42256-023-00716-3. The network
is `matgl.models.CHGNet` without its head for magnetic moments; E0 and scale belong to `Potential`.

The paper multiplies radial functions by a polynomial envelope of the distance, and so does its
authors' package chgnet. matgl (4.1.2) puts the value of the radial function in place of the
distance into that envelope, which therefore does not end at the cutoff. What ends there is the
radial function alone, sin(w r / r_c) / r with a slope, as long as w is a multiple of pi; but w is
trained, unless `learn_basis` is off. So the energy of matgl's CHGNet has a step where a neighbour
crosses either cutoff; without trained frequencies it is the force. Besides, sines of angles are no
smooth function of positions at straight angles: the force has a step there.
"""

from collections.abc import Callable, Sequence
from typing import Any, ClassVar, NamedTuple

import torch
from torch import Tensor
from torch_geometric.data import Data

from sus2bench.models.external.isolation import import_extra
from sus2bench.models.external.matgl_graph import (
    EXTRA,
    Edges,
    MatGLModel,
    check_threebody_cutoff,
    edges_from,
)

SHARED = ("bond", "three_body_bond", "both", None)
"""The shares of weights that the package knows; it takes any other word for None."""
SAME = 1e-2
"""Å; two edges between the same two atoms differ by a lattice vector, if they do."""


class _BondGraph(NamedTuple):
    """B short bonds and A angles; an angle is a bond to an atom and a bond that leaves it."""

    bonds: Tensor
    """(B,) numbers of the edges."""
    pairs: Tensor
    """(2, A) numbers of bonds: k -> i, which sends a message, and i -> j, which receives it."""
    centre: Tensor
    """(A,) the atom i."""
    theta: Tensor
    """(A,) angles k-i-j in radians."""


class CHGNet(MatGLModel):
    """CHGNet; the defaults are those of the package, and the arguments are named as there.

    Args:
        species: chemical symbols or atomic numbers, in type order.
        cutoff: of the atom graph, Å.
        threebody_cutoff: of both bonds of an angle, Å, at most `cutoff`; 0 for no angles.
        dim_atom_embedding: features of an atom.
        dim_bond_embedding: features of a bond.
        dim_angle_embedding: features of an angle.
        non_linear_bond_embedding: whether the bonds' embedding has an activation.
        non_linear_angle_embedding: whether the angles' has.
        cutoff_exponent: of the polynomial envelope.
        max_n: number of radial functions.
        max_f: highest frequency of the angular functions.
        learn_basis: whether frequencies of radial and angular functions are trained.
        num_blocks: number of atom convolutions; bond convolutions are one fewer.
        shared_bond_weights: bond, three_body_bond, both or None.
        atom_conv_hidden_dims: widths of hidden layers of atom convolutions.
        bond_update_hidden_dims: the same of bond updates in the atom graph; None: no updates.
        bond_conv_hidden_dims: the same of bond convolutions.
        angle_update_hidden_dims: the same of angle updates; None: no updates.
        conv_dropout: part of the features that is dropped in training.
        final_mlp_type: mlp or gated.
        final_hidden_dims: widths of hidden layers of the readout.
        final_dropout: part of the site energies that is dropped in training.
        activation_type: swish, tanh, sigmoid, softplus2 or softexp.
        normalization: layer or None.
        normalize_hidden: whether hidden layers are normalized too.
        seed: of the initial weights.

    Raises:
        MissingExtraError: matgl is not installed.
        ValueError: unknown names, a three-body cutoff beyond the cutoff, or a bad species list or
            cutoff.
    """

    smoothness = -1  # the energy itself has a step, see above
    package_class = "CHGNet"
    fixed: ClassVar = {
        "is_intensive": False,
        "num_targets": 1,
        "task_type": "regression",
        "dim_state_embedding": None,
        "dim_state_feats": None,
        "layer_bond_weights": None,  # the package's layer for them works in float32 only
        "pooling_operation": "sum",
        "readout_field": "atom_feat",
        "num_site_targets": 0,
    }
    without_effect = frozenset({"num_site_targets"})

    def __init__(
        self,
        species: Sequence[str | int],
        cutoff: float = 6.0,
        *,
        threebody_cutoff: float = 3.0,
        dim_atom_embedding: int = 64,
        dim_bond_embedding: int = 64,
        dim_angle_embedding: int = 64,
        non_linear_bond_embedding: bool = False,
        non_linear_angle_embedding: bool = False,
        cutoff_exponent: int = 5,
        max_n: int = 9,
        max_f: int = 4,
        learn_basis: bool = True,
        num_blocks: int = 4,
        shared_bond_weights: str | None = "both",
        atom_conv_hidden_dims: Sequence[int] = (64,),
        bond_update_hidden_dims: Sequence[int] | None = None,
        bond_conv_hidden_dims: Sequence[int] = (64,),
        angle_update_hidden_dims: Sequence[int] | None = (),
        conv_dropout: float = 0.0,
        final_mlp_type: str = "mlp",
        final_hidden_dims: Sequence[int] = (64, 64),
        final_dropout: float = 0.0,
        activation_type: str = "swish",
        normalization: str | None = None,
        normalize_hidden: bool = False,
        seed: int = 0,
    ) -> None:
        check_threebody_cutoff(threebody_cutoff, cutoff)
        _check_name("shared_bond_weights", shared_bond_weights, SHARED)
        _check_name("normalization", normalization, ("layer", None))
        arguments = {
            "threebody_cutoff": threebody_cutoff,
            "dim_atom_embedding": dim_atom_embedding,
            "dim_bond_embedding": dim_bond_embedding,
            "dim_angle_embedding": dim_angle_embedding,
            "non_linear_bond_embedding": non_linear_bond_embedding,
            "non_linear_angle_embedding": non_linear_angle_embedding,
            "cutoff_exponent": cutoff_exponent,
            "max_n": max_n,
            "max_f": max_f,
            "learn_basis": learn_basis,
            "num_blocks": num_blocks,
            "shared_bond_weights": shared_bond_weights,
            "atom_conv_hidden_dims": atom_conv_hidden_dims,
            "bond_update_hidden_dims": bond_update_hidden_dims,
            "bond_conv_hidden_dims": bond_conv_hidden_dims,
            "angle_update_hidden_dims": angle_update_hidden_dims,
            "conv_dropout": conv_dropout,
            "final_mlp_type": final_mlp_type,
            "final_hidden_dims": final_hidden_dims,
            "final_dropout": final_dropout,
            "activation_type": activation_type,
            "normalization": normalization,
            "normalize_hidden": normalize_hidden,
        }
        super().__init__(species, cutoff, arguments, seed)
        self.threebody_cutoff = threebody_cutoff
        self.network.sitewise_readout = torch.nn.Identity()  # in place of a lambda: no pickle
        self._envelope = import_extra("matgl.utils.cutoff", EXTRA).polynomial_cutoff
        self._cosine = import_extra("matgl.graph._compute", EXTRA).compute_theta

    def forward(self, frame: Data) -> Tensor:
        """Site energies (N,), without atomic reference energies.

        The network's own forward pass compares all short bonds of a batch with each other to find
        the angles, in memory that grows with the square of the number of atoms. Here its layers are
        called as it calls them, with the same angles, found atom by atom.
        """
        network, edges = self.network, self.edges(frame)
        atoms = network.atom_embedding(self.types(frame.atomic_numbers))
        basis = self._expand(network.bond_expansion, edges.lengths, self.cutoff)
        bonds = network.bond_embedding(basis)
        weights = [_weights(network.atom_bond_weights, basis)]
        weights.append(_weights(network.bond_bond_weights, basis))
        graph = angles = short = short_weights = None
        if network.use_bond_graph:
            graph = self._bond_graph(edges, len(atoms))
            short = self._expand(
                network.threebody_bond_expansion,
                edges.lengths[graph.bonds],
                self.threebody_cutoff,
            )
            short_weights = _weights(network.threebody_bond_weights, short)
            angles = network.angle_embedding(network.angle_expansion(graph.theta))
        for number, layer in enumerate(network.atom_graph_layers):
            atoms, bonds, _ = layer(edges.ends, atoms, bonds, basis, None, None, *weights)
            if graph is not None and number < len(network.bond_graph_layers):
                bonds, angles = network.bond_graph_layers[number](
                    graph.pairs,
                    bonds,
                    angles,
                    atoms,
                    graph.bonds,
                    graph.centre,
                    short,
                    short_weights,
                )
        site: Tensor = network.final_dropout(network.final_layer(atoms))
        return site.view(-1)

    def _expand(self, basis: Callable[[Tensor], Tensor], lengths: Tensor, cutoff: float) -> Tensor:
        """Radial functions (E, n) with the package's envelope, which is none of the distance."""
        values = basis(lengths)
        envelope: Tensor = self._envelope(values, cutoff, self._arguments["cutoff_exponent"])
        return envelope * values

    def _bond_graph(self, edges: Edges, atoms: int) -> _BondGraph:
        """All pairs of short bonds k -> i -> j but those that return to the same image of k."""
        bonds = (edges.lengths.detach() <= self.threebody_cutoff).nonzero().squeeze(1)
        centre, neighbour = edges.ends[:, bonds]
        vectors = edges.vectors[bonds]
        pairs = torch.stack(edges_from(neighbour, centre, atoms))
        there, back = pairs
        closed = torch.linalg.vector_norm((vectors[there] + vectors[back]).detach(), dim=1) < SAME
        there, back = pairs = pairs[:, ~((centre[there] == neighbour[back]) & closed)]
        cosine = self._cosine(vectors, -vectors.new_ones(len(vectors), 1), there, back)
        return _BondGraph(bonds, pairs, neighbour[there], torch.acos(cosine))


def _weights(layer: Any, basis: Tensor) -> Tensor | None:
    """Weights of messages (E, F) by distance, where they are shared by all layers."""
    return None if layer is None else layer(basis)


def _check_name(argument: str, value: str | None, known: tuple[str | None, ...]) -> None:
    if value not in known:
        raise ValueError(f"{argument} is one of {known}, not {value!r}")
