"""What a miner already has: the entries of its journal, and those that only the chain remembers (a lost disk)."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from dlbc.core.decide import may_reclaim
from dlbc.core.errors import NotFound
from dlbc.core.events import TaskPosted
from dlbc.core.types import Address, Phase, TaskId
from dlbc.ports import Chain, Journal
from dlbc.roles.entry_record import ENTRY, entry_key

FINAL_SECONDS = 86_400
"""No reorganisation undoes what is older."""


@dataclass(frozen=True, slots=True)
class Found:
    """An entry to go on with."""

    posted: TaskPosted
    round: int
    record: dict[str, Any]
    is_new: bool  # to the journal


def find_entries(chain: Chain, journal: Journal, miner: Address) -> Iterator[Found]:
    """In the order of their tasks. Costs as much as the account has entries, however many tasks the market has."""
    records = dict(journal.all(ENTRY))
    places = {(event.task_id, event.round) for event in chain.commits_of(miner)}
    places |= {_place(record) for record in records.values()}
    final_before = chain.now() - FINAL_SECONDS
    final = {_place(record) for record in records.values() if _is_final(record, final_before)}
    for task_id, index in sorted(places - final):
        found = _find(chain, miner, task_id, index, records)
        if found is not None:
            yield found


def new_record(task_id: TaskId, index: int) -> dict[str, Any]:
    """Of an entry that has done nothing yet."""
    return {"task_id": task_id, "round": index, "attempt": 0, "stage": "training"}


def fresh_attempt(chain: Chain, journal: Journal, task_id: TaskId, index: int) -> dict[str, Any]:
    """Secrets are derived from the task's id, and a reorganised chain may give an id to other terms.

    No slot key may ever mark two models (P-32), so an id that was worked on before takes the next attempt.
    """
    market = f"{chain.chain_id}/{chain.market}"
    used = [
        int(record["attempt"])
        for _, record in journal.all(ENTRY)
        if (record.get("market"), record["task_id"], record["round"]) == (market, task_id, index)
    ]
    return {"market": market, "attempt": max(used, default=-1) + 1}


def _find(
    chain: Chain, miner: Address, task_id: TaskId, index: int, records: Mapping[str, dict[str, Any]]
) -> Found | None:
    try:
        task = chain.task(task_id)
    except NotFound:
        return None  # a reorganisation took it back
    record = records.get(entry_key(task.terms_hash, index))
    if record is not None and not record.get("done"):
        return Found(chain.task_posted(task_id), index, record, is_new=False)
    if index > task.round or not _has_something_left(chain, miner, task_id, index):
        return None
    if record is not None:  # a reorganisation undid what ended it
        return Found(chain.task_posted(task_id), index, record | {"done": False}, is_new=False)
    return Found(chain.task_posted(task_id), index, new_record(task_id, index) | {"stage": "found"}, is_new=True)


def _has_something_left(chain: Chain, miner: Address, task_id: TaskId, index: int) -> bool:
    entry = chain.entry(task_id, index, miner)
    if entry.commit_seq == 0:
        return False
    task = chain.task(task_id)
    phase = Phase.SETTLED if index < task.round else chain.phase(task_id).phase
    return not phase.is_cold or may_reclaim(entry, phase, task.outcome)


def _place(record: Mapping[str, Any]) -> tuple[TaskId, int]:
    return TaskId(int(record["task_id"])), int(record["round"])


def _is_final(record: Mapping[str, Any], before: int) -> bool:
    return bool(record.get("done")) and 0 < int(record.get("done_at", 0)) < before
