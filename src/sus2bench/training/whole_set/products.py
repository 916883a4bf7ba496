"""Products of the Gauss-Newton matrix of the loss with vectors, by automatic differentiation alone.

With errors e, their Jacobian J by the parameters and weights W, as in `normal_equations.py`,

    A v = J^T W J v

for any model whose forces can be differentiated twice more. J^T u is a gradient; J v is the
derivative of J^T u, which is linear in u, by u. A product takes about twice as long as a gradient
of the loss, and memory is that of one block of frames.
"""

from collections.abc import Callable, Iterator
from functools import partial

import torch
from torch import Tensor, nn

from sus2bench.models.potential import Potential
from sus2bench.training.distributed import rank, sum_over_ranks
from sus2bench.training.whole_set.objective import Objective, training_mode

LARGEST_DIFFERENCE = 1e-3
"""Between u.(J v) and (J^T u).v, relative to their largest possible value; rounding makes 1e-6."""

Part = tuple["Linearized", Tensor]
"""Some residuals about the present parameters, and their weights."""


class Linearized:
    """Residuals (K,) as a linear function of P parameters about the present ones."""

    def __init__(self, residuals: Tensor, parameters: list[nn.Parameter]) -> None:
        self._residuals, self._parameters = residuals, parameters
        self._pulled: list[Tensor] = []
        self._by = torch.zeros_like(residuals, requires_grad=True)

    def pull(self, values: Tensor) -> Tensor:
        """J^T u (P,) for u (K,), float64."""
        return self._flat(self._gradient(values, again=False))

    def push(self, values: Tensor) -> Tensor:
        """J v (K,) for v (P,)."""
        pulled = self._pulled or self._gradient(self._by, again=True)
        self._pulled = pulled
        parts = values.split([parameter.numel() for parameter in self._parameters])
        pairs = [
            (found, part.view_as(found).to(found.dtype))
            for found, part in zip(pulled, parts, strict=True)
            if found.requires_grad
        ]
        outputs, along = zip(*pairs, strict=True)
        change: Tensor = torch.autograd.grad(outputs, self._by, along, retain_graph=True)[0]
        return change

    def _gradient(self, values: Tensor, *, again: bool) -> list[Tensor]:
        return list(
            torch.autograd.grad(
                self._residuals,
                self._parameters,
                values,
                retain_graph=True,
                create_graph=again,
                allow_unused=True,
                materialize_grads=True,
            )
        )

    def _flat(self, gradients: list[Tensor]) -> Tensor:
        return torch.cat([gradient.reshape(-1).to(torch.float64) for gradient in gradients])


Function = Callable[[Linearized, Tensor], Tensor]
"""Of some residuals and their weights, (P,), to be summed."""


class GaussNewtonProducts:
    """A of an objective at the present parameters, which are to stay while it is used.

    Args:
        objective: of a model whose forces come from automatic differentiation.

    Raises:
        ValueError: in the first product, the forces are a model's own and cannot be differentiated
            again.
    """

    def __init__(self, objective: Objective) -> None:
        self._size = sum(objective.sizes)
        self._counted, self._objective = objective, _by_autograd(objective)
        self._kept: list[Part] = []
        self._checked = False
        self._single = sum(1 for _ in objective.batches()) == 1

    def __call__(self, vector: Tensor) -> Tensor:
        """A v (P,) for v (P,), over all frames of all processes."""

        def of_part(part: Linearized, weight: Tensor) -> Tensor:
            change = part.push(vector)
            self._check(part, vector, change)
            return part.pull(weight * change)

        return self._sum(of_part, of_part)

    def diagonal(self, probes: int) -> Tensor:
        """An estimate of the diagonal of A (P,), not negative, at the cost of that many gradients.

        The mean of (J^T W^1/2 s)^2 over random signs s, in which products of different residuals
        cancel; those of different blocks do not enter. The signs are the same at each call, but the
        estimate depends on how the frames are divided into blocks and over processes.
        """
        # Processes differ in the signs for their frames, and not in those for what they share.
        of_frames, of_regularization = (torch.Generator().manual_seed(seed) for seed in (rank(), 0))

        def squares(generator: torch.Generator, part: Linearized, weight: Tensor) -> Tensor:
            found = torch.zeros(self._size, dtype=torch.float64, device=weight.device)
            for _ in range(probes):
                signs = torch.randint(2, weight.shape, generator=generator).to(weight) * 2 - 1
                found += part.pull(weight.sqrt() * signs).square()
            return found / probes

        return self._sum(partial(squares, of_frames), partial(squares, of_regularization))

    def _check(self, part: Linearized, vector: Tensor, change: Tensor) -> None:
        """Whether u.(J v) = (J^T u).v, once: operators that stop derivatives do so in silence."""
        if self._checked:
            return
        self._checked = True
        generator = torch.Generator().manual_seed(0)
        other = torch.randn(change.shape, generator=generator, dtype=torch.float64).to(change)
        pulled = part.pull(other)
        sizes = float(pulled.norm() * vector.norm()), float(other.norm() * change.norm())
        if abs(float(other @ change - pulled @ vector)) > LARGEST_DIFFERENCE * max(sizes):
            name = type(self._objective.potential.model).__name__
            raise ValueError(
                f"{name} makes its forces itself, so that they cannot be differentiated as often "
                "as this optimizer needs: choose optimizer=lbfgs"
            )

    def _sum(self, of_frames: Function, of_regularization: Function) -> Tensor:
        """Of all frames of all processes, and of the regularization, which each has in full."""
        objective = self._objective
        self._counted.passes += 1
        total = objective.get().new_zeros(self._size)
        with training_mode(objective.potential), torch.enable_grad():
            for part, weight in self._parts():
                total += of_frames(part, weight)
            total = sum_over_ranks(total)
            if objective.regularization is None:
                return total
            residuals = objective.regularization.residuals(objective.potential)
            if residuals.requires_grad:
                weight = torch.full_like(residuals.detach(), 2.0)
                part = Linearized(residuals, objective.parameters)
                total = total + of_regularization(part, weight)
        return total

    def _parts(self) -> Iterator[Part]:
        """The blocks of frames; a single one is kept, as it would fill the memory anyway."""
        if self._kept:
            yield from self._kept
            return
        for batch in self._objective.batches():
            terms = self._objective.terms_of(batch)
            errors = torch.cat([error.flatten() for error in terms.errors.values()])
            weights = torch.cat([weight.flatten() for weight in terms.weights.values()])
            part = Linearized(errors, self._objective.parameters), weights
            self._kept = [part] if self._single else []
            yield part


def _by_autograd(objective: Objective) -> Objective:
    """The same objective of a potential in plain torch operations, with the same parameters."""
    potential = objective.potential
    plain = Potential(potential.model.for_tracing(), zbl=potential.zbl)
    plain.atomic_energies = potential.atomic_energies
    plain.training = potential.training
    return Objective(
        plain, objective.loss, objective.batches, regularization=objective.regularization
    )
