"""A role's own memory on disk."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Protocol


class Journal(Protocol):
    """This role's own memory on disk: small JSON records by (kind, key), written durably before they return.
    The chain is the truth; deleting the journal must be survivable.
    """

    def put(self, kind: str, key: str, record: Mapping[str, Any]) -> None:
        """Inserts or replaces. Values are JSON; bytes are stored as 0x-hex by the caller."""
        ...

    def get(self, kind: str, key: str) -> dict[str, Any] | None: ...

    def all(self, kind: str) -> list[tuple[str, dict[str, Any]]]:
        """In order of first insertion."""
        ...

    def delete(self, kind: str, key: str) -> None: ...

    def close(self) -> None: ...
