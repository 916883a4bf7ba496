"""M3GNet: graph network with explicit three-body terms, computed by the package matgl.

C. Chen, S. P. Ong, "A universal graph deep learning interatomic potential for the periodic table",
Nat. Comput. Sci. 2, 718 (2022), doi 10.1038/s43588-022-00349-3. The network is
`matgl.models.M3GNet` with an extensive readout; E0 and scale belong to `Potential`.
"""

from collections.abc import Sequence
from typing import Any, ClassVar

import torch
from torch import Tensor
from torch_geometric.data import Data

from sus2bench.models.external.matgl_graph import (
    Edges,
    MatGLModel,
    check_threebody_cutoff,
    edges_from,
)


class M3GNet(MatGLModel):
    """M3GNet with smooth radial functions; arguments and defaults are the package's.

    The package's own default is `use_smooth=False`, radial functions whose slope has a step at the
    cutoff: `M3GNetRough`. The paper's are smooth (its equation for the edges' expansion).

    Args:
        species: chemical symbols or atomic numbers, in type order.
        cutoff: Å.
        threebody_cutoff: of both bonds of a three-body term, Å, at most `cutoff`.
        dim_node_embedding: features of an atom.
        dim_edge_embedding: features of a bond.
        units: width of the hidden layers.
        nblocks: number of blocks of a three-body and a graph convolution layer.
        max_n: number of radial functions.
        max_l: number of angular functions.
        activation_type: swish, tanh, sigmoid, softplus2 or softexp.
        seed: of the initial weights.

    Raises:
        MissingExtraError: matgl is not installed.
        ValueError: unknown names, a three-body cutoff beyond the cutoff, or a bad species list or
            cutoff.
    """

    smoothness = 2  # of radial functions and of the three-body envelope
    package_class = "M3GNet"
    fixed: ClassVar = {
        "is_intensive": False,
        "ntargets": 1,
        "task_type": "regression",
        "include_state": False,
        "ntypes_state": None,
        "dim_state_feats": None,
        "rbf_type": "SphericalBessel",
        "use_phi": False,
        "use_smooth": True,
        "dropout": None,
    }
    without_effect = frozenset(
        {"dim_state_embedding", "readout_type", "niters_set2set", "nlayers_set2set", "field"}
    )

    def __init__(
        self,
        species: Sequence[str | int],
        cutoff: float = 5.0,
        *,
        threebody_cutoff: float = 4.0,
        dim_node_embedding: int = 64,
        dim_edge_embedding: int = 64,
        units: int = 64,
        nblocks: int = 3,
        max_n: int = 3,
        max_l: int = 3,
        activation_type: str = "swish",
        seed: int = 0,
    ) -> None:
        check_threebody_cutoff(threebody_cutoff, cutoff)
        arguments = {
            "threebody_cutoff": threebody_cutoff,
            "dim_node_embedding": dim_node_embedding,
            "dim_edge_embedding": dim_edge_embedding,
            "units": units,
            "nblocks": nblocks,
            "max_n": max_n,
            "max_l": max_l,
            "activation_type": activation_type,
        }
        super().__init__(species, cutoff, arguments, seed)
        self.threebody_cutoff = threebody_cutoff

    def forward(self, frame: Data) -> Tensor:
        """Site energies (N,), without atomic reference energies."""
        edges = self.edges(frame)
        triples = self._triples(edges, len(frame.atomic_numbers))
        return self.site_energies(self.graph(frame, edges), l_g=triples)

    def _triples(self, edges: Edges, atoms: int) -> dict[str, Any]:
        """Pairs of different bonds of one atom, in the form of matgl's line graph."""
        lengths = edges.lengths.detach()
        kept = (lengths <= self.threebody_cutoff).nonzero().squeeze(1)
        centre = edges.ends[0][kept]
        first, second = edges_from(centre, centre, atoms)
        pairs = kept[torch.stack([first, second])[:, first != second]]
        return {
            "line_edge_index": pairs,
            "n_triple_ij": torch.bincount(pairs[0], minlength=len(lengths)),
            "kept_edge_ids": kept,
        }


class M3GNetRough(M3GNet):
    """M3GNet with the package's default radial functions: forces have a step at the cutoff.

    Spherical Bessel functions that end in a node at the cutoff, with a slope. For files that were
    trained so.
    """

    smoothness = 0
    fixed: ClassVar = {**M3GNet.fixed, "use_smooth": False}
