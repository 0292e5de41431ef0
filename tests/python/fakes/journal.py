"""A journal in memory."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any


class MemoryJournal:
    """ports.Journal. Records pass through JSON, as they would on disk."""

    def __init__(self) -> None:
        self._records: dict[tuple[str, str], str] = {}

    def put(self, kind: str, key: str, record: Mapping[str, Any]) -> None:
        self._records[kind, key] = json.dumps(dict(record), allow_nan=False)

    def get(self, kind: str, key: str) -> dict[str, Any] | None:
        found = self._records.get((kind, key))
        return None if found is None else dict(json.loads(found))

    def all(self, kind: str) -> list[tuple[str, dict[str, Any]]]:
        return [(key, dict(json.loads(value))) for (of, key), value in self._records.items() if of == kind]

    def delete(self, kind: str, key: str) -> None:
        self._records.pop((kind, key), None)

    def close(self) -> None:
        """Nothing to do: what is in memory stays, as on disk."""
