"""What a miner's owner wants to know, from the chain, the journal and the running daemon's own account of itself."""

from __future__ import annotations

from collections import defaultdict
from dataclasses import dataclass
from datetime import UTC, datetime

from dlbc.core.decide import Do, MinerFacts, decide_miner, may_reclaim
from dlbc.core.errors import Usage
from dlbc.core.types import ZERO_ADDRESS, Address, Entry, LockKind, Phase, TaskId, Timestamp, Wei
from dlbc.ports import Chain, Journal, Pool
from dlbc.roles.keeper import read_facts
from dlbc.roles.miner import NO_ENTRY, RECEIVED

NEWEST = 20
"""Entries that are shown though nothing of theirs is locked."""


@dataclass(frozen=True, slots=True)
class EntryStatus:
    """One entry, in words."""

    task_id: TaskId
    round: int
    phase: str
    entry: str
    total: int
    holds_deposit: bool
    deposit: str  # "locked", "free", "lost" or "-"
    next: str


@dataclass(frozen=True, slots=True)
class Locked:
    """A deposit, and what brings it back."""

    task_id: TaskId
    round: int
    amount_wei: Wei
    free_at: Timestamp | None  # None: not before something happens
    freed_by: str


@dataclass(frozen=True, slots=True)
class Day:
    """Money of one day (UTC)."""

    day: str
    prizes_wei: Wei  # credited by settlements
    received_wei: Wei  # withdrawn to the account by this machine: prizes, deposits that came back, shares


@dataclass(frozen=True, slots=True)
class Earnings:
    """Prizes are the chain's word; what was received is this machine's journal's."""

    prizes: int
    prizes_wei: Wei
    received_wei: Wei
    days: tuple[Day, ...]  # newest first, only those with money


def miner_status(chain: Chain, pool: Pool, address: Address, most: int | None = NEWEST) -> list[EntryStatus]:
    """The newest entries of the address (None: all), and every older one whose deposit is still in the market."""
    places = sorted({(event.task_id, event.round) for event in chain.commits_of(address)}, reverse=True)
    rows = []
    for number, (task_id, index) in enumerate(places):
        entry = chain.entry(task_id, index, address)
        if entry.commit_seq and (most is None or number < most or entry.holds_deposit):
            rows.append(_status(chain, pool, task_id, index, entry, address))
    return rows


def locked_deposits(chain: Chain, rows: list[EntryStatus], address: Address) -> list[Locked]:
    """Every deposit of these entries that can still come back, soonest first."""
    found = []
    for row in rows:
        if row.deposit not in ("locked", "free"):
            continue
        try:
            locks = chain.locks(row.task_id, address)
        except Usage:  # a market without a lens
            amount = chain.task(row.task_id).deposit_wei
            found.append(Locked(row.task_id, row.round, amount, None, row.next))
            continue
        found += [
            Locked(row.task_id, row.round, lock.amount_wei, lock.free_at or None, lock.freed_by)
            for lock in locks
            if lock.kind is LockKind.DEPOSIT and lock.round == row.round
        ]
    return sorted(found, key=lambda lock: (lock.free_at is None, lock.free_at or 0, lock.task_id))


def earnings(chain: Chain, journal: Journal | None, address: Address) -> Earnings:
    """What this account won, and what this machine brought home."""
    prizes = chain.prizes_of(address)
    received = [] if journal is None else [record for _, record in journal.all(RECEIVED)]
    days: dict[str, list[int]] = defaultdict(lambda: [0, 0])
    for prize in prizes:
        days[_day(prize.at)][0] += prize.wei
    for record in received:
        days[_day(int(record["at"]))][1] += int(record["wei"])
    return Earnings(
        prizes=len(prizes),
        prizes_wei=Wei(sum(prize.wei for prize in prizes)),
        received_wei=Wei(sum(int(record["wei"]) for record in received)),
        days=tuple(Day(day, Wei(won), Wei(got)) for day, (won, got) in sorted(days.items(), reverse=True)),
    )


def _day(time: int) -> str:
    return datetime.fromtimestamp(time, UTC).strftime("%Y-%m-%d")


def _status(chain: Chain, pool: Pool, task_id: TaskId, index: int, entry: Entry, address: Address) -> EntryStatus:
    facts = read_facts(chain, task_id)
    leader = facts.round.leader
    is_over = index < facts.task.round
    winner = chain.round(task_id, index).leader if is_over else leader
    decision = decide_miner(
        facts,
        MinerFacts(
            me=address,
            round_index=index,
            entry=entry,
            leader=NO_ENTRY if leader == ZERO_ADDRESS else chain.entry(task_id, facts.task.round, leader),
            model_ready=False,
            gave_up="",
            credit=chain.credit(address),
            demanded=leader == address and facts.round.open_demands > 0,
            pool_credit=pool.credit(address),
        ),
    )
    phase = Phase.SETTLED if is_over else facts.phase.phase
    return EntryStatus(
        task_id=task_id,
        round=index,
        phase=phase.label,
        entry=_in_words(entry, is_leader=winner == address, is_settled=phase is Phase.SETTLED),
        total=entry.total,
        holds_deposit=entry.holds_deposit,
        deposit=_deposit(entry, phase, is_reclaimable=may_reclaim(entry, phase, facts.task.outcome)),
        next="-" if decision.do is Do.FINISH else f"{decision.do.value}: {decision.why}",
    )


def _deposit(entry: Entry, phase: Phase, *, is_reclaimable: bool) -> str:
    if entry.is_struck:
        return "lost"
    if not entry.holds_deposit:
        return "-"
    if phase.is_cold:
        return "free" if is_reclaimable else "lost"
    return "locked"


def _in_words(entry: Entry, *, is_leader: bool, is_settled: bool) -> str:
    if entry.is_struck:
        return "struck"
    if is_leader:
        return "won" if is_settled else "leads"
    if entry.has_revealed:
        qualifies = "did not win" if is_settled else "qualifies"
        return qualifies if entry.qualifies else "does not qualify"
    return "committed"
