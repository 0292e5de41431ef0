"""Examinations of a stranger's work, each in a process of its own."""

from __future__ import annotations

from typing import Protocol

from dlbc.core.examination import Examination
from dlbc.core.types import TaskId


class Examining(Protocol):
    """One examination that runs in a process of its own."""

    def poll(self) -> Examination | None:
        """None while it runs. Raises when it ended without a finding, saying why: LimitReached if it broke its limits
        and would again, TryLater for anything else.
        """
        ...

    def stop(self) -> None:
        """Ends it and forgets what it had; may be called again."""
        ...


class Examinations(Protocol):
    """Starts examinations, within limits of time, memory and file size. They have no account and no key."""

    def start(self, task_id: TaskId, *, test_set: bool) -> Examining: ...
