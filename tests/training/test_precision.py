"""Training steps in lower precision: what they change, what they leave, when they are refused."""

from functools import partial

import lightning.pytorch as pl
import pytest
import torch
from lightning.pytorch.callbacks import Callback
from lightning.pytorch.plugins.precision import MixedPrecision
from standin import DataModule, make_module, make_potential

from sus2bench.atoms.frame import collate
from sus2bench.models.potential import Potential
from sus2bench.models.sus2 import SUS2
from sus2bench.training import fit as fit_module
from sus2bench.training.budget import Budget
from sus2bench.training.fit import fit
from sus2bench.training.module import PotentialModule
from sus2bench.training.phases import Phase, fit_phases
from sus2bench.training.precision import TF32
from sus2bench.training.whole_set.lbfgs import LBFGS


def train(folder, precision, *, steps=4, accumulate=1, dtype=torch.float32, extra=(), **settings):
    module = make_module(potential=make_potential(dtype), lr=1e-3)
    settings.setdefault("trainer", partial(pl.Trainer, accelerator="cpu"))
    fit(
        module,
        DataModule(train=8, valid=4, accumulate=accumulate),
        Budget(max_steps=steps),
        folder=folder,
        callbacks=extra,
        precision=precision,
        **settings,
    )
    return module


class Gradients(Callback):
    """Notes the gradient of the last step, as one vector."""

    def on_train_batch_end(self, trainer, pl_module, *args):
        gradients = [p.grad.double().ravel() for p in pl_module.potential.parameters()]
        self.last = torch.cat(gradients)


def distance(one, other):
    """Largest difference of two trained modules' weights."""
    pairs = zip(one.potential.parameters(), other.potential.parameters(), strict=True)
    return max(float((a - b).detach().abs().max()) for a, b in pairs)


def test_bfloat16_changes_steps_and_keeps_the_types_of_weights(tmp_path):
    full, mixed = train(tmp_path, "full"), train(tmp_path, "bf16-mixed")
    types = {p.dtype for p in mixed.potential.model.parameters()}
    assert types == {torch.float32}
    # Four steps of Adam move a weight by at most 4e-3; bfloat16 gives gradients two digits.
    assert 1e-7 < distance(full, mixed) < 4e-3


def test_parts_of_a_batch_in_bfloat16_give_nearly_the_gradient_of_the_whole(tmp_path):
    whole, parts = Gradients(), Gradients()
    train(tmp_path / "1", "bf16-mixed", steps=1, extra=[whole])
    train(tmp_path / "2", "bf16-mixed", steps=1, extra=[parts], accumulate=2)
    # Sums over atoms are rounded to 8 bits, 0.4 %, once for each part.
    assert float((whole.last - parts.last).norm()) < 0.02 * float(whole.last.norm())


def test_validation_is_in_full_precision(tmp_path):
    module = train(tmp_path, "bf16-mixed")
    frames, potential = collate(DataModule(train=8, valid=4).valid), module.potential.eval()
    loss, _ = module.loss(potential(frames), frames)
    found = float(module.trainer.callback_metrics["valid/loss"])
    assert found == pytest.approx(float(loss.detach()), rel=1e-6)  # one batch, sums in float64
    with torch.autocast("cpu", dtype=torch.bfloat16):
        rough, _ = module.loss(potential(frames), frames)
    assert found != pytest.approx(float(rough.detach()), rel=1e-5)


def half(**options):
    """A trainer with float16 on the CPU, which Lightning has on GPUs alone."""
    scaled = MixedPrecision("16-mixed", "cpu", torch.amp.GradScaler("cpu", init_scale=256.0))
    plugins = [*options.pop("plugins"), scaled]
    return pl.Trainer(accelerator="cpu", **{**options, "precision": None}, plugins=plugins)


@pytest.mark.parametrize("accumulate", [1, 2])
def test_a_loss_that_is_scaled_gives_the_gradient_of_one_that_is_not(
    tmp_path, monkeypatch, accumulate
):
    monkeypatch.setattr(fit_module, "check_device", lambda *_: None)
    full, mixed = Gradients(), Gradients()
    settings = {"trainer": half, "accumulate": accumulate}
    train(tmp_path / "full", "full", steps=1, extra=[full])
    train(tmp_path / "half", "16-mixed", steps=1, extra=[mixed], **settings)
    # 11 bits leave 0.05 % of a product.
    assert float((full.last - mixed.last).norm()) < 0.01 * float(full.last.norm())


class Watch(Callback):
    """Notes the precision of matrix products within training steps and validations."""

    def __init__(self):
        self.steps, self.validations = [], []

    def on_before_optimizer_step(self, *args):
        self.steps.append(torch.get_float32_matmul_precision())

    def on_validation_batch_end(self, *args):
        self.validations.append(torch.get_float32_matmul_precision())


def test_tf32_is_on_within_steps_only(tmp_path, monkeypatch):
    monkeypatch.setattr(fit_module, "check_device", lambda *_: None)
    watch, before = Watch(), torch.get_float32_matmul_precision()
    train(tmp_path, "tf32", extra=[watch])
    assert set(watch.steps) == {"high"}
    assert set(watch.validations) == {before}
    assert torch.get_float32_matmul_precision() == before


def test_tf32_is_off_after_an_error(tmp_path, monkeypatch):
    class Fails(Callback):
        def on_before_optimizer_step(self, *args):
            assert torch.get_float32_matmul_precision() == "high"
            raise KeyError("in a step")

    monkeypatch.setattr(fit_module, "check_device", lambda *_: None)
    before = torch.get_float32_matmul_precision()
    with pytest.raises(KeyError, match="in a step"):
        train(tmp_path, "tf32", extra=[Fails()])
    assert torch.get_float32_matmul_precision() == before
    TF32().on_exception()
    assert torch.get_float32_matmul_precision() == before


@pytest.mark.parametrize(
    ("precision", "settings", "words"),
    [
        ("half", {}, "one of full, tf32, bf16-mixed, 16-mixed, not 'half'.*dtype=float64"),
        ("bf16-mixed", {"dtype": torch.float64}, "dtype=float32, or precision=full"),
        ("tf32", {}, "needs an NVIDIA GPU, and this run is on cpu"),
        (
            "full",
            {"trainer": partial(pl.Trainer, accelerator="cpu", precision="bf16-mixed")},
            "leave trainer.precision out",
        ),
    ],
)
def test_what_makes_no_sense_is_refused(tmp_path, precision, settings, words):
    with pytest.raises(ValueError, match=words):
        train(tmp_path, precision, **settings)


@pytest.mark.filterwarnings("ignore:You passed")
def test_float16_without_a_gpu_is_refused(tmp_path):
    with pytest.raises(ValueError, match="16-mixed needs an NVIDIA GPU"):
        train(tmp_path, "16-mixed")


def test_models_that_do_not_take_mixed_precision_are_named(tmp_path):
    module = make_module(potential=Potential(SUS2(["Ni", "Cu"], 3.6, channels=1)))
    module.potential.to(torch.float32)
    with pytest.raises(ValueError, match="SUS2 does not take factors"):
        fit(module, DataModule(), Budget(max_steps=1), folder=tmp_path, precision="bf16-mixed")


def adam(fused):
    return partial(torch.optim.AdamW, lr=1e-3, fused=fused)


def test_a_fused_optimizer_is_clipped_in_bfloat16_and_refused_with_a_scaled_loss(tmp_path):
    gradients = Gradients()
    module = make_module(potential=make_potential(torch.float32))
    module._make_optimizer = adam(fused=True)
    clipping = partial(pl.Trainer, accelerator="cpu", gradient_clip_val=0.01)
    settings = {"folder": tmp_path, "trainer": clipping, "callbacks": [gradients]}
    fit(module, DataModule(), Budget(max_steps=2), precision="bf16-mixed", **settings)
    assert float(gradients.last.norm()) == pytest.approx(0.01, rel=1e-3)
    with pytest.raises(ValueError, match="fused=false, or precision=full"):
        fit(module, DataModule(), Budget(max_steps=2), precision="16-mixed", **settings)


def test_a_later_phase_that_needs_all_digits_is_found_before_the_first(tmp_path):
    def module(phase):
        potential = make_potential(torch.float32)
        return PotentialModule(potential, make_module().loss, phase.algorithm)

    phases = {"batches": Phase(torch.optim.Adam), "polish": Phase(LBFGS)}
    with pytest.raises(ValueError, match="LBFGS needs all digits of the loss"):
        fit_phases(
            phases,
            module,
            DataModule(),
            Budget(max_steps=2),
            folder=tmp_path,
            precision="bf16-mixed",
        )
    assert not list(tmp_path.iterdir())
