"""`dlbc miner status`: what a miner does, what it will do and why, and where its money is."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import click

from dlbc.cli import render
from dlbc.core.devices import members
from dlbc.core.schedule import Choice
from dlbc.core.types import Address, Timestamp, Wei
from dlbc.roles.miner_state import DeviceState, MinerState
from dlbc.roles.status import Earnings, EntryStatus, Locked

SHOWN_ROWS = 10
SHOWN_DAYS = 7


@dataclass(frozen=True, slots=True)
class MinerStatus:
    """Everything that is shown."""

    account: Address
    is_running: bool
    now: Timestamp
    state: MinerState | None  # what the daemon wrote last
    balance_wei: Wei
    credit_wei: Wei
    pool_credit_wei: Wei
    entries: list[EntryStatus]
    locks: list[Locked]
    earnings: Earnings


def as_json(status: MinerStatus) -> dict[str, Any]:
    """The names are stable: scripts and dashboards read them."""
    state = status.state
    return {
        "account": status.account,
        "isRunning": status.is_running,
        "at": status.now,
        "stateAt": None if state is None else state.at,
        "balanceWei": status.balance_wei,
        "creditWei": status.credit_wei,
        "poolCreditWei": status.pool_credit_wei,
        "lockedWei": sum(lock.amount_wei for lock in status.locks),
        "devices": state.devices if state is not None and status.is_running else [],
        "working": state.entries if state is not None else [],
        "started": state.started if state is not None else [],
        "queue": state.queue if state is not None else [],
        "passed": state.passed if state is not None else [],
        "entries": status.entries,
        "locks": status.locks,
        "earnings": status.earnings,
    }


def show(status: MinerStatus) -> None:
    """For people, in 80 columns."""
    earned = status.earnings
    rounds = "settled round" if earned.prizes == 1 else "settled rounds"
    render.facts(
        f"Miner {status.account}",
        {
            "daemon": _daemon(status),
            "balance": render.ether(status.balance_wei),
            "credit in the market": render.ether(status.credit_wei),
            "credit in the pool": render.ether(status.pool_credit_wei),
            "locked in deposits": render.ether(sum(lock.amount_wei for lock in status.locks)),
            "prizes": f"{render.ether(earned.prizes_wei)} in {earned.prizes} {rounds}",
            "brought home": render.ether(earned.received_wei),
        },
    )
    if status.state is not None:
        if status.is_running:
            _devices(status.state.devices, status.now)
        _plan(status.state, status.now)
    if status.entries:
        rows = [[row.task_id, row.round, row.phase, row.entry, row.deposit, row.next] for row in status.entries]
        render.table("Entries", ["task", "round", "phase", "entry", "deposit", "next"], rows, right=["task", "round"])
    else:
        click.echo("  no entries yet")
    _money(status)


def device_line(device: DeviceState, now: Timestamp) -> tuple[str, str, str]:
    """(what it does, how far, what is left) in words."""
    if device.task_id is None:
        return "free", "-", "-"
    doing = f"task {device.task_id}: {device.state}"
    done = f"epoch {device.epoch} of {device.epochs}" if device.epochs else "-"
    if device.validation_ppm is not None:
        done += f", {render.ppm(device.validation_ppm)}"
    return doing, done, _in(device.ends_at, now, "soon")


def shown_device(device: str) -> str:
    """Short enough for a column: a group of more than two by its first member, "cuda:0+7 more"."""
    first, *others = members(device)
    return device if len(others) < 2 else f"{first}+{len(others)} more"


def _daemon(status: MinerStatus) -> str:
    if status.is_running:
        return "runs"
    if status.state is None:
        return "does not run, and never ran in this home folder"
    return f"does not run; last at work {render.moment(status.state.at)} UTC"


def _in(time: Timestamp | None, now: Timestamp, past: str = "now") -> str:
    if not time:
        return "-"
    return f"in {render.duration(time - now)}" if time > now else past


def _devices(devices: tuple[DeviceState, ...], now: Timestamp) -> None:
    rows = [[shown_device(device.device), *device_line(device, now)] for device in devices]
    render.table("Devices", ["device", "does", "so far", "done"], rows)


def _plan(state: MinerState, now: Timestamp) -> None:
    def rows(choices: tuple[Choice, ...], when: Callable[[Choice], str]) -> list[list[object]]:
        return [
            [choice.task_id, shown_device(choice.device), when(choice), choice.why] for choice in choices[:SHOWN_ROWS]
        ]

    chosen = rows(state.started, lambda _: "started") + rows(state.queue, lambda choice: _in(choice.starts_at, now))
    if chosen:
        render.table("Chosen last, and the queue", ["task", "device", "starts", "why"], chosen, right=["task"])
    if state.passed:
        passed = [[row.task_id, row.why] for row in state.passed[:SHOWN_ROWS]]
        render.table("Passed over", ["task", "why"], passed, right=["task"])


def _money(status: MinerStatus) -> None:
    if status.locks:
        rows = [
            [lock.task_id, render.ether(lock.amount_wei), _in(lock.free_at, status.now), lock.freed_by]
            for lock in status.locks
        ]
        render.table("Locked money", ["task", "amount", "free", "freed by"], rows, right=["task"])
        click.echo("`dlbc miner run` sends these calls by itself, while it runs.")
    if status.earnings.days:
        days = [
            [day.day, render.ether(day.prizes_wei), render.ether(day.received_wei)]
            for day in status.earnings.days[:SHOWN_DAYS]
        ]
        render.table("Money by day (UTC)", ["day", "prizes", "brought home"], days)
