"""Averaged weights are used for validation and deployment, and nowhere else."""

import pytest
import torch
from lightning.pytorch.callbacks import Callback
from standin import make_module, make_potential
from train_here import train

from sus2bench.models.loading import load_potential
from sus2bench.training.averaging import WeightAverage


class Watch(Callback):
    """Records the weights after every step, and those a validation sees."""

    def __init__(self):
        self.after_step, self.validated = [], []

    @staticmethod
    def weights(module):
        return {k: v.detach().clone() for k, v in module.potential.named_parameters()}

    def on_train_start(self, trainer, pl_module):
        self.start = self.weights(pl_module)

    def on_train_batch_end(self, trainer, pl_module, *args, **kwargs):
        self.after_step.append(self.weights(pl_module))

    def on_validation_batch_start(self, trainer, pl_module, *args, **kwargs):
        self.validated.append((trainer.global_step, self.weights(pl_module)))


@pytest.fixture(scope="module")
def watched(tmp_path_factory):
    watch = Watch()
    module, result = train(tmp_path_factory.mktemp("run"), steps=14, extra=[watch])
    return watch, module, result


def average(watch, step, decay=0.9):
    """The formula, in float64 and in a loop."""
    value = {k: v.clone() for k, v in watch.start.items()}
    for n, weights in enumerate(watch.after_step[:step], start=1):
        d = min(decay, (1 + n) / (10 + n))
        value = {k: d * v + (1 - d) * weights[k] for k, v in value.items()}
    return value


def close(weights, others):
    # Rounding of some ten updates in float64.
    return all(torch.allclose(weights[k], others[k], rtol=1e-13, atol=1e-14) for k in weights)


def test_validation_sees_the_average(watched):
    watch, _, _ = watched
    assert [step for step, _ in watch.validated[::2]] == [6, 12, 14]
    for step, weights in watch.validated:
        assert close(weights, average(watch, step))
        assert not close(weights, watch.after_step[step - 1])


def test_checkpoints_keep_both_weights(watched):
    watch, _, result = watched
    state = torch.load(result.last_checkpoint, weights_only=True)
    trained = {k.removeprefix("potential."): v for k, v in state["state_dict"].items()}
    assert all(torch.equal(trained[k], v) for k, v in watch.after_step[-1].items())
    deployed = load_potential(result.last_checkpoint)
    assert close(dict(deployed.named_parameters()), average(watch, 14))


def test_module_ends_with_the_best_average(watched):
    watch, module, result = watched
    best = load_potential(result.best_checkpoint)
    step = torch.load(result.best_checkpoint, weights_only=True)["global_step"]
    for potential in (module.potential, best):
        assert close(dict(potential.named_parameters()), average(watch, step))


def test_training_is_the_same_with_and_without_an_average(tmp_path, watched):
    watch = Watch()
    train(tmp_path, steps=14, decay=None, extra=[watch])
    for one, other in zip(watch.after_step, watched[0].after_step, strict=True):
        assert all(torch.equal(one[k], other[k]) for k in one)


def test_atomic_energies_stay_in_float64_and_buffers_as_they_are():
    module = make_module(potential=make_potential(torch.float32))
    buffers = {k: v.clone() for k, v in module.potential.named_buffers()}
    average = WeightAverage(0.5)
    average.on_train_start(None, module)
    with torch.no_grad():
        module.potential.atomic_energies.values.add_(1e-9)
    average.on_train_batch_end(None, module)
    averages = average.state_dict()["averages"]
    assert averages["atomic_energies.values"].dtype == torch.float64
    # d = 2/11 after the first update; the change is far below the resolution of float32.
    moved = averages["atomic_energies.values"] + 3.0
    assert torch.allclose(moved, torch.full_like(moved, 9e-9 / 11), atol=1e-15)
    assert averages["model.element"].dtype == torch.float32
    for _ in range(2):
        average.on_validation_epoch_start(None, module)
        assert {k: v.dtype for k, v in module.potential.named_parameters()} == {
            k: v.dtype for k, v in averages.items()
        }
        average.on_validation_end(None, module)
    for name, buffer in module.potential.named_buffers():
        assert torch.equal(buffer, buffers[name])
    payload = module.deployed_payload()["state_dict"]
    assert payload["atomic_energies.values"].dtype == torch.float64


def test_a_checkpoint_within_a_validation_is_refused():
    module, average = make_module(), WeightAverage()
    average.on_train_start(None, module)
    average.on_validation_epoch_start(None, module)
    with pytest.raises(RuntimeError, match="while a validation is running"):
        average.state_dict()


@pytest.mark.parametrize("decay", [-0.1, 1.0])
def test_an_impossible_decay_is_refused(decay):
    with pytest.raises(ValueError, match="decay"):
        WeightAverage(decay)
