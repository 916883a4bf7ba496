"""What the tests of all backends need: crystals, all derivatives, and how equal they have to be."""

import copy

import numpy as np
import torch
from ase.build import bulk

from sus2bench.atoms.frame import build_frame, edge_vectors
from sus2bench.models.moment_tensor.base import BACKENDS
from sus2bench.models.mtp import MTP
from sus2bench.models.potential import Potential
from sus2bench.testing import perturb

SPECIES = ("Cu", "Au", "Al")

TOLERANCES = {torch.float64: 1e-13, torch.float32: 2e-5}
"""Rounding of sums of some hundred terms, about ten and twenty units in the last place; in float32
on a GPU Triton's exponential and division are a few units off as well."""


def crystal(seed=0, repeat=2):
    """Perturbed fcc of random elements; `repeat` along each edge, or three numbers."""
    generator = np.random.default_rng(seed)
    atoms = bulk("Cu", cubic=True, a=4.0) * (repeat if np.ndim(repeat) else (repeat,) * 3)
    atoms.positions += generator.normal(scale=0.1, size=atoms.positions.shape)
    atoms.symbols = generator.choice(SPECIES, len(atoms))
    return atoms


def frame_of(atoms, dtype=torch.float64, cutoff=5.5):
    """With edge vectors, and with edges beyond the models' cutoff."""
    frame = build_frame(atoms, cutoff)
    frame.edge_vectors = edge_vectors(frame).to(dtype)
    return frame


def equal(actual, expected, tolerance):
    """Asserts equality up to a fraction of the largest number."""
    assert actual.dtype == expected.dtype
    scale = float(expected.detach().abs().max()) if expected.numel() else 0.0
    torch.testing.assert_close(actual, expected, rtol=0, atol=tolerance * max(scale, 1e-30))


def all_derivatives(potential, frame):
    """Energies, gradient, and a random combination of them differentiated by everything."""
    model, graph = potential.model, copy.copy(frame)
    vectors = frame.edge_vectors.detach().clone().requires_grad_()
    graph.edge_vectors = vectors
    kernel = BACKENDS[model.backend]
    if kernel is not None:
        site, gradient = kernel.energies_and_gradient(model, graph)
    else:
        site = model(graph)
        (gradient,) = torch.autograd.grad(site.sum(), vectors, create_graph=True)
    generator = torch.Generator().manual_seed(3)
    a = torch.randn(site.shape, generator=generator, dtype=torch.float64).to(site)
    v = torch.randn(gradient.shape, generator=generator, dtype=torch.float64).to(gradient)
    total = (a * site).sum() + (v * gradient).sum()
    # With one polynomial, a constant, the scalings of pairs have no effect.
    slopes = torch.autograd.grad(total, [*model.parameters(), vectors], materialize_grads=True)
    return [site, gradient, *slopes]


def assert_mixed_precision(backend, device="cpu"):
    """In float32, edges are of float32; products, the sum over scalars and energies of float64."""
    table = {"basic": [[0, 0, 0, 0]], "times": [[0, 0, 1, 1]], "mapping": [0, 1], "moment_count": 2}
    single, double = (
        perturb(Potential(MTP(SPECIES, 4.0, basis=table, min_dist=1.5)).to(dtype)).to(device).model
        for dtype in (torch.float32, torch.float64)
    )
    frame = build_frame(crystal(repeat=1), 4.5).to(device)
    single.backend = backend

    def site(model, *xi):
        model.set_linear_coefficients(torch.tensor(xi, dtype=torch.float64, device=device))
        energies = model.energies(frame, differentiable=False)
        assert energies.dtype == torch.float64
        return energies

    moment, square, difference = site(single, 1, 0), site(single, 0, 1), site(single, -1e6, 1)
    assert single.backend == backend
    rounding = (moment / site(double, 1, 0) - 1).abs().max()
    assert 1e-10 < rounding < 1e-4, "edges are computed in float32"
    # A few units in the last place of float64, of the numbers that are multiplied or added.
    torch.testing.assert_close(square, moment.square(), rtol=1e-14, atol=0)
    scale = 1e6 * float(moment.abs().max())
    torch.testing.assert_close(difference, square - 1e6 * moment, rtol=0, atol=1e-14 * scale)
