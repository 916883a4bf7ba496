"""The script that compares precisions rounds as TF32 does, and in products only."""

import runpy
from pathlib import Path

import torch

SCRIPT = Path(__file__).parents[2] / "scripts" / "precision_of_products.py"
PRECISION = runpy.run_path(str(SCRIPT))


def test_ten_bits_are_kept_and_the_rest_is_rounded():
    step = 2.0**-10
    given = torch.tensor([1 + step, 1 + 0.4 * step, -1 - 0.6 * step, 3e38, 0.0])
    rounded = PRECISION["tf32"](given)
    assert rounded[:3].tolist() == [1 + step, 1.0, -1 - step]
    assert bool(((rounded - given).abs() <= 0.5 * step * given.abs()).all())


def test_factors_of_products_are_rounded_in_derivatives_too():
    generator = torch.Generator().manual_seed(0)
    a, b = (torch.randn(8, 8, generator=generator) for _ in "ab")
    a.requires_grad_()
    with PRECISION["RoundedFactors"]():
        product = a @ b
        (gradient,) = torch.autograd.grad(product.sum(), a)
    tf32 = PRECISION["tf32"]
    assert torch.equal(product, tf32(a.detach()) @ tf32(b))
    assert torch.equal(gradient, torch.ones(8, 8) @ tf32(b).T)
    with PRECISION["RoundedFactors"]():
        assert torch.equal(a.detach() * b, a.detach() * b)
        assert torch.equal(a.double() @ b.double(), a.double() @ b.double())


def test_the_table_leaves_open_what_was_not_run():
    numbers = {"energy_per_atom_rmse_meV": 1.234567, "forces_rmse_meV_A": 45.6789}
    text = PRECISION["table"]({"sus2, seed 0": {"float32": numbers}}, {("sus2", 0): {}})
    assert "| sus2, seed 0 | 1.23, 45.7 | – | – | – |" in text
