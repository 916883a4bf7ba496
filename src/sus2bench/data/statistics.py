"""What the training data say before any model: atomic energies, size of forces, neighbours."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from typing import Any

import numpy as np
from ase.data import atomic_numbers

from sus2bench.data.dataset import FrameDataset

log = logging.getLogger(__name__)


def least_squares_atomic_energies(
    dataset: FrameDataset, species: Sequence[str]
) -> tuple[dict[str, float], dict[str, Any]]:
    """Energies per element that fit the total energies best, by composition alone.

    Plain least squares in float64 of the energies per atom on the fractions of the elements, so
    that large frames do not outweigh small ones. Where compositions do not determine all
    energies, the solution of least norm is taken and a warning says so.

    Args:
        dataset: frames; those without an energy do not count.
        species: chemical symbols to fit; those that do not occur get 0.

    Returns:
        Energy in eV by symbol, and a report: ``frames``, ``rank``, ``unknowns``,
        ``rank_deficient``, ``undetermined`` (elements whose energy is not unique), ``absent``,
        and ``rmse_meV_per_atom`` of the fit.

    Raises:
        ValueError: no frame has an energy, or a frame has an element that is not in ``species``.
    """
    energy = dataset.values("energy").numpy()
    counts = dataset.composition()
    columns = [atomic_numbers[symbol] for symbol in species]
    outside = sorted(set(dataset.species) - set(species))
    if outside:
        raise ValueError(f"{dataset.name} has the elements {outside} that are not in {species}")
    labelled = np.isfinite(energy)
    if not labelled.any():
        raise ValueError(f"{dataset.name}: no frame has an energy to fit atomic energies to")
    sizes = dataset.num_atoms[labelled]
    fractions = counts[labelled][:, columns] / sizes[:, None]
    per_atom = energy[labelled] / sizes
    solution, _, rank, _ = np.linalg.lstsq(fractions, per_atom, rcond=None)
    absent = [s for s, column in zip(species, fractions.T, strict=True) if not column.any()]
    # Directions in which the energies can be changed without changing any frame.
    free = np.linalg.svd(fractions, full_matrices=True)[2][rank:]
    undetermined = [
        s for s, column in zip(species, free.T, strict=True) if np.abs(column).max(initial=0) > 1e-8
    ]
    rmse = float(np.sqrt(np.mean((fractions @ solution - per_atom) ** 2)))
    report = {
        "frames": int(labelled.sum()),
        "rank": int(rank),
        "unknowns": len(species),
        "rank_deficient": bool(rank < len(species)),
        "undetermined": undetermined,
        "absent": absent,
        "rmse_meV_per_atom": 1e3 * rmse,
    }
    if report["rank_deficient"]:
        log.warning(
            "%s: the compositions fix only %d of %d atomic energies; those of %s are the solution "
            "of least norm: do not compare energies of other compositions",
            dataset.name, rank, len(species), ", ".join(undetermined),
        )  # fmt: skip
    return dict(zip(species, solution.tolist(), strict=True)), report


def force_rms(dataset: FrameDataset) -> float:
    """Root mean square of the labelled force components in eV/Å; 0 where there is none."""
    forces = dataset.values("forces").numpy()
    labelled = forces[np.isfinite(forces)]
    return float(np.sqrt(np.mean(labelled**2))) if labelled.size else 0.0


def average_neighbours(dataset: FrameDataset) -> float:
    """Mean number of neighbours of an atom within the cutoff of the graphs."""
    return float(dataset.num_edges.sum() / dataset.num_atoms.sum())
