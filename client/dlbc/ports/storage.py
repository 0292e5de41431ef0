"""Content-addressed storage."""

from __future__ import annotations

from typing import Protocol

from dlbc.core.types import Locator


class Storage(Protocol):
    """Content-addressed storage (IPFS). Whatever is fetched is re-hashed to its locator before it is returned."""

    def add(self, data: bytes) -> Locator:
        """Adds and pins; the locator is recomputed here and must match what the node says."""
        ...

    def fetch(self, locator: Locator, *, max_bytes: int, timeout: float = 60.0) -> bytes:
        """Raises Unavailable after `timeout` seconds, VerificationFailed if the bytes do not hash to the
        locator or are more than `max_bytes` (the fetch stops there).
        """
        ...

    def pin(self, locator: Locator, timeout: float = 60.0) -> None: ...

    def is_pinned(self, locator: Locator) -> bool: ...

    def unpin(self, locator: Locator) -> None:
        """The node may forget these bytes; no error if it had not pinned them."""
        ...

    def collect(self) -> int:
        """Asks the node to delete what is pinned by nobody; how many bytes that freed. Raises Unavailable."""
        ...

    def version(self) -> str:
        """Raises StorageUnreachable."""
        ...
