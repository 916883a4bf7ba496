"""Checks of the Triton backend, which `test_triton.py` runs in processes of their own.

With TRITON_INTERPRET=1 they compute on the CPU, else on a GPU where there is one.
"""

import os
import struct

import numpy as np
import pytest
import torch
from ase.build import molecule
from backends import SPECIES, TOLERANCES, all_derivatives, assert_mixed_precision, crystal, equal
from torch.utils._python_dispatch import TorchDispatchMode

from sus2bench.atoms.frame import build_frame, collate, edge_vectors
from sus2bench.models.moment_tensor import triton
from sus2bench.models.moment_tensor.triton import launch
from sus2bench.models.moment_tensor.triton.library import library
from sus2bench.models.mtp import MTP
from sus2bench.models.potential import Potential
from sus2bench.models.sus2 import SUS2
from sus2bench.testing import ContractTests, perturb
from sus2bench.training.loss import PotentialLoss

INTERPRETED = os.environ.get("TRITON_INTERPRET") == "1"
DEVICE = "cpu" if INTERPRETED or not torch.cuda.is_available() else "cuda"
computing = pytest.mark.skipif(
    not INTERPRETED and DEVICE == "cpu", reason="neither a GPU nor the interpreter"
)
compiling = pytest.mark.skipif(INTERPRETED, reason="the interpreter compiles nothing")

TINY = {"basis": "complete", "max_rank": 1, "channels": 1, "body_order": 3, "radial_basis_size": 3}
ONE_MOMENT = {"basic": [[0, 0, 0, 0]], "times": [], "mapping": [0], "moment_count": 1}
# The cutoff is no number of float32, in which Triton keeps some constants.
MODELS = {
    "l2k1": lambda: SUS2(SPECIES, 5.1, channels=1),
    "l2k2": lambda: SUS2(SPECIES, 5.1, channels=2),
    "l2k3 by rank": lambda: SUS2(SPECIES, 5.1, channels=3, scaling_map="L"),
    "l3k1 by rank and channel": lambda: SUS2(
        SPECIES, 5.1, max_rank=3, channels=1, scaling_map="LK", radial_basis_type="RBChebyshev_ss"
    ),
    "l2k1 of elements": lambda: SUS2(SPECIES, 5.1, channels=1, parametrization="element_ordered"),
    "one polynomial": lambda: SUS2(SPECIES, 5.1, channels=1, radial_basis_size=1),
    "one moment": lambda: SUS2(SPECIES, 5.1, basis=ONE_MOMENT, max_rank=0, channels=1),
    "MTP 4": lambda: MTP(SPECIES, 5.1, level=4, radial_basis_size=2),
    "MTP 8": lambda: MTP(SPECIES, 5.1, level=8, min_dist=1.7),
    "MTP 12": lambda: MTP(SPECIES, 5.1, level=12, min_dist=1.3),
}


def potential_of(name, dtype=torch.float64, backend="eager"):
    potential = perturb(Potential(MODELS[name]()).to(dtype)).to(DEVICE).eval()
    potential.model.backend = backend
    return potential


def crystal_frame(seed=0, repeat=1, **labels):
    """A crystal with edges beyond the models' cutoff, too."""
    atoms = crystal(seed, (repeat, 1, 1))
    if labels:
        labels["forces"] = np.ones((len(atoms), 3))
    return build_frame(atoms, 5.5, **labels)


def lone_atoms(count):
    atoms = molecule("H2")[:count]
    atoms.numbers[:] = 29
    atoms.positions *= 20.0
    return build_frame(atoms, 5.5)


DTYPES = pytest.mark.parametrize(("dtype", "tolerance"), TOLERANCES.items())


@computing
@pytest.mark.parametrize("name", MODELS)
@DTYPES
def test_energies_and_all_derivatives_equal_those_of_plain_torch(name, dtype, tolerance):
    frame = crystal_frame().to(DEVICE)
    frame.edge_vectors = edge_vectors(frame).to(dtype)
    expected = all_derivatives(potential_of(name, dtype), frame)
    actual = all_derivatives(potential_of(name, dtype, "triton"), frame)
    for value, reference in zip(actual, expected, strict=True):
        equal(value, reference, tolerance)


@computing
@pytest.mark.parametrize("name", ["l2k1", "MTP 8"])
@DTYPES
def test_predictions_for_a_batch_equal_those_of_plain_torch(name, dtype, tolerance):
    batch = collate(
        [crystal_frame(0), lone_atoms(1), crystal_frame(1, repeat=2), lone_atoms(2)]
    ).to(DEVICE)
    plain, kernels = potential_of(name, dtype), potential_of(name, dtype, "triton")
    expected = plain(batch)
    for value, reference in zip(kernels(batch), expected, strict=True):
        finite = reference.isfinite()
        assert torch.equal(value.isfinite(), finite)
        equal(value[finite], reference[finite], tolerance)
    alone = kernels(batch, forces=False, stress=False)
    equal(alone.energy, expected.energy, tolerance)
    assert kernels.model.backend == "triton"


@computing
def test_in_float32_products_and_sums_of_energies_are_of_float64():
    assert_mixed_precision("triton", DEVICE)


@computing
@pytest.mark.parametrize("count", [1, 2])
def test_frames_without_edges_have_energies_and_no_forces(count):
    frame = lone_atoms(count).to(DEVICE)
    assert frame.edge_index.shape[1] == 0
    plain, kernels = potential_of("l2k1"), potential_of("l2k1", backend="triton")
    for potential in (kernels, kernels.train()):
        prediction = potential(frame)
        equal(prediction.energy, plain(frame).energy, 1e-15)
        assert torch.equal(prediction.forces, torch.zeros_like(prediction.forces))


@computing
def test_blocks_of_any_size_give_the_same(monkeypatch):
    frame, potential = crystal_frame(repeat=3).to(DEVICE), potential_of("l2k1", backend="triton")
    expected = potential(frame)
    for blocks in (launch.Blocks(4, 16, 32), launch.Blocks(8, 64, 64)):
        monkeypatch.setattr(launch, "INTERPRETED", blocks)
        monkeypatch.setattr(launch, "ON_GPU", blocks._replace(contracted=32))
        actual = potential(frame)
        equal(actual.forces, expected.forces, 1e-14)
        equal(actual.virial, expected.virial, 1e-14)
        equal(actual.site_energies, expected.site_energies, 1e-14)


@computing
@pytest.mark.parametrize("name", ["l2k1", "MTP 4"])
def test_gradients_are_summed_in_blocks_and_copies_of_any_number(monkeypatch, name):
    batch = collate([crystal_frame(0), lone_atoms(1), crystal_frame(1, repeat=2)]).to(DEVICE)
    potential = potential_of(name, backend="triton").train()

    def gradients():
        potential.zero_grad()
        prediction = potential(batch, forces=True, stress=True)
        (prediction.site_energies.sum() + prediction.forces.square().sum()).backward()
        return [p.grad.clone() for p in potential.parameters() if p.grad is not None]

    expected = gradients()
    assert expected
    for atoms, numbers in ((3, 1), (2**20, 2**8)):
        monkeypatch.setattr(launch, "ATOMS_AT_ONCE", atoms)
        monkeypatch.setattr(launch, "NUMBERS_OF_COPIES", numbers)
        for value, reference in zip(gradients(), expected, strict=True):
            equal(value, reference, 1e-13)


@computing
def test_training_makes_no_array_of_the_size_of_the_edges():
    batch = crystal_frame(repeat=4).to(DEVICE)
    potential = potential_of("l2k1", backend="triton").train()
    edges, shapes = batch.edge_index.shape[1], set()

    class Watch(TorchDispatchMode):
        def __torch_dispatch__(self, function, types, args=(), kwargs=None):
            result = function(*args, **(kwargs or {}))
            if isinstance(result, torch.Tensor) and result.is_floating_point():
                shapes.add(result.shape)
            return result

    with Watch():
        prediction = potential(batch, forces=True, stress=True)
        (prediction.energy.sum() + prediction.forces.square().sum()).backward()
    assert (len(batch.pos), 3) in shapes
    assert not any(edges in shape for shape in shapes)


@computing
def test_loss_gradient_of_a_potential_equals_that_of_plain_torch():
    labels = {"energy": 1.0, "stress": np.full((3, 3), 0.1)}
    frames = collate([crystal_frame(0, **labels), crystal_frame(1, **labels)]).to(DEVICE)
    gradients = []
    for backend in ("eager", "triton"):
        potential = potential_of("l2k2", backend=backend).train()
        loss, _ = PotentialLoss(1.0, 1.0, 10.0)(potential(frames), frames)
        loss.backward()
        gradients.append([p.grad for p in potential.parameters() if p.requires_grad])
    for expected, actual in zip(*gradients, strict=True):
        equal(actual, expected, 1e-12)


@computing
def test_parameters_that_are_frozen_get_no_gradient():
    frame, potential = crystal_frame().to(DEVICE), potential_of("l2k1", backend="triton").train()
    potential.model.radial.requires_grad_(False)
    potential(frame).forces.square().sum().backward()
    assert potential.model.radial.alpha.grad is None
    assert potential.model.readout.coefficients.grad.abs().sum() > 0


@computing
def test_kernels_are_kept_in_the_cache(monkeypatch, tmp_path):
    monkeypatch.setenv("SUS2BENCH_CACHE", str(tmp_path))
    library.cache_clear()
    model = MODELS["l2k1"]()
    triton.prepare(model)
    (text,) = tmp_path.glob("kernels/triton_*.py")
    assert text.read_text() == model.triton_source


@pytest.mark.skipif(DEVICE == "cpu", reason="no GPU")
def test_on_a_gpu_the_fastest_form_for_inference_is_the_kernel():
    model, name = potential_of("l2k1").model.for_inference()
    assert name == model.backend == "triton"


@compiling
def test_on_a_cpu_it_computes_as_eager():
    frame, potential = crystal_frame(), perturb(Potential(MODELS["l2k1"]())).eval()
    expected = potential(frame)
    potential.model.backend = "triton"
    assert torch.equal(potential(frame).forces, expected.forces)
    assert potential.model.backend == "triton"


def signature_of(kernel, model, number, *, from_positions):
    """Types of a kernel's arguments; None stands for all others."""
    types = dict.fromkeys(("first", "neighbour", "types"), "*i64")
    types |= dict.fromkeys(("atoms", "species", "size", "copies"), "i32")
    types |= dict.fromkeys(("moments", "changes", "mixed", "sums", "xi", "site"), "*fp64")
    types |= {f"p{i}": f"*{number}" for i in range(len(model.radial.kernel_form().parameters))}
    if model.readout.species_weight is not None:
        types["weight"] = "*fp64"
    if from_positions:
        types |= dict.fromkeys(("positions", "cells", "forces", "virials"), "*fp64")
        types |= dict.fromkeys(("of_forces", "of_virial"), "*fp64")
        types |= {"shifts": "*i32", "frame_of": "*i64"}
    else:
        types |= dict.fromkeys(("vectors", "gradient", "along", "of_vectors"), f"*{number}")
    return {argument: types.get(argument, "constexpr") for argument in kernel.arg_names}


@compiling
@pytest.mark.parametrize(
    ("name", "number", "from_positions"),
    [("l2k1", "fp32", True), ("l2k1", "fp64", False), ("MTP 8", "fp64", True)],
)
def test_kernels_compile_for_hopper_without_a_gpu(name, number, from_positions):
    """What the interpreter does not see: types, layouts, and constants in all their digits."""
    from triton.backends.compiler import GPUTarget
    from triton.compiler import ASTSource, compile

    model = MODELS[name]()
    kernels, blocks = triton.prepare(model), launch.ON_GPU
    edges = {"A": blocks.atoms, "J": blocks.neighbours}
    for kernel, constants, warps in (
        (kernels.basic_moments, edges, 4),
        (kernels.contract, {"A": blocks.contracted, "MAPPED": True}, 1),
        (kernels.edge_gradient, edges, 4),
        (kernels.moments_and_changes, edges, 4),
        (kernels.parameter_gradient, edges, 4),
    ):
        signature = signature_of(kernel, model, number, from_positions=from_positions)
        absent = {a: None for a, kind in signature.items() if kind == "constexpr"}
        made = compile(
            ASTSource(kernel, signature, constexprs=absent | constants),
            target=GPUTarget("cuda", 90, 32),
            options={"num_warps": warps},
        )
        assert ".entry" in made.asm["ptx"]
        if kernel is not kernels.contract and number == "fp64":
            assert f"0d{struct.pack('>d', -model.cutoff).hex().upper()}" in made.asm["ptx"]
            rounded = struct.pack(">d", float(np.float32(model.cutoff))).hex().upper()
            assert rounded not in made.asm["ptx"]


class TinyContract(ContractTests):
    def build(self, dtype):
        potential = perturb(Potential(self.model(), {"Cu": -3.5, "Au": -3.25}).to(dtype))
        potential.model.backend = "triton"
        return potential


# On a GPU, sums differ in the last place from call to call, and the contract asks for equal bits.
on_cpu = pytest.mark.skipif(not INTERPRETED, reason="only with the interpreter")


@on_cpu
class TestSUS2InTriton(TinyContract):
    def model(self):
        return SUS2(SPECIES, 4.0, **TINY)


@on_cpu
class TestMTPInTriton(TinyContract):
    def model(self):
        return MTP(SPECIES, 4.0, level=4, min_dist=1.7, radial_basis_size=3)
