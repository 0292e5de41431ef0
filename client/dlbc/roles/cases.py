"""Disputes and impeachments as the pool tells them: where each stands, and what one account has in it."""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum

from dlbc.core.errors import Usage
from dlbc.core.events import DisputeFiled, VoteCommitted
from dlbc.core.hashing import h
from dlbc.core.types import (
    ZERO_ADDRESS,
    ZERO_HASH,
    Address,
    Case,
    Hash32,
    Ruling,
    TaskId,
    Timestamp,
    Verdict,
    Wei,
)
from dlbc.ports import Chain, Pool

_LOCK_BITS = 96


class Stage(Enum):
    """What can be done about a case now."""

    WAITS = "waits"  # its vote has not begun
    COMMIT = "commit"
    REVEAL = "reveal"
    DUE = "due"  # to be counted
    RULED = "ruled"
    MOOT = "moot"  # the claim was struck without a ruling (P-58)


@dataclass(frozen=True, slots=True)
class CaseView:
    """One case with everything that was filed in it."""

    case_id: Hash32
    case: Case
    filings: tuple[DisputeFiled, ...]
    is_moot: bool
    start: Timestamp
    commit_end: Timestamp
    reveal_end: Timestamp

    @property
    def is_open(self) -> bool:
        """A ruling is still to come."""
        return not self.is_moot and self.case.ruling in (Ruling.NONE, Ruling.REPEAT)

    @property
    def is_about_the_test_set(self) -> bool:
        """An impeachment (P-45), not a dispute."""
        return self.case.subject == ZERO_ADDRESS

    @property
    def samples(self) -> tuple[int, ...]:
        """Every sample that any filer names (M-8)."""
        return tuple(sorted({index for filing in self.filings for index in filing.samples}))

    def stage(self, now: int) -> Stage:
        """Where it stands at this chain time."""
        if not self.is_open:
            return Stage.MOOT if self.is_moot else Stage.RULED
        if now < self.start:
            return Stage.WAITS
        if now < self.commit_end:
            return Stage.COMMIT
        return Stage.REVEAL if now < self.reveal_end else Stage.DUE


@dataclass(frozen=True, slots=True)
class OwnBallot:
    """One account's ballot in one vote. verdict NONE = still sealed."""

    case_id: Hash32
    attempt: int
    ballot: Hash32
    lock_wei: Wei
    verdict: Verdict


def account_of(pool: Pool) -> Address:
    """Who sends transactions. Raises Usage when nobody does."""
    if pool.account is None:
        raise Usage("no account was named: pass --account NAME (see `dlbc wallet list`), or set account in dlbc.toml")
    return pool.account


def read_cases(chain: Chain, pool: Pool, task_id: TaskId | None = None) -> list[CaseView]:
    """Every case of a task, or of all tasks, oldest first."""
    filed: dict[Hash32, list[DisputeFiled]] = {}
    for filing in pool.filings(task_id):
        filed.setdefault(filing.case_id, []).append(filing)
    return [_view(chain, pool, case_id, tuple(filings)) for case_id, filings in filed.items()]


def read_ballot(pool: Pool, event: VoteCommitted) -> OwnBallot | None:
    """What is stored for a ballot of the log; None once it was collected, or if the log says something else."""
    stored = pool.ballot(event.case_id, event.attempt, event.voter)
    if stored == ZERO_HASH:
        return None
    number = int.from_bytes(stored, "big")
    verdict, lock = number & 0xFF, number >> 8
    if lock < 1 << _LOCK_BITS and verdict in Verdict.__members__.values() and verdict != Verdict.NONE:
        return OwnBallot(event.case_id, event.attempt, event.ballot, Wei(lock), Verdict(verdict))
    if stored != h(event.ballot, event.lock_wei):
        return None
    return OwnBallot(event.case_id, event.attempt, event.ballot, event.lock_wei, Verdict.NONE)


def _view(chain: Chain, pool: Pool, case_id: Hash32, filings: tuple[DisputeFiled, ...]) -> CaseView:
    case = pool.case(case_id)
    has_ruling = case.ruling not in (Ruling.NONE, Ruling.REPEAT)
    is_moot = (
        not has_ruling
        and case.subject != ZERO_ADDRESS
        and chain.entry(case.task_id, case.round, case.subject).is_struck
    )
    return CaseView(case_id, case, filings, is_moot, *pool.windows(case_id))
