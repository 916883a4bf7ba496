"""Timings: what is timed, in which order, and what is put back afterwards."""

import time

import pytest
import torch

from sus2bench.atoms.frame import edge_vectors, frame_to_atoms
from sus2bench.benchmark import speed
from sus2bench.benchmark.stopwatch import Job, in_turn


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
            median = 1e6 * sorted(timing["seconds"])[1] / 16
            assert timing["median"] == pytest.approx(median, abs=1e-3)  # seconds are rounded


def test_memory_is_taken_for_each_kind_of_call(potential, frames):
    peaks = speed.compare({"a": potential}, frames[:3], repeats=1)["a"]["peak_memory_MB"]
    assert list(peaks) == ["energy_and_forces", "training_gradient"]
    assert all(value is None or value >= 0 for value in peaks.values())


def test_repeats_alternate():
    calls = []
    jobs = {name: Job(lambda name=name: calls.append(name), threads=1) for name in "ab"}
    taken = in_turn(jobs, warm_up=1, repeats=3)
    assert {name: len(seconds) for name, seconds in taken.items()} == {"a": 3, "b": 3}
    # Each call that counts follows one that does not.
    assert "".join(calls) == "ab" + "aabbaabbaabb"


ALL = (
    "energy",
    "energy_and_forces",
    "energy_forces_and_stress",
    "training_gradient",
    "training_step",
    "neighbour_list",
    "md_step",
)


@pytest.mark.parametrize("training", [True, False])
def test_every_quantity_is_timed_and_leaves_the_potential_as_it_was(potential, frames, training):
    threads = torch.get_num_threads()
    before = {name: value.clone() for name, value in potential.state_dict().items()}
    potential.train(training)
    settings = {"number_of_threads": threads + 1, "warm_up": 0, "repeats": 2, "quantities": ALL}
    entry = speed.compare({"a": potential}, frames[:2], **settings)["a"]
    assert {f"{name}_us_per_atom" for name in ALL} <= entry.keys()
    assert entry["threads"] == threads + 1
    assert torch.get_num_threads() == threads
    assert potential.training is training
    assert all(module.training is training for module in potential.modules())
    assert all(parameter.grad is None for parameter in potential.parameters())
    assert all(torch.equal(value, before[name]) for name, value in potential.state_dict().items())


def test_unknown_quantity_is_refused_with_those_there_are(potential, frames):
    with pytest.raises(ValueError, match=r"no quantity 'stress' to time; .* md_step"):
        speed.compare({"a": potential}, frames[:1], quantities=["stress"])


def test_processor_time_leaves_out_waiting(potential, frames, monkeypatch):
    forward = type(potential).forward

    def waiting(*arguments, **settings):
        time.sleep(0.05)
        return forward(*arguments, **settings)

    monkeypatch.setattr(type(potential), "forward", waiting)
    settings = {"warm_up": 0, "repeats": 1, "quantities": []}
    medians = {}
    for clock in ("wall", "processor"):
        entry = speed.compare({"a": potential}, frames[:1], clock=clock, **settings)["a"]
        assert entry["clock"] == clock
        medians[clock] = entry["energy_and_forces_us_per_atom"]["median"] * entry["atoms"]
    assert medians["processor"] < 50_000 <= medians["wall"]


@pytest.mark.parametrize(("clock", "message"), [("sun", "wall"), ("processor", "one thread")])
def test_clock_that_does_not_fit_is_refused(potential, frames, clock, message):
    with pytest.raises(ValueError, match=message):
        speed.compare({"a": potential}, frames[:1], clock=clock, number_of_threads=2)


def test_circumstances_are_told(potential, frames):
    entry = speed.compare({"a": potential}, frames[:2], repeats=1, quantities=[])["a"]
    assert entry["neighbours_per_atom"] == entry["edges"] / entry["atoms"]
    assert (entry["elements"], entry["elements_of_potential"]) == (2, 3)
    assert entry["backend"] == entry["mode"] == "eager"
    # Two indices of 8 bytes and three numbers of whole cells of 4 for each edge.
    assert entry["graph_bytes_per_atom"] > 28 * entry["neighbours_per_atom"]


def test_edges_beyond_the_cutoff_are_not_paid_for(frames):
    lengths = torch.linalg.vector_norm(edge_vectors(frames[0]), dim=1)
    graph = speed.graph_of([frame_to_atoms(frames[0])], 3.0)
    assert graph.edge_index.shape[1] == int((lengths < 3).sum())


def test_frames_are_spread_over_the_data_set(frames):
    chosen = speed.choose_frames(frames, atoms=18)
    assert [int(frame.frame_index) for frame in chosen] == [0, 4, 7]
    assert len(speed.choose_frames(frames, atoms=10**6)) == len(frames)
    with pytest.raises(ValueError, match="no frames"):
        speed.choose_frames(type(frames)(), atoms=1)
