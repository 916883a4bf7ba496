"""The contract of a model: all tests together, and a class of them for a model in one line."""

from collections.abc import Sequence
from typing import Any

import torch
from torch_geometric.data import Data

from sus2bench.atoms.frame import build_frame, collate, edge_vectors
from sus2bench.models.potential import Potential, model_class
from sus2bench.models.scaling import ScalesToData
from sus2bench.testing.derivatives import DerivativeTests
from sus2bench.testing.limits import LimitTests
from sus2bench.testing.potentials import perturb
from sus2bench.testing.precision import PrecisionTests
from sus2bench.testing.storage import StorageTests
from sus2bench.testing.structures import structures
from sus2bench.testing.symmetries import SymmetryTests


class ContractTests(DerivativeTests, SymmetryTests, LimitTests, StorageTests, PrecisionTests):
    """Inherit in a class whose name begins with `Test` and define `build`."""


def contract_of(
    target: str,
    *,
    species: Sequence[str] = ("Cu", "Au", "Al"),
    cutoff: float = 4.0,
    **hyperparameters: Any,
) -> type[ContractTests]:
    """The contract of a model as a test class, to be given a name that begins with `Test`.

    The potential has generic parameters (`perturb`) and atomic energies, and constants from the
    contract's structures if the model takes any from data (`ScalesToData`).

    Args:
        target: dotted path of the model, as in its config.
        species: chemical symbols, two at least.
        cutoff: Å; about 4 keeps the tests quick.
        hyperparameters: of the model, which make it small.
    """

    class Contract(ContractTests):
        def build(self, dtype: torch.dtype) -> Potential:
            model = model_class(target)(species=species, cutoff=cutoff, **hyperparameters)
            if isinstance(model, ScalesToData):
                model.scale_to_data([_batch(species, cutoff)])
            energies = {symbol: -3.5 - 0.25 * n for n, symbol in enumerate(species)}
            return perturb(Potential(model, energies)).to(dtype)

    return Contract


def _batch(species: Sequence[str], cutoff: float) -> Data:
    """All structures of the contract, with the edge vectors that models read."""
    batch = collate([build_frame(atoms, cutoff) for atoms in structures(species).values()])
    batch.edge_vectors = edge_vectors(batch)
    return batch
