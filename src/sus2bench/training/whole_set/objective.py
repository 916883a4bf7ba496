"""The training loss over a whole set of frames, as a function of a flat vector of parameters."""

from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from typing import NamedTuple

import torch
from torch import Tensor, nn
from torch_geometric.data import Batch

from sus2bench.models.potential import Potential
from sus2bench.training.distributed import sum_over_ranks
from sus2bench.training.loss import TERMS, PotentialLoss, label_masks
from sus2bench.training.regularization import Regularization


class Terms(NamedTuple):
    """The terms of the loss for some frames, by the name of the term where the loss needs it."""

    errors: dict[str, Tensor]
    """Of energy per atom (B,), forces (N, 3) and stress (B, 3, 3), float64; 0 without a label."""
    weights: dict[str, Tensor]
    """w d'(e) / (n e), so that the gradient is that of the sum of weight error^2 / 2."""
    sums: Tensor
    """Of d(error), (3,)."""


DIFFERENCE = 0.1
"""Part of a step over which second derivatives along it are taken."""


class Objective:
    """The loss of all frames, streamed in batches: memory is that of one batch.

    The loss is `loss.total` of the sums of all batches of all processes, the mean over the labelled
    values of the set and not a mean of batch means. Where processes share the work, each has its
    part of the frames and all return the same numbers.

    Args:
        potential: whose parameters are the variables; evaluated in training mode.
        loss: of its predictions.
        batches: begins a pass over the (process' part of the) frames, on the potential's device.
        regularization: added to the loss.

    Raises:
        ValueError: the potential has no parameter that is trained.
    """

    def __init__(
        self,
        potential: Potential,
        loss: PotentialLoss,
        batches: Callable[[], Iterable[Batch]],
        *,
        regularization: Regularization | None = None,
    ) -> None:
        self.potential, self.loss, self.batches = potential, loss, batches
        self.regularization = regularization
        self.parameters: list[nn.Parameter] = [p for p in potential.parameters() if p.requires_grad]
        """The variables, in the order of the potential's `named_parameters`."""
        if not self.parameters:
            raise ValueError("the potential has no parameter that is trained")
        self.terms: dict[str, float] = {}
        """Mean of d(error) by term, as `loss_forces`, of the last evaluation."""
        self.passes = 0
        """How often all frames were evaluated, each set of parameters and each product with the
        Gauss-Newton matrix counting once. Whoever reads it may set it back."""
        self._counts: Tensor | None = None

    @property
    def counts(self) -> Tensor:
        """Number of labelled values by term in the whole set (3,), float64."""
        if self._counts is None:
            counts = torch.zeros(len(TERMS), dtype=torch.float64, device=self.potential.device)
            for batch in self.batches():
                counts += torch.stack([mask.sum() for mask in label_masks(batch)])
            self._counts = sum_over_ranks(counts)
        return self._counts

    @property
    def sizes(self) -> list[int]:
        """Number of variables in each parameter, in the order of `get`."""
        return [parameter.numel() for parameter in self.parameters]

    def get(self) -> Tensor:
        """The parameters (P,), float64."""
        return _flat([parameter.detach() for parameter in self.parameters])

    @torch.no_grad()
    def set(self, values: Tensor) -> None:
        """Sets the parameters to `values` (P,), rounded to their own precision."""
        parts = values.split(self.sizes)
        for parameter, part in zip(self.parameters, parts, strict=True):
            parameter.copy_(part.view_as(parameter))

    @torch.no_grad()
    def value(self) -> float:
        """The loss at the present parameters."""
        self.passes += 1
        sums = torch.zeros_like(self.counts)
        with training_mode(self.potential):
            for batch in self.batches():
                sums += self._sums(batch)
            return self.total(sums)

    @torch.no_grad()
    def total(self, sums: Tensor) -> float:
        """The loss at the present parameters, given sums (3,) of d(error) of a process' batches."""
        return float(self._total(sum_over_ranks(sums)) + self._penalty())

    def value_and_gradient(self) -> tuple[float, Tensor]:
        """The loss and its gradient (P,), float64, at the present parameters."""
        self.passes += 1
        sums = torch.zeros_like(self.counts)
        gradient = torch.zeros_like(self.get())
        with training_mode(self.potential), torch.enable_grad():
            for batch in self.batches():
                local = self._sums(batch)
                gradient += self._gradient(self.loss.total(local, self.counts))
                sums += local.detach()
            both = sum_over_ranks(torch.cat([sums, gradient]))
            sums, gradient = both.split([len(sums), len(gradient)])
            penalty = self._penalty()
            return float(self._total(sums) + penalty.detach()), gradient + self._gradient(penalty)

    def terms_of(self, batch: Batch) -> Terms:
        """Of a batch, to be differentiated in training mode if gradients are enabled."""
        needs = {"forces": self.loss.needs_forces, "stress": self.loss.needs_stress}
        prediction = self.potential(batch, **needs)
        found = zip(
            TERMS,
            self.loss.errors(prediction, batch),
            label_masks(batch),
            self.loss.weights.values(),
            self.counts.tolist(),
            strict=True,
        )
        errors, weights = {}, {}
        for term, error, mask, weight, count in found:
            if error is not None:
                errors[term] = error.double()
                curvature = self.loss.curvature(term, errors[term].detach())
                weights[term] = curvature * mask * (weight / max(count, 1.0))
        return Terms(errors, weights, self.loss.sums(prediction, batch).sums)

    def curvature(self, start: Tensor, step: Tensor) -> Tensor:
        """J^T W e'' (P,) at `start` (P,), e'' the second derivative of the errors along a step.

        By central differences over a tenth of the step. Regularization has no part in it: its
        residuals are nearly linear. Leaves the parameters at `start`.
        """
        self.passes += 3
        found = torch.zeros_like(start)
        with training_mode(self.potential):
            for batch in self.batches():
                ahead, behind = (
                    self._errors_at(start + part * step, batch)
                    for part in (DIFFERENCE, -DIFFERENCE)
                )
                self.set(start)
                with torch.enable_grad():
                    here = self.terms_of(batch)
                    total = found.new_zeros(())
                    for term, error in here.errors.items():
                        second = ahead[term] + behind[term] - 2 * error.detach()
                        total = total + (here.weights[term] * second * error).sum()
                    found += self._gradient(total / DIFFERENCE**2)
        return sum_over_ranks(found)

    @torch.no_grad()
    def _errors_at(self, place: Tensor, batch: Batch) -> dict[str, Tensor]:
        self.set(place)
        return self.terms_of(batch).errors

    @torch.no_grad()
    def weighted_errors(self, batch: Batch) -> tuple[list[tuple[Tensor, Tensor]], Tensor]:
        """Weights and errors of each frame as of `terms_of`, and the sums of d(error) of all.

        Returns:
            For each frame (1 + 3 N + 9,) of both, of energy per atom, forces and stress, the latter
            two where the loss needs them; and (3,).
        """
        terms, atoms = self.terms_of(batch), torch.diff(batch.ptr).tolist()
        parts = []
        for term, error in terms.errors.items():
            both = torch.stack([terms.weights[term], error])
            parts.append(both.split(atoms if term == "forces" else 1, dim=1))
        frames = zip(*parts, strict=True)
        rows = [torch.cat([term.flatten(1) for term in frame], dim=1) for frame in frames]
        return [(weights, errors) for weights, errors in rows], terms.sums

    def reference_jacobian(self) -> Tensor:
        """Derivatives (C, P) of E0, which follows the model where isolated atoms are held."""
        with training_mode(self.potential), torch.enable_grad():
            energies = self.potential.reference_energies(differentiable=True)
            return torch.stack([self._gradient(energy, again=True) for energy in energies.unbind()])

    def regularization_jacobian(self) -> tuple[Tensor, Tensor]:
        """Derivatives (K, P) of the residuals (K,) whose squares are added to the loss."""
        if self.regularization is None:
            return self.get().new_zeros(0, sum(self.sizes)), self.get().new_zeros(0)
        with training_mode(self.potential), torch.enable_grad():
            residuals = self.regularization.residuals(self.potential)
            rows = [self._gradient(residual, again=True) for residual in residuals.unbind()]
        empty = self.get().new_zeros(0, sum(self.sizes))
        return torch.stack(rows) if rows else empty, residuals.detach()

    def _sums(self, batch: Batch) -> Tensor:
        """Sums of d(error) by term (3,) of a batch."""
        needs = {"forces": self.loss.needs_forces, "stress": self.loss.needs_stress}
        return self.loss.sums(self.potential(batch, **needs), batch).sums

    def _total(self, sums: Tensor) -> Tensor:
        means = zip(TERMS, sums.tolist(), self.counts.tolist(), strict=True)
        self.terms = {f"loss_{term}": total / n for term, total, n in means if n}
        return self.loss.total(sums, self.counts)

    def _penalty(self) -> Tensor:
        if self.regularization is None:
            return self.counts.new_zeros(())
        return self.regularization(self.potential)

    def _gradient(self, value: Tensor, *, again: bool = False) -> Tensor:
        """Of a scalar by all parameters (P,), zero where it does not depend on them."""
        if not value.requires_grad:
            return torch.zeros_like(self.get())
        return _flat(
            torch.autograd.grad(
                value,
                self.parameters,
                allow_unused=True,
                materialize_grads=True,
                retain_graph=again,
            )
        )


def _flat(tensors: Iterable[Tensor]) -> Tensor:
    return torch.cat([tensor.reshape(-1).to(torch.float64) for tensor in tensors])


@contextmanager
def training_mode(potential: Potential) -> Iterator[None]:
    """Potentials keep the graph of their forces in training mode only."""
    before = potential.training
    potential.train()
    try:
        yield
    finally:
        potential.train(before)
