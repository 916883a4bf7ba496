"""Jacobians by all parameters equal those of automatic differentiation, on every backend."""

import ase.build
import pytest
import torch

from sus2bench.atoms.frame import build_frame, collate
from sus2bench.models.derivatives import with_edge_vectors
from sus2bench.models.mtp import MTP
from sus2bench.models.sus2 import SUS2

SPECIES, CUTOFF = ["Al", "Ni", "Cu"], 4.5
# Of forms for which test_cpp.py compiles kernels, too.
MODELS = {
    "sus2 by rank": lambda backend: SUS2(
        SPECIES, CUTOFF, channels=1, scaling_map="L", backend=backend
    ),
    "sus2 by rank and channel, rank 3, rational": lambda backend: SUS2(
        SPECIES,
        CUTOFF,
        max_rank=3,
        channels=2,
        scaling_map="LK",
        radial_basis_type="RBChebyshev_ss",
        backend=backend,
    ),
    "sus2 by elements, ordered": lambda backend: SUS2(
        SPECIES, CUTOFF, channels=2, parametrization="element_ordered", backend=backend
    ),
    "sus2 by elements, symmetric": lambda backend: SUS2(
        SPECIES, CUTOFF, channels=2, parametrization="element_symmetric", backend=backend
    ),
    "mtp": lambda backend: MTP(SPECIES, CUTOFF, level=8, backend=backend),
}


def make_batch():
    """Two frames: of two elements, and of three with an atom that has no neighbour."""
    frames = []
    for number in range(2):
        atoms = ase.build.bulk("Cu", cubic=True) * (2, 1, 1)
        atoms.numbers[:3] = 13
        atoms.numbers[3] = 28 if number else 13
        atoms.rattle(0.2, seed=number)
        frames.append(atoms)
    frames[1].pbc = (True, True, False)
    frames[1].cell[2, 2] = 40.0
    frames[1].positions[0, 2] = 20.0
    batch = collate([build_frame(atoms, CUTOFF) for atoms in frames])
    return with_edge_vectors(batch, torch.float64)


def make_model(name, backend):
    model = MODELS[name](backend).double()
    generator = torch.Generator().manual_seed(1)
    with torch.no_grad():
        for parameter in model.parameters():
            parameter += 0.1 * torch.randn(parameter.shape, generator=generator).double()
        model.readout.units.copy_(torch.rand(model.readout.units.shape, generator=generator) + 0.5)
    return model.train()


def rows_of(found):
    """Energy, forces and virial of a frame: (1 + 3 N + 9, P)."""
    return torch.cat(
        [found.energy.unsqueeze(0), found.forces.flatten(0, 1), found.virial.flatten(0, 1)]
    )


def by_trained(model, found):
    """Rows by the trained parameters, in the order of `numbered_parameters`."""
    parts = []
    whole = found.energy.new_zeros(len(rows_of(found)), count(model))
    whole[:, found.columns] = rows_of(found)
    first = 0
    for parameter, elements, unit, _ in model.numbered_parameters():
        mine = whole[:, first : first + len(elements)] * unit
        first += len(elements)
        total = mine.new_zeros(len(mine), parameter.numel())
        for summand in elements.t():
            total.index_add_(1, summand, mine)
        parts.append(total)
    return torch.cat(parts, dim=1)


def count(model):
    return sum(len(number.elements) for number in model.numbered_parameters())


def by_autograd(model, batch):
    """The same for all frames, from one reverse pass for each row."""
    parameters = [number.parameter for number in model.numbered_parameters()]
    found = model.predict(batch, differentiable=True, virial=True)
    frames = []
    for index in range(batch.num_graphs):
        atoms = slice(batch.ptr[index], batch.ptr[index + 1])
        outputs = [
            found.site[atoms].sum().view(1),
            found.forces[atoms].flatten(),
            found.virial[index].flatten(),
        ]
        rows = []
        for output in torch.cat(outputs):
            gradients = torch.autograd.grad(
                output, parameters, retain_graph=True, materialize_grads=True
            )
            rows.append(torch.cat([gradient.flatten() for gradient in gradients]))
        frames.append(torch.stack(rows))
    return frames


@pytest.mark.parametrize("backend", ["eager", "cpp"])
@pytest.mark.parametrize("name", MODELS)
def test_jacobian_is_that_of_automatic_differentiation(name, backend):
    batch = make_batch()
    expected = by_autograd(make_model(name, "eager"), batch)
    model = make_model(name, backend)
    for found, known in zip(model.jacobian(batch, virial=True), expected, strict=True):
        # Sums of some hundred terms in another order.
        bound = 1e-13 * float(known.abs().max())
        torch.testing.assert_close(by_trained(model, found), known, rtol=0, atol=bound)


@pytest.mark.parametrize("backend", ["eager", "cpp"])
def test_jacobian_of_the_readout_is_part_of_the_whole(backend):
    model, batch = make_model("sus2 by rank", backend), make_batch()
    whole = model.jacobian(batch, virial=True)
    for part, full in zip(model.jacobian(batch, virial=True, radial=False), whole, strict=True):
        kept = torch.isin(full.columns, part.columns)
        assert 0 < len(part.columns) < len(full.columns)
        torch.testing.assert_close(rows_of(part), rows_of(full)[:, kept], rtol=0, atol=1e-12)


@pytest.mark.parametrize("backend", ["eager", "cpp"])
def test_a_model_of_single_precision_has_a_jacobian_of_double_precision(backend):
    model, batch = make_model("sus2 by rank", backend), make_batch()
    precise = list(model.jacobian(batch, virial=False))
    rounded = list(model.float().jacobian(batch, virial=False))
    for one, other in zip(precise, rounded, strict=True):
        assert other.forces.dtype == torch.float64
        # The parameters are rounded to float32, at relative 6e-8.
        bound = 1e-5 * float(one.forces.abs().max())
        torch.testing.assert_close(one.forces, other.forces, rtol=0, atol=bound)
