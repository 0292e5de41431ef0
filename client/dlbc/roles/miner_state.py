"""What a miner is at, for people and other programs: written by the daemon, read by `dlbc miner status`."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from dlbc.core.decide import Decision
from dlbc.core.records import to_record
from dlbc.core.schedule import Choice, Passed, Plan
from dlbc.core.types import TaskId, Timestamp, Wei
from dlbc.roles.artifacts import write_atomically
from dlbc.roles.entry import MinerEntry

FILE_NAME = "state.json"
VERSION = 1
MOST_PASSED = 50


@dataclass(frozen=True, slots=True)
class DeviceState:
    """What one device does; times are the chain's."""

    device: str
    task_id: TaskId | None = None
    round: int | None = None
    state: str = "free"  # free, fetching data, starting, training
    epoch: int = 0
    epochs: int = 0
    validation_ppm: int | None = None
    began_at: Timestamp | None = None
    ends_at: Timestamp | None = None  # as far as is known


@dataclass(frozen=True, slots=True)
class EntryState:
    """What one entry waits for, as its last step left it."""

    task_id: TaskId
    round: int
    stage: str
    do: str
    why: str
    until: Timestamp  # 0: no moment is known


@dataclass(frozen=True, slots=True)
class MinerState:
    """One look at everything."""

    at: Timestamp
    devices: tuple[DeviceState, ...]
    entries: tuple[EntryState, ...]
    started: tuple[Choice, ...]  # the last that were started
    queue: tuple[Choice, ...]
    passed: tuple[Passed, ...]
    balance_wei: Wei
    at_risk_wei: Wei


def seconds_left(entry: MinerEntry, seconds: float) -> int:
    """Of a training, from its epochs so far or, before the first is done, from the plan."""
    if not entry.training.is_running:
        return entry.training.estimate
    progress, passed = entry.training.progress, seconds - entry.training.began
    if progress is None or not 0 < progress.epoch <= progress.epochs:
        return max(0, round(entry.training.estimate - passed))
    return round(passed / progress.epoch * (progress.epochs - progress.epoch))


def describe(
    entries: Sequence[MinerEntry],
    decisions: Mapping[str, Decision],
    plan: Plan,
    *,
    devices: Sequence[str],
    now: Timestamp,
    seconds: float,
    balance_wei: Wei,
    at_risk_wei: Wei,
) -> MinerState:
    """A miner's entries, plan and devices in one view; `seconds` is what the stopwatch shows."""
    alive = [entry for entry in entries if not entry.is_done]
    begun = {entry.task_id for entry in entries}
    return MinerState(
        at=now,
        devices=tuple(_device(name, alive, now, seconds) for name in devices),
        entries=tuple(_entry(entry, decisions.get(entry.key)) for entry in alive),
        started=plan.start,
        queue=tuple(choice for choice in (*plan.start, *plan.queue) if choice.task_id not in begun),
        passed=plan.passed[:MOST_PASSED],
        balance_wei=balance_wei,
        at_risk_wei=at_risk_wei,
    )


def _device(name: str, alive: Sequence[MinerEntry], now: Timestamp, seconds: float) -> DeviceState:
    mine = [entry for entry in alive if entry.device == name and entry.may_give_up and not entry.gave_up]
    for entry in sorted(mine, key=lambda entry: not entry.training.is_running):
        if not entry.training.is_running:
            return DeviceState(name, entry.task_id, entry.round, "fetching data")
        progress = entry.training.progress
        return DeviceState(
            device=name,
            task_id=entry.task_id,
            round=entry.round,
            state="starting" if progress is None else progress.state,
            epoch=0 if progress is None else progress.epoch,
            epochs=0 if progress is None else progress.epochs,
            validation_ppm=None if progress is None else progress.validation_ppm,
            began_at=Timestamp(now - round(seconds - entry.training.began)),
            ends_at=Timestamp(now + seconds_left(entry, seconds)),
        )
    return DeviceState(name)


def _entry(entry: MinerEntry, decision: Decision | None) -> EntryState:
    return EntryState(
        task_id=entry.task_id,
        round=entry.round,
        stage=str(entry.record["stage"]),
        do="" if decision is None else decision.do.value,
        why=entry.gave_up or ("" if decision is None else decision.why),
        until=Timestamp(0) if decision is None else decision.until,
    )


Publish = Callable[[MinerState], None]


def unseen(state: MinerState) -> None:
    """A Publish that nobody reads."""


class StateFile:
    """Writes the state into a folder whenever it changes; a reader never finds half of it."""

    def __init__(self, folder: Path) -> None:
        self._file = folder / FILE_NAME
        self._last = ""

    def __call__(self, state: MinerState) -> None:
        """The time alone is no change."""
        record = {"version": VERSION} | to_record(state)
        text = json.dumps(record | {"at": 0})
        if text != self._last:
            write_atomically(self._file, [json.dumps(record).encode()])
            self._last = text


def read_state(folder: Path) -> MinerState | None:
    """What the daemon wrote last; None if it never ran here, or another version of it did."""
    try:
        record: Any = json.loads((folder / FILE_NAME).read_bytes())
        if record.pop("version") != VERSION:
            return None
        kinds = {"devices": DeviceState, "entries": EntryState, "started": Choice, "queue": Choice, "passed": Passed}
        rows: dict[str, Any] = {name: tuple(kind(**row) for row in record.pop(name)) for name, kind in kinds.items()}
        return MinerState(**rows, **record)
    except (OSError, ValueError, TypeError, KeyError, AttributeError):
        return None
