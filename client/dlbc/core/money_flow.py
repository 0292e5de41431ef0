"""Where the money of one task came from and went, from the log alone: every wei once (P-60 to P-62)."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass

from dlbc.core import payouts
from dlbc.core.disputes import dispute_bond
from dlbc.core.events import RoundSettled, TaskEvent, TaskPosted
from dlbc.core.types import Address, Hash32, Outcome, Round, Task, Wei

MARKET = "TaskMarket"
POOL = "AuditorPool"


@dataclass(frozen=True, slots=True)
class Transfer:
    """One amount that a contract took in for a task, or credited to somebody."""

    contract: str
    is_in: bool
    what: str
    round: int | None
    account: Address
    wei: Wei
    block_number: int
    tx_hash: Hash32


@dataclass(frozen=True, slots=True)
class MoneyFlow:
    """What a market took in and credited for one task, with all its rounds; and the same of the pool's bonds."""

    market: tuple[Transfer, ...]
    pool: tuple[Transfer, ...]
    due_wei: Wei
    """What the market still has to credit, by the task's stored facts."""

    @property
    def in_wei(self) -> Wei:
        """Taken in by the market."""
        return total(self.market, is_in=True)

    @property
    def out_wei(self) -> Wei:
        """Credited by the market."""
        return total(self.market, is_in=False)

    @property
    def held_wei(self) -> Wei:
        """Taken in and not credited yet."""
        return Wei(self.in_wei - self.out_wei)

    @property
    def agrees(self) -> bool:
        """What is held is what is still due: each wei has one place."""
        return self.held_wei == self.due_wei


def total(transfers: Iterable[Transfer], *, is_in: bool) -> Wei:
    """Of one direction."""
    return Wei(sum(transfer.wei for transfer in transfers if transfer.is_in is is_in))


def money_flow(
    events: Sequence[TaskEvent],
    posted: TaskPosted,
    task: Task,
    rounds: Sequence[Round],
    settlements: Sequence[RoundSettled],
    pool: Address,
) -> MoneyFlow:
    """events: the history of one task, oldest first; rounds: its rounds 0 to the present one."""
    by_transaction: dict[Hash32, list[TaskEvent]] = defaultdict(list)
    for event in events:
        by_transaction[event.tx_hash].append(event)
    reader = _Reader(posted, settlements, pool)
    transfers = [transfer for happened in by_transaction.values() for transfer in reader.read(happened)]
    reclaimed = Counter(event.round for event in events if event.name == "DepositReclaimed")
    return MoneyFlow(
        market=tuple(transfer for transfer in transfers if transfer.contract == MARKET),
        pool=tuple(transfer for transfer in transfers if transfer.contract == POOL),
        due_wei=still_due(task, rounds, [reclaimed[index] for index in range(len(rounds))]),
    )


def still_due(task: Task, rounds: Sequence[Round], reclaimed: Sequence[int]) -> Wei:
    """What the market has to hold for a task by its facts. reclaimed: deposits taken back, by round."""
    is_over = task.outcome is not Outcome.NONE
    due = 0 if is_over else task.bounty_wei * (task.rounds - task.round) + task.bond_wei
    for index, (round_, back) in enumerate(zip(rounds, reclaimed, strict=True)):
        if index == task.round and task.outcome is Outcome.ABORTED:
            unstruck = round_.commits - round_.strikes
            due += (unstruck - back) * (task.deposit_wei + payouts.abortion(task.bond_wei, unstruck).share_wei)
        else:
            holding = round_.reveals if is_over or index < task.round else round_.commits
            due += (holding - round_.strikes - back) * task.deposit_wei
    return Wei(due)


class _Reader:
    """Names every amount of a transaction by the events around it."""

    def __init__(self, posted: TaskPosted, settlements: Sequence[RoundSettled], pool: Address) -> None:
        self._posted, self._terms, self._pool = posted, posted.terms, pool
        self._settled = {settled.round: settled for settled in settlements}
        self._committed: set[tuple[int | None, Address]] = set()

    def read(self, events: Sequence[TaskEvent]) -> Iterator[Transfer]:
        names = {event.name: event for event in events}
        expected = self._expected(names)
        for event in events:
            yield from self._paid_in(event)
            if event.name == "Credited" and event.contract == POOL:
                what = next((words for name, words in _CREDITS_OF_POOL.items() if name in names), "credited")
                yield self._transfer(event, False, what, event.wei)
            elif event.name == "Credited":
                yield from self._credited(event, names, expected)

    def _paid_in(self, event: TaskEvent) -> Iterator[Transfer]:
        terms = self._terms
        if event.name == "TaskPosted":
            rounds = len(self._posted.test_commitments)
            yield self._transfer(event, True, "bounty", terms.bounty_wei * rounds)
            yield self._transfer(event, True, "requester's bond", terms.bond_wei)
        elif event.name == "ModelCommitted" and (event.round, event.account) not in self._committed:
            self._committed.add((event.round, event.account))
            yield self._transfer(event, True, "miner's deposit", terms.deposit_wei)
        elif event.name in {"ClaimDisputed", "TestSetImpeached"}:
            what = "bond of a dispute" if event.name == "ClaimDisputed" else "bond of an impeachment"
            yield self._transfer(event, True, what, dispute_bond(terms.bounty_wei))
        elif event.name == "PredictionDemanded":
            yield self._transfer(event, True, "bond of a demand", event.wei)

    def _expected(self, names: dict[str, TaskEvent]) -> list[tuple[Address, int, str]]:
        """What a settlement credits, in the contract's order, but for the pool's part."""
        event = names.get("RoundSettled")
        settled = self._settled.get(event.round) if event is not None and event.round is not None else None
        if settled is None:
            return []
        shares: list[tuple[Address, int, str]] = [(settled.miner, settled.paid_wei, "prize")]
        if settled.round + 1 == len(self._posted.test_commitments):
            shares.insert(0, (self._posted.requester, self._terms.bond_wei, "requester's bond back"))
        return shares

    def _credited(
        self, event: TaskEvent, names: dict[str, TaskEvent], expected: list[tuple[Address, int, str]]
    ) -> Iterator[Transfer]:
        share = next((found for found in expected if found[:2] == (event.account, event.wei)), None)
        if share is not None:
            expected.remove(share)
            yield self._transfer(event, False, share[2], event.wei)
        elif "RoundSettled" in names and event.account == self._pool:
            settled = self._settled.get(names["RoundSettled"].round or 0)
            fee = min(event.wei, settled.fee_wei) if settled is not None else event.wei
            yield self._transfer(event, False, "fee", fee)
            if event.wei > fee:
                yield self._transfer(event, False, "deposits never revealed", event.wei - fee)
        else:
            yield self._transfer(event, False, self._why(event, names), event.wei)

    def _why(self, event: TaskEvent, names: dict[str, TaskEvent]) -> str:
        to_pool = event.account == self._pool
        if "DepositReclaimed" in names:
            return "deposit back" if event.wei == self._terms.deposit_wei else "deposit back, and a share of the bond"
        if "RoundSettled" in names:
            return "royalty"
        if "TaskCancelled" in names:
            return "bounty and bond back"
        if "TaskVoided" in names:
            return "deposits never revealed, and fee" if to_pool else "bounty and bond back"
        if "TaskAborted" in names:
            return "rest of the requester's bond" if to_pool else "bounty back"
        if "ClaimStruck" in names:
            if names["ClaimStruck"].detail != "REFUTED":
                return "struck deposit"
            return "two thirds of the struck deposit" if to_pool else "a third of the struck deposit"
        return "credited"

    def _transfer(self, event: TaskEvent, is_in: bool, what: str, wei: int) -> Transfer:
        return Transfer(
            event.contract, is_in, what, event.round, event.account, Wei(wei), event.block_number, event.tx_hash
        )


_CREDITS_OF_POOL = {
    "VoteResolved": "part of the disputers' bonds",
    "VoteCollected": "share of a vote",
    "BondCollected": "bond back, with a share if it won",
    "PredictionShown": "bond of the demand that was answered",
    "DemandClosed": "bond of the demand back",
}
