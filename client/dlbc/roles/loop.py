"""One tick loop for every role: decide from facts, do one small thing, look again."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, Protocol

from dlbc.core.errors import TryLater
from dlbc.ports import Clock

LONGEST_PAUSE = 60.0


class Report(Protocol):
    """Where a role says what it does: one event per call, a snake_case verb and its keys. Never a secret."""

    def __call__(self, event: str, **keys: Any) -> None: ...


def unheard(event: str, **keys: Any) -> None:
    """A Report that nobody listens to."""


def run(tick: Callable[[], bool], clock: Clock, *, report: Report = unheard, pause: float = 1.0) -> None:
    """Calls `tick` until it returns False. TryLater doubles the pause, up to a minute; other errors end the loop."""
    failures = 0
    while True:
        try:
            if not tick():
                return
            failures = 0
        except TryLater as error:
            failures += 1
            report("try_later", reason=str(error))
        clock.sleep(min(LONGEST_PAUSE, pause * 2 ** min(failures, 10)))


def said_once(report: Report) -> Report:
    """A Report that leaves out an event repeated with the same keys for the same task: what waits, waits silently."""
    last: dict[object, Mapping[str, Any]] = {}

    def heard(event: str, **keys: Any) -> None:
        about = (event, keys.get("task_id"), keys.get("round"))
        if last.get(about) != keys:
            last[about] = keys
            report(event, **keys)

    return heard
