"""What the demo shows while it runs: one line an actor on a terminal, plain lines elsewhere. Always on stderr."""

from __future__ import annotations

import sys
import time
from collections.abc import Mapping
from types import TracebackType
from typing import TYPE_CHECKING, Any, Protocol

import click

from dlbc.cli import render

if TYPE_CHECKING:
    from rich.live import Live


VERDICTS = {"stands": "stands", "falls": "falls", "unavailable": "is not served"}
"""What an examination found, in words."""


class View(Protocol):
    """Where the demo tells what happens."""

    def stage(self, text: str) -> None: ...
    def event(self, actor: str, event: Mapping[str, Any]) -> None: ...
    def __enter__(self) -> View: ...
    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None
    ) -> None: ...


def make_view(started: float) -> View:
    """Bars on a terminal, lines elsewhere; `started` is the monotonic time of the demo's start."""
    return LiveView(started) if sys.stderr.isatty() else PlainView(started)


def phrase(event: Mapping[str, Any]) -> str:
    """An event in words; "" for one that is not worth a line."""
    task = f"task {event.get('task_id')}"
    match event["event"]:
        case "test_set_sealed":
            return f"sealed a test set of {event['samples']} samples"
        case "task_posted":
            return f"posted {task}"
        case "task_chosen":
            return f"chose {task}"
        case "training_started":
            return f"trains for {task}, {event['epochs']} epochs"
        case "model_sealed":
            return f"sealed its model for {task}, validation {render.ppm(event['validation_ppm'])}"
        case "model_committed":
            return f"committed to {task}"
        case "test_set_released":
            return f"released the test set of {task}"
        case "claim_built":
            return f"scores {event['total']} of {event['samples']} in {task}"
        case "claim_revealed":
            return f"revealed its claim for {task}"
        case "model_opened":
            return f"leads {task} and opened its model"
        case "task_advanced":
            return f"advanced {task}"
        case "requester_started":
            return "releases what it posted, on time"
        case "model_stored":
            return f"stored the model of {task}"
        case "deposit_reclaimed":
            return f"reclaimed its deposit of {task}"
        case "money_arrived":
            return f"received {render.ether(event['wei'])}" + (
                f" in block {event['block']}" if "block" in event else ""
            )
        case "auditor_started":
            return "audits whatever is opened, from now on"
        case "miner_started":
            return "mines whatever is posted, from now on"
        case "examination_started":
            return f"examines {event['about']} in {task}, in a process of its own"
        case "examined":
            failed = f": {event['failed']}" if event.get("failed") else ""
            says = VERDICTS.get(event["verdict"], "can't be judged")
            return f"found that {event['about']} in {task} {says}{failed}"
        case "vote_collected":
            return f"collected from the vote on {task}"
        case "staked":
            return f"staked {render.ether(event['wei'])}"
        case "stake_activated":
            return f"activated {render.ether(event['wei'])}: they vote and earn"
        case "audited":
            return f"audit of {task}: {'FAILS, ' + event['failed'] if event['failed'] else 'passes'}"
        case "claim_disputed":
            return f"disputed the claim of {task}"
        case "vote_committed":
            return f"cast a sealed ballot on {task}"
        case "vote_revealed":
            return f"opened its ballot on {task}"
        case "collected":
            return f"collected from the vote on {task}"
        case "bond_collected":
            return f"got its bond back from {task}"
        case "claim_nominated":
            return f"nominated its claim in {task}"
        case "claim_refuted":
            return f"refuted a claim in {task} at sample {event['index']}, for {event['gas']} gas"
        case "dividend_claimed":
            return f"took a dividend of {render.ether(event['accrued_wei'])}"
        case "unstake_begun":
            return f"takes {render.ether(event['wei'])} out of its stake"
        case "books_differ":
            return str(event["what"])
        case "gave_up" | "task_passed_over":
            return f"{task}: {event['why']}"
        case _:
            return ""


class PlainView:
    """A line for everything that matters."""

    def __init__(self, started: float) -> None:
        self._started = started

    def __enter__(self) -> PlainView:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        pass

    def stage(self, text: str) -> None:
        click.echo(f"[{time.monotonic() - self._started:5.1f}s] == {text}", err=True)

    def event(self, actor: str, event: Mapping[str, Any]) -> None:
        told = phrase(event)
        if told:
            click.echo(f"[{time.monotonic() - self._started:5.1f}s] {actor}: {render.printable(told)}", err=True)


class LiveView:
    """A table that changes in place: who does what, with a bar for training."""

    def __init__(self, started: float) -> None:
        self._started = started
        self._stage = ""
        self._rows: dict[str, tuple[str, int, int]] = {}
        self._live: Live | None = None

    def __enter__(self) -> LiveView:
        from rich.live import Live

        self._live = Live(get_renderable=self._table, console=render.console(err=True), refresh_per_second=4)
        self._live.start()
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        if self._live is not None:
            self._live.stop()

    def stage(self, text: str) -> None:
        self._stage = text
        assert self._live is not None
        self._live.console.print(f"[{time.monotonic() - self._started:5.1f}s] {text}", markup=False)

    def event(self, actor: str, event: Mapping[str, Any]) -> None:
        told, done, total = self._rows.get(actor, ("", 0, 0))
        if event["event"] == "training":
            done, total = int(event["epoch"]), int(event["epochs"])
        elif phrase(event):
            told, done, total = phrase(event), 0, 0
        self._rows[actor] = (told, done, total)

    def _table(self) -> Any:
        from rich.progress_bar import ProgressBar
        from rich.spinner import Spinner
        from rich.table import Table
        from rich.text import Text

        table = Table.grid(padding=(0, 2))
        for actor, (told, done, total) in self._rows.items():
            bar = ProgressBar(total=total, completed=done, width=16) if total else ""
            table.add_row(Text(actor, "bold"), Text(render.printable(told)), bar)
        table.add_row(Spinner("dots"), Text(f"{self._stage}, {time.monotonic() - self._started:.0f} s"), "")
        return table
