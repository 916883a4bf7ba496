"""The C++ backend: equal to the plain one with all derivatives, and safe to load."""

import os
import subprocess
import sys

import numpy as np
import pytest
import torch
from ase.build import molecule
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
from sus2bench.models.moment_tensor import cpp
from sus2bench.models.moment_tensor.contraction_table import ContractionTable, evaluate
from sus2bench.models.moment_tensor.cpp.library import library
from sus2bench.models.moment_tensor.distinct_products import distinct_products
from sus2bench.models.mtp import MTP
from sus2bench.models.mtp.levels import level_table
from sus2bench.models.potential import Potential
from sus2bench.models.sus2 import SUS2
from sus2bench.models.sus2.contractions import published_table
from sus2bench.testing import perturb
from sus2bench.training.loss import PotentialLoss

MODELS = {
    "l2k2": lambda: SUS2(SPECIES, 5.0, channels=2),
    "l3k2 by rank and channel": lambda: SUS2(
        SPECIES, 5.0, max_rank=3, channels=2, scaling_map="LK", radial_basis_type="RBChebyshev_ss"
    ),
    "numbers of elements": lambda: SUS2(SPECIES, 5.0, parametrization="element_ordered"),
    "numbers of elements, symmetric": lambda: SUS2(
        SPECIES, 5.0, channels=1, scaling_map="L", parametrization="element_symmetric"
    ),
    "one polynomial": lambda: SUS2(SPECIES, 5.0, channels=1, radial_basis_size=1, scaling_map="L"),
    "MTP of one product": lambda: MTP(SPECIES, 5.0, level=4, radial_basis_size=3),
    "MTP": lambda: MTP(SPECIES, 5.0, level=14, min_dist=1.5),
}


@pytest.fixture(autouse=True)
def _compiler():
    try:
        cpp.prepare(MODELS["l2k2"]())
    except cpp.CompilerMissingError as error:
        pytest.skip(str(error))


def perturbed(name, dtype=torch.float64, backend="eager"):
    potential = perturb(Potential(MODELS[name]()).to(dtype))
    potential.model.backend = backend
    return potential


@pytest.mark.parametrize("name", MODELS)
@pytest.mark.parametrize(("dtype", "tolerance"), TOLERANCES.items())
def test_energies_and_all_derivatives_equal_those_of_plain_torch(name, dtype, tolerance):
    frame = frame_of(crystal(), dtype)
    expected = all_derivatives(perturbed(name, dtype), frame)
    actual = all_derivatives(perturbed(name, dtype, "cpp"), frame)
    for value, reference in zip(actual, expected, strict=True):
        equal(value, reference, tolerance)


@pytest.mark.parametrize("backend", ["eager", "cpp"])
def test_in_float32_products_and_sums_of_energies_are_of_float64(backend):
    assert_mixed_precision(backend)


@pytest.mark.parametrize("name", ["l2k2", "numbers of elements", "MTP"])
# Forces are sums over edges, which makes the largest of them no smaller.
@pytest.mark.parametrize(("dtype", "tolerance"), TOLERANCES.items())
def test_derivatives_of_energies_forces_and_virials_equal_those_of_plain_torch(
    name, dtype, tolerance
):
    frames = collate([frame_of(crystal(seed)) for seed in (0, 1)])
    results = []
    for backend in ("eager", "cpp"):
        model = perturbed(name, dtype, backend).model
        found = model.predict(frames, differentiable=True, virial=True)
        generator = torch.Generator().manual_seed(5)
        total = sum(
            (torch.randn(value.shape, generator=generator).to(value.dtype) * value).sum()
            for value in found
        )
        slopes = torch.autograd.grad(total, list(model.parameters()))
        results.append([*found, *slopes])
    for reference, value in zip(*results, strict=True):
        equal(value, reference, tolerance)


@pytest.mark.parametrize("threads", [1, 2])
def test_energies_alone_are_those_with_forces(threads):
    potential = perturbed("l2k2", backend="cpp").eval()
    frame = build_frame(crystal(), 5.5)
    before = torch.get_num_threads()
    try:
        torch.set_num_threads(threads)
        alone = potential(frame, forces=False, stress=False)
        together = potential(frame)
    finally:
        torch.set_num_threads(before)
    assert alone.forces is alone.stress is None
    assert torch.equal(alone.site_energies, together.site_energies)


def test_a_list_with_a_skin_changes_no_force():
    potential, plain = perturbed("l2k2", backend="cpp").eval(), perturbed("l2k2").eval()
    atoms = crystal(repeat=3)
    for backend in (potential, plain):
        need, more = (backend(build_frame(atoms, cutoff)) for cutoff in (5.0, 6.0))
        # Sums in another order.
        for value, reference in ((more.forces, need.forces), (more.stress, need.stress)):
            torch.testing.assert_close(value, reference, rtol=0, atol=1e-12)


def test_atoms_without_neighbours_and_frames_without_edges():
    potential, plain = perturbed("l2k2", backend="cpp"), perturbed("l2k2")
    for atoms in (molecule("H2"), crystal()[:1]):
        atoms.numbers[:] = 29
        atoms.pbc = False
        atoms.positions *= 20.0
        frame = build_frame(atoms, potential.cutoff)
        assert frame.edge_index.shape[1] == 0
        torch.testing.assert_close(potential(frame).energy, plain(frame).energy)
        assert torch.equal(potential(frame).forces, torch.zeros(len(atoms), 3).double())


def test_number_of_threads_changes_rounding_at_most_and_repeats_are_equal():
    potential = perturbed("l2k2", backend="cpp")
    frame = frame_of(crystal(repeat=3))
    threads = torch.get_num_threads()
    single = all_derivatives(potential, frame)
    try:
        torch.set_num_threads(2)
        double, again = all_derivatives(potential, frame), all_derivatives(potential, frame)
    finally:
        torch.set_num_threads(threads)
    for one, two, three in zip(single, double, again, strict=True):
        torch.testing.assert_close(
            two, one, rtol=1e-12, atol=1e-12 * float(one.detach().abs().max())
        )
        assert torch.equal(two, three)


def test_loss_gradient_of_a_potential_equals_that_of_plain_torch():
    atoms = [crystal(0), crystal(1)]
    frames = collate(
        [
            build_frame(
                a, 5.0, energy=1.0, forces=np.ones((len(a), 3)), stress=np.full((3, 3), 0.1)
            )
            for a in atoms
        ]
    )
    gradients = []
    for backend in ("eager", "cpp"):
        potential = perturbed("l2k2", backend=backend).train()
        loss, _ = PotentialLoss(1.0, 1.0, 10.0)(potential(frames), frames)
        loss.backward()
        gradients.append([p.grad for p in potential.parameters() if p.requires_grad])
    for expected, actual in zip(*gradients, strict=True):
        equal(actual, expected, 1e-12)


@pytest.mark.parametrize("table", [published_table(2, 2), published_table(3, 1), level_table(12)])
def test_distinct_products_give_the_same_scalars(table):
    distinct = distinct_products(table)
    assert len(distinct.times) <= len(table.times)
    basic = np.random.default_rng(0).normal(size=(5, len(table.basic)))
    moments = np.concatenate([basic, np.zeros((5, distinct.moment_count - len(table.basic)))], 1)
    for a, b, m, o in distinct.times:
        moments[:, o] += m * moments[:, a] * moments[:, b]
    np.testing.assert_allclose(moments[:, distinct.mapping], evaluate(table, basic), rtol=1e-12)


def test_moments_that_are_the_same_are_computed_once():
    table = ContractionTable(
        [(0, 0, 0, 0)], [(0, 0, 1, 1), (0, 0, 1, 2), (0, 2, 1, 3)], (1, 2, 3), 4
    )
    distinct = distinct_products(table)
    assert distinct.times == [(0, 0, 1, 1), (0, 1, 1, 2)]
    assert distinct.mapping == [1, 1, 2]


def test_loading_a_kernel_leaves_denormal_numbers_alone():
    code = (
        "import torch; from sus2bench.models.sus2 import SUS2\n"
        "from sus2bench.models.moment_tensor import cpp\n"
        "cpp.prepare(SUS2(['Cu', 'Au', 'Al'], 5.0, channels=2))\n"
        "tiny = torch.tensor([1e-310], dtype=torch.float64)\n"
        "assert float(tiny / 2) > 0 and 1e-310 / 2 > 0"
    )
    subprocess.run([sys.executable, "-c", code], check=True)


def test_without_a_compiler_it_says_so_and_goes_on(monkeypatch, caplog):
    expected = perturbed("l2k2")(frame_of(crystal()))
    library.cache_clear()
    monkeypatch.setenv("CXX", "no-such-compiler")
    potential = perturbed("l2k2", backend="cpp")
    actual = potential(frame_of(crystal()))
    assert torch.equal(actual.energy, expected.energy)
    assert "install g++" in caplog.text
    assert "Going on with backend=eager" in caplog.text


def test_a_compiler_that_fails_is_quoted(monkeypatch, tmp_path):
    fake = tmp_path / "broken-compiler"
    fake.write_text(
        '#!/bin/sh\ncase "$1" in *version) echo 13.0.0;; *) echo no space left >&2; exit 1;; esac\n'
    )
    fake.chmod(0o755)
    library.cache_clear()
    monkeypatch.setenv("CXX", str(fake))
    with pytest.raises(cpp.CompilerMissingError, match="no space left"):
        cpp.prepare(MODELS["l2k2"]())
    assert not list(tmp_path.glob("*.so"))


def test_kernels_are_kept_in_the_cache(monkeypatch, tmp_path):
    monkeypatch.setenv("SUS2BENCH_CACHE", str(tmp_path))
    library.cache_clear()
    cpp.prepare(MODELS["MTP of one product"]())
    (made,) = (tmp_path / "kernels").iterdir()
    before = made.stat().st_mtime_ns, os.listdir(tmp_path / "kernels")
    library.cache_clear()
    cpp.prepare(MODELS["MTP of one product"]())
    assert (made.stat().st_mtime_ns, os.listdir(tmp_path / "kernels")) == before


def test_unknown_backend_is_refused():
    with pytest.raises(ValueError, match="'fortran' is none of eager, cpp"):
        SUS2(SPECIES, 5.0, backend="fortran")


def test_the_fastest_form_for_inference_is_the_kernel():
    model, name = perturbed("l2k2").model.for_inference()
    assert name == model.backend == "cpp"
