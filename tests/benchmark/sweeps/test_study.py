"""Proposals of TPE: they go on where a process has ended, as if it had not."""

import pytest
from hydra.core.override_parser.overrides_parser import OverridesParser

optuna = pytest.importorskip("optuna")

from sus2bench.benchmark.sweeps.study import Study, distribution_of  # noqa: E402


def parsed(line):
    return OverridesParser.create().parse_override(line)


SPACE = {
    "model": distribution_of(parsed("model=sus2,schnet")),
    "lr": distribution_of(parsed("lr=tag(log, interval(1e-4, 1e-1))")),
    "channels": distribution_of(parsed("channels=range(1, 4)")),
}


def result(values):
    lr, channels = float(values["lr"]), int(values["channels"])
    return [abs(lr - 0.01) + (values["model"] == "sus2"), float(channels)]


def run(path, trials, batch=1, objectives=("error", "time")):
    """The study after so many trials in all, and what was proposed in this call."""
    study = Study(path, SPACE, objectives, seed=3)
    study.begin()
    proposed = []
    while len(study.tried) < trials:
        for number, values in study.propose(batch).items():
            proposed.append(values)
            study.tell(number, result(values)[: len(objectives)])
    return study, proposed


@pytest.mark.parametrize(
    ("line", "expected"),
    [
        ("x=a,b", optuna.distributions.CategoricalDistribution(["a", "b"])),
        ("x=range(1, 8, 2)", optuna.distributions.IntDistribution(1, 7, step=2)),
        ("x=range(0.5, 2.0, 0.5)", optuna.distributions.FloatDistribution(0.5, 1.5, step=0.5)),
        ("x=int(interval(0, 3))", optuna.distributions.IntDistribution(0, 3)),
        ("x=interval(0.0, 3.0)", optuna.distributions.FloatDistribution(0.0, 3.0)),
        (
            "x=tag(log, interval(0.1, 3.0))",
            optuna.distributions.FloatDistribution(0.1, 3.0, log=True),
        ),
    ],
)
def test_values_are_given_as_to_any_sweeper_of_hydra(line, expected):
    assert distribution_of(parsed(line)) == expected


@pytest.mark.parametrize("objectives", [("error",), ("error", "time")])
def test_a_study_in_two_parts_proposes_what_one_in_a_single_part_does(tmp_path, objectives):
    # More than the ten trials after which TPE goes by results.
    _, whole = run(tmp_path / "whole", 14, objectives=objectives)
    _, first = run(tmp_path / "parts", 11, objectives=objectives)
    _, second = run(tmp_path / "parts", 14, objectives=objectives)
    assert first + second == whole


def test_trials_that_were_under_way_are_proposed_again(tmp_path):
    _, whole = run(tmp_path / "whole", 4)
    run(tmp_path / "cut", 2)
    study = Study(tmp_path / "cut", SPACE, ("error", "time"), seed=3)
    study.begin()
    [under_way] = study.propose(1).values()
    _, rest = run(tmp_path / "cut", 4)
    assert under_way == whole[2]
    assert rest == whole[2:]


def test_a_job_without_a_result_counts_as_tried_and_is_never_best(tmp_path):
    study = Study(tmp_path / "study", SPACE, ("error",), seed=0)
    study.begin()
    numbers = list(study.propose(2))
    study.tell(numbers[0], [float("nan")])
    study.tell(numbers[1], [2.0])
    assert len(study.tried) == 2
    assert [trial.number for trial in study.best] == [numbers[1]]


@pytest.mark.parametrize("value", [2.0, float("nan")])
def test_a_kill_while_a_result_is_told_counts_no_trial_twice(tmp_path, monkeypatch, value):
    study = Study(tmp_path / "study", SPACE, ("error",), seed=0)
    study.begin()
    [number] = study.propose(1)

    def killed(*arguments, **settings):
        raise KeyboardInterrupt

    monkeypatch.setattr(study._study, "tell", killed)
    with pytest.raises(KeyboardInterrupt):
        study.tell(number, [value])
    again = Study(tmp_path / "study", SPACE, ("error",), seed=0)
    again.begin()
    while len(again.tried) < 2:
        [number] = again.propose(1)
        again.tell(number, [1.0])
    distinct = {tuple(trial.params.values()) for trial in again.tried}
    assert len(again.tried) == len(distinct) == 2


def test_the_best_of_two_objectives_are_those_that_no_other_beats(tmp_path):
    study, _ = run(tmp_path / "study", 12)
    values = [trial.values for trial in study.tried]
    for a, b in (trial.values for trial in study.best):
        assert not any(c <= a and d <= b and (c, d) != (a, b) for c, d in values)


def test_a_study_of_other_objectives_is_refused(tmp_path):
    run(tmp_path / "study", 1)
    with pytest.raises(ValueError, match="has a study of"):
        Study(tmp_path / "study", SPACE, ("error",), seed=3)
