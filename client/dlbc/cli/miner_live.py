"""The live view of `dlbc miner run` on a terminal: devices, entries with their countdowns, money, last events."""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Callable
from contextlib import AbstractContextManager
from types import TracebackType
from typing import Any

from rich.console import Console, Group, RenderableType
from rich.live import Live
from rich.progress_bar import ProgressBar
from rich.table import Table
from rich.text import Text

from dlbc.cli import render
from dlbc.cli.miner_status import device_line, shown_device
from dlbc.core.types import Address, Timestamp
from dlbc.roles.loop import Report
from dlbc.roles.miner_state import MinerState

EVENTS = 8
ROWS = 8
QUIET = frozenset({"waiting", "training", "phase"})
"""Events that the view shows by itself."""


class LiveView(AbstractContextManager["LiveView"]):
    """Redraws once a second. `publish` takes the miner's state; `report` stands in for the event lines."""

    def __init__(
        self, account: Address, console: Console | None = None, seconds: Callable[[], float] = time.monotonic
    ) -> None:
        self._account = account
        self._seconds = seconds
        self._state: MinerState | None = None
        self._read_at = 0.0
        self._events: deque[tuple[str, str]] = deque(maxlen=EVENTS)
        self._received = 0
        self._live = Live(
            console=console or render.console(err=True),
            get_renderable=self.draw,
            refresh_per_second=1,
            screen=False,
            redirect_stdout=False,
            redirect_stderr=False,
        )

    def __enter__(self) -> LiveView:
        self._live.start()
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self._live.stop()

    def publish(self, state: MinerState) -> None:
        """The newest state; the countdowns go on from it."""
        self._state, self._read_at = state, self._seconds()

    def heard(self, line: Callable[[str, dict[str, Any]], str]) -> Report:
        """A Report whose events are shown as `line` writes them."""

        def report(event: str, **keys: Any) -> None:
            if event == "money_arrived":
                self._received += int(keys["wei"])
            if event not in QUIET:
                self._events.append((event, line(event, keys)))

        return report

    def draw(self) -> RenderableType:
        """Everything, as of now."""
        parts: list[RenderableType] = [Text(f"Miner {self._account}", style="bold")]
        state = self._state
        if state is None:
            return Group(*parts, Text("  looks at the market …"))
        now = Timestamp(state.at + int(self._seconds() - self._read_at))
        parts += [_money(state, self._received), _devices(state, now)]
        if state.entries:
            parts.append(_entries(state, now))
        if state.queue:
            parts.append(_queue(state, now))
        if self._events:
            parts.append(Text("Events", style="bold"))
            parts += [Text(f"  {line}", overflow="ellipsis", no_wrap=True) for _, line in self._events]
        return Group(*parts)


def event_line(event: str, keys: dict[str, Any]) -> str:
    """A few words: "12:30:01 model committed  task 3"."""
    shown = [f"task {keys['task_id']}"] if keys.get("task_id") else []
    if "wei" in keys:
        shown.append(render.ether_about(int(keys["wei"])))
    shown += [str(keys[name]) for name in ("why", "reason", "state") if keys.get(name)]
    return render.printable(f"{time.strftime('%H:%M:%S')} {event.replace('_', ' ')}  {', '.join(shown)}".rstrip())


def _table(*columns: str) -> Table:
    table = Table(box=None, pad_edge=False, padding=(0, 2, 0, 0), title_justify="left", title_style="bold")
    for column in columns:
        table.add_column(column, overflow="ellipsis", no_wrap=True)
    return table


def _add(table: Table, *cells: RenderableType) -> None:
    """Text is never markup: strangers write some of it, and what looks like a tag would break the view."""
    table.add_row(*(Text(cell) if isinstance(cell, str) else cell for cell in cells))


def _money(state: MinerState, received: int) -> Text:
    about = render.ether_about
    return Text(
        f"  balance {about(state.balance_wei)}   at risk in deposits {about(state.at_risk_wei)}   "
        f"received {about(received)}"
    )


def _devices(state: MinerState, now: Timestamp) -> Table:
    table = _table("device", "does", "", "so far", "done")
    for device in state.devices:
        doing, so_far, left = device_line(device, now)
        is_known = device.epochs > 0 and device.began_at and device.ends_at
        span = max(1, (device.ends_at or 0) - (device.began_at or 0))
        passed = min(span, max(0, now - (device.began_at or 0)))
        bar: RenderableType = ProgressBar(total=span, completed=passed, width=16) if is_known else Text("")
        _add(table, shown_device(device.device), doing, bar, so_far, left)
    return table


def _entries(state: MinerState, now: Timestamp) -> Table:
    table = _table("entry", "next", "why", "ends")
    for entry in state.entries[:ROWS]:
        left = render.duration(entry.until - now) if entry.until > now else "-"
        _add(table, f"task {entry.task_id}", entry.do or "-", render.printable(entry.why), left)
    if len(state.entries) > ROWS:
        _add(table, f"… and {len(state.entries) - ROWS} more", "", "", "")
    return table


def _queue(state: MinerState, now: Timestamp) -> Table:
    table = _table("queue", "device", "starts", "why")
    for choice in state.queue[:ROWS]:
        starts = f"in {render.duration(choice.starts_at - now)}" if choice.starts_at > now else "next"
        _add(table, f"task {choice.task_id}", shown_device(choice.device), starts, choice.why)
    return table
