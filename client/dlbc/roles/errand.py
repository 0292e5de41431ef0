"""Work whose pace strangers set (their bytes, their test sets), in a thread of its own: no deadline waits for it.

A tick loop asks for the result and goes on to its other entries while there is none.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any, Generic, TypeVar, cast

from dlbc.core.errors import TryLater
from dlbc.core.types import Locator
from dlbc.ports import Storage

Result = TypeVar("Result")


class StillRunning(TryLater):
    """The errand has no result yet."""


class Errand(Generic[Result]):
    """Runs once. `abandon` it when nobody wants the result any more: it then asks for no further bytes."""

    def __init__(
        self, what: str, storage: Storage, work: Callable[[Storage], Result], seconds: float | None = None
    ) -> None:
        """`work` gets a storage to fetch from, for so many seconds. It must touch nothing that a tick changes."""
        self._what = what
        self._is_abandoned = threading.Event()
        self._is_over = threading.Event()
        self._found: Result | None = None
        self._error: BaseException | None = None
        until = None if seconds is None else time.monotonic() + seconds
        fetching = cast("Storage", _Fetching(storage, self._is_abandoned, until))
        threading.Thread(target=self._run, args=(work, fetching), name="errand", daemon=True).start()

    def result(self, seconds: float) -> Result:
        """What the work returned, or raised; waits so long for it. Raises StillRunning."""
        if not self._is_over.wait(seconds):
            raise StillRunning(f"{self._what}; it goes on beside everything else")
        if self._error is not None:
            raise self._error
        return cast("Result", self._found)

    def abandon(self) -> None:
        """Nobody waits for it any more."""
        self._is_abandoned.set()

    def _run(self, work: Callable[[Storage], Result], storage: Storage) -> None:
        try:
            self._found = work(storage)
        except BaseException as error:  # noqa: BLE001  (it is raised again, in the thread that asks)
            self._error = error
        self._is_over.set()


class _Fetching:
    """A Storage to fetch from, until its errand is abandoned or its time is over."""

    def __init__(self, storage: Storage, is_abandoned: threading.Event, until: float | None) -> None:
        self._storage, self._is_abandoned, self._until = storage, is_abandoned, until

    def fetch(self, locator: Locator, *, max_bytes: int, timeout: float = 60.0) -> bytes:
        if self._is_abandoned.is_set():
            raise TryLater("nobody waits for these bytes any more")
        if self._until is not None and time.monotonic() > self._until:
            raise TryLater("it was not served in time; it is asked for again")
        return self._storage.fetch(locator, max_bytes=max_bytes, timeout=timeout)

    def __getattr__(self, name: str) -> Any:
        return getattr(self._storage, name)


class Room:
    """Memory that errands share. Who needs more than there is gets it alone."""

    def __init__(self, size: int | None = None) -> None:
        """In bytes; None: as much as anybody wants."""
        self._size, self._used = size, 0
        self._changed = threading.Condition()

    @contextmanager
    def taken(self, size: int, seconds: float) -> Iterator[None]:
        """So many bytes of it, once they are free. Raises TryLater after so many seconds."""
        with self._changed:
            if not self._changed.wait_for(lambda: self._fits(size), seconds):
                raise TryLater("what is fetched for other entries fills the memory; it is tried again")
            self._used += size
        try:
            yield
        finally:
            with self._changed:
                self._used -= size
                self._changed.notify_all()

    def _fits(self, size: int) -> bool:
        return self._size is None or self._used == 0 or self._used + size <= self._size
