"""Schedules are functions of progress; budgets measure it."""

import time

import pytest

from sus2bench.training.budget import Budget, seconds
from sus2bench.training.schedules import Constant, Plateau, WarmupCosine


class Clock:
    time = 100.0

    def __call__(self):
        return self.time


def test_progress_is_the_larger_used_part():
    clock = Clock()
    budget = Budget(max_steps=10, max_time="1 min", clock=clock)
    budget.start()
    assert budget.progress(0) == 0.0
    assert budget.progress(4) == 0.4
    clock.time += 30
    assert budget.progress(4) == 0.5
    assert budget.progress(11) == 1.0


def test_frames_seen_are_a_budget_too_and_the_limit_that_ends_it_is_known():
    clock = Clock()
    budget = Budget(max_steps=10, max_time=60, max_frames=100, clock=clock)
    budget.start()
    assert budget.progress(4, 50) == 0.5
    assert budget.used_up(4, 50) is None
    assert budget.used_up(5, 100) == "max_frames"
    assert budget.used_up(10, 80) == "max_steps"
    clock.time += 70
    assert budget.used_up(9, 90) == "max_time"


def test_a_share_has_its_part_of_the_frames_that_are_left():
    budget = Budget(max_frames=100)
    assert budget.share(0.5, 3, 7.0, frames=20).max_frames == 40
    assert budget.share(1.0, 3, 7.0, frames=100) is None


def test_time_before_a_resume_counts_and_pauses_do_not():
    clock = Clock()
    budget = Budget(max_time=100, clock=clock)
    budget.start(40.0)
    clock.time += 10
    budget.stop()
    clock.time += 1000
    assert budget.elapsed == 50.0
    budget.start()
    clock.time += 10
    assert budget.progress(10**6) == 0.6


@pytest.mark.parametrize(
    ("text", "value"), [(90, 90), ("90", 90), ("20 min", 1200), ("1.5h", 5400), ("1 d", 86400)]
)
def test_durations(text, value):
    assert seconds(text) == value


def test_processor_time_leaves_out_what_the_process_waits_for():
    budget = Budget(max_time=1000, clock="processor")
    budget.start()
    time.sleep(0.2)
    # Sleeping takes microseconds of processor time, other threads of a test run a little more.
    assert budget.elapsed < 0.1


@pytest.mark.parametrize(
    "settings",
    [
        {},
        {"max_steps": 0},
        {"max_frames": 0},
        {"max_time": 0},
        {"max_time": "soon"},
        {"max_time": 1, "clock": "sundial"},
    ],
)
def test_an_impossible_budget_is_refused(settings):
    with pytest.raises(ValueError, match="budget|duration|clock"):
        Budget(**settings)


def test_cosine_warms_up_and_falls_to_its_final_factor():
    schedule = WarmupCosine(warmup=0.1, final=0.2)
    assert schedule.factor(0.0) == 0.0
    assert schedule.factor(0.05) == pytest.approx(0.5)
    assert schedule.factor(0.1) == pytest.approx(1.0)
    assert schedule.factor(0.55) == pytest.approx(0.6)
    assert schedule.factor(1.0) == pytest.approx(0.2)


def test_constant_is_constant():
    assert [Constant().factor(p) for p in (0.0, 0.5, 1.0)] == [1.0, 1.0, 1.0]


def test_plateau_falls_when_the_loss_stalls_and_resumes():
    schedule = Plateau(warmup=0.0, reduction=0.5, patience=2, final=0.1)
    for metric in (3.0, 2.0, 2.0, 2.0):
        schedule.observe(metric)
    assert schedule.factor(0.5) == 1.0
    other = Plateau(warmup=0.0, reduction=0.5, patience=2, final=0.1)
    other.load_state_dict(schedule.state_dict())
    for each in (schedule, other):
        each.observe(2.0)
        assert each.factor(0.5) == 0.5
        for _ in range(30):
            each.observe(2.0)
        assert each.factor(0.5) == pytest.approx(0.1)


def test_impossible_schedules_are_refused():
    with pytest.raises(ValueError, match="warmup"):
        WarmupCosine(warmup=1.0)
    with pytest.raises(ValueError, match="final"):
        WarmupCosine(final=2.0)
