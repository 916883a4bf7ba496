"""The budget of a training run: steps, frames, time, or whichever is used up first."""

import re
import time
from collections.abc import Callable
from datetime import timedelta

CLOCKS: dict[str, Callable[[], float]] = {
    "wall": time.monotonic,
    "processor": time.process_time,
}
"""Clocks by name. Processor time is that of all threads of this process: it leaves out what other
processes take from it on a busy machine, and the work of an accelerator."""

_UNITS = {"s": 1.0, "min": 60.0, "h": 3600.0, "d": 86400.0}


def seconds(duration: float | str | timedelta) -> float:
    """A duration in seconds: a number of seconds, or text such as `90 s`, `20 min`, `2 h`, `1 d`.

    Raises:
        ValueError: text of another form, or a duration that is not positive.
    """
    if isinstance(duration, timedelta):
        value = duration.total_seconds()
    elif isinstance(duration, str):
        match = re.fullmatch(r"\s*([0-9.]+(?:e[+-]?[0-9]+)?)\s*(s|min|h|d)?\s*", duration)
        if match is None:
            raise ValueError(
                f"{duration!r} is not a duration: give seconds, or text such as '20 min'"
            )
        value = float(match[1]) * _UNITS[match[2] or "s"]
    else:
        value = float(duration)
    if not value > 0:
        raise ValueError(f"a duration must be positive, not {duration!r}")
    return value


def read_clock(clock: str | Callable[[], float]) -> Callable[[], float]:
    """The function that reads a clock of `CLOCKS`, or the one that is given.

    Raises:
        ValueError: there is no clock of this name.
    """
    if not isinstance(clock, str):
        return clock
    if clock not in CLOCKS:
        raise ValueError(f"a clock is one of {', '.join(CLOCKS)}, not {clock!r}")
    return CLOCKS[clock]


class Budget:
    """How long to train, and how much of it is used.

    The time that earlier parts of a resumed run took counts: `elapsed` is saved with the run.

    Args:
        max_steps: optimizer steps, or None for no limit.
        max_time: from the first step on, validation included: seconds or text such as `20 min`;
            None for no limit.
        max_frames: training frames that the optimizer has seen, each as often as it has, or None.
        clock: what `max_time` is measured by: `wall` or `processor` (see `CLOCKS`), or a function
            that returns seconds.

    Raises:
        ValueError: no limit at all, one that is not positive, or an unknown clock.
    """

    def __init__(
        self,
        max_steps: int | None = None,
        max_time: float | str | timedelta | None = None,
        max_frames: int | None = None,
        *,
        clock: str | Callable[[], float] = "wall",
    ) -> None:
        if max_steps is None and max_time is None and max_frames is None:
            raise ValueError(
                "the budget is endless: set budget.max_steps, budget.max_frames or budget.max_time"
            )
        for name, limit in (("max_steps", max_steps), ("max_frames", max_frames)):
            if limit is not None and limit < 1:
                raise ValueError(f"budget.{name} must be at least 1, not {limit}")
        self.max_steps, self.max_frames = max_steps, max_frames
        self.max_time = None if max_time is None else seconds(max_time)
        self._clock = read_clock(clock)
        self._before = 0.0
        self._started: float | None = None

    def share(
        self,
        part: float,
        steps: int,
        elapsed: float,
        max_steps: int | None = None,
        *,
        frames: int = 0,
    ) -> "Budget | None":
        """A budget with a part of what is left, by the same clock.

        Args:
            part: in (0, 1].
            steps: optimizer steps that are used.
            elapsed: time that is used, s.
            max_steps: at most so many steps, if given.
            frames: training frames that are used.

        Returns:
            The budget, or None if nothing is left.
        """
        limits = [] if max_steps is None else [max_steps]
        if self.max_steps is not None:
            limits.append(int(part * (self.max_steps - steps) + 1e-9))  # 1e-9: parts are rounded
        time = None if self.max_time is None else part * (self.max_time - elapsed)
        seen = None if self.max_frames is None else int(part * (self.max_frames - frames) + 1e-9)
        if min([*limits, 1 if seen is None else seen]) < 1 or (time is not None and time <= 0):
            return None
        return Budget(min(limits, default=None), time, seen, clock=self._clock)

    def start(self, elapsed: float | None = None) -> None:
        """Starts the clock, after `elapsed` seconds that were used before (default: go on)."""
        self._before = self.elapsed if elapsed is None else elapsed
        self._started = self._clock()

    def stop(self) -> None:
        """Stops the clock."""
        self._before, self._started = self.elapsed, None

    @property
    def elapsed(self) -> float:
        """Time used so far by the budget's clock, s."""
        running = 0.0 if self._started is None else self._clock() - self._started
        return self._before + running

    def progress(self, step: int, frames: int = 0) -> float:
        """The used part of the budget in [0, 1] after optimizer steps on so many frames in all."""
        return min(max(self._used(step, frames).values()), 1.0)

    def used_up(self, step: int, frames: int = 0) -> str | None:
        """The limit that is reached, `max_steps`, `max_frames` or `max_time`; None if none is."""
        used = self._used(step, frames)
        limit = max(used, key=lambda name: used[name])
        return limit if used[limit] >= 1.0 else None

    def _used(self, step: int, frames: int) -> dict[str, float]:
        """The used part of each limit."""
        used = {}
        if self.max_steps is not None:
            used["max_steps"] = step / self.max_steps
        if self.max_frames is not None:
            used["max_frames"] = frames / self.max_frames
        if self.max_time is not None:
            used["max_time"] = self.elapsed / self.max_time
        return used
