"""The backend `compile`: equal to the plain one, for all frames without compiling again."""

import copy
import os
import pickle
import shutil

import ase
import numpy as np
import psutil
import pytest
import torch
from ase.build import bulk
from backends import (
    SPECIES,
    TOLERANCES,
    all_derivatives,
    assert_mixed_precision,
    crystal,
    equal,
    frame_of,
)

from sus2bench.atoms.frame import build_frame, collate
from sus2bench.models.moment_tensor import compiled
from sus2bench.models.moment_tensor.compiled import library, operator
from sus2bench.models.mtp import MTP
from sus2bench.models.potential import Potential
from sus2bench.models.sus2 import SUS2
from sus2bench.testing import perturb
from sus2bench.training.loss import PotentialLoss

MODELS = {
    "l2k1": lambda seed: SUS2(SPECIES, 4.0, channels=1, seed=seed),
    "l2k1 of elements": lambda seed: SUS2(
        SPECIES, 4.0, channels=1, seed=seed, parametrization="element_ordered"
    ),
    "MTP": lambda seed: MTP(SPECIES, 4.0, level=8, min_dist=1.5, seed=seed),
}
needs_compiler = pytest.mark.skipif(
    shutil.which(os.environ.get("CXX", "g++")) is None, reason="there is no C++ compiler"
)


def pair_of(name="l2k1", dtype=torch.float64, seed=0):
    """The same potential with the plain backend and with the compiled one."""
    plain = perturb(Potential(MODELS[name](seed)).to(dtype), seed=seed)
    fast = copy.deepcopy(plain)
    fast.model.backend = "compile"
    return plain, fast


def frames_of_all_sizes():
    chain = ase.Atoms("CuAuAl", positions=[(0, 0, 0), (2.5, 0, 0), (5.0, 0.3, 0)])
    return {
        "one atom": chain[:1],
        "two atoms without neighbours": ase.Atoms("CuAl", positions=[(0, 0, 0), (0, 0, 9.0)]),
        "two neighbours": chain[:2],
        "a chain": chain,
        "one atom in a small cell": bulk("Al", a=4.0),
        "a crystal": crystal(),
        "a larger one": crystal(1, 3),
    }


def nothing_compiles(monkeypatch):
    def fail(*_):
        raise AssertionError("compiles again")

    monkeypatch.setattr(library, "_build", fail)


@needs_compiler
@pytest.mark.slow
@pytest.mark.parametrize(
    ("name", "dtype"),
    [
        ("l2k1", torch.float64),
        ("l2k1", torch.float32),
        ("l2k1 of elements", torch.float64),
        ("MTP", torch.float64),
    ],
)
def test_energies_and_all_derivatives_equal_those_of_plain_torch(name, dtype):
    plain, fast = pair_of(name, dtype)
    frame = frame_of(crystal(), dtype, cutoff=4.5)
    expected, actual = all_derivatives(plain, frame), all_derivatives(fast, frame)
    assert fast.model.backend == "compile"
    for value, reference in zip(actual, expected, strict=True):
        equal(value, reference, TOLERANCES[dtype])


@needs_compiler
@pytest.mark.slow
def test_in_float32_products_and_sums_of_energies_are_of_float64():
    assert_mixed_precision("compile")


@needs_compiler
@pytest.mark.slow
@pytest.mark.parametrize("block", [256, 20])
def test_no_frame_and_no_parameters_make_it_compile_again(monkeypatch, block):
    monkeypatch.setattr(operator, "_PROCESSOR_BLOCK", block)
    library.compiled(pair_of()[1].model, library.ENERGIES)
    library.compiled(pair_of()[1].model, library.ADJOINT)
    nothing_compiles(monkeypatch)
    for seed, atoms in enumerate(frames_of_all_sizes().values()):
        plain, fast = pair_of(seed=seed)
        results = []
        for potential in (plain, fast):
            prediction = potential.train()(build_frame(atoms, 4.0))
            loss = prediction.energy.square().sum() + prediction.forces.square().sum()
            loss.backward()
            gradients = [p.grad for p in potential.model.parameters()]
            results.append([prediction.energy, prediction.forces, *gradients])
        assert fast.model.backend == "compile"
        for expected, actual in zip(*results, strict=True):
            # A gradient that does not exist is zero.
            expected = torch.zeros_like(actual) if expected is None else expected
            scale = max(1.0, float(expected.detach().abs().max()))
            torch.testing.assert_close(actual, expected, rtol=0, atol=1e-12 * scale)


@needs_compiler
@pytest.mark.slow
def test_loss_gradient_of_a_potential_equals_that_of_plain_torch():
    labels = {"energy": 1.0, "stress": np.full((3, 3), 0.1)}
    frames = collate(
        [
            build_frame(atoms, 4.0, forces=np.ones((len(atoms), 3)), **labels)
            for atoms in (crystal(0), crystal(1))
        ]
    )
    gradients = []
    for potential in pair_of():
        loss, _ = PotentialLoss(1.0, 1.0, 10.0)(potential.train()(frames), frames)
        loss.backward()
        gradients.append([p.grad for p in potential.parameters() if p.requires_grad])
    for expected, actual in zip(*gradients, strict=True):
        equal(actual, expected, 1e-12)


@needs_compiler
@pytest.mark.slow
def test_copies_compute_the_same_and_nothing_compiled_is_state(monkeypatch):
    _, fast = pair_of()
    frame = build_frame(crystal(), 4.0)
    expected = fast.eval()(frame).energy
    nothing_compiles(monkeypatch)
    library._loaded.clear()
    copies = [
        copy.deepcopy(fast),
        pickle.loads(pickle.dumps(fast)),
        Potential.from_payload(fast.to_payload()).eval(),
    ]
    for other in copies:
        assert other.model.backend == "compile"
        assert torch.equal(other(frame).energy, expected)
        assert other.state_dict().keys() == pair_of()[0].state_dict().keys()


@needs_compiler
@pytest.mark.slow
def test_compiling_leaves_the_process_as_it_was(monkeypatch, tmp_path):
    monkeypatch.setenv("SUS2BENCH_CACHE", str(tmp_path))
    library._loaded.clear()
    _, fast = pair_of("MTP")
    before = dict(os.environ), torch.get_default_dtype(), torch.get_num_threads()
    children = psutil.Process().children(recursive=True)
    with torch.no_grad():
        compiled.prepare(fast.model)
    assert (dict(os.environ), torch.get_default_dtype(), torch.get_num_threads()) == before
    assert psutil.Process().children(recursive=True) == children
    assert 1e-310 / 2 > 0, "loading it makes the process flush denormal numbers"
    assert len(list((tmp_path / "compiled").iterdir())) == 1
    library._loaded.clear()


def test_without_a_compiler_it_says_so_and_goes_on(monkeypatch, caplog, tmp_path):
    monkeypatch.setenv("SUS2BENCH_CACHE", str(tmp_path))
    monkeypatch.setenv("CXX", "no-such-compiler")
    monkeypatch.setattr(library, "_loaded", {})
    plain, fast = pair_of()
    frame = build_frame(crystal(), 4.0)
    assert torch.equal(fast.eval()(frame).energy, plain.eval()(frame).energy)
    assert "needs a C++ compiler" in caplog.text
    assert "Going on with backend=eager" in caplog.text
    assert not list(tmp_path.rglob("*.pt2"))
