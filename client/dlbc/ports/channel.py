"""Ways to tell the owner of a daemon something."""

from __future__ import annotations

from typing import Protocol


class Channel(Protocol):
    """One way to tell the owner of a daemon something."""

    @property
    def name(self) -> str:
        """Which way: "webhook", "command"."""
        ...

    def send(self, notice_id: str, kind: str, body: bytes) -> None:
        """Delivers one JSON document, within a minute. Called in a thread of its own, one at a time.

        Raises TryLater when it did not arrive: it is sent again, under the same id.
        """
        ...

    def close(self) -> None:
        """Ends what is being sent."""
        ...
