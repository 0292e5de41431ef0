"""The keeper as a daemon: every open task of a market moves on, and what miners left in a folder is sent."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass, field

from dlbc.core.decide import Do, decide_keeper
from dlbc.core.errors import ContractRefused, DlbcError
from dlbc.core.turns import delay, draw_lot, spread_to_advance
from dlbc.core.types import PhaseInfo, TaskId, Timestamp
from dlbc.ports import Chain
from dlbc.roles.keeper import advance
from dlbc.roles.loop import Report, unheard
from dlbc.roles.relaying import Relay
from dlbc.roles.tour import Tour

ADVANCE_SECONDS = 20.0
"""Of a tick: who posts a thousand tasks that end together must not hold up the reveals of others."""
REST = 64
"""Ticks that a task is left alone at most whose advance failed."""


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
    _tour: Tour = field(init=False)
    _rests: dict[TaskId, tuple[int, int]] = field(default_factory=dict)
    """(ticks left, ticks next time)."""
    _now: Timestamp | None = None
    """The chain's time, once this tick has asked for it."""

    def __post_init__(self) -> None:
        """Where it looks."""
        self._tour = Tour(self.chain, self.tasks)

    def tick(self) -> bool:
        """One look, and at most one transaction for each task that is due. False once all chosen tasks are over."""
        self._now = None
        if self.relay is not None:  # first: a reveal that is late costs a deposit, an advance can wait
            self.relay.tick()
        self._began = self.seconds()
        is_open = self.tasks is None
        for task_id, phase in self._tour.look():
            self._attend(task_id, phase)
            is_open = is_open or not phase.phase.is_cold
        return is_open

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
