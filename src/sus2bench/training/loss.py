"""The loss: weighted errors of the energy per atom, the force components and the stress.

    L = sum_q w_q / n_q sum_labelled d(x_q - label_q),   q = energy per atom, forces, stress

with d(x) = x^2, |x|, or Huber's function, and n_q the number of labelled values (frames, force
components, the nine stress components) in the batch. In a distributed run n_q counts the labels of
all processes and each process multiplies by their number, so that the average of the processes'
gradients is the gradient of the single-process loss of the same global batch. Where a batch is
computed in parts, n_q counts the labels of all of them, so that the parts' losses add up to that of
the batch.
"""

from collections.abc import Iterable, Mapping
from typing import NamedTuple

import torch
from torch import Tensor, nn
from torch_geometric.data import Data

from sus2bench.models.potential import Prediction
from sus2bench.training.distributed import sum_over_ranks, world_size

TERMS = ("energy", "forces", "stress")
"""The terms of the loss, in the order of every tensor of shape (3,) here."""

FUNCTIONS = ("mse", "mae", "huber")
"""The functions an error can enter by."""

SMALLEST_ERROR = 1e-9
"""Below this an absolute error has the curvature it has here."""


class LossSums(NamedTuple):
    """Sums over the labelled values of some frames; sums of several batches may be added."""

    sums: Tensor
    """(3,) float64, sums of d(error) per term."""
    counts: Tensor
    """(3,) float64, number of labelled values per term."""


class Errors(NamedTuple):
    """Prediction minus label; zero where there is no label."""

    energy: Tensor
    """(B,) eV/atom."""
    forces: Tensor | None
    """(N, 3) eV/Å."""
    stress: Tensor | None
    """(B, 3, 3) eV/Å^3."""


def atoms_per_frame(frame: Data) -> Tensor:
    """Number of atoms of each frame of a batch (B,), or of a single frame (1,)."""
    pointer = getattr(frame, "ptr", None)
    if pointer is None:
        return torch.tensor([len(frame.atomic_numbers)], device=frame.atomic_numbers.device)
    return torch.diff(pointer)


def label_masks(frame: Data) -> tuple[Tensor, Tensor, Tensor]:
    """Where there are labels: energy (B,), forces (N, 3), stress (B, 3, 3); bool."""
    return ~torch.isnan(frame.energy), ~torch.isnan(frame.forces), ~torch.isnan(frame.stress)


def count_labels(frames: Iterable[Data]) -> Tensor:
    """Number of labelled values per term (3,), float64, in batches of all processes together."""
    counts = [torch.stack([mask.sum() for mask in label_masks(frame)]) for frame in frames]
    return sum_over_ranks(torch.stack(counts).sum(dim=0).to(torch.float64))


def masked_difference(value: Tensor, label: Tensor, mask: Tensor) -> Tensor:
    """`value - label` where `mask` holds and 0 elsewhere.

    Both are replaced before the subtraction: a NaN that enters an operation comes back as a NaN
    gradient even if its result is discarded.
    """
    zero = value.new_zeros(())
    return torch.where(mask, value, zero) - torch.where(mask, label, 0.0).to(value.dtype)


class PotentialLoss(nn.Module):
    """Weighted loss of energies, forces and stresses; the formula stands at the top of the file.

    Args:
        energy: weight of the energy per atom (eV/atom).
        forces: weight of the force components (eV/Å).
        stress: weight of the stress components (eV/Å^3).
        function: `mse`, `mae` or `huber`, for all terms or by term.
        delta: by term, the error at which Huber's function turns from quadratic to linear, in the
            units above.

    Raises:
        ValueError: weights that are negative or all zero, an unknown function, a missing or
            non-positive `delta`.
    """

    _weights: Tensor

    def __init__(
        self,
        energy: float = 1.0,
        forces: float = 1.0,
        stress: float = 1.0,
        *,
        function: str | Mapping[str, str] = "mse",
        delta: Mapping[str, float] | None = None,
    ) -> None:
        super().__init__()
        weights = (float(energy), float(forces), float(stress))
        if not all(0 <= weight < float("inf") for weight in weights):
            raise ValueError(f"loss weights must be finite and not negative, got {weights}")
        if not any(weights):
            raise ValueError(
                "all loss weights are zero, nothing would be trained: give loss.energy, "
                "loss.forces or loss.stress a positive weight"
            )
        self.weights = dict(zip(TERMS, weights, strict=True))
        self.register_buffer(
            "_weights", torch.tensor(weights, dtype=torch.float64), persistent=False
        )
        self.functions = _functions(function)
        self.delta = _deltas(self.functions, delta or {})

    @property
    def needs_forces(self) -> bool:
        """Whether the gradient of the energy has to be computed."""
        return self.weights["forces"] > 0

    @property
    def needs_stress(self) -> bool:
        """Whether the stress has to be computed."""
        return self.weights["stress"] > 0

    def sums(self, prediction: Prediction, frame: Data) -> LossSums:
        """Sums of d(error) and numbers of labelled values, differentiable in the prediction."""
        masks = label_masks(frame)
        errors = self.errors(prediction, frame)
        sums, counts = [], []
        for term, error, mask in zip(TERMS, errors, masks, strict=True):
            if error is None:
                sums.append(prediction.energy.new_zeros(()))
                counts.append(mask.new_zeros((), dtype=torch.long))
            else:
                sums.append(self._penalty(term, error))
                counts.append(mask.sum())
        return LossSums(torch.stack(sums), torch.stack(counts).to(torch.float64))

    def total(self, sums: Tensor, counts: Tensor) -> Tensor:
        """The loss from sums and counts (3,) of any number of batches; scalar float64.

        A term without labels is zero.
        """
        return torch.dot(self._weights / counts.clamp(min=1.0), sums)

    def forward(
        self, prediction: Prediction, frame: Data, counts: Tensor | None = None
    ) -> tuple[Tensor, LossSums]:
        """The loss to differentiate and the sums of this process' part of the batch.

        Args:
            prediction: of the frames in `frame`.
            frame: batch with labels; NaN where there is none.
            counts: `count_labels` of the whole batch, if `frame` is a part of it.

        Returns:
            Scalar float64 loss, and the detached sums.
        """
        local = self.sums(prediction, frame)
        counts = count_labels([frame]) if counts is None else counts
        loss = self.total(local.sums, counts) * world_size()
        return loss, LossSums(local.sums.detach(), local.counts)

    def errors(self, prediction: Prediction, frame: Data) -> Errors:
        """Prediction minus label of what is predicted; zero where there is no label."""
        masks = label_masks(frame)
        energy = masked_difference(prediction.energy, frame.energy, masks[0])
        forces, stress = prediction.forces, prediction.stress
        return Errors(
            energy / atoms_per_frame(frame),
            masked_difference(forces, frame.forces, masks[1]) if forces is not None else None,
            masked_difference(stress, frame.stress, masks[2]) if stress is not None else None,
        )

    def curvature(self, term: str, error: Tensor) -> Tensor:
        """d'(e) / e of errors of a term, which is d''(e) where d is a square."""
        function = self.functions[term]
        if function == "mse":
            return torch.full_like(error, 2.0)
        size = error.abs()
        if function == "mae":
            return 1 / size.clamp(min=SMALLEST_ERROR)
        return (self.delta[term] / size.clamp(min=self.delta[term])).to(error)

    def _penalty(self, term: str, error: Tensor) -> Tensor:
        """Sum of d(error), scalar float64. A zero error, as of a missing label, adds nothing."""
        error = error.to(torch.float64)
        function = self.functions[term]
        if function == "mse":
            return error.square().sum()
        if function == "mae":
            return error.abs().sum()
        return nn.functional.huber_loss(
            error, torch.zeros_like(error), reduction="sum", delta=self.delta[term]
        )


def _functions(function: str | Mapping[str, str]) -> dict[str, str]:
    chosen = dict.fromkeys(TERMS, function) if isinstance(function, str) else dict(function)
    if set(chosen) != set(TERMS) or not set(chosen.values()) <= set(FUNCTIONS):
        raise ValueError(
            f"loss.function must be one of {FUNCTIONS}, or name one for each of {TERMS}; "
            f"got {function!r}"
        )
    return chosen


def _deltas(functions: Mapping[str, str], delta: Mapping[str, float]) -> dict[str, float]:
    needed = [term for term, function in functions.items() if function == "huber"]
    missing = [term for term in needed if not delta.get(term, 0.0) > 0]
    unknown = sorted(set(delta) - set(TERMS))
    if missing or unknown:
        raise ValueError(
            f"loss.delta must be positive for {missing or needed}, the terms with Huber's function,"
            f" and may name only {TERMS}; got {dict(delta)}"
        )
    return {term: float(delta[term]) for term in needed}
