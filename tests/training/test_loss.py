"""The loss: its value, its masks, its gradient, its errors."""

import numpy as np
import pytest
import torch
from standin import make_frames, make_potential

from sus2bench.atoms.frame import collate
from sus2bench.models.potential import Prediction
from sus2bench.training.loss import PotentialLoss


def predicted(frame, seed=0, dtype=torch.float64):
    generator = torch.Generator().manual_seed(seed)

    def noise(shape):
        return torch.randn(shape, generator=generator, dtype=torch.float64)

    energy = noise(frame.energy.shape).requires_grad_()
    forces = noise(frame.forces.shape).to(dtype).requires_grad_()
    stress = noise(frame.stress.shape).to(dtype).requires_grad_()
    return Prediction(energy, forces, stress, None, noise(frame.atomic_numbers.shape))


def test_value_is_the_weighted_mean_over_labels():
    frame = collate(make_frames(6))
    prediction = predicted(frame)
    atoms = np.bincount(frame.batch.numpy())
    energy = (prediction.energy.detach() - frame.energy).numpy() / atoms
    forces = (prediction.forces.detach() - frame.forces).numpy()
    stress = (prediction.stress.detach() - frame.stress).numpy()
    for function, of in (("mse", np.square), ("mae", np.abs)):
        loss = PotentialLoss(2.0, 0.5, 3.0, function=function)(prediction, frame)[0].detach()
        expected = 2 * of(energy).mean() + 0.5 * of(forces).mean() + 3 * of(stress).mean()
        assert float(loss) == pytest.approx(expected, rel=1e-14)


def test_huber_is_quadratic_within_delta_and_linear_beyond():
    frame = collate(make_frames(1))
    delta = {"energy": 0.5, "forces": 0.5, "stress": 0.5}
    for error, expected in ((0.2, 0.02), (2.0, 0.5 * (2.0 - 0.25))):
        prediction = predicted(frame)._replace(forces=frame.forces + error)
        loss = PotentialLoss(0, 1, 0, function="huber", delta=delta)(prediction, frame)[0].detach()
        assert float(loss) == pytest.approx(expected, rel=1e-12)


@pytest.mark.parametrize("function", ["mse", "mae", "huber"])
def test_missing_labels_count_for_nothing_and_give_no_nan(function):
    frame = collate(make_frames(8, unlabelled=True))
    assert all(bool(torch.isnan(frame[key]).any()) for key in ("energy", "forces", "stress"))
    loss_function = PotentialLoss(
        function=function, delta=dict.fromkeys(("energy", "forces", "stress"), 0.1)
    )
    prediction = predicted(frame)
    loss, sums = loss_function(prediction, frame)
    loss.backward()
    for key in ("energy", "forces", "stress"):
        gradient, missing = getattr(prediction, key).grad, torch.isnan(frame[key])
        assert bool(torch.isfinite(gradient).all())
        assert not bool(gradient[missing].any())
        assert bool((gradient[~missing] != 0).all())
    counts = [int((~torch.isnan(frame[key])).sum()) for key in ("energy", "forces", "stress")]
    assert sums.counts.tolist() == counts


def test_a_nan_prediction_without_a_label_is_harmless():
    frame = collate(make_frames(4, unlabelled=True))
    stress = torch.full_like(frame.stress, torch.nan)
    stress[0] = 0.0
    prediction = predicted(frame)._replace(stress=stress.requires_grad_())
    loss, _ = PotentialLoss()(prediction, frame)
    loss.backward()
    assert bool(torch.isfinite(loss))
    assert bool(torch.isfinite(stress.grad).all())


def test_a_batch_without_labels_of_a_kind_gives_zero_for_it():
    frame = collate(make_frames(4))
    frame.forces = torch.full_like(frame.forces, torch.nan)
    loss, sums = PotentialLoss(0, 1, 0)(predicted(frame), frame)
    assert float(loss) == 0.0
    assert sums.counts[1] == 0


def test_frames_without_a_cell_have_finite_parameter_gradients():
    frames = make_frames(4)
    frames[1].cell = torch.zeros_like(frames[1].cell)
    frames[1].shift = torch.zeros_like(frames[1].shift)
    keep = frames[1].edge_index[0] != frames[1].edge_index[1]
    frames[1].edge_index, frames[1].shift = frames[1].edge_index[:, keep], frames[1].shift[keep]
    frames[1].stress = torch.full_like(frames[1].stress, torch.nan)
    frame, potential = collate(frames), make_potential().train()
    loss, _ = PotentialLoss()(potential(frame), frame)
    loss.backward()
    assert all(bool(torch.isfinite(p.grad).all()) for p in potential.parameters())


def test_float32_predictions_are_summed_in_float64():
    frame = collate(make_frames(3))
    prediction = predicted(frame, dtype=torch.float32)
    loss, sums = PotentialLoss()(prediction, frame)
    loss.backward()
    assert loss.dtype == sums.sums.dtype == torch.float64
    assert prediction.forces.grad.dtype == torch.float32


def test_sums_of_batches_give_the_loss_of_all_frames():
    frames, potential = make_frames(7, unlabelled=True), make_potential().eval()
    loss = PotentialLoss(1.0, 0.3, 2.0)
    parts = [collate(frames[:2]), collate(frames[2:])]
    sums = [loss.sums(potential(part), part) for part in parts]
    whole = collate(frames)
    total = loss.total(sums[0].sums + sums[1].sums, sums[0].counts + sums[1].counts).detach()
    assert float(total) == pytest.approx(
        float(loss(potential(whole), whole)[0].detach()), rel=1e-13
    )


@pytest.mark.parametrize(
    ("settings", "words"),
    [
        ({"energy": 0, "forces": 0, "stress": 0}, "all loss weights are zero"),
        ({"energy": -1}, "not negative"),
        ({"forces": float("nan")}, "finite"),
        ({"function": "msd"}, "loss.function"),
        ({"function": {"energy": "mse"}}, "loss.function"),
        ({"function": "huber"}, "loss.delta"),
        ({"function": "huber", "delta": {"energy": 1, "forces": 1, "stress": 0}}, "stress"),
        ({"delta": {"force": 1}}, "loss.delta"),
    ],
)
def test_a_misconfigured_loss_is_refused(settings, words):
    with pytest.raises(ValueError, match=words):
        PotentialLoss(**settings)
