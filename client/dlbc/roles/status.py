"""What the chain says about one miner's entries."""

from __future__ import annotations

from dataclasses import dataclass

from dlbc.core.decide import Do, MinerFacts, decide_miner
from dlbc.core.types import ZERO_ADDRESS, Address, Entry, Phase, TaskId
from dlbc.ports import Chain, Pool
from dlbc.roles.keeper import read_facts
from dlbc.roles.miner import NO_ENTRY


@dataclass(frozen=True, slots=True)
class EntryStatus:
    """One entry, in words."""

    task_id: TaskId
    round: int
    phase: str
    entry: str
    total: int
    holds_deposit: bool
    next: str


def miner_status(chain: Chain, pool: Pool, address: Address) -> list[EntryStatus]:
    """Every entry of the address, newest task first."""
    rows = []
    for number in range(chain.task_count(), 0, -1):
        task_id = TaskId(number)
        for index in range(chain.task(task_id).round + 1):
            entry = chain.entry(task_id, index, address)
            if entry.commit_seq:
                rows.append(_status(chain, pool, task_id, index, entry, address))
    return rows


def _status(chain: Chain, pool: Pool, task_id: TaskId, index: int, entry: Entry, address: Address) -> EntryStatus:
    facts = read_facts(chain, task_id)
    leader = facts.round.leader
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
    phase = Phase.SETTLED if index < facts.task.round else facts.phase.phase
    return EntryStatus(
        task_id=task_id,
        round=index,
        phase=phase.label,
        entry=_in_words(
            entry, is_leader=leader == address and index == facts.task.round, is_settled=phase is Phase.SETTLED
        ),
        total=entry.total,
        holds_deposit=entry.holds_deposit,
        next="-" if decision.do is Do.FINISH else f"{decision.do.value}: {decision.why}",
    )


def _in_words(entry: Entry, *, is_leader: bool, is_settled: bool) -> str:
    if entry.is_struck:
        return "struck"
    if is_leader:
        return "won" if is_settled else "leads"
    if entry.has_revealed:
        return "qualifies" if entry.qualifies else "does not qualify"
    return "committed"
