"""The counting of a kernel's arithmetic: what it depends on."""

import runpy
from pathlib import Path

import torch

from sus2bench.models.mtp import MTP
from sus2bench.models.sus2 import SUS2

SCRIPT = Path(__file__).parents[2] / "benchmarks" / "kernel_arithmetic.py"
COUNTS = runpy.run_path(str(SCRIPT))


def per_edge(model, dtype=torch.float64):
    return COUNTS["operations_per_edge"](model, dtype)


def test_a_tanh_costs_more_than_a_root_and_double_precision_more_than_single():
    part = "embedding and polynomials"
    tanh = SUS2(["Cu"], channels=2)
    root = SUS2(["Cu"], channels=2, radial_basis_type="RBChebyshev_ss")
    assert per_edge(tanh)[part] > per_edge(tanh, torch.float32)[part] > per_edge(root)[part]


def test_only_products_depend_on_the_contractions_beyond_the_moments():
    small, large = (SUS2(["Cu"], max_rank=2, channels=channels) for channels in (1, 3))
    assert per_edge(small)["forces"] == per_edge(large)["forces"]
    assert per_edge(small)["moments"] < per_edge(large)["moments"]
    product = "products and their adjoint"
    count = COUNTS["operations_per_atom"]
    assert count(small)[product] < count(large)[product]
    assert count(MTP(["Cu"], level=8))[product] > 0


def test_the_number_of_elements_changes_nothing():
    assert per_edge(SUS2(["Cu"])) == per_edge(SUS2(["Cu", "Au", "Al"]))
