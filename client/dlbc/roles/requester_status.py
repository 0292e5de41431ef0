"""What a requester wants to know of its tasks: where each stands, what it has to do next, where its money is."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from dlbc.core.decide import Do, Facts, decide_requester
from dlbc.core.errors import Usage
from dlbc.core.phases import release_window
from dlbc.core.types import Address, LockKind, Phase, TaskId, Timestamp, Wei
from dlbc.ports import Chain, Journal, Pool
from dlbc.roles.following import TASK
from dlbc.roles.keeper import read_facts
from dlbc.roles.model_store import stored_model
from dlbc.roles.telling import NOTICE

NEWEST = 20
"""Tasks that are shown though they are over."""


@dataclass(frozen=True, slots=True)
class RequestStatus:
    """One task of the account, in words."""

    task_id: TaskId
    round: int
    phase: str
    is_due: bool
    ends_at: Timestamp
    next: str  # what this account does next
    next_at: Timestamp  # from when on; 0 = now, or never
    locked_wei: Wei  # bounty and bond that are still in the market
    free_at: Timestamp | None  # when what is locked comes back or is paid; None: not before something happens
    freed_by: str
    model: str  # "stored", "moved", "missing" or "-"
    model_path: str
    problems: Mapping[str, str]  # what the daemon found missing for its release


@dataclass(frozen=True, slots=True)
class Asides:
    """Of the account, not of one task."""

    credit_wei: Wei
    pool_credit_wei: Wei
    balance_wei: Wei
    unsent: int  # notices that did not arrive yet


def requester_status(
    chain: Chain, pool: Pool, address: Address, journal: Journal | None, most: int | None = NEWEST
) -> list[RequestStatus]:
    """Every task of the address that is not over, and the newest of the others (None: all); newest first."""
    kept = _kept(journal)
    posted = sorted(chain.postings_of(address), key=lambda event: event.task_id, reverse=True)
    credit, in_pool = chain.credit(address), pool.credit(address)
    rows = []
    for number, event in enumerate(posted):
        facts = read_facts(chain, event.task_id)
        if most is not None and number >= most and facts.phase.phase.is_cold:
            continue
        record = kept.get(f"{event.terms_hash.hex()[:16]}/{event.task_id}", {})
        rows.append(_status(chain, event.task_id, facts, (credit, in_pool), address, record, journal))
    return rows


def asides(chain: Chain, pool: Pool, address: Address, journal: Journal | None) -> Asides:
    """The account's money, and what its daemon could not tell yet."""
    notices = [] if journal is None else [record for _, record in journal.all(NOTICE)]
    return Asides(
        credit_wei=chain.credit(address),
        pool_credit_wei=pool.credit(address),
        balance_wei=chain.balance(address),
        unsent=sum(1 for record in notices if record["left"]),
    )


def _kept(journal: Journal | None) -> dict[str, dict[str, object]]:
    return {} if journal is None else dict(journal.all(TASK))


def _status(
    chain: Chain,
    task_id: TaskId,
    facts: Facts,
    credits: tuple[Wei, Wei],
    address: Address,
    record: Mapping[str, object],
    journal: Journal | None,
) -> RequestStatus:
    locked, free_at, freed_by = _locked(chain, task_id, facts, address)
    following, at = _next(facts, credits)
    model, path = _model(facts, f"{facts.task.terms_hash.hex()[:16]}/{task_id}", journal)
    problems = record.get("problems")
    is_cold = facts.phase.phase.is_cold
    return RequestStatus(
        task_id=task_id,
        round=facts.task.round,
        phase=facts.phase.phase.label,
        is_due=facts.phase.due,
        ends_at=facts.phase.ends_at,
        next=following,
        next_at=at,
        locked_wei=locked,
        free_at=free_at,
        freed_by=freed_by,
        model=model,
        model_path=path,
        problems=problems if isinstance(problems, dict) and not is_cold else {},
    )


def _next(facts: Facts, credits: tuple[Wei, Wei]) -> tuple[str, Timestamp]:
    decision = decide_requester(facts, *credits)
    if decision.do is Do.FINISH:
        return "-", Timestamp(0)
    if decision.do is not Do.WAIT:
        words = {Do.WITHDRAW_FROM_POOL: "withdraw"}
        return words.get(decision.do, decision.do.value), Timestamp(0)
    if facts.phase.phase in (Phase.TRAINING, Phase.RELEASING):
        return "release", release_window(facts.task, facts.round, facts.finality_gap)[0]
    return "wait", facts.phase.ends_at


def _locked(chain: Chain, task_id: TaskId, facts: Facts, address: Address) -> tuple[Wei, Timestamp | None, str]:
    task = facts.task
    if facts.phase.phase.is_cold:
        return Wei(0), None, ""
    try:
        locks = [lock for lock in chain.locks(task_id, address) if lock.kind in (LockKind.BOUNTY, LockKind.BOND)]
    except Usage:  # a market without a lens
        return Wei(task.bounty_wei * (task.rounds - task.round) + task.bond_wei), None, "advance(taskId)"
    free_at = max((lock.free_at for lock in locks), default=Timestamp(0))
    is_known = bool(locks) and all(lock.free_at for lock in locks)
    freed_by = locks[0].freed_by if locks else ""
    return Wei(sum(lock.amount_wei for lock in locks)), free_at if is_known else None, freed_by


def _model(facts: Facts, key: str, journal: Journal | None) -> tuple[str, str]:
    """Of the last round that is settled."""
    settled = facts.task.round + (facts.phase.phase is Phase.SETTLED)
    if not settled:
        return "-", ""
    stored = None if journal is None else stored_model(journal, f"{key}/{settled - 1}")
    if stored is None:
        return "missing", ""
    return ("stored" if Path(stored.path).exists() else "moved"), str(stored.path)
