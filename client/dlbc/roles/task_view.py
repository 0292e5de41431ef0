"""What the chain tells of one task, as far as its requester is told about it. Only what the facts ask for is read."""

from __future__ import annotations

from dlbc.core.decide import Facts
from dlbc.core.errors import Unavailable
from dlbc.core.types import ZERO_ADDRESS, Phase, TaskId, Vote, Wei
from dlbc.ports import Chain, Pool
from dlbc.roles.following import Followed
from dlbc.roles.notices import TaskView, Win
from dlbc.roles.outcome import NOTHING


def read_view(chain: Chain, pool: Pool, followed: Followed, facts: Facts) -> TaskView:
    """Of a task that was over when it was first seen, its winners only. Raises Unavailable if the log lags behind."""
    task_id, index, round_ = followed.task_id, facts.task.round, facts.round
    wins = tuple(_wins(chain, task_id, facts))
    if followed.is_past:
        return TaskView(task_id, facts, wins=wins)
    is_disputed = round_.vote is not Vote.NONE or round_.strikes > 0
    filings = pool.filings(task_id) if is_disputed else []
    return TaskView(
        task_id=task_id,
        facts=facts,
        strikes=tuple(chain.strikes(task_id, index)) if round_.strikes else (),
        filings=tuple(filing for filing in filings if filing.round == index),
        wins=wins,
        returned_wei=_returned(chain, followed, facts) if facts.phase.phase.is_cold else NOTHING,
    )


def _wins(chain: Chain, task_id: TaskId, facts: Facts) -> list[Win]:
    settled = facts.task.round + (facts.phase.phase is Phase.SETTLED)
    if not settled:
        return []
    prices = {event.round: event for event in chain.settlements(task_id)}
    found = []
    for index in range(settled):
        winner, round_, price = chain.winner(task_id, index), chain.round(task_id, index), prices.get(index)
        if winner.miner == ZERO_ADDRESS or price is None:
            raise Unavailable(f"the node's log does not show the settlement of round {index} yet")
        found.append(
            Win(
                round=index,
                miner=winner.miner,
                model_hash=winner.model_hash,
                total=winner.total,
                best=round_.samples * round_.max_sample_score,
                price_wei=Wei(price.paid_wei + price.fee_wei + price.royalty_wei),
                height=winner.height,
            )
        )
    return found


def _returned(chain: Chain, followed: Followed, facts: Facts) -> Wei:
    """What the market credited to the requester for this task."""
    if followed.returned_wei is None:
        events = chain.history(followed.task_id)
        mine = [event.wei for event in events if event.name == "Credited" and event.account == facts.task.requester]
        followed.returned_wei = Wei(sum(mine))
    return followed.returned_wei
