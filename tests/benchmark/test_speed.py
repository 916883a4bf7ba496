"""Timings: what is timed, in which order, and what is put back afterwards."""

import pytest
import torch

from sus2bench.atoms.frame import edge_vectors
from sus2bench.benchmark import speed


def test_potentials_are_timed_in_turn_on_the_same_atoms(potential, frames):
    result = speed.compare({"a": potential, "b": potential}, frames[:3], warm_up=1, repeats=3)
    assert list(result) == ["a", "b"]
    for timings in result.values():
        assert timings["frames"] == 3
        assert timings["atoms"] == 16
        assert timings["dtype"] == "float64"
        for name in ("energy_and_forces", "training_gradient", "neighbour_list"):
            timing = timings[f"{name}_us_per_atom"]
            assert 0 < timing["lower_quartile"] <= timing["median"] <= timing["upper_quartile"]
            assert timing["repeats"] == 3


def test_memory_is_taken_for_each_kind_of_call(potential, frames):
    peaks = speed.compare({"a": potential}, frames[:3], repeats=1)["a"]["peak_memory_MB"]
    assert list(peaks) == ["energy_and_forces", "training_gradient"]
    assert all(value is None or value >= 0 for value in peaks.values())


def test_repeats_alternate():
    calls = []
    jobs = {(name, "job"): lambda name=name: calls.append(name) for name in "ab"}
    speed._in_turn(jobs, 1, 3)
    # Each call that counts follows one that does not.
    assert "".join(calls) == "ab" + "aabbaabbaabb"


def test_threads_and_mode_and_gradients_are_put_back(potential, frames):
    before = torch.get_num_threads()
    potential.train()
    speed.compare({"a": potential}, frames[:1], number_of_threads=before + 1, repeats=1)
    assert torch.get_num_threads() == before
    assert potential.training
    assert all(parameter.grad is None for parameter in potential.parameters())


def test_edges_beyond_the_cutoff_are_not_paid_for(frames):
    lengths = torch.linalg.vector_norm(edge_vectors(frames[0]), dim=1)
    assert speed.within_cutoff(frames[:1], 3.0).edge_index.shape[1] == int((lengths < 3).sum())


def test_frames_are_spread_over_the_data_set(frames):
    chosen = speed.choose_frames(frames, atoms=18)
    assert [int(frame.frame_index) for frame in chosen] == [0, 4, 7]
    assert len(speed.choose_frames(frames, atoms=10**6)) == len(frames)
    with pytest.raises(ValueError, match="no frames"):
        speed.choose_frames(type(frames)(), atoms=1)
