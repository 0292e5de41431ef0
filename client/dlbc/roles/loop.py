"""One tick loop for every role: decide from facts, do one small thing, look again."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, Protocol, TypeVar

from dlbc.core.errors import ContractRefused, DlbcError, NotFound, TryLater, VerificationFailed
from dlbc.ports import Clock

LONGEST_PAUSE = 15.0
"""Seconds. Whoever holds deposits wants to know soon that the node is back."""
REMEMBERED = 20_000
"""Events that are not said again."""
RETRIED = (TryLater, VerificationFailed, ContractRefused, NotFound)
"""A node that answers nonsense once, or lags behind, must not end a role that holds deposits."""

Item = TypeVar("Item")


class Report(Protocol):
    """Where a role says what it does: one event per call, a snake_case verb and its keys. Never a secret."""

    def __call__(self, event: str, **keys: Any) -> None: ...


def unheard(event: str, **keys: Any) -> None:
    """A Report that nobody listens to."""


def run(
    tick: Callable[[], bool], clock: Clock, *, report: Report = unheard, pause: float | Callable[[], float] = 1.0
) -> None:
    """Calls `tick` until it returns False. One of RETRIED doubles the pause, up to LONGEST_PAUSE; others end it."""
    failures = 0
    while True:
        try:
            if not tick():
                return
            failures = 0
        except RETRIED as error:
            failures += 1
            report("try_later", reason=str(error))
        usual = pause() if callable(pause) else pause
        clock.sleep(min(LONGEST_PAUSE, usual * 2 ** min(failures, 10)))


def attend(items: list[Item], step: Callable[[Item], bool], report: Report = unheard) -> bool:
    """Steps every item and removes those whose step says True; False when none is left.

    An item that fails is told and tried again, for the sake of the others; when all that are left fail, the first
    error is raised.
    """
    failures: list[DlbcError] = []
    tried = list(items)
    for item in tried:
        try:
            if step(item):
                items.remove(item)
        except DlbcError as error:
            failures.append(error)
            report("failed", task_id=item, reason=str(error))
    if failures and len(failures) == len(tried):
        raise next((error for error in failures if error.retryable), failures[0])
    return bool(items)


def said_once(report: Report) -> Report:
    """A Report that leaves out an event repeated with the same keys for the same task: what waits, waits silently.

    Strangers' tasks do not pile up in its memory: of what was not said for long it may be reminded.
    """
    last: dict[object, Mapping[str, Any]] = {}

    def heard(event: str, **keys: Any) -> None:
        about = (event, keys.get("task_id"), keys.get("round"))
        before = last.pop(about, None)
        last[about] = keys
        if len(last) > REMEMBERED:
            del last[next(iter(last))]
        if before != keys:
            report(event, **keys)

    return heard
