"""How values look on a terminal (80 columns), and how results become JSON. No rule of the protocol lives here."""

from __future__ import annotations

import dataclasses
import json
import sys
import textwrap
import time
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from enum import Enum
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, Any, TextIO

import click

from dlbc.core.types import ZERO_ADDRESS, Locator
from dlbc.core.units import format_amount, format_duration, format_ppm

if TYPE_CHECKING:
    from rich.console import Console
    from rich.progress import TaskID

WIDTH = 80
_PLAIN_LINE_SECONDS = 5.0

ether = format_amount
duration = format_duration
ppm = format_ppm


def ether_about(wei: int) -> str:
    """Ether with four decimals at most, rounded down, for a narrow line: "0.3998 ether", "<0.0001 ether"."""
    tenths = wei // 10**14
    return "<0.0001 ether" if wei and not tenths else format_amount(tenths * 10**14)


def difficulty(millionths: int) -> str:
    """A difficulty (millionths of a bit) with three decimals: "12.345"."""
    return f"{millionths // 1_000_000}.{millionths % 1_000_000 // 1_000:03d}"


def short(value: str | bytes) -> str:
    """An address, hash or CID cut to what tells it apart: "0x70997970…79C8", "-" for none."""
    text = "0x" + value.hex() if isinstance(value, bytes) else value
    if not text or text == ZERO_ADDRESS:
        return "-"
    return text if len(text) <= 16 else f"{text[:10]}…{text[-4:]}"


def cid(locator: Locator) -> str:
    """The CIDv0 of a locator: "Qm…", 46 characters."""
    from dlbc.core.cid import to_cid

    return to_cid(locator)


def size(count: int) -> str:
    """Bytes in the unit that reads best: "16.0 MiB"."""
    value, units = float(count), ["B", "KiB", "MiB", "GiB", "TiB"]
    while value >= 1024 and len(units) > 1:
        value /= 1024
        units.pop(0)
    return f"{count} B" if units[0] == "B" else f"{value:.1f} {units[0]}"


def moment(timestamp: int) -> str:
    """A unix time in UTC: "2026-11-22 21:42:16"; "-" for 0; the number if no calendar has it."""
    try:
        return datetime.fromtimestamp(timestamp, UTC).strftime("%Y-%m-%d %H:%M:%S") if timestamp else "-"
    except (ValueError, OverflowError, OSError):
        return str(timestamp)


def console(*, err: bool = False) -> Console:
    """The terminal's own width when it is one, else 80 columns without colours."""
    from rich.console import Console

    stream = sys.stderr if err else sys.stdout
    return Console(file=stream, width=None if stream.isatty() else WIDTH, highlight=False, soft_wrap=False)


def table(title: str, columns: Sequence[str], rows: Sequence[Sequence[object]], *, right: Sequence[str] = ()) -> None:
    """Prints a table on stdout; `right` names the columns that are aligned to the right.

    Cells are text, never markup: what strangers wrote is shown as it is, without control characters.
    """
    from rich import box
    from rich.table import Table
    from rich.text import Text

    if title:
        click.secho(printable(title), bold=True)  # rich would wrap it to the width of the table
    shown = Table(box=box.SIMPLE, pad_edge=False, collapse_padding=True)
    for column in columns:
        shown.add_column(column, justify="right" if column in right else "left", overflow="fold")
    for row in rows:
        shown.add_row(*(Text(printable(str(cell))) for cell in row))
    console().print(shown)


def paragraph(text: str) -> None:
    """Prints sentences, broken at 80 columns but never within a word: commands and addresses stay whole."""
    lines = textwrap.wrap(printable(text), WIDTH, break_long_words=False, break_on_hyphens=False)
    click.echo("\n".join(lines))


def facts(title: str, pairs: Mapping[str, object]) -> None:
    """Prints names and values under each other."""
    if title:
        click.secho(title, bold=True)
    width = max((len(name) for name in pairs), default=0)
    for name, value in pairs.items():
        click.echo(f"  {name:<{width}}  {printable(str(value))}")


def printable(text: str) -> str:
    """Text of strangers without the characters that could steer a terminal."""
    return "".join(letter if letter.isprintable() else "�" for letter in text)


def print_json(value: object) -> None:
    """One JSON object on stdout. Bytes become 0x-hex, enums their label, dataclasses objects with
    keys in camelCase, paths text.
    """
    text = json.dumps(value, default=_plain, ensure_ascii=False)
    click.echo(text.encode("utf-8", "backslashreplace").decode())  # what strangers wrote may have half a surrogate pair


def _plain(value: Any) -> Any:
    if isinstance(value, bytes):
        return "0x" + value.hex()
    if isinstance(value, Enum):
        return getattr(value, "label", value.name)
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        return {_camel(field.name): getattr(value, field.name) for field in dataclasses.fields(value)}
    if isinstance(value, Path):
        return str(value)
    if isinstance(value, (set, frozenset)):
        return sorted(value)
    raise TypeError(f"{type(value).__name__} has no JSON form")


def _camel(name: str) -> str:
    """A field's name as the contracts and all other keys are written: "bounty_wei" is "bountyWei"."""
    first, *others = name.split("_")
    return first + "".join(word.capitalize() for word in others)


class ProgressLines:
    """A `ports.Progress` on stderr: bars on a terminal, else a line when something starts, ends, or every 5 s.

    after: seconds in which nothing is shown, for what is usually over sooner.
    """

    def __init__(self, stream: TextIO | None = None, *, after: float = 0.0) -> None:
        self._stream = stream or sys.stderr
        self._from = time.monotonic() + after
        self._bars: _Bars | None = None
        self._last: dict[str, tuple[float, int]] = {}

    def __enter__(self) -> ProgressLines:
        if self._stream.isatty():
            self._bars = _Bars()
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        if self._bars is not None:
            self._bars.stop()
            self._bars = None

    def __call__(self, what: str, done: int, total: int) -> None:
        """done of total; total 0 = unknown."""
        if time.monotonic() < self._from:
            return
        if self._bars is not None:
            self._bars.show(printable(what), done, total)
            return
        now = time.monotonic()
        shown_at, shown_done = self._last.get(what, (0.0, -1))
        finished = total > 0 and done >= total and shown_done != done
        if shown_done < 0 or finished or (now - shown_at >= _PLAIN_LINE_SECONDS and done != shown_done):
            self._last[what] = (now, done)
            share = f"{100 * done // total} %" if total else str(done)
            click.echo(f"{printable(what)}: {share}", file=self._stream)


class _Bars:
    """rich's bars, one for each `what`."""

    def __init__(self) -> None:
        from rich.progress import BarColumn, Progress, TaskProgressColumn, TextColumn, TimeRemainingColumn

        self._progress = Progress(
            TextColumn("{task.description}", markup=False),
            BarColumn(bar_width=24),
            TaskProgressColumn(),
            TimeRemainingColumn(compact=True),
            console=console(err=True),
            transient=True,
        )
        self._tasks: dict[str, TaskID] = {}
        self._progress.start()

    def show(self, what: str, done: int, total: int) -> None:
        if what not in self._tasks:
            self._tasks[what] = self._progress.add_task(what, total=total or None)
        self._progress.update(self._tasks[what], completed=done, total=total or None)

    def stop(self) -> None:
        self._progress.stop()
