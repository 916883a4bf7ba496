"""A study of Optuna that survives: proposals of TPE for the jobs of a sweep, and their results.

The study is one file to which every proposal and result is appended. What TPE proposes depends on
the seed and on the results so far, and not on how often the sweep was cut: trials that were under
way are proposed again.
"""

import logging
import math
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from hydra.core.override_parser.types import IntervalSweep, Override, RangeSweep

if TYPE_CHECKING:
    import optuna
    from optuna.distributions import BaseDistribution

TRIED = "tried"
"""Attribute of the trials of jobs that have ended without a result."""


class Study:
    """Proposals for the keys of a search space, each value of which TPE wants to be small.

    Args:
        path: of the file; a study that is in it goes on.
        space: distribution of each key.
        names: of the objectives, one or several.
        seed: of the proposals.

    Raises:
        ImportError: Optuna is missing; the text says how to get it.
        ValueError: the study in the file has other objectives.
    """

    def __init__(
        self,
        path: Path,
        space: "Mapping[str, BaseDistribution]",
        names: Sequence[str],
        seed: int,
    ) -> None:
        create_study = _optuna().create_study
        from optuna.storages.journal import JournalFileBackend, JournalStorage

        self.space, self.names, self.seed = dict(space), list(names), seed
        path.parent.mkdir(parents=True, exist_ok=True)
        self._study: optuna.Study = create_study(
            storage=JournalStorage(JournalFileBackend(str(path))),
            study_name="sweep",
            directions=["minimize"] * len(self.names),
            load_if_exists=True,
        )
        self._open: dict[int, optuna.trial.Trial] = {}
        known = self._study.user_attrs.get("objectives", self.names)
        if known != self.names:
            raise ValueError(
                f"{path} has a study of {known}, and not of {self.names}: choose another "
                "hydra.sweep.dir, or the same optimized_metric"
            )
        self._study.set_user_attr("objectives", self.names)

    def begin(self) -> None:
        """Put the trials that were under way in front of all that are proposed."""
        state = _optuna().trial.TrialState
        for trial in self._study.get_trials(states=(state.RUNNING,)):
            self._study.tell(trial.number, state=state.FAIL)
            if TRIED not in trial.user_attrs:  # else only its end had not been told
                self._study.enqueue_trial(trial.params)

    @property
    def tried(self) -> list["optuna.trial.FrozenTrial"]:
        """Trials whose jobs have ended, with a result or without."""
        complete = _optuna().trial.TrialState.COMPLETE
        trials = self._study.get_trials()
        return [t for t in trials if t.state == complete or TRIED in t.user_attrs]

    @property
    def best(self) -> list["optuna.trial.FrozenTrial"]:
        """Trials that no other is better than in everything, by the first objective."""
        return sorted(self._study.best_trials, key=lambda trial: trial.values)

    def propose(self, number: int) -> dict[int, dict[str, str]]:
        """Values as one types them, by key, for so many trials, by the number of the trial."""
        samplers = _optuna().samplers
        proposed = {}
        first = self.seed + len(self.tried)
        for index in range(number):
            # A sampler of its own for each, so that no state is lost with the process.
            self._study.sampler = samplers.TPESampler(seed=first + index, constant_liar=number > 1)
            trial = self._study.ask(self.space)
            self._open[trial.number] = trial
            proposed[trial.number] = {key: str(value) for key, value in trial.params.items()}
        return proposed

    def tell(self, number: int, values: Sequence[float]) -> None:
        """The result of a trial that was proposed here; NaN for a job that has none."""
        trial = self._open.pop(number)
        if all(map(math.isfinite, values)):
            self._study.tell(trial, list(values))
        else:
            trial.set_user_attr(TRIED, True)
            self._study.tell(trial, state=_optuna().trial.TrialState.FAIL)


def distribution_of(item: Override) -> "BaseDistribution":
    """What Optuna is to draw a value from: a list, `range(...)` or `interval(...)`.

    Raises:
        ImportError: Optuna is missing.
        ValueError: a kind of sweep that it does not know.
    """
    distributions = _optuna().distributions
    value = item.value()
    if isinstance(value, IntervalSweep):
        assert value.start is not None
        assert value.end is not None
        whole = isinstance(value.start, int) and isinstance(value.end, int)
        kind: Any = distributions.IntDistribution if whole else distributions.FloatDistribution
        drawn: BaseDistribution = kind(value.start, value.end, log="log" in value.tags)
        return drawn
    if isinstance(value, RangeSweep) and not value.shuffle:
        numbers = list(value.range())
        whole = all(isinstance(number, int) for number in numbers)
        kind = distributions.IntDistribution if whole else distributions.FloatDistribution
        stepped: BaseDistribution = kind(min(numbers), max(numbers), step=abs(value.step))
        return stepped
    if not item.is_discrete_sweep():
        raise ValueError(f"'{item.input_line}' is no list, range(...) or interval(...) of values")
    listed = list(item.sweep_string_iterator())
    chosen: BaseDistribution = distributions.CategoricalDistribution(listed)
    return chosen


def _optuna() -> Any:
    try:
        import optuna
    except ImportError as error:
        raise ImportError("hydra/sweeper=tpe needs pip install 'sus2bench[sweeps]'") from error
    logging.getLogger("optuna").setLevel(logging.WARNING)
    return optuna
