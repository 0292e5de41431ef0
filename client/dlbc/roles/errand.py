"""Work whose pace strangers set (their bytes, their test sets), in a thread of its own: no deadline waits for it.

A tick loop asks for the result and goes on to its other entries while there is none.
"""

from __future__ import annotations

import threading
from collections.abc import Callable
from typing import Any, Generic, TypeVar, cast

from dlbc.core.errors import TryLater
from dlbc.core.types import Locator
from dlbc.ports import Storage

Result = TypeVar("Result")


class StillRunning(TryLater):
    """The errand has no result yet."""


class Errand(Generic[Result]):
    """Runs once. `abandon` it when nobody wants the result any more: it then asks for no further bytes."""

    def __init__(self, what: str, storage: Storage, work: Callable[[Storage], Result]) -> None:
        """`work` gets a storage to fetch from that ends with the errand. It must touch nothing that a tick changes."""
        self._what = what
        self._is_abandoned = threading.Event()
        self._is_over = threading.Event()
        self._found: Result | None = None
        self._error: BaseException | None = None
        fetching = cast("Storage", _Fetching(storage, self._is_abandoned))
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
    """A Storage to fetch from, until its errand is abandoned."""

    def __init__(self, storage: Storage, is_abandoned: threading.Event) -> None:
        self._storage, self._is_abandoned = storage, is_abandoned

    def fetch(self, locator: Locator, *, max_bytes: int, timeout: float = 60.0) -> bytes:
        if self._is_abandoned.is_set():
            raise TryLater("nobody waits for these bytes any more")
        return self._storage.fetch(locator, max_bytes=max_bytes, timeout=timeout)

    def __getattr__(self, name: str) -> Any:
        return getattr(self._storage, name)
