"""What a miner may forget: files and pins of entries that are over. The rule of `dlbc disk`; pure.

Files of an entry (shards, checkpoints, the trained or recovered model) may go when
  F1  the market has the task, with the terms the entry was made for;
  F2  the miner has nothing left to do for the entry;
  F3  the task is cold, so nothing has to be revealed, opened or shown any more;
  F4  no deposit of the entry can still be taken back.
Its pins (sealed model, recovery blob) may go when F1 to F4 hold and
  F5  the model won no round: the ledger points at winners, buyers fetch them, others go on from them, and a copy is
      only proved against an original that is served;
  F6  keep_seconds have passed since the last window of its round ended, with a vote and its repeat counted in full;
  F7  no entry that stays has pinned the same bytes.
Published predictions stay pinned: they are small, and two miners that predict the same publish the same bytes.
The file of a winner goes only while its sealed copy is pinned (F8, checked where it is done).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from dlbc.core.types import Locator, Phase, Round, Task, TaskId, Timestamp, Vote

KEEP_SECONDS = 7 * 86_400


@dataclass(frozen=True, slots=True)
class Holding:
    """What a miner keeps of one entry, and what journal and chain say about it."""

    key: str
    task_id: TaskId
    round: int
    file_bytes: int
    pin_bytes: int
    pins: frozenset[Locator]
    is_known: bool  # the market has this task, with the terms of this entry
    is_working: bool  # the journal says that something is left to do
    phase: Phase  # of the task
    may_reclaim: bool  # a deposit can still be taken back
    has_won: bool
    ended_at: Timestamp  # when the last window of its round was over at the latest


@dataclass(frozen=True, slots=True)
class Release:
    """What goes of one holding. pins: those that nobody else needs."""

    holding: Holding
    files: bool
    pins: frozenset[Locator]

    @property
    def file_bytes(self) -> int:
        """Of the local files."""
        return self.holding.file_bytes if self.files else 0

    @property
    def pin_bytes(self) -> int:
        """Of what is unpinned; 0 unless all of it is."""
        return self.holding.pin_bytes if self.pins and self.pins == self.holding.pins else 0


def ends_of(task: Task, round: Round, finality_gap: int, vote_seconds: int) -> Timestamp:
    """When the last window of a round was over at the latest, whatever happened in it."""
    release_end = round.train_end + finality_gap + task.release_seconds
    open_end = max(round.reveal_end, round.nominate_end) + task.open_seconds
    ends = [release_end, open_end if round.reveal_end else 0, round.challenge_end, round.demand_end]
    if round.vote is not Vote.NONE:
        start = max(round.reveal_end, round.challenge_end, round.vote_start)
        ends.append(start + 4 * vote_seconds)  # a repeated vote has two windows of double length (P-55)
    return Timestamp(max(ends))


def why_files_stay(holding: Holding) -> str:
    """The first rule of F1 to F4 that keeps the files, in words; "" if they may go."""
    if not holding.is_known:
        return "no task of this market"
    if not holding.phase.is_cold:
        return f"the task is in {holding.phase.label}"
    if holding.may_reclaim:
        return "its deposit is not back"
    if holding.is_working:
        return "the miner is not done with it"
    return ""


def why_pins_stay(holding: Holding, now: int, keep_seconds: int = KEEP_SECONDS) -> str:
    """The first rule of F1 to F6 that keeps the pins, in words; "" if they may go, as far as F7 lets them."""
    why = why_files_stay(holding)
    if why:
        return why
    if holding.has_won:
        return "it won: others fetch it"
    if now < holding.ended_at + keep_seconds:
        return "its windows ended too recently"
    return ""


def plan(
    holdings: Sequence[Holding],
    now: int,
    *,
    keep_seconds: int = KEEP_SECONDS,
    quota_bytes: int | None = None,
) -> list[Release]:
    """What goes, oldest first; with a quota no more than brings the use down to it."""
    left = sum(holding.file_bytes + holding.pin_bytes for holding in holdings)
    chosen: dict[str, tuple[bool, bool]] = {}
    for holding in sorted(holdings, key=lambda each: (each.ended_at, each.task_id, each.round, each.key)):
        if quota_bytes is not None and left <= quota_bytes:
            break
        files = holding.file_bytes > 0 and not why_files_stay(holding)
        pins = bool(holding.pins) and not why_pins_stay(holding, now, keep_seconds)
        if files or pins:
            chosen[holding.key] = files, pins
            left -= (holding.file_bytes if files else 0) + (holding.pin_bytes if pins else 0)
    stay: set[Locator] = set()
    for holding in holdings:
        if not chosen.get(holding.key, (False, False))[1]:
            stay |= holding.pins
    by_key = {holding.key: holding for holding in holdings}
    return [
        Release(by_key[key], files, frozenset(by_key[key].pins - stay) if pins else frozenset())
        for key, (files, pins) in chosen.items()
    ]
