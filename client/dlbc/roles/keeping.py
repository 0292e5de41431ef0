"""The keeper as a daemon: every open task of a market moves on, and what miners left in a folder is sent."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field

from dlbc.core.decide import Do, decide_keeper
from dlbc.core.errors import ContractRefused, DlbcError
from dlbc.core.turns import delay, draw_lot, spread_to_advance
from dlbc.core.types import PhaseInfo, TaskId, Timestamp
from dlbc.ports import Chain
from dlbc.roles.keeper import advance
from dlbc.roles.loop import Report, unheard
from dlbc.roles.relaying import Relay

PAGE = 100
"""Tasks of one request."""
PAGES = 16
"""Requests of one tick at most, beside one for tasks that are over: a reorganisation may bring one back."""
ADVANCE_SECONDS = 20.0
"""Of a tick: who posts a thousand tasks that end together must not hold up the reveals of others."""
REST = 64
"""Ticks that a task is left alone at most whose advance failed."""

_Page = int
"""Tasks page * PAGE + 1 .. (page + 1) * PAGE."""


@dataclass(slots=True)
class MarketKeeper:
    """Remembers nothing that the chain does not tell again, so it may be killed at any line."""

    chain: Chain
    report: Report = unheard
    tasks: frozenset[TaskId] | None = None  # None: all of the market
    relay: Relay | None = None
    seconds: Callable[[], float] = time.monotonic
    """A stopwatch."""
    _began: float = 0.0
    """On it, of this tick's advances."""
    _open: dict[_Page, int] = field(default_factory=dict)
    """Pages with a task that is not over yet, and the tick of the last look."""
    _last: _Page = 0
    """The page that the next new task comes to."""
    _old: _Page = 0
    _ticks: int = 0
    _rests: dict[TaskId, tuple[int, int]] = field(default_factory=dict)
    """(ticks left, ticks next time)."""
    _now: Timestamp | None = None
    """The chain's time, once this tick has asked for it."""

    def tick(self) -> bool:
        """One look, and at most one transaction for each task that is due. False once all chosen tasks are over."""
        self._ticks += 1
        self._now = None
        if self.relay is not None:  # first: a reveal that is late costs a deposit, an advance can wait
            self.relay.tick()
        self._began = self.seconds()
        if self.tasks is None:
            self._look_at_the_market()
            is_over = False
        else:
            looks = [(task_id, self.chain.phase(task_id)) for task_id in sorted(self.tasks)]
            for task_id, phase in looks:
                self._attend(task_id, phase)
            is_over = all(phase.phase.is_cold for _, phase in looks)
        return not is_over

    def _look_at_the_market(self) -> None:
        seen: set[_Page] = set()
        for page in self._next_pages():
            if page not in seen:
                seen.add(page)
                self._look_at(page)

    def _next_pages(self) -> Iterator[_Page]:
        """Where tasks are open, longest unseen first; then where new ones come, until there are none; one old page."""
        yield from sorted(self._open, key=lambda page: (self._open[page], page))[:PAGES]
        for _ in range(PAGES):
            before = self._last
            yield before
            if self._last == before:
                break
        self._old = self._old + 1 if self._old < self._last else 0
        yield self._old

    def _look_at(self, page: _Page) -> None:
        first = page * PAGE + 1
        phases = self.chain.phases(TaskId(first), PAGE)
        if page == self._last and len(phases) == PAGE:
            self._last += 1
        if any(not phase.phase.is_cold for phase in phases):
            self._open[page] = self._ticks
        else:
            self._open.pop(page, None)
        for number, phase in enumerate(phases, first):
            self._attend(TaskId(number), phase)

    def _attend(self, task_id: TaskId, phase: PhaseInfo) -> None:
        if decide_keeper(phase).do is not Do.ADVANCE:
            self._rests.pop(task_id, None)
            return
        left, pause = self._rests.get(task_id, (0, 1))
        if left > 0:
            self._rests[task_id] = left - 1, pause
            return
        if self.seconds() - self._began > ADVANCE_SECONDS or not self._is_my_turn(task_id, phase):
            return
        try:
            advance(self.chain, task_id, self.report)
        except ContractRefused as error:  # somebody else was faster, or the node is behind
            self._rests[task_id] = pause, min(REST, 2 * pause)
            self.report("refused", task_id=task_id, reason=str(error))
        except DlbcError as error:  # no money, or no node: the other tasks still have a chance
            self._rests[task_id] = pause, min(REST, 2 * pause)
            self.report("failed", task_id=task_id, reason=str(error))

    def _is_my_turn(self, task_id: TaskId, phase: PhaseInfo) -> bool:
        """Several keepers do not pay for the same: where windows are long, each has its own moment after their end."""
        spread = spread_to_advance(self.chain.params().min_window)
        if spread == 0 or self.chain.account is None:
            return True
        if self._now is None:
            self._now = self.chain.now()
        lot = draw_lot(self.chain.account, task_id, phase.ends_at)
        return self._now >= phase.ends_at + delay(spread, lot)
