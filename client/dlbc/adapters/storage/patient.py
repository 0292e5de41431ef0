"""IPFS for one errand that has to end: all its fetches together get so many seconds."""

from __future__ import annotations

import time

from dlbc.adapters.storage.ipfs import IpfsStorage
from dlbc.core.cid import to_cid
from dlbc.core.errors import Unavailable
from dlbc.core.types import Locator


class PatientStorage(IpfsStorage):
    """Whoever serves every part just in time can't hold up the whole: what comes too late is Unavailable."""

    def __init__(self, api: str, seconds: float) -> None:
        """seconds: from now on."""
        super().__init__(api)
        self._seconds, self._ends_at = seconds, time.monotonic() + seconds

    def fetch(self, locator: Locator, *, max_bytes: int, timeout: float = 60.0) -> bytes:
        left = self._ends_at - time.monotonic()
        if left <= 0:
            raise Unavailable(f"nobody served {to_cid(locator)} within the {self._seconds:.0f} s for everything")
        return super().fetch(locator, max_bytes=max_bytes, timeout=min(timeout, left))
