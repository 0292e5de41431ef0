"""Round the market again and again: the phase of every open task at each look, of closed ones now and then."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field

from dlbc.core.types import PhaseInfo, TaskId
from dlbc.ports import Chain

PAGE = 100
"""Tasks of one request."""
PAGES = 16
"""Requests of one look at most, beside one for tasks that are over: a reorganisation may bring one back."""

_Page = int
"""Tasks page * PAGE + 1 .. (page + 1) * PAGE."""


@dataclass(slots=True)
class Tour:
    """Of all tasks, or of the chosen ones; remembers only where it has seen open tasks."""

    chain: Chain
    tasks: frozenset[TaskId] | None = None  # None: all of the market
    _open: dict[_Page, int] = field(default_factory=dict)
    """Pages with a task that is not over yet, and the number of the last look."""
    _last: _Page = 0
    """The page that the next new task comes to."""
    _old: _Page = 0
    _looks: int = 0

    def look(self) -> Iterator[tuple[TaskId, PhaseInfo]]:
        """Tasks and their phases, page after page; a caller may write between two of them."""
        self._looks += 1
        if self.tasks is not None:
            yield from [(task_id, self.chain.phase(task_id)) for task_id in sorted(self.tasks)]
            return
        seen: set[_Page] = set()
        for page in self._next_pages():
            if page not in seen:
                seen.add(page)
                yield from self._look_at(page)

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

    def _look_at(self, page: _Page) -> list[tuple[TaskId, PhaseInfo]]:
        first = page * PAGE + 1
        phases = self.chain.phases(TaskId(first), PAGE)
        if page == self._last and len(phases) == PAGE:
            self._last += 1
        if any(not phase.phase.is_cold for phase in phases):
            self._open[page] = self._looks
        else:
            self._open.pop(page, None)
        return [(TaskId(number), phase) for number, phase in enumerate(phases, first)]
