"""The evaluation pass: exact over all frames, the same for any batching, with its floor."""

import numpy as np
import pytest
import torch

from sus2bench.atoms.frame import collate
from sus2bench.benchmark import accuracy

COMPOSITION = {"Al": -5.0, "Cu": -5.0}


def rms(values: torch.Tensor) -> float:
    return float(values.detach().square().mean().sqrt())


def test_errors_are_those_of_all_frames_together(potential, frames):
    found = accuracy.evaluate(potential, frames)
    predicted = potential(collate(frames))
    reference = collate(frames)
    errors = 1e3 * (predicted.forces - reference.forces)
    # Two summation orders of a few hundred numbers.
    assert found.metrics["forces_rmse_meV_A"] == pytest.approx(rms(errors), 1e-12)
    assert found.metrics["energy_frames"] == 7
    assert found.baseline == {}
    assert not torch.equal(predicted.forces, reference.forces)


def test_batching_does_not_change_the_result(potential, frames):
    whole = accuracy.evaluate(potential, frames, COMPOSITION)
    single = accuracy.evaluate(potential, frames, COMPOSITION, max_edges=1)
    assert whole.metrics == pytest.approx(single.metrics, rel=1e-12)
    assert list(whole.predictions) == list(single.predictions)
    np.testing.assert_allclose(whole.predictions["energy"], single.predictions["energy"], 1e-13)


def test_predictions_carry_references_and_offsets_and_survive_the_file(potential, frames, tmp_path):
    found = accuracy.evaluate(potential, frames, COMPOSITION).predictions
    accuracy.save_predictions(found, tmp_path / "predictions_test.npz")
    loaded = accuracy.load_predictions(tmp_path / "predictions_test.npz")
    assert set(loaded) == set(found)
    first, last = loaded["frame_offsets"][[3, 4]]
    np.testing.assert_array_equal(loaded["forces_reference"][first:last], frames[3].forces)
    np.testing.assert_array_equal(loaded["atomic_numbers"][first:last], frames[3].atomic_numbers)
    assert np.isnan(loaded["energy_reference"][7])
    np.testing.assert_allclose(loaded["composition_energy"], -5.0 * frames.num_atoms)


@pytest.mark.parametrize("damage", ["cut off", "changed", "empty", "no archive", "lacks arrays"])
def test_a_damaged_file_of_predictions_is_named_with_the_remedy(tmp_path, caplog, damage):
    file = tmp_path / "predictions_test.npz"
    generator = np.random.default_rng(0)
    accuracy.save_predictions(
        {name: generator.normal(size=100) for name in accuracy.STORED[damage == "lacks arrays" :]},
        file,
    )
    content = bytearray(file.read_bytes())
    content[200:300] = bytes(100)
    texts = {"cut off": content[:1000], "changed": content, "empty": b"", "no archive": b"energy\n"}
    if damage in texts:
        file.write_bytes(texts[damage])
    with pytest.raises(accuracy.PredictionsError, match=r"predictions_test\.npz.*or remove it"):
        accuracy.load_predictions(file)
    assert accuracy.readable_predictions(file) is None
    assert str(file) in caplog.text


def test_floor_is_the_composition_fit_with_zero_forces(potential, frames):
    floor = accuracy.evaluate(potential, frames, COMPOSITION).baseline
    forces = torch.cat([frame.forces for frame in frames])
    assert floor["forces_rmse_meV_A"] == pytest.approx(rms(1e3 * forces), 1e-12)
    energy = [float(frame.energy) / len(frame.pos) + 5.0 for frame in frames[:7]]
    assert floor["energy_per_atom_mae_meV"] == pytest.approx(1e3 * np.abs(energy).mean(), 1e-9)


def test_frames_with_an_element_outside_the_composition_fit_are_left_out_of_its_errors(
    potential, frames
):
    floor = accuracy.evaluate(potential, frames, {"Cu": -5.0}).baseline
    assert floor["energy_frames"] == 0
    assert floor["force_components"] == 3 * frames.num_atoms.sum()


def test_training_mode_is_put_back_and_empty_data_refused(potential, frames):
    potential.train()
    accuracy.evaluate(potential, frames[:1] and type(frames)(frames[:1]))
    assert potential.training
    with pytest.raises(ValueError, match="no frames"):
        accuracy.evaluate(potential, type(frames)())
