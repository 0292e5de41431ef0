"""A clock that only moves when somebody sleeps."""

from __future__ import annotations

from collections.abc import Callable


class FakeClock:
    """ports.Clock; `on_sleep` is called instead of waiting."""

    def __init__(self, on_sleep: Callable[[float], None] = lambda seconds: None) -> None:
        self.time = 0.0
        self.slept: list[float] = []
        self._on_sleep = on_sleep

    def now(self) -> float:
        return self.time

    def sleep(self, seconds: float) -> None:
        self.time += seconds
        self.slept.append(seconds)
        self._on_sleep(seconds)
