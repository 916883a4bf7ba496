"""Errors of a finished potential on a data set: a pass of its own, and what it predicted.

Nothing is shifted or fitted here. The composition fit (least-squares atomic energies of the
training data, forces and stresses zero) is evaluated by the same code as the floor that any
potential has to beat.
"""

import copy
import logging
import os
import zlib
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from zipfile import BadZipFile

import numpy as np
import numpy.typing as npt
import torch
from ase.data import atomic_numbers as number_of_symbol
from torch_geometric.data import Data

from sus2bench.atoms.files import write_atomically
from sus2bench.atoms.frame import collate
from sus2bench.data.dataset import FrameDataset
from sus2bench.models.potential import Potential, Prediction
from sus2bench.training.metrics import ErrorAccumulator

MAX_EDGES = 100_000
"""Edges per batch; keeps the memory of a pass near 1 GB for the largest of our models."""

Arrays = dict[str, npt.NDArray[Any]]

STORED = (
    *("energy", "forces", "stress", "energy_reference", "forces_reference", "stress_reference"),
    *("atomic_numbers", "frame_index", "frame_offsets"),
)
"""Arrays that every file of predictions has."""

logger = logging.getLogger(__name__)


class PredictionsError(ValueError):
    """A file of predictions that cannot be read; the text names the file and the remedy."""


@dataclass(frozen=True)
class Accuracy:
    """Errors on a data set, those of the composition fit, and all predictions."""

    metrics: dict[str, float]
    baseline: dict[str, float]
    predictions: Arrays


def evaluate(
    potential: Potential,
    dataset: FrameDataset,
    composition: Mapping[str, float] | None = None,
    *,
    max_edges: int = MAX_EDGES,
) -> Accuracy:
    """Evaluate a potential on every frame of a data set, once.

    Args:
        potential: the potential, evaluated as it is (its dtype, its device).
        dataset: frames with labels.
        composition: atomic energies (eV) of the composition fit by symbol; without them there is no
            baseline.
        max_edges: edges per batch.

    Returns:
        Metrics as in :class:`~sus2bench.training.metrics.ErrorAccumulator`, and predictions:
        ``energy`` (B,) eV, ``forces`` (N,3) eV/Å, ``stress`` (B,3,3) eV/Å^3, the same with
        ``_reference``, ``atomic_numbers`` (N,), ``frame_offsets`` (B+1,) of the atoms of a frame,
        ``frame_index`` (B,), and ``composition_energy`` (B,) eV where known.

    Raises:
        ValueError: if the data set is empty or has an element the potential does not know.
    """
    if len(dataset) == 0:
        raise ValueError("the data set has no frames to evaluate on")
    errors, floor = ErrorAccumulator(), ErrorAccumulator()
    parts: list[Arrays] = []
    was_training = potential.training
    potential.eval()
    try:
        for frames in batches(dataset, max_edges):
            batch = collate(frames)
            with torch.no_grad():
                predicted = potential(batch.to(str(potential.device)))
            predicted = _on_cpu(predicted)
            batch = batch.to("cpu")
            errors.update(predicted, batch)
            part = _arrays(predicted, batch)
            if composition is not None:
                trivial = _composition_fit(batch, composition)
                floor.update(trivial, _where_predicted(trivial, batch))
                part["composition_energy"] = trivial.energy.numpy()
            parts.append(part)
    finally:
        potential.train(was_training)
    baseline = floor.compute() if composition is not None else {}
    return Accuracy(errors.compute(), baseline, _joined(parts))


def batches(dataset: FrameDataset, max_edges: int) -> Iterator[Sequence[Data]]:
    """Frames in their order, as many at a time as have at most ``max_edges`` (at least one)."""
    frames: list[Data] = []
    edges = 0
    for index, size in enumerate(dataset.num_edges.tolist()):
        if frames and edges + size > max_edges:
            yield frames
            frames, edges = [], 0
        frames.append(dataset[index])
        edges += size
    if frames:
        yield frames


def save_predictions(predictions: Mapping[str, npt.NDArray[Any]], path: Path) -> None:
    """Write predictions as a compressed ``npz``, whole or not at all."""
    write_atomically(
        path, lambda part: np.savez_compressed(part, allow_pickle=False, **predictions)
    )


def load_predictions(path: str | os.PathLike[str]) -> Arrays:
    """Read what :func:`save_predictions` wrote.

    Raises:
        FileNotFoundError: there is no such file.
        PredictionsError: the file is damaged, or lacks one of `STORED`.
    """
    remedy = "make it anew with `sus2bench evaluate`, or remove it"
    try:
        with np.load(path) as stored:
            arrays = {name: stored[name] for name in stored.files}
    except (BadZipFile, zlib.error, ValueError, EOFError, TypeError) as error:
        raise PredictionsError(
            f"{path} is damaged or no file of predictions ({error}): {remedy}"
        ) from error
    missing = [name for name in STORED if name not in arrays]
    if missing:
        raise PredictionsError(f"{path} lacks the arrays {', '.join(missing)}: {remedy}")
    return arrays


def readable_predictions(path: str | os.PathLike[str]) -> Arrays | None:
    """What :func:`load_predictions` reads; None, with a warning, where the file is damaged."""
    try:
        return load_predictions(path)
    except PredictionsError as error:
        logger.warning("left out: %s", error)
        return None


def errors_of(
    predictions: Mapping[str, npt.NDArray[Any]], without: Collection[int] = ()
) -> tuple[dict[str, float], dict[str, float]]:
    """Metrics and baseline once more, from predictions as :func:`evaluate` returns them.

    Args:
        predictions: arrays, also those of :func:`load_predictions`.
        without: positions of frames to leave out.
    """
    values = {name: torch.from_numpy(array) for name, array in predictions.items()}
    sizes = values["frame_offsets"].diff()
    kept = torch.tensor([index not in without for index in range(len(sizes))])
    of_atoms = kept.repeat_interleave(sizes)

    def chosen(name: str) -> torch.Tensor:
        value = values[name]
        per_atom = name.startswith(("forces", "atomic_numbers"))
        return value[of_atoms if per_atom else kept]

    labels = {name: chosen(f"{name}_reference") for name in ("energy", "forces", "stress")}
    pointer = torch.cat([sizes.new_zeros(1), sizes[kept].cumsum(0)])
    batch = Data(
        atomic_numbers=chosen("atomic_numbers"), frame_index=chosen("frame_index"), ptr=pointer
    )
    batch.update(labels)
    energy, forces, stress = (chosen(name) for name in ("energy", "forces", "stress"))
    errors, floor = ErrorAccumulator(), ErrorAccumulator()
    # Site energies are not stored, and enter no error.
    errors.update(Prediction(energy, forces, stress, None, energy.new_empty(0)), batch)
    if "composition_energy" not in values:
        return errors.compute(), {}
    trivial = _without_forces(chosen("composition_energy"), batch)
    floor.update(trivial, _where_predicted(trivial, batch))
    return errors.compute(), floor.compute()


def _on_cpu(predicted: Prediction) -> Prediction:
    moved: dict[str, Any] = {
        name: value if value is None else value.cpu() for name, value in predicted._asdict().items()
    }
    return Prediction(**moved)


def _arrays(predicted: Prediction, batch: Data) -> Arrays:
    """One batch as arrays; predictions of forces and stress in float32 lose nothing they had."""
    arrays: Arrays = {
        "atomic_numbers": batch.atomic_numbers.numpy(),
        "frame_size": batch.ptr.diff().numpy(),
        "frame_index": batch.frame_index.numpy(),
    }
    for name in ("energy", "forces", "stress"):
        arrays[name] = getattr(predicted, name).numpy()
        arrays[f"{name}_reference"] = batch[name].numpy()
    return arrays


def _joined(parts: Sequence[Arrays]) -> Arrays:
    joined = {name: np.concatenate([part[name] for part in parts]) for name in parts[0]}
    joined["frame_offsets"] = np.concatenate([[0], joined.pop("frame_size").cumsum()])
    return joined


def _where_predicted(predicted: Prediction, batch: Data) -> Data:
    """The batch with an energy label only where there is a prediction."""
    known = copy.copy(batch)
    known.energy = batch.energy.where(predicted.energy.isfinite(), torch.nan)
    return known


def _composition_fit(batch: Data, composition: Mapping[str, float]) -> Prediction:
    """Energies of the composition alone; NaN for a frame with an element it does not have."""
    values = torch.full((max(number_of_symbol.values()) + 1,), torch.nan, dtype=torch.float64)
    for symbol, value in composition.items():
        values[number_of_symbol[symbol]] = value
    site = values[batch.atomic_numbers]
    energy = site.new_zeros(len(batch.energy)).index_add(0, batch.batch, site)
    return _without_forces(energy, batch)


def _without_forces(energy: torch.Tensor, batch: Data) -> Prediction:
    """A prediction of energies (B,) alone, with forces and stress zero."""
    no_stress = torch.zeros_like(batch.stress)
    return Prediction(energy, torch.zeros_like(batch.forces), no_stress, no_stress, energy)
