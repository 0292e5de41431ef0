"""Which entries a tick has to look at. What waits for a known moment, or for the market's log, costs no request."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field

from dlbc.core.events import News
from dlbc.core.types import TaskId, Timestamp
from dlbc.ports import Chain

LONGEST_REST = 60.0
"""Seconds: a node may lie about its log, or lag behind; the chain itself is asked this often,"""
LOOKS_APART = 15.0
"""but, with many entries, about no more than one of them in so many seconds."""
AFTERMATH = 3
"""Looks at an entry after something happened to its task: nodes behind one endpoint learn of it one by one."""


@dataclass(frozen=True, slots=True)
class _Rest:
    until: float  # on the stopwatch
    chain_time: Timestamp  # 0: no moment is known


@dataclass(slots=True)
class Attention:
    """`look` first, once a tick; then `is_due` for each entry, and `rest` when one has nothing to do for a while."""

    chain: Chain
    seconds: Callable[[], float]
    news: News | None = None
    _rests: dict[str, _Rest] = field(default_factory=dict)
    _aftermath: dict[TaskId, int] = field(default_factory=dict)
    _everything: int = AFTERMATH
    _read_at: float = 0.0

    def look(self) -> News:
        """What happened since the last look."""
        news = self.news = self.chain.news(self.news)
        self._read_at = self.seconds()
        self._everything -= self._everything > 0
        self._aftermath = {task_id: left - 1 for task_id, left in self._aftermath.items() if left > 1}
        if news.touched is None:
            self._everything = AFTERMATH
        else:
            self._aftermath |= dict.fromkeys(news.touched, AFTERMATH)
        return news

    def now(self) -> Timestamp:
        """The chain's time, as far as the last look tells it."""
        return Timestamp(0) if self.news is None else Timestamp(self.news.time + int(self.seconds() - self._read_at))

    def is_due(self, key: str, task_id: TaskId) -> bool:
        """Something happened to its task, its moment has come, or it was not looked at for long."""
        rest = self._rests.get(key)
        if rest is None or self._everything or task_id in self._aftermath or self.seconds() >= rest.until:
            return True
        return self.news is not None and 0 < rest.chain_time <= self.news.time

    def rest(self, key: str, now: Timestamp, until: Timestamp) -> None:
        """Nothing is to be done for an entry before `until` (0: before something happens to its task)."""
        longest = max(LONGEST_REST, LOOKS_APART * len(self._rests))
        pause = min(longest, max(0, until - now)) if until else longest
        self._rests[key] = _Rest(self.seconds() + pause, until)

    def wake(self, key: str) -> None:
        """Its next step is due."""
        self._rests.pop(key, None)

    def is_resting(self, key: str) -> bool:
        """It waits."""
        return key in self._rests
