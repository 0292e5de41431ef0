"""Logs are events: a snake_case verb and keys. A line for people on a terminal, JSON elsewhere, always on stderr."""

from __future__ import annotations

import json
import re
import sys
from collections.abc import Callable
from datetime import UTC, datetime
from enum import Enum
from typing import TextIO

from dlbc.core.units import format_amount

HIDDEN = "[hidden]"
_SECRET = re.compile(r"(^|_)(salt|secret|secrets|password|mnemonic|seed|signature|private|key|keys)($|_)")
_PUBLIC = re.compile(r"(^|_)hash$")
_MOMENTS = ("ends_at", "until")
_EVENT = re.compile(r"[a-z][a-z0-9]*(_[a-z0-9]+)*")


class EventLog:
    """Call it with an event and its keys: `log("model_committed", task_id=1, role="miner")`.

    Values under names that speak of keys, salts, seeds, signatures or passwords are never written (hashes of them may
    be).
    """

    def __init__(
        self,
        stream: TextIO | None = None,
        now: Callable[[], datetime] = lambda: datetime.now(UTC),
        *,
        terminal: bool | None = None,
    ) -> None:
        self._stream = stream if stream is not None else sys.stderr
        self._now = now
        self._terminal = self._stream.isatty() if terminal is None else terminal

    def __call__(self, event: str, **keys: object) -> None:
        """Writes one line. `event` is a snake_case verb phrase."""
        assert _EVENT.fullmatch(event), f"an event is snake_case, found {event!r}"
        shown = {name: _shown(name, value) for name, value in keys.items()}
        if self._terminal:
            told = " ".join(f"{name}={_word(_readable(name, value))}" for name, value in shown.items())
            line = f"{self._now():%H:%M:%S} {event.replace('_', ' ')}{'  ' if told else ''}{told}"
        else:
            line = json.dumps({"time": self._now().isoformat(timespec="milliseconds"), "event": event, **shown})
        self._stream.write(line + "\n")
        self._stream.flush()


def _shown(name: str, value: object) -> object:
    if _SECRET.search(name) and not _PUBLIC.search(name):
        return HIDDEN
    if isinstance(value, bytes):
        return "0x" + value.hex()
    if isinstance(value, Enum):
        return getattr(value, "label", value.name)
    if isinstance(value, (str, int, float)) or value is None:
        return value
    return str(value)


def _readable(name: str, value: object) -> object:
    """For people: moments as a time of day in UTC, money in ether. Programs get the numbers."""
    if isinstance(value, int) and name in _MOMENTS:
        return f"{datetime.fromtimestamp(value, UTC):%H:%M:%S}" if value else "-"
    if isinstance(value, int) and name == "wei":
        return format_amount(value).replace(" ", "")
    return value


def _word(value: object) -> str:
    text = value if isinstance(value, str) else json.dumps(value)
    text = "".join(letter if letter.isprintable() else "�" for letter in text)
    return json.dumps(text, ensure_ascii=False) if " " in text else text
