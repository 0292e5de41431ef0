"""The time of our own work."""

from __future__ import annotations

from typing import Protocol


class Clock(Protocol):
    """Wall-clock time, for deadlines of our own work. Phases follow the chain's time (Chain.now)."""

    def now(self) -> float: ...

    def sleep(self, seconds: float) -> None: ...
