"""Logs are events: a snake_case verb and keys. A line for people on a terminal, JSON elsewhere, always on stderr."""

from __future__ import annotations

import json
import re
import sys
from collections.abc import Callable, MutableMapping
from datetime import UTC, datetime
from enum import Enum
from typing import Any, TextIO

import structlog

from dlbc.core.units import format_amount

HIDDEN = "[hidden]"
_SECRET = re.compile(r"(^|_)(salt|secret|secrets|password|mnemonic|seed|signature|private|key|keys)($|_)")
_PUBLIC = re.compile(r"(^|_)hash$")
_MOMENTS = ("ends_at", "until")
_EVENT = re.compile(r"[a-z][a-z0-9]*(_[a-z0-9]+)*")

Event = MutableMapping[str, Any]


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
        stream = stream if stream is not None else sys.stderr
        is_terminal = stream.isatty() if terminal is None else terminal

        def stamp(_: object, __: str, event: Event) -> Event:
            return {"time": now(), "event": event.pop("event"), **event}

        self._log = structlog.wrap_logger(
            structlog.WriteLogger(stream),
            processors=[stamp, _plain, _line if is_terminal else _json],
            wrapper_class=structlog.BoundLogger,
            context_class=dict,
            cache_logger_on_first_use=True,
        )

    def __call__(self, event: str, **keys: object) -> None:
        """Writes one line. `event` is a snake_case verb phrase."""
        assert _EVENT.fullmatch(event), f"an event is snake_case, found {event!r}"
        self._log.info(event, **keys)


def _plain(_: object, __: str, event: Event) -> Event:
    """Secrets are hidden, and everything else becomes something that JSON has."""
    return {name: value if name in ("time", "event") else _shown(name, value) for name, value in event.items()}


def _json(_: object, __: str, event: Event) -> str:
    return json.dumps({**event, "time": event["time"].isoformat(timespec="milliseconds")})


def _line(_: object, __: str, event: Event) -> str:
    """For people."""
    time, verb = event.pop("time"), event.pop("event")
    told = " ".join(f"{name}={_word(_readable(name, value))}" for name, value in event.items())
    return f"{time:%H:%M:%S} {verb.replace('_', ' ')}{'  ' if told else ''}{told}"


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
        try:
            return f"{datetime.fromtimestamp(value, UTC):%H:%M:%S}" if value else "-"
        except (ValueError, OverflowError, OSError):  # a moment that no calendar has
            return value
    if isinstance(value, int) and name == "wei":
        return format_amount(value).replace(" ", "")
    return value


def _word(value: object) -> str:
    text = value if isinstance(value, str) else json.dumps(value)
    text = "".join(letter if letter.isprintable() else "�" for letter in text)
    return json.dumps(text, ensure_ascii=False) if " " in text else text
