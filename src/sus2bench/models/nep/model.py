"""NEP4, the neuroevolution potential of GPUMD, with gradients in place of evolution."""

from collections.abc import Iterable, Sequence
from typing import Any

import torch
from torch import Tensor
from torch_geometric.data import Data

from sus2bench.models.base import SiteEnergyModel
from sus2bench.models.nep.descriptor import Descriptor
from sus2bench.models.nep.network import Networks
from sus2bench.models.species import SpeciesTensor

HIGHEST_RANK = 8
ROOM_FOR_NEIGHBOURS = (400, 200)
"""Radial and angular neighbours that GPUMD shall have room for, where no data tell."""


class NEP(SiteEnergyModel):
    """The neuroevolution potential of Fan et al. in its fourth version (NEP4).

    Descriptors: J. Chem. Phys. 157, 114801 (2022), doi 10.1063/5.0106617. One network for each
    element: Nat. Commun. 15, 10208 (2024), doi 10.1038/s41467-024-54554-x. Repulsion at short
    range is no part of the model: `Potential(zbl=NEPRepulsion(...))` adds it.

    Args:
        species: chemical symbols or atomic numbers, in type order.
        cutoff: of the radial descriptors and so of the neighbour list, Å.
        angular_cutoff: of the angular descriptors, Å; at most the cutoff, to which a longer one is
            shortened.
        n_max: highest n of the radial and of the angular functions.
        basis_size: highest Chebyshev polynomial of the radial and of the angular functions.
        l_max: highest l of 3-body descriptors (1 to 8), 2 or 0 for with or without those of 4
            bodies, 1 or 0 for with or without those of 5 bodies.
        neurons: of the hidden layer.
        seed: of the initial parameters.

    Raises:
        ValueError: a size is out of range, or a bad species list or cutoff.
    """

    smoothness = 1
    strictly_local = True
    mixed_precision = True

    descriptor_scaler: Tensor
    neighbours: Tensor

    def __init__(
        self,
        species: Sequence[str | int],
        cutoff: float = 8.0,
        *,
        angular_cutoff: float = 4.0,
        n_max: Sequence[int] = (4, 4),
        basis_size: Sequence[int] = (8, 8),
        l_max: Sequence[int] = (4, 2, 0),
        neurons: int = 30,
        seed: int = 0,
    ) -> None:
        super().__init__(species, cutoff)
        if not angular_cutoff > 0:
            raise ValueError(
                f"angular_cutoff must be a positive distance in Å, not {angular_cutoff}"
            )
        _check_sizes(n_max, basis_size, l_max, neurons)
        self.n_max, self.basis_size, self.l_max = tuple(n_max), tuple(basis_size), tuple(l_max)
        self.seed = seed
        generator = torch.Generator().manual_seed(seed)
        self.descriptor = Descriptor(
            len(self.species),
            self.cutoff,
            min(float(angular_cutoff), self.cutoff),
            self.n_max,
            self.basis_size,
            self.l_max,
            generator,
        )
        self.networks = Networks(len(self.species), self.descriptor.size, neurons, generator)
        scaler = torch.ones(self.descriptor.size, dtype=torch.float64)
        self.register_buffer("descriptor_scaler", scaler)
        self.register_buffer("neighbours", torch.tensor(ROOM_FOR_NEIGHBOURS))

    @property
    def angular_cutoff(self) -> float:
        """Cutoff of the angular descriptors, Å."""
        return self.descriptor.angular.cutoff

    def forward(self, frame: Data) -> Tensor:
        """Site energies (N,), without atomic reference energies."""
        types = self.types(frame.atomic_numbers)
        q = self.descriptor(frame.edge_vectors, frame.edge_index, types)
        site: Tensor = self.networks(q * self.descriptor_scaler, types)
        return site

    def scale_to_data(self, batches: Iterable[Data]) -> dict[str, float]:
        """Sets the descriptor scaling, 1 / (max - min) of each component over all atoms.

        Notes the largest numbers of neighbours, too, which GPUMD wants to know beforehand. A
        component that does not vary keeps the factor 1.
        """
        low = torch.full_like(self.descriptor_scaler, torch.inf)
        high, most = -low, torch.zeros_like(self.neighbours)
        with torch.no_grad():
            for batch in batches:
                types = self.types(batch.atomic_numbers)
                q = self.descriptor(batch.edge_vectors, batch.edge_index, types)
                low, high = torch.minimum(low, q.amin(0)), torch.maximum(high, q.amax(0))
                most = torch.maximum(most, self._most_neighbours(batch))
            span = high - low
            usable = torch.isfinite(span) & (span > torch.finfo(span.dtype).eps * high.abs())
            self.descriptor_scaler.copy_(torch.where(usable, 1.0 / span, 1.0))
            self.neighbours.copy_(most.clamp(min=1))
        return {
            "smallest_descriptor_scaler": float(self.descriptor_scaler.min()),
            "largest_descriptor_scaler": float(self.descriptor_scaler.max()),
            "most_radial_neighbours": float(most[0]),
            "most_angular_neighbours": float(most[1]),
        }

    def _most_neighbours(self, batch: Data) -> Tensor:
        """Largest numbers of neighbours of an atom within the two cutoffs (2,)."""
        distance = torch.linalg.vector_norm(batch.edge_vectors, dim=-1)
        counts = [
            torch.bincount(batch.edge_index[1][distance < cutoff], minlength=1).max()
            for cutoff in (self.cutoff, self.angular_cutoff)
        ]
        return torch.stack(counts)

    def hyperparameters(self) -> dict[str, Any]:
        """The constructor's arguments."""
        return {
            "species": list(self.symbols),
            "cutoff": self.cutoff,
            "angular_cutoff": self.angular_cutoff,
            "n_max": list(self.n_max),
            "basis_size": list(self.basis_size),
            "l_max": list(self.l_max),
            "neurons": self.networks.w1.shape[1],
            "seed": self.seed,
        }

    def parameter_blocks(self, pairs: set[tuple[int, int]]) -> dict[str, dict[str, int]]:
        """Counts parameters as GPUMD's documentation does; E0 and descriptor scaling are apart.

        Args:
            pairs: (centre, neighbour) atomic numbers that meet within the cutoff in the training
                data; both orders of a pair.

        Returns:
            For each block `stored` and `trainable`, which are equal, and `effective`: without c of
            pairs that never meet and networks of elements without neighbours.
        """
        known = {(a, b) for a, b in pairs if a in self.species and b in self.species}
        elements, species = len({a for a, _ in known}), len(self.species)

        def block(size: int, there: int, all_of_them: int, common: int = 0) -> dict[str, int]:
            stored = size * all_of_them + common
            return {"stored": stored, "trainable": stored, "effective": size * there + common}

        def per_pair(coefficients: Tensor) -> dict[str, int]:
            return block(coefficients[0, 0].numel(), len(known), species**2)

        neurons, inputs = self.networks.w0.shape[1:]
        return {
            "radial_coefficients": per_pair(self.descriptor.radial.coefficients),
            "angular_coefficients": per_pair(self.descriptor.angular.coefficients),
            "networks": block((inputs + 2) * neurons, elements, species, common=1),
        }

    def block_parameters(self) -> dict[str, tuple[str, ...]]:
        """The parameters of each block of `parameter_blocks`."""
        return {
            "radial_coefficients": ("descriptor.radial",),
            "angular_coefficients": ("descriptor.angular",),
            "networks": ("networks",),
        }

    def species_tensors(self) -> dict[str, SpeciesTensor]:
        """Which numbers belong to which element or pair, see `models.species`."""
        pairs = ("descriptor.radial.coefficients", "descriptor.angular.coefficients")
        networks = ("networks.w0", "networks.b0", "networks.w1")
        return {
            **dict.fromkeys(pairs, SpeciesTensor((0, 1))),
            **dict.fromkeys(networks, SpeciesTensor((0,))),
        }


def _check_sizes(
    n_max: Sequence[int], basis_size: Sequence[int], l_max: Sequence[int], neurons: int
) -> None:
    for name, sizes in (("n_max", n_max), ("basis_size", basis_size)):
        if len(sizes) != 2 or min(sizes) < 0:
            raise ValueError(
                f"{name} must be two numbers, radial and angular, of at least 0, not {list(sizes)}"
            )
    if len(l_max) != 3 or l_max[1] not in (0, 2) or l_max[2] not in (0, 1):
        raise ValueError(
            "l_max must be [l, 2 or 0, 1 or 0] for descriptors of 3, 4 and 5 bodies, not "
            f"{list(l_max)}"
        )
    least = 2 if l_max[1] else 1
    if not least <= l_max[0] <= HIGHEST_RANK:
        raise ValueError(
            f"l_max of 3 bodies must be {least} to {HIGHEST_RANK} here, not {l_max[0]}"
        )
    if l_max[2] and not l_max[1]:
        raise ValueError(
            f"l_max {list(l_max)} has 5-body but no 4-body descriptors, which older GPUMD "
            "mistakes for the contrary: set the second number to 2"
        )
    if neurons < 1:
        raise ValueError(f"neurons must be at least 1, not {neurons}")
