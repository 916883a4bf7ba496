"""Forms in which a potential predicts energies and forces of one batch: as it is, or compiled.

A compiled form is one traced function from edge vectors to site energies and their gradient, with
the graph of the batch, its elements and all parameters as constants: what molecular dynamics can
use as long as the neighbour list stays. It is never used for training.
"""

import copy
import logging
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor
from torch._subclasses.fake_tensor import DynamicOutputShapeException
from torch.fx import GraphModule
from torch_geometric.data import Data

from sus2bench.atoms.frame import edge_vectors, frame_of_atom
from sus2bench.benchmark.tracing import trace
from sus2bench.models.derivatives import from_edge_gradient
from sus2bench.models.external.isolation import isolated
from sus2bench.models.inductor import inductor_apart
from sus2bench.models.potential import Potential, Prediction

logger = logging.getLogger(__name__)

EAGER, COMPILE, FASTEST = "eager", "compile", "fastest"
MODES = (EAGER, COMPILE, FASTEST)

TOLERANCE = {torch.float64: 1e-10, torch.float32: 1e-5}
"""Largest deviation of a form, relative to the largest number. Sums of hundreds of terms in another
order move forces of message passing in float32 by some 1e-6."""

ROUNDING = 3.0
"""A form may deviate by this many times what float32 itself costs the model, where that is more."""

Predict = Callable[[Data], Prediction]


@dataclass
class Forms:
    """Ways to the same prediction of a batch, or of one that differs from it in positions only."""

    predict: dict[str, Predict]
    """By name, `eager` first."""
    seconds: dict[str, float] = field(default_factory=dict)
    """What it took to make and check each of the others."""
    missing: dict[str, str] = field(default_factory=dict)
    """Why a form that was tried is not there."""


def forms_of(potential: Potential, batch: Data, mode: str) -> Forms:
    """Makes the forms of a potential that a mode asks for, each checked against the eager one.

    Args:
        potential: stays as it is.
        batch: on its device.
        mode: `eager`: nothing else; `compile`: the compiled form too; `fastest`: also what the
            model itself offers for inference.

    Raises:
        ValueError: there is no such mode.
    """
    if mode not in MODES:
        raise ValueError(f"mode {mode!r} is none of {', '.join(MODES)}")
    forms = Forms({EAGER: as_it_is(potential)})
    if mode == FASTEST:
        _add(forms, "for_inference", lambda: _of_the_model(potential), potential, batch)
    if mode != EAGER:
        _add(forms, COMPILE, lambda: (compiled(potential, batch), COMPILE), potential, batch)
    return forms


def as_it_is(potential: Potential) -> Predict:
    """The potential's own energies and forces, without a graph, in evaluation mode."""

    def predict(batch: Data) -> Prediction:
        with in_mode(potential, training=False):
            prediction: Prediction = potential(batch, forces=True, stress=False)
            return prediction

    return predict


@contextmanager
def in_mode(potential: Potential, *, training: bool) -> Iterator[None]:
    """Training mode with gradients, or evaluation without; the mode is put back."""
    changes = potential.training != training
    if changes:  # it takes as long as a small system in C++
        potential.train(training)
    try:
        with torch.set_grad_enabled(training):
            yield
    finally:
        if changes:
            potential.train(not training)


def compiled(potential: Potential, batch: Data) -> Predict:
    """Energies and forces by a function that TorchInductor has compiled for one graph.

    Of a model that leaves out edges by their length, those stay left out that are so in the batch.

    Args:
        potential: copied, so that later changes of its parameters have no effect.
        batch: gives the graph; the number of threads is that of torch now.

    Raises:
        Exception: whatever torch or the compiler has against the model.
    """
    frozen = copy.deepcopy(potential).eval().requires_grad_(False)
    frozen.model = frozen.model.for_tracing()
    types = frozen.model.types(batch.atomic_numbers)

    def energies_and_gradient(vectors: Tensor) -> tuple[Tensor, Tensor]:
        with torch.enable_grad():
            graph = copy.copy(batch)
            graph.edge_vectors = vectors.detach().requires_grad_()
            site = frozen.atomic_energies(frozen.model(graph), types)
            if frozen.zbl is not None:
                site = site + frozen.zbl(graph)
            (gradient,) = torch.autograd.grad(site.sum(), graph.edge_vectors)
        return site.detach(), gradient

    vectors = edge_vectors(batch).to(frozen.dtype)
    with inductor_apart(), torch.no_grad():
        try:
            function = _ready(trace(energies_and_gradient, vectors), vectors)
        except (RuntimeError, DynamicOutputShapeException):
            # It chooses edges by their length, so that the sizes of tensors depend on values.
            traced = trace(energies_and_gradient, vectors, fixed_comparisons=True)
            function = _ready(traced, vectors)

    def predict(batch: Data) -> Prediction:
        with torch.no_grad():
            site, gradient = function(edge_vectors(batch).to(frozen.dtype))
            of_atom, frames = frame_of_atom(batch)
            energy = site.new_zeros(frames).index_add(0, of_atom, site)
            forces = from_edge_gradient(site, gradient, batch, virial=False).forces
        return Prediction(energy, forces, None, None, site)

    return predict


def _ready(traced: GraphModule, vectors: Tensor) -> Any:
    """The compiled function, with what is made at its first call."""
    from torch import _inductor

    function = _inductor.compile(traced, [vectors])
    function(vectors)
    return function


def _of_the_model(potential: Potential) -> tuple[Predict, str] | None:
    """What the model says is its fastest form, with its name; None if that is the model itself."""
    with isolated(dtype=torch.get_default_dtype()):
        model, name = potential.model.for_inference()
    if model is potential.model:
        return None
    fast = Potential(model, zbl=potential.zbl)
    fast.atomic_energies = potential.atomic_energies
    return as_it_is(fast), name


def _add(
    forms: Forms,
    name: str,
    make: Callable[[], tuple[Predict, str] | None],
    potential: Potential,
    batch: Data,
) -> None:
    """Adds a form if it can be made and agrees with the eager one; otherwise says why not."""
    start = time.perf_counter()
    try:
        made = make()
        if made is None:
            return
        predict, name = made
        _check(predict, potential, batch)
    except Exception as error:  # compilers and other packages raise what they like
        lines = str(error).strip().splitlines() or [""]
        forms.missing[name] = f"{type(error).__name__}: {lines[0]}"[:300]
        logger.warning("no form '%s', timed eagerly: %s", name, forms.missing[name])
        return
    forms.predict[name] = predict
    forms.seconds[name] = time.perf_counter() - start


def _check(predict: Predict, potential: Potential, batch: Data) -> None:
    """Requires equal energies and forces, of other positions than the batch's too.

    Raises:
        ValueError: they are not equal; says by how much.
    """
    eager, exact = as_it_is(potential), as_it_is(copy.deepcopy(potential).to(torch.float64))
    moved = copy.copy(batch)
    wave = torch.arange(batch.pos.numel(), dtype=batch.pos.dtype, device=batch.pos.device)
    moved.pos = batch.pos + 0.01 * wave.sin().view_as(batch.pos)
    for frames in (batch, moved):
        actual, expected, truth = predict(frames), eager(frames), exact(frames)
        for name in ("site_energies", "forces"):
            value, reference = getattr(actual, name), getattr(expected, name)
            rounding = float((reference - getattr(truth, name)).abs().max())
            tolerance = TOLERANCE[potential.dtype] * float(reference.abs().max())
            deviation = float((value - reference).abs().max())
            if not deviation <= max(tolerance, ROUNDING * rounding):
                raise ValueError(f"{name} differ by {deviation:.2g} from those of the model itself")
