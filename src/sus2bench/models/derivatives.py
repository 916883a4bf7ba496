"""Forces and virial of site energies, by automatic differentiation with respect to edge vectors.

The gradient g_e = dE/dr_e gives everything (spec section 5): forces are sums of g over the edges of
an atom, and the strain derivative of the energy is W = sum_e g_e (x) r_e, because a homogeneous
strain maps every edge vector alike. This equals the derivative with respect to positions and a
symmetric strain, and is cheaper.
"""

import copy
from collections.abc import Callable
from typing import NamedTuple

import torch
from torch import Tensor
from torch_geometric.data import Data

from sus2bench.atoms.frame import edge_vectors, frame_of_atom


class Derivatives(NamedTuple):
    """Site energies of N atoms in B frames, forces and virial."""

    site: Tensor
    """(N,) eV."""
    forces: Tensor
    """(N, 3) eV/Å."""
    virial: Tensor | None
    """(B, 3, 3) eV, sum over edges of dE/dr (x) r; None if it was not wanted."""


def derivatives(
    site_energies: Callable[[Data], Tensor], frame: Data, *, differentiable: bool, virial: bool
) -> Derivatives:
    """Evaluates a function of a frame with edge vectors and differentiates the sum of its values.

    Args:
        site_energies: (N,) of a frame that has `edge_vectors` (E, 3).
        frame: the same; left as it is.
        differentiable: whether the results will be differentiated by parameters.
        virial: whether it is wanted.
    """
    site, gradient = edge_gradient(site_energies, frame, differentiable=differentiable)
    return from_edge_gradient(site, gradient, frame, virial=virial)


def edge_gradient(
    site_energies: Callable[[Data], Tensor], frame: Data, *, differentiable: bool
) -> tuple[Tensor, Tensor]:
    """Site energies (N,) and the gradient (E, 3) of their sum; arguments as of `derivatives`."""
    graph = copy.copy(frame)
    graph.edge_vectors = frame.edge_vectors.detach().requires_grad_()
    with torch.enable_grad():
        site = site_energies(graph)
        gradient = _gradient(site, graph.edge_vectors, differentiable)
    return (site if differentiable else site.detach()), gradient


def with_edge_vectors(frame: Data, dtype: torch.dtype) -> Data:
    """A shallow copy of a frame with `edge_vectors` (E, 3) in Å."""
    graph = copy.copy(frame)
    graph.edge_vectors = edge_vectors(frame).detach().to(dtype)
    return graph


def from_edge_gradient(site: Tensor, gradient: Tensor, frame: Data, *, virial: bool) -> Derivatives:
    """Forces and virial from g (E, 3); `frame` has `edge_vectors`."""
    sums = EdgeSums(frame, gradient.dtype, virial=virial)
    sums.add(gradient, frame.edge_index, frame.edge_vectors.detach() if virial else None)
    return sums.derivatives(site)


class EdgeSums:
    """Forces and virial, summed over the edges of a frame in any number of parts.

    F_i is the sum of g over edges centred at i minus that over edges that end at i.

    Args:
        frame: a frame or a batch.
        dtype: of the sums.
        virial: whether it is wanted.
    """

    def __init__(self, frame: Data, dtype: torch.dtype, *, virial: bool) -> None:
        self._of_atom, frames = frame_of_atom(frame)
        # Torch is ten times as slow where it is to add with a factor, alpha=-1.
        self._at_centres = frame.pos.new_zeros(len(self._of_atom), 3, dtype=dtype)
        self._at_neighbours = torch.zeros_like(self._at_centres)
        self._virial = frame.pos.new_zeros(frames, 3, 3, dtype=dtype) if virial else None

    def add(self, gradient: Tensor, edge_index: Tensor, vectors: Tensor | None) -> None:
        """Adds g (E, 3) of edges (2, E), row 0 the neighbour, row 1 the centre.

        Args:
            gradient: g = dE/dr of each edge (E, 3), eV/Å.
            edge_index: of these edges, in the numbers of the frame.
            vectors: r (E, 3) in Å; not read if the virial is not wanted.
        """
        neighbour, centre = edge_index
        self._at_centres.index_add_(0, centre, gradient)
        self._at_neighbours.index_add_(0, neighbour, gradient)
        if self._virial is not None and vectors is not None:
            outer = gradient.unsqueeze(2) * vectors.unsqueeze(1)
            self._virial.index_add_(0, self._of_atom[centre], outer)

    def derivatives(self, site: Tensor) -> Derivatives:
        """With the site energies (N,)."""
        return Derivatives(site, self._at_centres - self._at_neighbours, self._virial)


def _gradient(site: Tensor, vectors: Tensor, differentiable: bool) -> Tensor:
    if not site.requires_grad:
        return torch.zeros_like(vectors)
    (gradient,) = torch.autograd.grad(
        site.sum(), vectors, create_graph=differentiable, materialize_grads=True
    )
    return gradient
