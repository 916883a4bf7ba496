"""What the module checks, logs and optimizes."""

import csv

import lightning.pytorch as pl
import pytest
import torch
from standin import DataModule, make_module, make_potential
from train_here import train

from sus2bench.training.budget import Budget
from sus2bench.training.checkpoints import Checkpoints
from sus2bench.training.fit import fit
from sus2bench.training.loss import PotentialLoss
from sus2bench.training.parameter_groups import parameter_groups
from sus2bench.training.schedules import WarmupCosine


def run(tmp_path, module, data=None, *, steps=3, **settings):
    return fit(
        module,
        data or DataModule(train=8, valid=2),
        Budget(max_steps=steps),
        folder=tmp_path,
        trainer=lambda **options: pl.Trainer(accelerator="cpu", **settings, **options),
        callbacks=[Checkpoints()],
    )


def test_weight_decay_spares_vectors_and_atomic_energies():
    potential = make_potential()
    decayed, free = parameter_groups(potential)
    names = {id(p): name for name, p in potential.named_parameters()}
    assert {names[id(p)] for p in decayed["params"]} == {
        "model.hidden.weight",
        "model.readout.weight",
        "model.element",
    }
    assert {names[id(p)] for p in free["params"]} == {
        "model.hidden.bias",
        "model.readout.bias",
        "atomic_energies.values",
    }
    assert "weight_decay" not in decayed
    assert free["weight_decay"] == 0.0


def test_frozen_parameters_are_not_optimized(tmp_path):
    module = make_module()
    module.potential.model.element.requires_grad_(False)
    before = module.potential.model.element.clone()
    run(tmp_path, module)
    assert torch.equal(module.potential.model.element, before)
    for parameter in module.potential.parameters():
        parameter.requires_grad_(False)
    with pytest.raises(ValueError, match="no parameter that is trained"):
        run(tmp_path, module)


def test_a_loss_that_is_not_finite_names_its_frames(tmp_path):
    data = DataModule(train=8, valid=2)
    data.train[5].energy = torch.tensor([torch.inf], dtype=torch.float64)
    with pytest.raises(FloatingPointError, match=r"frames \[.*\b5\b.*\] \(positions"):
        run(tmp_path, make_module(), data)


def test_weights_that_are_not_finite_are_not_saved(tmp_path):
    module = make_module()
    result = run(tmp_path, module, steps=2)
    before = result.last_checkpoint.read_bytes()
    module = make_module(lr=float("inf"))
    with pytest.raises(FloatingPointError, match="no longer finite"):
        run(tmp_path, module, steps=1)
    assert result.last_checkpoint.read_bytes() == before


def test_a_gradient_that_is_zero_everywhere_is_an_error(tmp_path):
    data = DataModule(train=8, valid=2)
    module = make_module(loss=PotentialLoss(0, 1, 0))
    with torch.no_grad():
        module.potential.model.hidden.weight.zero_()
        module.potential.model.readout.weight.zero_()
    with pytest.raises(ValueError, match="gradient of the loss is zero"):
        run(tmp_path, module, data)


def test_accumulation_over_batches_is_refused_with_the_key_that_does_it(tmp_path):
    with pytest.raises(ValueError, match=r"accumulate_grad_batches must be 1.*data\.accumulate"):
        run(tmp_path, make_module(), accumulate_grad_batches=2)


def test_the_gradient_is_clipped_over_both_precisions(tmp_path):
    class Watch(pl.Callback):
        norms = []

        def on_train_batch_end(self, trainer, pl_module, *args, **kwargs):
            gradients = [
                p.grad.double().ravel() for p in pl_module.parameters() if p.grad is not None
            ]
            if gradients:
                self.norms.append(float(torch.cat(gradients).norm()))

    watch = Watch()
    fit(
        make_module(potential=make_potential(torch.float32)),
        DataModule(train=8, valid=2),
        Budget(max_steps=4),
        folder=tmp_path,
        trainer=lambda **o: pl.Trainer(accelerator="cpu", gradient_clip_val=0.01, **o),
        callbacks=[watch],
    )
    assert len(watch.norms) >= 2
    assert max(watch.norms) == pytest.approx(0.01, rel=1e-4)  # float32, and torch's 1e-6


def test_the_log_has_losses_of_windows_and_errors_of_whole_sets(tmp_path):
    module, result = train(tmp_path, steps=12)
    with result.history.open() as file:
        rows = list(csv.DictReader(file))
    trained = [row for row in rows if row["train/loss"]]
    validated = [row for row in rows if row["valid/loss"]]
    assert [int(row["step"]) for row in trained] == [2, 4, 6, 8, 10, 12]
    assert [int(row["step"]) for row in validated] == [6, 12]
    schedule = WarmupCosine()
    for row in trained:
        # The rate of the step that is logged was set at the progress before it.
        rate = 1e-2 * schedule.factor((int(row["step"]) - 1) / 12)
        assert float(row["train/learning_rate"]) == pytest.approx(rate)
    for row in validated:
        assert float(row["valid/energy_frames"]) == 6
        loss = (
            float(row["valid/energy_per_atom_rmse_meV"]) ** 2 * 1e-6
            + 0.1 * float(row["valid/forces_rmse_meV_A"]) ** 2 * 1e-6
            + 10.0 * (float(row["valid/stress_rmse_GPa"]) * 0.0062415090744) ** 2
        )
        assert float(row["valid/loss"]) == pytest.approx(loss, rel=1e-8)


def test_several_test_sets_keep_their_names():
    data, module = DataModule(train=8, valid=2), make_module()
    trainer = pl.Trainer(accelerator="cpu", logger=False, inference_mode=False, barebones=True)
    trainer.test(module, datamodule=data, verbose=False)
    assert list(module.test_errors) == ["test", "far"]
    assert module.test_errors["test"]["energy_frames"] == 2
    assert module.test_errors["far"]["energy_frames"] == 8


def test_time_alone_is_a_budget(tmp_path):
    result = fit(
        make_module(schedule=WarmupCosine()),
        DataModule(train=8, valid=2),
        Budget(max_time=0.5),
        folder=tmp_path,
        trainer=lambda **options: pl.Trainer(accelerator="cpu", **options),
    )
    assert result.status == "completed"
    assert result.steps > 2
    # The last step, its validation and the closing of the run come on top.
    assert 0.5 <= result.train_seconds < 5


def test_frames_seen_are_a_budget(tmp_path):
    result = fit(
        make_module(schedule=WarmupCosine()),
        DataModule(train=8, valid=2),
        Budget(max_frames=20),
        folder=tmp_path,
        trainer=lambda **options: pl.Trainer(accelerator="cpu", **options),
    )
    # Two epochs are 16 of them, and a batch of the third has four.
    assert (result.status, result.ended_by) == ("completed", "max_frames")
    assert (result.steps, result.frames) == (5, 20)


def test_early_stopping_is_said(tmp_path):
    stop = pl.callbacks.EarlyStopping("valid/loss", patience=1, min_delta=1e9)
    result = fit(
        make_module(),
        DataModule(train=8, valid=2),
        Budget(max_steps=100),
        folder=tmp_path,
        trainer=lambda **options: pl.Trainer(accelerator="cpu", **options),
        callbacks=[stop],
    )
    assert (result.status, result.steps) == ("stopped_early", 4)
    assert result.ended_by == "convergence"
    assert result.best_checkpoint is None
