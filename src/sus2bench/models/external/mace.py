"""MACE: higher-order equivariant message passing, computed by the package mace-torch.

I. Batatia, D. P. Kovács, G. N. C. Simm, C. Ortner, G. Csányi, "MACE: Higher Order Equivariant
Message Passing Neural Networks for Fast and Accurate Force Fields", NeurIPS 2022,
arXiv 2206.07697. The network is `mace.modules.ScaleShiftMACE` with atomic energies 0, scale 1 and
shift 0: E0 and scale belong to `Potential`.
"""

import warnings
from collections.abc import Iterable, Mapping, Sequence
from types import ModuleType
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn
from torch_geometric.data import Data

from sus2bench.models.base import SiteEnergyModel
from sus2bench.models.external.edges import edges_within, mean_neighbours
from sus2bench.models.external.isolation import import_extra, isolated
from sus2bench.models.float64 import Float64Module

EXTRA = "mace"


class _Neighbours(Float64Module):
    """The average number of neighbours, which the package keeps as a Python float."""

    average: Tensor

    def __init__(self) -> None:
        super().__init__()
        self.register_buffer("average", torch.ones((), dtype=torch.float64))


class MACENetwork(SiteEnergyModel):
    """Site energies of a `ScaleShiftMACE`, `network`, which a subclass builds or reads.

    Args:
        species: chemical symbols or atomic numbers, in the order of the network's elements.
        cutoff: Å.
    """

    smoothness = 2  # of the polynomial envelope, whatever its exponent

    network: Any
    """The package's module, with atomic energies 0, scale 1 and shift 0."""
    head = 0
    """Which of the network's readouts is asked."""

    def __init__(self, species: Sequence[str | int], cutoff: float) -> None:
        super().__init__(species, cutoff)
        self.neighbours = _Neighbours()
        self.register_load_state_dict_post_hook(  # type: ignore[no-untyped-call]
            _hand_over_neighbours
        )

    def set_avg_num_neighbors(self, average: float) -> None:
        """Sets the number that sums over neighbours are divided by."""
        self.neighbours.average.fill_(average)
        _hand_over_neighbours(self)

    def scale_to_data(self, batches: Iterable[Data]) -> dict[str, float]:
        """Takes the average number of neighbours of those atoms that have any, as mace does."""
        average = mean_neighbours(batches, self.cutoff, lone_atoms=False)
        if average is not None:
            self.set_avg_num_neighbors(average)
        return {"avg_num_neighbors": float(self.neighbours.average)}

    def forward(self, frame: Data) -> Tensor:
        """Site energies (N,) in float64, without atomic reference energies.

        The package forms edge vectors from positions and shifts, from the neighbour to the centre:
        with all positions at zero the shifts alone are the vectors, and carry the gradient.
        """
        vectors, edge_index = edges_within(frame, self.cutoff)
        types = self.types(frame.atomic_numbers)
        atoms = len(types)
        graph = {
            "positions": vectors.new_zeros(atoms, 3),
            "shifts": -vectors,
            "cell": vectors.new_zeros(3, 3),
            "edge_index": edge_index,
            "node_attrs": nn.functional.one_hot(types, len(self.species)).to(vectors.dtype),
            "batch": torch.zeros_like(types),
            "ptr": types.new_tensor([0, atoms]),
            "head": types.new_tensor([self.head]),
        }
        site: Tensor = self.network(graph, compute_force=False)["node_energy"]
        return site


class MACE(MACENetwork):
    """MACE; the defaults are those of the package's command line (`mace_run_train --model=MACE`).

    The arguments after `cutoff` are named as there.

    Args:
        species: chemical symbols or atomic numbers, in type order.
        cutoff: `r_max`, Å.
        hidden_irreps: channels of the messages; all irreps with the same multiplicity.
        max_ell: highest degree of the spherical harmonics of edges.
        correlation: order of the products of neighbour densities (body order minus one).
        num_interactions: number of message-passing layers.
        num_radial_basis: number of radial functions.
        num_cutoff_basis: exponent p of the polynomial envelope.
        radial_type: bessel, gaussian or chebyshev.
        radial_MLP: widths of the hidden layers that make the weights of messages.
        MLP_irreps: width of the readout of the last layer.
        gate: its activation, silu, tanh, abs or None (as text).
        interaction: class of the layers after the first.
        interaction_first: class of the first layer.
        distance_transform: None, Agnesi or Soft (as text), before the radial functions.
        pair_repulsion: whether mace's own repulsion of nuclei is part of the model.
        apply_cutoff: whether the envelope multiplies radial functions; if not, messages.
        use_agnostic_product: whether all elements share the weights of products.
        use_last_readout_only: whether only the last layer has a readout.
        seed: of the initial weights.

    Raises:
        MissingExtraError: mace-torch is not installed.
        ValueError: unknown names, or a bad species list or cutoff.
    """

    def __init__(
        self,
        species: Sequence[str | int],
        cutoff: float = 5.0,
        *,
        hidden_irreps: str = "128x0e + 128x1o",
        max_ell: int = 3,
        correlation: int = 3,
        num_interactions: int = 2,
        num_radial_basis: int = 8,
        num_cutoff_basis: int = 5,
        radial_type: str = "bessel",
        radial_MLP: Sequence[int] = (64, 64, 64),
        MLP_irreps: str = "16x0e",
        gate: str = "silu",
        interaction: str = "RealAgnosticResidualInteractionBlock",
        interaction_first: str = "RealAgnosticInteractionBlock",
        distance_transform: str = "None",
        pair_repulsion: bool = False,
        apply_cutoff: bool = True,
        use_agnostic_product: bool = False,
        use_last_readout_only: bool = False,
        seed: int = 0,
    ) -> None:
        super().__init__(species, cutoff)
        self._arguments: dict[str, Any] = {
            "hidden_irreps": hidden_irreps,
            "max_ell": max_ell,
            "correlation": correlation,
            "num_interactions": num_interactions,
            "num_radial_basis": num_radial_basis,
            "num_cutoff_basis": num_cutoff_basis,
            "radial_type": radial_type,
            "radial_MLP": list(radial_MLP),
            "MLP_irreps": MLP_irreps,
            "gate": gate,
            "interaction": interaction,
            "interaction_first": interaction_first,
            "distance_transform": distance_transform,
            "pair_repulsion": pair_repulsion,
            "apply_cutoff": apply_cutoff,
            "use_agnostic_product": use_agnostic_product,
            "use_last_readout_only": use_last_readout_only,
            "seed": seed,
        }
        self.network = _network(self.species, self.cutoff, self._arguments)

    def hyperparameters(self) -> dict[str, Any]:
        """The constructor's arguments."""
        return {"species": list(self.symbols), "cutoff": self.cutoff, **self._arguments}


def _network(species: tuple[int, ...], cutoff: float, arguments: Mapping[str, Any]) -> nn.Module:
    """A `ScaleShiftMACE` in float64, with names of the command line turned into those of the class.

    Reduced Clebsch-Gordan coefficients are off, as on the command line: mace can have them only
    with cuequivariance, and a model must not depend on what else is installed.
    """
    mace, o3 = import_extra("mace.modules", EXTRA), import_extra("e3nn.o3", EXTRA)
    given = dict(arguments)
    for name, choices in _choices(mace).items():
        if given[name] not in choices:
            raise ValueError(f"{name} {given[name]!r} is none of {', '.join(choices)}")
    with isolated(seed=given.pop("seed")):
        warnings.simplefilter("ignore")  # TorchScript's, of annotations inside the package
        network: nn.Module = mace.ScaleShiftMACE(
            r_max=cutoff,
            num_bessel=given.pop("num_radial_basis"),
            num_polynomial_cutoff=given.pop("num_cutoff_basis"),
            interaction_cls=mace.interaction_classes[given.pop("interaction")],
            interaction_cls_first=mace.interaction_classes[given.pop("interaction_first")],
            num_elements=len(species),
            atomic_numbers=list(species),
            hidden_irreps=o3.Irreps(given.pop("hidden_irreps")),
            MLP_irreps=o3.Irreps(given.pop("MLP_irreps")),
            gate=mace.gate_dict[given.pop("gate")],
            atomic_energies=np.zeros((1, len(species))),
            avg_num_neighbors=1.0,
            atomic_inter_scale=[1.0],
            atomic_inter_shift=[0.0],
            use_reduced_cg=False,
            **given,
        )
    return network


def _choices(mace: ModuleType) -> dict[str, Iterable[str]]:
    """The names that an argument can have; the package takes unknown ones for no name at all."""
    return {
        "radial_type": ("bessel", "gaussian", "chebyshev"),
        "distance_transform": ("None", "Agnesi", "Soft"),
        "gate": mace.gate_dict,
        "interaction": mace.interaction_classes,
        "interaction_first": mace.interaction_classes,
    }


def _hand_over_neighbours(model: Any, *_: object) -> None:
    """Gives the average number of neighbours to the layers; called after each load too."""
    for layer in model.network.interactions:
        layer.avg_num_neighbors = float(model.neighbours.average)
