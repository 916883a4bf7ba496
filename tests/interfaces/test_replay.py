"""Predictions that are recorded for a neighbour list and replayed as the atoms move."""

import logging

import pytest
import torch
from ase.build import bulk

from sus2bench.atoms.moving import MovingFrame
from sus2bench.interfaces.calculator import FrameCalculator
from sus2bench.interfaces.replay import Replayed, Results, record_cuda_graph
from sus2bench.models.potential import Potential
from sus2bench.models.sus2 import SUS2
from sus2bench.testing import perturb

DEVICE = "cuda" if torch.cuda.is_available() else "cpu"


@pytest.fixture
def potential():
    model = SUS2(("Cu", "Au"), 4.0, channels=1, backend="triton")
    return perturb(Potential(model, {"Cu": -3.0})).to(DEVICE).eval()


class Recorder:
    """Stands in for a CUDA graph: computes in the same place, from the tensors it was made of."""

    def __init__(self):
        self.made = self.replayed = 0

    def __call__(self, function):
        self.made += 1
        place = Results(*(None if part is None else part.clone() for part in function()))

        def replay():
            self.replayed += 1
            for old, new in zip(place, function(), strict=True):
                assert (old is None) == (new is None)
                if old is not None:
                    old.copy_(new)

        for part in place:
            if part is not None:
                part.fill_(torch.nan)
        return place, replay


def copper():
    atoms = bulk("Cu", cubic=True) * (2, 2, 1)
    atoms.rattle(0.05, seed=1)
    return atoms


def equal(actual, expected):
    for name, value in actual._asdict().items():
        reference = getattr(expected, name)
        assert (value is None) == (reference is None)
        if value is not None:
            torch.testing.assert_close(value, reference, rtol=0, atol=1e-10)


def recorders():
    gpu = pytest.mark.skipif(DEVICE == "cpu", reason="no GPU")
    return [Recorder(), pytest.param(record_cuda_graph, marks=gpu)]


@pytest.mark.parametrize("record", recorders(), ids=["stand-in", "CUDA graph"])
def test_replayed_predictions_are_the_potential_s(potential, record):
    replayed, frames, atoms = Replayed(potential, record), MovingFrame(4.0, 1.0, DEVICE), copper()
    kept = []
    for step in range(8):
        atoms.positions += 0.02
        atoms.rattle(0.02, seed=step)
        atoms.set_cell(atoms.cell.array * 1.0005)
        frame = frames(atoms)
        kept.append((replayed(frame), potential(frame)))
    # In the end, lest results of one step stood where those of the next are put.
    for actual, expected in kept:
        equal(actual, expected)
    assert replayed(frame, stress=False).stress is None
    equal(replayed(frame, stress=False), potential(frame, stress=False))


def test_a_list_is_recorded_when_it_is_used_again(potential):
    record = Recorder()
    replayed, atoms = Replayed(potential, record), copper()
    for reach, made in ((0.0, 0), (1.0, 1)):
        frames = MovingFrame(4.0, reach, DEVICE)
        for _ in range(4):
            atoms.positions[0, 0] += 0.01
            replayed(frames(atoms))
        assert record.made == made
    assert record.replayed == 2


def test_other_atoms_are_looked_at_before_they_are_recorded(potential):
    replayed, atoms = Replayed(potential, Recorder()), copper()
    frames = MovingFrame(4.0, 1.0, DEVICE)
    for symbol in ("Cu", "Au"):
        atoms.symbols[0] = symbol
        for _ in range(3):
            frame = frames(atoms)
            equal(replayed(frame), potential(frame))
    atoms.symbols[0] = "Al"
    with pytest.raises(ValueError, match="Al"):
        replayed(frames(atoms))


def test_what_cannot_be_recorded_is_predicted(potential, caplog):
    def refuse(function):
        raise RuntimeError("operation not permitted when stream is capturing")

    replayed, frames, atoms = Replayed(potential, refuse), MovingFrame(4.0, 1.0, DEVICE), copper()
    with caplog.at_level(logging.WARNING):
        for _ in range(4):
            atoms.positions[0, 0] += 0.01
            frame = frames(atoms)
            equal(replayed(frame), potential(frame))
    assert caplog.text.count("not permitted when stream is capturing") == 1


def test_it_stands_in_for_the_potential_in_a_calculator(potential):
    atoms, reference = copper(), copper()
    record = Recorder()
    atoms.calc = FrameCalculator(Replayed(potential, record), potential.cutoff, device=DEVICE)
    reference.calc = potential.calculator()
    for _ in range(5):
        for one in (atoms, reference):
            one.positions[0] += 0.01
        assert abs(atoms.get_potential_energy() - reference.get_potential_energy()) < 1e-10
        assert abs(atoms.get_forces() - reference.get_forces()).max() < 1e-10
    assert record.replayed
