"""Atomic energies of elements that were added to a trained potential."""

from collections.abc import Sequence

import numpy as np
import torch
from ase.data import atomic_numbers
from numpy.typing import NDArray
from torch_geometric.data import Data

from sus2bench.data.dataset import FrameDataset
from sus2bench.models.potential import Potential
from sus2bench.training.initialise import blocks_of_frames


def fit_added_energies(
    potential: Potential, train: FrameDataset, added: Sequence[str]
) -> dict[str, float]:
    """Sets E0 of added elements to what fits the energies best; all else stays.

    Least squares of the energies per atom, over the frames with such elements; where these do not
    determine all, of least norm.

    Args:
        potential: whose E0 are changed in place.
        train: labelled frames.
        added: chemical symbols.

    Returns:
        The new E0, eV.

    Raises:
        ValueError: an element is in no frame that has an energy.
    """
    columns = [atomic_numbers[symbol] for symbol in added]
    counts = train.composition()[:, columns]
    labelled = np.isfinite(train.values("energy").numpy())
    absent = [s for s, n in zip(added, counts[labelled].sum(0), strict=True) if not n]
    if absent:
        raise ValueError(
            f"{train.name} has no frame with an energy and {', '.join(absent)}, which are to be "
            "added: give such frames"
        )
    potential.atomic_energies.set_values(dict.fromkeys(added, 0.0))
    chosen = np.flatnonzero(labelled & counts.any(axis=1))
    part = train.subset(chosen, train.name)
    missing = [_missing_energies(potential, batch) for batch in blocks_of_frames(part)]
    sizes = part.num_atoms
    solution, *_ = np.linalg.lstsq(
        counts[chosen] / sizes[:, None], np.concatenate(missing) / sizes, rcond=None
    )
    energies = dict(zip(added, solution.tolist(), strict=True))
    potential.atomic_energies.set_values(energies)
    return energies


@torch.no_grad()
def _missing_energies(potential: Potential, batch: Data) -> NDArray[np.float64]:
    """Labels minus predictions (B,), eV."""
    batch = batch.to(str(potential.device))
    predicted = potential(batch, forces=False, stress=False).energy
    found: NDArray[np.float64] = (batch.energy - predicted).cpu().numpy()
    return found
