"""Values a potential starts from: E0, the energy scale, an exact linear readout."""

import logging
from collections.abc import Iterator, Mapping
from dataclasses import asdict
from typing import Any

import torch
from torch import Tensor
from torch_geometric.data import Batch

from sus2bench.atoms.frame import collate, edge_vectors
from sus2bench.data.dataset import FrameDataset
from sus2bench.data.statistics import force_rms, least_squares_atomic_energies
from sus2bench.models.blocks import Extent, predict
from sus2bench.models.linear import HasLinearReadout, TrainsLinearReadout
from sus2bench.models.potential import Potential
from sus2bench.models.scaling import ScalesToData
from sus2bench.training.freezing import atomic_energies_are_held, readout_is_held
from sus2bench.training.linear_readout import (
    LinearWeights,
    set_readout_units,
    solve_linear_readout,
)
from sus2bench.training.loss import TERMS
from sus2bench.training.regularization import Regularization

logger = logging.getLogger(__name__)

FROZEN = "frozen"
"""Where E0 comes from if the potential keeps the one it has."""
_ATOMS_PER_BLOCK = 64
"""Frames of the linear solve are taken in blocks of about this many atoms, to bound memory."""


def initialise(
    potential: Potential,
    train: FrameDataset,
    *,
    atomic_energies: str | Mapping[str, float] = "least_squares",
    weights: LinearWeights | None = None,
    regularization: Regularization | None = None,
) -> dict[str, Any]:
    """Sets what the training data determine before the first step.

    The constants that a model takes from the data (`ScalesToData`) come first, then energies, see
    `fit_energies`.

    Args:
        potential: changed in place.
        train: training frames.
        atomic_energies: as of `fit_energies`.
        weights: as of `fit_energies`.
        regularization: as of `fit_energies`.

    Returns:
        A plain report for the record.

    Raises:
        ValueError: E0 cannot be had in the way that is asked for.
    """
    constants = take_constants(potential, train)
    return constants | fit_energies(
        potential,
        train,
        atomic_energies=atomic_energies,
        weights=weights,
        regularization=regularization,
    )


def take_constants(potential: Potential, train: FrameDataset) -> dict[str, Any]:
    """Sets the constants of a model that takes any from the training data; a plain report."""
    if not isinstance(potential.model, ScalesToData):
        return {}
    scales = potential.model.scale_to_data(_with_vectors(train, potential))
    return {"scales": scales} if scales else {}


def fit_energies(
    potential: Potential,
    train: FrameDataset,
    *,
    atomic_energies: str | Mapping[str, float] = "least_squares",
    weights: LinearWeights | None = None,
    regularization: Regularization | None = None,
) -> dict[str, Any]:
    """Sets E0, and the linear readout or the energy scale, to what the training data say.

    E0 comes first. A model with a linear readout then gets the exact least-squares solution for its
    coefficients, and for E0 with them unless that is given or from isolated atoms: then the energy
    of an isolated atom stays the one asked for, and E0 makes up for what the model itself gives
    such an atom. Any other model is scaled by the root mean square of the force labels, so that its
    output of order one is of the order of the forces. A repulsion is taken off the labels. What is
    frozen stays as it is. Energies from isolated atoms are held through all training
    (`Potential.hold_isolated_atoms`).

    Args:
        potential: changed in place.
        train: training frames.
        atomic_energies: `least_squares`, `isolated_atoms` (training frames of one atom without
            neighbours), or eV by chemical symbol.
        weights: of energies, forces and stresses in the linear solve; those of the loss.
        regularization: of the loss, which the solve minimizes with it.

    Returns:
        A plain report for the record.

    Raises:
        ValueError: E0 cannot be had in the way that is asked for.
    """
    report: dict[str, Any] = {"atomic_energies_from": FROZEN}
    rest = _without_repulsion(train, potential)
    if not atomic_energies_are_held(potential):
        energies, report = _atomic_energies(rest, potential.species, atomic_energies)
        potential.atomic_energies.set_values(energies)
    if isinstance(potential.model, HasLinearReadout):
        report |= _solve(potential, train, weights, report["atomic_energies_from"], regularization)
    else:
        scale = force_rms(rest)
        if scale > 0:
            potential.atomic_energies.scale.fill_(scale)
        report["energy_scale"] = float(potential.atomic_energies.scale)
    if report["atomic_energies_from"] == "isolated_atoms":
        potential.hold_isolated_atoms(energies)
    report["atomic_energies"] = potential.atomic_energies.as_dict()
    return report


def take_units(
    potential: Potential, train: FrameDataset, weights: LinearWeights | None = None
) -> None:
    """Gives the linear readout of a trained potential the units of the exact solve.

    Predictions stay, but for rounding. Files of other programs have no units, and those of another
    potential are of the data it was trained on. A frozen readout keeps its own.

    Args:
        potential: changed in place.
        train: training frames.
        weights: of energies, forces and stresses; those of the loss.
    """
    if isinstance(potential.model, TrainsLinearReadout) and not readout_is_held(potential):
        set_readout_units(
            potential,
            blocks_of_frames(train),
            weights or LinearWeights(),
            counts=label_counts(train),
        )


def trains_by_steps(potential: Potential) -> bool:
    """Whether anything is left to learn once `initialise` has set what it can.

    Not where a model has a linear readout and no parameter that takes gradients: the exact solve
    gives its coefficients and E0.
    """
    model = potential.model
    frozen = not any(parameter.requires_grad for parameter in model.parameters())
    return not (frozen and isinstance(model, HasLinearReadout))


def _solve(
    potential: Potential,
    train: FrameDataset,
    weights: LinearWeights | None,
    source: str,
    regularization: Regularization | None,
) -> dict[str, Any]:
    """The exact least-squares solution, with E0 in it if `source` says that it is fitted."""
    fitted = source == "least_squares"
    if source not in ("least_squares", FROZEN):
        _keep_isolated_atoms(potential)
    model = potential.model
    if not fitted and isinstance(model, HasLinearReadout) and not len(model.linear_coefficients):
        return {}
    solve = solve_linear_readout(
        potential,
        blocks_of_frames(train),
        weights or LinearWeights(),
        counts=label_counts(train),
        fit_atomic_energies=fitted,
        regularization=regularization,
    )
    logger.info("linear readout: %s", solve)
    return {"linear_readout": asdict(solve)}


@torch.no_grad()
def _keep_isolated_atoms(potential: Potential) -> None:
    """Takes the model's own energy of an isolated atom (SUS2's w) off E0.

    The solve leaves it as it is: products of moments over no neighbours vanish.
    """
    values = potential.atomic_energies.values
    values.add_(values - potential.isolated_energies())


def _without_repulsion(train: FrameDataset, potential: Potential) -> FrameDataset:
    """The training frames with what a repulsion leaves of the labels to the model and E0."""
    if potential.zbl is None:
        return train
    extent = Extent(potential.dtype, potential.zbl.cutoff, strictly_local=True)
    energies, forces = [], []
    for batch in blocks_of_frames(train):
        batch = batch.to(str(potential.device))
        found = predict(potential.zbl, batch, extent, differentiable=False, virial=False)
        site = found.site.double()
        energies.append(site.new_zeros(batch.num_graphs).index_add(0, batch.batch, site).cpu())
        forces.append(found.forces.double().cpu())
    return train.with_values(
        energy=train.values("energy") - torch.cat(energies),
        forces=train.values("forces") - torch.cat(forces),
    )


def _atomic_energies(
    train: FrameDataset, species: tuple[str, ...], source: str | Mapping[str, float]
) -> tuple[Mapping[str, float], dict[str, Any]]:
    if isinstance(source, Mapping):
        missing = sorted(set(species) - set(source))
        if missing:
            raise ValueError(f"atomic_energies has no value for {missing}; give eV per element")
        return source, {"atomic_energies_from": "given"}
    if source == "least_squares":
        energies, fit = least_squares_atomic_energies(train, species)
        return energies, {"atomic_energies_from": source, "least_squares": fit}
    if source == "isolated_atoms":
        return _isolated_atoms(train, species), {"atomic_energies_from": source}
    raise ValueError(
        f"atomic_energies {source!r} is none of 'least_squares', 'isolated_atoms' or a mapping "
        "from chemical symbol to eV"
    )


def _isolated_atoms(train: FrameDataset, species: tuple[str, ...]) -> dict[str, float]:
    """Energies of frames that are one atom without neighbours."""
    from ase.data import chemical_symbols

    energies: dict[str, float] = {}
    lone = torch.as_tensor(train.num_atoms) == 1
    lone &= torch.as_tensor(train.num_edges) == 0
    for index in torch.nonzero(lone).flatten().tolist():
        frame = train[index]
        energy: Tensor = frame.energy
        if bool(torch.isfinite(energy).all()):
            energies[chemical_symbols[int(frame.atomic_numbers)]] = float(energy)
    missing = sorted(set(species) - set(energies))
    if missing:
        raise ValueError(
            f"the training data have no frame of one isolated atom of {missing}; add them, or "
            "choose atomic_energies=least_squares"
        )
    return energies


def _with_vectors(train: FrameDataset, potential: Potential) -> Iterator[Batch]:
    """All frames in batches on the potential's device, with the edge vectors that models read."""
    for batch in blocks_of_frames(train):
        batch = batch.to(str(potential.device))
        batch.edge_vectors = edge_vectors(batch).to(potential.dtype)
        yield batch


def label_counts(train: FrameDataset) -> Tensor:
    """Number of labelled energies, force and stress components of all frames (3,), float64."""
    labels = [train.values(term) for term in TERMS]
    return torch.stack([(~torch.isnan(values)).sum() for values in labels]).to(torch.float64)


def blocks_of_frames(train: FrameDataset) -> Iterator[Batch]:
    """All frames in order, in batches of so few atoms that their linear response fits memory."""
    frames, atoms = [], 0
    for index in range(len(train)):
        frame = train[index]
        frames.append(frame)
        atoms += len(frame.pos)
        if atoms >= _ATOMS_PER_BLOCK:
            yield collate(frames)
            frames, atoms = [], 0
    if frames:
        yield collate(frames)
