"""Notices on their way to the owner: on disk before they leave, sent until they arrived, never in anybody's way.

A crash between an arrival and its note sends a notice again, under the same id.
"""

from __future__ import annotations

import json
import threading
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from dlbc.core.errors import DlbcError
from dlbc.ports import Channel, Journal
from dlbc.roles.loop import Report, unheard

NOTICE = "notice"
FIRST_PAUSE = 1.0
LONGEST_PAUSE = 300.0
"""Seconds between two tries on a channel that does not take anything."""
SLOWEST_SECONDS = 120.0
"""A channel that has not come back by then is given up on for this try."""


@dataclass(slots=True)
class Outbox:
    """One daemon's notices. Only the thread that ticks may use it; what is slow has threads of its own."""

    journal: Journal
    channels: Sequence[Channel]
    seconds: Callable[[], float]
    """A stopwatch."""
    report: Report = unheard
    patience: float = 0.0
    """Seconds that a step waits for what is being sent."""
    _lines: dict[str, _Line] = field(default_factory=dict)
    _documents: dict[str, bytes] = field(default_factory=dict)
    _kinds: dict[str, str] = field(default_factory=dict)
    _left: dict[str, set[str]] = field(default_factory=dict)

    def load(self) -> None:
        """What an earlier process did not get through, oldest first; for channels that are still wanted."""
        self._lines = {channel.name: _Line(channel) for channel in self.channels}
        for notice_id, record in self.journal.all(NOTICE):
            left = set(record["left"]) & set(self._lines)
            if left:
                self._enqueue(notice_id, record["document"], left)
            elif record["left"]:
                self.journal.put(NOTICE, notice_id, {"left": []})

    def put(self, notice_id: str, document: Mapping[str, Any]) -> bool:
        """On disk when this returns; False if it was there already, sent or not."""
        if self.journal.get(NOTICE, notice_id) is not None:
            return False
        names = [channel.name for channel in self.channels]
        record = {"left": names, "document": document} if names else {"left": []}
        self.journal.put(NOTICE, notice_id, record)
        if names:
            self._enqueue(notice_id, document, set(names))
        return True

    def step(self) -> None:
        """Notes what arrived, and sends what is due: on each channel one at a time."""
        for line in self._lines.values():
            self._gather(line)
            notice_id = line.next_due(self.seconds())
            if notice_id is not None:
                line.start(notice_id, self._kinds[notice_id], self._documents[notice_id], self.seconds())
                self._gather(line)

    @property
    def waiting(self) -> int:
        """Notices that have not arrived everywhere."""
        return len(self._left)

    def close(self) -> None:
        """Ends what is being sent; it is sent again by the next process."""
        for channel in self.channels:
            channel.close()

    # ------------------------------------------------------------------ inside

    def _enqueue(self, notice_id: str, document: Mapping[str, Any], left: set[str]) -> None:
        text = json.dumps(document, sort_keys=True, ensure_ascii=False)
        # Half of a surrogate pair, out of a node's words: UTF-8 has none, and an error here would come at every start.
        self._documents[notice_id] = text.encode("utf-8", "backslashreplace")
        self._kinds[notice_id] = str(document["kind"])
        self._left[notice_id] = left
        for name in left:
            self._lines[name].tries[notice_id] = 0

    def _gather(self, line: _Line) -> None:
        attempt = line.running
        if attempt is None or not attempt.is_over(self.patience, self.seconds()):
            return
        line.running = None
        error = attempt.error
        if error is None:
            self._arrived(line, attempt.notice_id)
        elif isinstance(error, DlbcError):
            line.failed(attempt.notice_id, self.seconds())
            self.report("notice_failed", channel=line.channel.name, reason=str(error))
        else:
            raise error

    def _arrived(self, line: _Line, notice_id: str) -> None:
        left = self._left[notice_id] - {line.channel.name}
        record = {"left": sorted(left), "document": json.loads(self._documents[notice_id])} if left else {"left": []}
        self.journal.put(NOTICE, notice_id, record)
        del line.tries[notice_id]
        if left:
            self._left[notice_id] = left
        else:
            del self._left[notice_id], self._documents[notice_id], self._kinds[notice_id]
        if line.pause > FIRST_PAUSE:
            self.report("notices_flow", channel=line.channel.name, waiting=len(line.tries))
        line.pause = FIRST_PAUSE


@dataclass(slots=True)
class _Line:
    """One channel and what waits for it."""

    channel: Channel
    tries: dict[str, int] = field(default_factory=dict)
    running: _Attempt | None = None
    pause: float = FIRST_PAUSE
    not_before: float = 0.0

    def next_due(self, now: float) -> str | None:
        """The oldest of those that were tried least: one that is never taken holds up no other."""
        if self.running is not None or not self.tries or now < self.not_before:
            return None
        return min(self.tries, key=self.tries.__getitem__)

    def start(self, notice_id: str, kind: str, body: bytes, now: float) -> None:
        self.running = _Attempt(self.channel, notice_id, kind, body, now)

    def failed(self, notice_id: str, now: float) -> None:
        self.tries[notice_id] += 1
        self.not_before = now + self.pause
        self.pause = min(LONGEST_PAUSE, 2 * self.pause)


class _Attempt:
    """One try, in a thread that nothing waits for."""

    def __init__(self, channel: Channel, notice_id: str, kind: str, body: bytes, now: float) -> None:
        self.notice_id = notice_id
        self.error: BaseException | None = None
        self._began = now
        self._is_over = threading.Event()
        threading.Thread(target=self._run, args=(channel, kind, body), name="notice", daemon=True).start()

    def is_over(self, patience: float, now: float) -> bool:
        """It ended, or takes too long."""
        if self._is_over.wait(patience):
            return True
        if now - self._began <= SLOWEST_SECONDS:
            return False
        self.error = DlbcError(f"it did not come back within {SLOWEST_SECONDS:.0f} s")
        return True

    def _run(self, channel: Channel, kind: str, body: bytes) -> None:
        error: BaseException | None = None
        try:
            channel.send(self.notice_id, kind, body)
        except BaseException as caught:  # noqa: BLE001  (it is raised again, or told, in the thread that ticks)
            error = caught
        if not self._is_over.is_set():
            self.error = error
        self._is_over.set()
