"""What a run proves, and what it does not: every complaint is one sentence."""

from __future__ import annotations

import sqlite3
from collections import Counter
from collections.abc import Iterable, Sequence
from contextlib import closing
from dataclasses import asdict, dataclass
from pathlib import Path
from statistics import median
from typing import Any

from dlbc.adapters.journal.sqlite import FILE_NAME, SqliteJournal
from dlbc.core.errors import DlbcError
from dlbc.core.types import Address, Outcome, TaskId

from soak_parts.books import Books
from soak_parts.programs import KILLED, Daemon, Life, Program, left_behind
from soak_parts.stage import Stage

STUCK_SECONDS = 90.0
"""A tick may wait for a node that is gone, and the pause between two tries grows to a minute."""
LAST_TICK_SECONDS = 30.0
NEAR_SECONDS = 30.0
MOST_BYTES = 1_000 * 2**20
"""Of one process: torch and the data of the tasks."""
WANTED = {
    "usual": "Settled",
    "unreachable": "Void",
    "cancelled": "Cancelled",
    "beyond": "Void",
    "too_long": "Void",
}
TROUBLE = ("try_later", "failed", "refused", "gave_up", "warning", "relay_failed", "relay_refused")


@dataclass(frozen=True)
class Committed:
    """One entry, and what became of it."""

    task_id: int
    miner: str
    revealed: bool
    qualifies: bool  # its score is enough for the bounty
    deposit_held: bool
    aborted: bool  # the requester did not release, so there was nothing to reveal
    window: tuple[float, float]
    """For revealing, in seconds of the run."""
    up_seconds: float
    """Of the window, in which its daemon ran and had ticked."""
    killed_at: tuple[float, ...]
    """In the window, and in the half minute before."""

    @property
    def was_lost(self) -> bool:
        """Its deposit is gone, though somebody was there to save it."""
        return not (self.revealed or self.aborted) and self.up_seconds > 0


def commitments(stage: Stage, books: Books) -> list[Committed]:
    """Every commit of the run."""
    names = {address.lower(): name for name, address in stage.accounts.items()}
    daemons = {daemon.name: daemon for daemon in stage.miners}
    found = []
    for task_id, index, miner in sorted(books.commits):
        address = Address(next(own for own in stage.accounts.values() if own.lower() == miner))
        entry = stage.chain.entry(TaskId(task_id), index, address)
        round_ = stage.chain.round(TaskId(task_id), index)
        task = stage.chain.task(TaskId(task_id))
        end = round_.reveal_end - stage.clock_offset if round_.reveal_end else 0.0
        begin = max(0.0, end - task.reveal_seconds)
        name = names[miner]
        kills = (kill.at for kill in stage.kills if kill.name == name)
        found.append(
            Committed(
                task_id=task_id,
                miner=name,
                revealed=entry.has_revealed,
                qualifies=entry.qualifies,
                deposit_held=entry.holds_deposit and not entry.is_struck,
                aborted=task.outcome is Outcome.ABORTED,
                window=(round(begin, 1), round(end, 1)),
                up_seconds=round(up_seconds(daemons[name].lives, begin, end), 1),
                killed_at=tuple(round(at, 1) for at in kills if begin - NEAR_SECONDS <= at < end),
            )
        )
    return found


def up_seconds(lives: Iterable[Life], begin: float, end: float) -> float:
    """How much of a window lies in lives that had begun to tick."""
    total = 0.0
    for life in lives:
        if life.ready is not None:
            total += max(0.0, min(end, life.ended if life.ended is not None else end) - max(begin, life.ready))
    return total


def about_tasks(stage: Stage, books: Books, entries: Sequence[Committed]) -> list[str]:
    """Every task is over, as it should be; nothing that was committed is lost."""
    found = []
    if len(stage.posted) != stage.settings.tasks or stage.chain.task_count() != stage.settings.tasks:
        found.append(
            f"{stage.settings.tasks} tasks were planned, {len(stage.posted)} reported as posted, "
            f"{stage.chain.task_count()} are on the chain"
        )
    winnable = {entry.task_id for entry in entries if entry.qualifies}
    usual = [number for number, task in stage.posted.items() if task.kind == "usual"]
    settled = sum(stage.chain.task(TaskId(number)).outcome is Outcome.SETTLED for number in usual)
    if 2 * settled < len(usual):
        found.append(
            f"of {len(usual)} tasks that anybody could do only {settled} were settled: the machine is too busy"
        )
    for number, task in sorted(stage.posted.items()):
        outcome = stage.chain.task(TaskId(number)).outcome
        phase = stage.chain.phase(TaskId(number)).phase
        if not phase.is_cold:
            found.append(f"task {number} ({task.kind}) is still {phase.label}")
        elif outcome is Outcome.ABORTED:
            found.append(f"task {number} ({task.kind}) was aborted: its requester did not release")
        elif phase.label != WANTED[task.kind] and not _is_excused(task.kind, phase.label, number in winnable):
            found.append(f"task {number} ({task.kind}) ended {phase.label}")
    for (task_id, _, miner), count in sorted(books.commits.items()):
        if count > 1:
            found.append(f"task {task_id}: {miner} committed {count} times")
    for entry in entries:
        if entry.was_lost:
            found.append(
                f"task {entry.task_id}: {entry.miner} committed and did not reveal, though it was up for "
                f"{entry.up_seconds} s of the window from {entry.window[0]} to {entry.window[1]} s"
            )
        elif entry.deposit_held and (entry.revealed or entry.aborted):
            found.append(f"task {entry.task_id}: the deposit of {entry.miner} was not brought home")
    found += [
        f"task {strike['task_id']}: {strike['miner']} was struck ({strike['reason']})" for strike in books.strikes
    ]
    return found


def _is_excused(kind: str, label: str, is_winnable: bool) -> bool:
    """Miners need not take a task, nor train well on a busy machine; who commits at once forestalls a cancelling."""
    if kind == "usual":
        return label == "Void" and not is_winnable
    return kind == "cancelled" and label == "Settled"


def about_programs(stage: Stage) -> list[str]:
    """Nobody is stuck, ended by itself, grew, or stayed."""
    found = list(stage.complaints) + list(stage.auditor.complaints)
    for program in stage.programs:
        found += getattr(program, "complaints", [])
        for life in program.lives:
            if max(life.peak_bytes, life.child_peak_bytes) > MOST_BYTES:
                found.append(f"{program.name} had {max(life.peak_bytes, life.child_peak_bytes) >> 20} MiB")
    for daemon in stage.daemons:
        worst = max((life.worst_tick_age for life in daemon.lives), default=0.0)
        if worst > STUCK_SECONDS:
            found.append(f"{daemon.name}: {worst:.0f} s without a tick that succeeded")
        last = daemon.life if daemon.lives else None
        if last is not None and last.code not in (0, KILLED) and not last.was_asked_too_early:
            found.append(f"{daemon.name} ended with code {last.code} at SIGTERM: {daemon.last_words()}")
    for name, age in stage.last_ages.items():
        if age is None or age > LAST_TICK_SECONDS:
            found.append(
                f"{name} made no progress at the end: last tick {'never' if age is None else f'{age:.0f} s ago'}"
            )
    found += [f"left behind: {words}" for words in left_behind(stage.net.home)]
    found += [f"an unexpected error was written: {file.name}" for file in (stage.net.home / "logs").glob("error-*")]
    for program in stage.programs:
        for event in program.events():
            if "unexpected" in str(event.get("reason", "")) + str(event.get("why", "")):
                found.append(f"{program.name}: {event.get('reason') or event.get('why')}")
    return found


def about_journals(home: Path) -> list[str]:
    """Every journal opens, for writing too, and SQLite finds nothing wrong with it."""
    found = []
    for file in sorted(home.glob(f"*/{FILE_NAME}")):
        with closing(sqlite3.connect(file)) as connection:
            verdict = connection.execute("PRAGMA integrity_check").fetchone()[0]
        if verdict != "ok":
            found.append(f"{file.parent.name}: SQLite says {verdict}")
        try:
            with SqliteJournal(file.parent):
                pass
        except DlbcError as error:
            found.append(f"{file.parent.name}: {error}")
    return found


# ------------------------------------------------------------------ figures


def recoveries(stage: Stage) -> dict[str, dict[str, Any]]:
    """Seconds from a kill to the first tick that succeeded after it; of a command, to the end of its work."""
    found: dict[str, list[float]] = {}
    unfinished: Counter[str] = Counter()
    for program in stage.programs:
        owner = _owner(program)
        for index, life in enumerate(program.lives):
            if not life.was_killed:
                continue
            after = next((later.ready for later in program.lives[index + 1 :] if later.ready is not None), None)
            if after is None or life.ended is None:
                unfinished[owner] += 1  # dismissed, or killed again and again
            else:
                found.setdefault(owner, []).append(after - life.ended)
    found["ipfs"] = [outage.ended - outage.began for outage in stage.outages if outage.ended is not None]
    return {
        owner: {"count": len(all_), "median": round(median(all_), 1), "longest": round(max(all_), 1)}
        | ({"never": unfinished[owner]} if unfinished[owner] else {})
        for owner, all_ in sorted(found.items())
        if all_
    }


def memory(stage: Stage) -> dict[str, dict[str, float]]:
    """Most MiB resident of any life, and of its training processes."""
    found: dict[str, dict[str, float]] = {}
    for program in stage.programs:
        row = found.setdefault(_owner(program), {"peak_mib": 0.0, "training_peak_mib": 0.0})
        for life in program.lives:
            row["peak_mib"] = max(row["peak_mib"], round(life.peak_bytes / 2**20, 1))
            row["training_peak_mib"] = max(row["training_peak_mib"], round(life.child_peak_bytes / 2**20, 1))
    return {name: {key: value for key, value in row.items() if value} for name, row in sorted(found.items())}


def trouble(stage: Stage) -> dict[str, dict[str, int]]:
    """How often whom what troubled: event and the beginning of its reason."""
    found: dict[str, Counter[str]] = {}
    for program in stage.programs:
        for event in program.events():
            if event["event"] in TROUBLE:
                reason = str(event.get("reason") or event.get("why") or "")
                said = f"{event['event']}: {_shortened(reason)}"
                found.setdefault(_owner(program), Counter())[said] += 1
    return {owner: dict(counts.most_common(12)) for owner, counts in sorted(found.items())}


def worst_ages(daemons: Iterable[Daemon]) -> dict[str, float]:
    """The longest that each was seen without a tick that succeeded."""
    found: dict[str, float] = {}
    for daemon in daemons:
        worst = max((life.worst_tick_age for life in daemon.lives), default=0.0)
        found[_owner(daemon)] = round(max(worst, found.get(_owner(daemon), 0.0)), 1)
    return found


def entries_told(entries: Iterable[Committed]) -> dict[str, Any]:
    """Counts; and each entry that was not revealed."""
    rows = list(entries)
    return {
        "committed": len(rows),
        "revealed": sum(row.revealed for row in rows),
        "lost": sum(row.was_lost for row in rows),
        "not_revealed": [asdict(row) for row in rows if not row.revealed],
    }


def _owner(program: Program) -> str:
    """requester-watch-3 and requester-post-… are requester's."""
    return program.name.split("-")[0]


def _shortened(reason: str) -> str:
    words = "".join("#" if letter.isdigit() else letter for letter in reason)
    while "##" in words:
        words = words.replace("##", "#")
    return words[:110]
