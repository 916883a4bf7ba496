"""What is in the data, and what is wrong with it, before anything is trained on it."""

from __future__ import annotations

import logging
from collections.abc import Mapping
from typing import Any

import numpy as np
import numpy.typing as npt
from ase.data import chemical_symbols, covalent_radii
from scipy.spatial import cKDTree

from sus2bench.data.dataset import FrameDataset
from sus2bench.data.statistics import average_neighbours

log = logging.getLogger(__name__)

# Copies of a structure agree in their fingerprints to the digits of the file; thermal motion
# changes them by parts in a thousand, an elastic strain of a thousandth by 1e-4.
SAME_STRUCTURE = 1e-6
# An outlier is this many times as far from the median as the quartiles are from each other.
OUTLIER = 25.0
# Nearer than this fraction of the sum of covalent radii, atoms are suspiciously close.
CLOSE = 0.4
LISTED = 20


def census(parts: Mapping[str, FrameDataset]) -> dict[str, Any]:
    """Counts, ranges and suspicions for each part of the data, as plain data for a record.

    For each part: frames with each label, elements with the numbers of frames and atoms that have
    them, sizes, shortest distances (Å), energy per atom (eV), largest force (eV/Å), copies within
    the part and outliers; and between the parts the copies of training structures elsewhere. A
    copy is found whatever its orientation, origin and order of atoms. Warnings are logged and are
    in ``warnings``.
    """
    result: dict[str, Any] = {"parts": {}, "copies_of_training_frames": {}}
    warnings: list[str] = []
    for name, dataset in parts.items():
        result["parts"][name] = _part(dataset)
        warnings += [f"{name}: {text}" for text in _suspicions(dataset)]
    train = parts.get("train")
    for name, dataset in parts.items():
        if train is None or name == "train":
            continue
        copies = _copies(dataset, train)
        result["copies_of_training_frames"][name] = copies
        if copies:
            warnings.append(
                f"{name}: {len(copies)} of {len(dataset)} frames are copies of training frames: "
                f"{_some(copies)}"
            )
        unseen = sorted(set(dataset.species) - set(train.species))
        if unseen:
            warnings.append(f"{name}: elements that are not in the training data: {unseen}")
    for text in warnings:
        log.warning("%s", text)
    result["warnings"] = warnings
    return result


def format_census(content: Mapping[str, Any]) -> str:
    """A census as a few lines for the log."""
    lines = []
    for name, part in content["parts"].items():
        labels = ", ".join(f"{label} {count}" for label, count in part["labels"].items())
        low, high = part["atoms_per_frame"]["minimum"], part["atoms_per_frame"]["maximum"]
        lines.append(
            f"{name}: {part['frames']} frames of {low} to {high} atoms, "
            f"{len(part['elements'])} elements; with {labels}; "
            f"shortest distance {_number(part['shortest_distance']['minimum'])} Å, "
            f"largest force {_number(part['largest_force']['maximum'])} eV/Å, "
            f"{part['neighbours_per_atom']:.0f} neighbours per atom"
        )
    return "\n".join(lines)


def _part(dataset: FrameDataset) -> dict[str, Any]:
    counts = dataset.composition()
    elements = {
        chemical_symbols[number]: {
            "frames": int((counts[:, number] > 0).sum()),
            "atoms": int(counts[:, number].sum()),
        }
        for number in np.flatnonzero(counts.any(axis=0))
    }
    return {
        "frames": len(dataset),
        "atoms": int(dataset.num_atoms.sum()),
        "labels": _labels(dataset),
        "elements": elements,
        "atoms_per_frame": _range(dataset.num_atoms),
        "neighbours_per_atom": average_neighbours(dataset),
        "shortest_distance": _range(dataset.values("shortest").numpy()),
        "energy_per_atom": _range(_energy_per_atom(dataset)),
        "largest_force": _range(_largest_forces(dataset)),
        "stress": _range(dataset.values("stress").numpy()),
        "periodic": int(dataset.values("pbc").all(dim=1).sum()),
        "copies": len(_copies_within(dataset)),
    }


def _labels(dataset: FrameDataset) -> dict[str, int]:
    forces = np.isfinite(dataset.values("forces").numpy()).any(axis=1)
    first = np.cumsum(dataset.num_atoms) - dataset.num_atoms
    return {
        "energy": int(np.isfinite(dataset.values("energy").numpy()).sum()),
        "forces": int(np.logical_or.reduceat(forces, first).sum()),
        "stress": int(np.isfinite(dataset.values("stress").numpy()).any(axis=(1, 2)).sum()),
    }


def _suspicions(dataset: FrameDataset) -> list[str]:
    texts = []
    if copies := _copies_within(dataset):
        texts.append(f"{len(copies)} frames are copies of earlier ones: {_some(copies)}")
    if outliers := _outliers(_energy_residuals(dataset)):
        texts.append(
            f"energies per atom, beyond composition, of {len(outliers)} frames are outliers: "
            f"{_some(outliers)}"
        )
    # On a logarithmic scale, and upwards only: perfect crystals have no forces.
    if outliers := _outliers(np.log(np.maximum(_largest_forces(dataset), 1e-3)), below=False):
        texts.append(f"largest forces of {len(outliers)} frames are outliers: {_some(outliers)}")
    if close := _too_close(dataset):
        texts.append(
            f"{len(close)} frames have atoms nearer than {CLOSE} of the sum of the smallest "
            f"covalent radii: {_some(close)}"
        )
    return texts


def _energy_per_atom(dataset: FrameDataset) -> npt.NDArray[np.float64]:
    return dataset.values("energy").numpy() / dataset.num_atoms


def _energy_residuals(dataset: FrameDataset) -> npt.NDArray[np.float64]:
    """Energies per atom less the best fit by composition; NaN where not labelled."""
    energy = _energy_per_atom(dataset)
    fractions = dataset.composition() / dataset.num_atoms[:, None]
    kept = np.isfinite(energy)
    residual = energy
    for _ in range(3 if kept.any() else 0):
        # Outliers bend the fit towards themselves: fit again without them.
        solution = np.linalg.lstsq(fractions[kept], energy[kept], rcond=None)[0]
        residual = energy - fractions @ solution
        low, middle, high = np.percentile(residual[kept], [25, 50, 75])
        kept = np.abs(residual - middle) <= 5 * max(high - low, 1e-6)
    return residual


def _largest_forces(dataset: FrameDataset) -> npt.NDArray[np.float64]:
    size = np.linalg.norm(np.nan_to_num(dataset.values("forces").numpy(), nan=-np.inf), axis=1)
    size[~np.isfinite(size)] = -np.inf
    first = np.cumsum(dataset.num_atoms) - dataset.num_atoms
    largest: npt.NDArray[np.float64] = np.maximum.reduceat(size, first)
    largest[largest == -np.inf] = np.nan
    return largest


def _too_close(dataset: FrameDataset) -> list[int]:
    """Frames whose shortest distance is short even for their smallest element."""
    counts = dataset.composition()[:, : len(covalent_radii)]
    radii = np.where(counts > 0, covalent_radii[: counts.shape[1]], np.inf).min(axis=1)
    close = dataset.values("shortest").numpy() < 2 * CLOSE * radii
    return [int(index) for index in np.flatnonzero(close)]


def _outliers(values: npt.NDArray[np.float64], below: bool = True) -> list[int]:
    known = values[np.isfinite(values)]
    if len(known) < 10:
        return []
    low, middle, high = np.percentile(known, [25, 50, 75])
    excess = np.abs(values - middle) if below else values - middle
    far = excess > OUTLIER * max(high - low, 1e-6)
    return [int(index) for index in np.flatnonzero(far)]


def _signatures(dataset: FrameDataset) -> npt.NDArray[np.float64]:
    """Coordinates in which copies of a structure coincide and others are far apart."""
    fingerprint = dataset.values("fingerprint").numpy()
    scale = np.sqrt(dataset.composition() @ np.arange(len(chemical_symbols)) / dataset.num_atoms)
    extra = np.stack([dataset.num_atoms, scale], axis=1)
    logarithms = np.log1p(fingerprint)
    return np.concatenate([logarithms, extra], axis=1)


def _copies(dataset: FrameDataset, reference: FrameDataset) -> list[int]:
    tree = cKDTree(_signatures(reference))
    distance, nearest = tree.query(_signatures(dataset), distance_upper_bound=SAME_STRUCTURE)
    found = np.flatnonzero(np.isfinite(distance))
    same = (dataset.composition()[found] == reference.composition()[nearest[found]]).all(axis=1)
    return [int(index) for index in found[same]]


def _copies_within(dataset: FrameDataset) -> list[int]:
    """Frames that are copies of an earlier frame."""
    pairs = cKDTree(_signatures(dataset)).query_pairs(SAME_STRUCTURE, output_type="ndarray")
    counts = dataset.composition()
    same = (counts[pairs[:, 0]] == counts[pairs[:, 1]]).all(axis=1)
    return sorted({int(index) for index in pairs[same].max(axis=1, initial=-1)} - {-1})


def _range(values: npt.NDArray[Any]) -> dict[str, float | None]:
    known = values[np.isfinite(values)]
    if known.size == 0:
        return {"minimum": None, "median": None, "maximum": None}
    number = int if np.issubdtype(known.dtype, np.integer) else float
    return {
        "minimum": number(known.min()),
        "median": float(np.median(known)),
        "maximum": number(known.max()),
    }


def _number(value: float | None) -> str:
    return "-" if value is None else f"{value:.3g}"


def _some(indices: list[int]) -> str:
    return ", ".join(map(str, indices[:LISTED])) + (" ..." if len(indices) > LISTED else "")
