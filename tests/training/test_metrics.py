"""Errors over an epoch are those of all frames together."""

import numpy as np
import pytest
import torch
from ase import units
from standin import make_frames, make_potential

from sus2bench.atoms.frame import collate
from sus2bench.models.potential import Prediction
from sus2bench.training.metrics import QUANTITIES, ErrorAccumulator


def accumulate(frames, batches, potential):
    errors = ErrorAccumulator()
    for batch in batches:
        frame = collate([frames[i] for i in batch])
        errors.update(potential(frame), frame)
    return errors.compute()


@pytest.fixture(scope="module")
def potential():
    return make_potential().eval()


def test_metrics_are_those_of_numpy_over_the_whole_set(potential):
    frames = make_frames(9)
    report = accumulate(frames, [[0], [1, 2, 3, 4], [5, 6, 7, 8]], potential)
    whole = collate(frames)
    prediction = potential(whole)
    atoms = np.bincount(whole.batch.numpy())
    errors = {
        "energy_per_atom_{}_meV": (prediction.energy - whole.energy).numpy() / atoms * 1e3,
        "forces_{}_meV_A": (prediction.forces - whole.forces).numpy().ravel() * 1e3,
        "stress_{}_GPa": (prediction.stress - whole.stress).numpy().ravel() / units.GPa,
    }
    nickel = (whole.atomic_numbers == 28).numpy()
    errors["forces_{}_meV_A/Ni"] = (prediction.forces - whole.forces).numpy()[nickel] * 1e3
    for name, error in errors.items():
        absolute = np.abs(error)
        expected = {"mae": absolute.mean(), "max": absolute.max()}
        expected["rmse"] = np.sqrt((error**2).mean())
        expected |= {f"p{q}": np.percentile(absolute, q) for q in (50, 95, 99)}
        for statistic, value in expected.items():
            # Sums in another order and single against batched frames: a few bits.
            assert report[name.format(statistic)] == pytest.approx(value, rel=1e-10)
    assert report["energy_frames"] == 9
    assert report["force_components"] == 3 * len(whole.pos)
    assert report["stress_components"] == 81


def test_batching_does_not_matter(potential):
    frames = make_frames(9, unlabelled=True)
    one = accumulate(frames, [range(9)], potential)
    other = accumulate(frames, [[8, 1], [0], [2, 3, 4, 5, 6, 7]], potential)
    assert one.keys() == other.keys()
    assert list(one.values()) == pytest.approx(list(other.values()), rel=1e-10)


def test_missing_labels_never_enter(potential):
    frames = make_frames(8, unlabelled=True)
    report = accumulate(frames, [range(8)], potential)
    assert all(np.isfinite(list(report.values())))
    assert report["energy_frames"] == sum(not frame.energy.isnan().any() for frame in frames)
    for frame in frames:
        frame.stress = torch.full_like(frame.stress, torch.nan)
    report = accumulate(frames, [range(8)], potential)
    assert report["stress_components"] == 0
    assert not any(name.startswith("stress_") and name.endswith("GPa") for name in report)


def test_a_frame_that_is_seen_twice_counts_once(potential):
    frames = make_frames(6)
    once = accumulate(frames, [[0, 1, 2, 3, 4, 5]], potential)
    twice = accumulate(frames, [[0, 1, 2, 3], [4, 5, 0, 3]], potential)
    assert list(once.values()) == pytest.approx(list(twice.values()), rel=1e-10)


def test_a_prediction_that_is_nan_is_an_infinite_error():
    frame = collate(make_frames(2))
    energy = torch.tensor([torch.nan, 0.0], dtype=torch.float64)
    errors = ErrorAccumulator()
    errors.update(Prediction(energy, None, None, None, energy), frame)
    report = errors.compute()
    assert report["energy_per_atom_rmse_meV"] == np.inf
    assert report["force_components"] == 0


def test_no_frames_give_no_errors():
    assert ErrorAccumulator().compute() == {quantity.counted: 0.0 for quantity in QUANTITIES}


def test_reset_forgets(potential):
    errors = ErrorAccumulator()
    frame = collate(make_frames(2))
    errors.update(potential(frame), frame)
    errors.reset()
    assert errors.compute()["energy_frames"] == 0
