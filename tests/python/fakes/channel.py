"""Somebody who listens to a daemon's notices, and is not always there."""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from typing import Any, Protocol

from dlbc.core.errors import TryLater


class Takes(Protocol):
    """Counts what a process does to the outside world (fakes.world.Steps)."""

    def take(self, name: str) -> None: ...


@dataclass
class Listener:
    """What was heard, by whatever process said it. `deaf` so many times at first, or until it is set to 0."""

    deaf: int = 0
    heard: list[dict[str, Any]] = field(default_factory=list)

    def process(self, steps: Takes | None = None) -> ListenerChannel:
        """As one process reaches it."""
        return ListenerChannel(self, steps)

    def kinds(self, task_id: int | None = None) -> list[str]:
        """Kinds of what was heard, each notice once, in the order of the first time."""
        once = {notice["id"]: notice for notice in reversed(self.heard)}
        ids = list(dict.fromkeys(notice["id"] for notice in self.heard))
        return [once[each]["kind"] for each in ids if task_id in (None, once[each]["taskId"])]

    def of_kind(self, kind: str) -> list[dict[str, Any]]:
        """Every notice of a kind, each once."""
        return list({notice["id"]: notice for notice in self.heard if notice["kind"] == kind}.values())


@dataclass
class ListenerChannel:
    """ports.Channel."""

    listener: Listener
    steps: Takes | None = None
    name: str = "listener"
    is_closed: bool = False

    def send(self, notice_id: str, kind: str, body: bytes) -> None:
        if self.listener.deaf > 0:
            self.listener.deaf -= 1
            raise TryLater("nobody listens")
        if self.steps is not None:
            self.steps.take("before notice")
        document = json.loads(body)
        assert (document["id"], document["kind"]) == (notice_id, kind)
        self.listener.heard.append(document)
        if self.steps is not None:
            self.steps.take("after notice")

    def close(self) -> None:
        self.is_closed = True
