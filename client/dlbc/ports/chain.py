"""The market, as one account sees it: every read, log and transaction."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass
from typing import Protocol

from dlbc.core.events import (
    ClaimRevealed,
    ClaimStruck,
    ModelCommitted,
    ModelOpened,
    News,
    Prize,
    Receipt,
    RoundSettled,
    SlotRevealed,
    TaskEvent,
    TaskPosted,
    TestSetReleased,
)
from dlbc.core.types import (
    Address,
    BlockHeader,
    Claim,
    Entry,
    Hash32,
    Locator,
    Lock,
    Params,
    PhaseInfo,
    RankedTask,
    Round,
    SlotReveal,
    Task,
    TaskId,
    Terms,
    TestSet,
    Timestamp,
    TrainingProof,
    WatermarkRecord,
    Wei,
    Winner,
)


@dataclass(frozen=True, slots=True)
class Payout:
    """Where an owner wants the money of its worker."""

    to: Address
    reserve_wei: Wei  # what the worker keeps for gas and deposits


class Chain(Protocol):
    """One TaskMarket with its registry and lens, as one account sees it. Reads name the latest block unless a
    block is pinned. Writes simulate first (ContractRefused costs nothing), then wait for the receipt.
    """

    @property
    def chain_id(self) -> int: ...
    @property
    def market(self) -> Address: ...
    @property
    def account(self) -> Address | None:
        """Who sends transactions; None = read only (writes then raise Usage)."""
        ...

    @property
    def payout(self) -> Payout | None:
        """Where the account's withdrawals go; None = to itself."""
        ...

    def now(self) -> Timestamp:
        """Time of a transaction mined now (the pending block's timestamp)."""
        ...

    # -- reads
    def params(self) -> Params: ...
    def task_count(self) -> int: ...
    def open_tasks(self) -> int: ...
    def task(self, task_id: TaskId) -> Task:
        """Raises NotFound."""
        ...

    def round(self, task_id: TaskId, round: int) -> Round: ...
    def entry(self, task_id: TaskId, round: int, miner: Address) -> Entry: ...
    def phase(self, task_id: TaskId) -> PhaseInfo: ...
    def phases(self, first: TaskId, count: int) -> list[PhaseInfo]:
        """Of the tasks first .. first + count - 1, as far as they exist."""
        ...

    def tasks(self, task_ids: Sequence[TaskId]) -> list[tuple[Task, Round]]:
        """Facts of tasks that exist, each with its present round's, in few requests."""
        ...

    def ranked_tasks(self) -> list[RankedTask]:
        """All tasks in Training, best first."""
        ...

    def locks(self, task_id: TaskId, account: Address) -> list[Lock]: ...
    def credit(self, account: Address) -> Wei: ...
    def balance(self, account: Address) -> Wei:
        """Ether the account owns outside the market."""
        ...

    def gas_price(self) -> Wei:
        """What a transaction offers for one gas now, at most. Raises TryLater above what the owner pays."""
        ...

    def finish_sent(self) -> int:
        """Waits for what an earlier process of our account sent, and raises its price where fees rose; how many of its
        transactions are not mined after that. Raises ChainUnreachable when it takes too long.
        """
        ...

    def liabilities(self) -> tuple[Wei, Wei]:
        """(locked, credited) in the market."""
        ...

    def market_balance(self) -> Wei: ...
    def winner(self, task_id: TaskId, round: int) -> Winner: ...
    def watermark(self, model_hash: Hash32) -> WatermarkRecord: ...
    def slot(self, model_hash: Hash32, slot: int) -> SlotReveal:
        """When a slot of a settled model was published as evidence."""
        ...

    def block_hash(self, height: int) -> Hash32: ...
    def head(self) -> tuple[int, Hash32, int]:
        """(blocks, head hash, cumulative difficulty)."""
        ...

    def genesis_hash(self) -> Hash32: ...
    def verify_block(self, header: BlockHeader) -> bool: ...
    def verify_proof(self, proof: TrainingProof, claim: Claim, signature: bytes) -> bool: ...

    # -- the log
    def task_posted(self, task_id: TaskId) -> TaskPosted: ...
    def postings(self) -> Iterator[TaskPosted]:
        """Of all tasks, oldest first; read as they are consumed, so that memory stays flat."""
        ...

    def postings_of(self, requester: Address) -> list[TaskPosted]:
        """Of one requester, oldest first."""
        ...

    def queue_at_posting(self, task_id: TaskId) -> int:
        """Tasks not yet cold right after this one was posted, itself included, counted from the log (P-80)."""
        ...

    def commits(self, task_id: TaskId, round: int | None = None) -> list[ModelCommitted]:
        """Of one round, or of all of them, oldest first; of each miner's, the last counts."""
        ...

    def all_commits(self) -> Iterator[ModelCommitted]:
        """Of all rounds of all tasks, oldest first; read as they are consumed."""
        ...

    def commits_of(self, miner: Address) -> list[ModelCommitted]:
        """Of one miner in all rounds of all tasks, oldest first; of each round, the last counts."""
        ...

    def prizes_of(self, miner: Address) -> list[Prize]:
        """What settlements credited to one miner as the winner, oldest first."""
        ...

    def news(self, since: News | None = None) -> News:
        """One cheap look: which tasks something happened to since an earlier look (None: this is the first)."""
        ...

    def released(self, task_id: TaskId, round: int) -> TestSetReleased | None: ...
    def reveals(self, task_id: TaskId, round: int) -> list[ClaimRevealed]: ...
    def strikes(self, task_id: TaskId, round: int) -> list[ClaimStruck]: ...
    def openings(self, task_id: TaskId, round: int | None = None) -> list[ModelOpened]:
        """Of one round, or of all of them, oldest first."""
        ...

    def all_openings(self) -> Iterator[ModelOpened]:
        """Of all rounds of all tasks, oldest first; read as they are consumed."""
        ...

    def settlements(self, task_id: TaskId) -> list[RoundSettled]: ...
    def blocks(self, first: int = 0, count: int | None = None) -> list[BlockHeader]: ...
    def slot_reveals(self, model_hash: Hash32 | None = None) -> list[SlotRevealed]:
        """Slots published as evidence, of one settled model or of all, oldest first (P-94)."""
        ...

    def history(self, task_id: TaskId) -> list[TaskEvent]:
        """Everything that the logs of market and pool tell of a task, oldest first. Ballots are of its cases."""
        ...

    def block_times(self, numbers: Collection[int]) -> dict[int, Timestamp]:
        """When these blocks of the chain (not of the ledger) were made, by number."""
        ...

    # -- writes, in the order a task lives
    def post(self, terms: Terms, test_commitments: Sequence[Hash32]) -> Receipt:
        """The receipt carries task_id."""
        ...

    def cancel(self, task_id: TaskId) -> Receipt: ...
    def commit(
        self,
        task_id: TaskId,
        round: int,
        terms_hash: Hash32,
        commitment: Hash32,
        recovery: Locator,
        deposit_wei: Wei,
    ) -> Receipt: ...
    def release(self, task_id: TaskId, test_set: TestSet, test_key: bytes) -> Receipt: ...
    def reveal(
        self,
        proof: TrainingProof,
        salt: bytes,
        claim: Claim,
        h_top: Hash32,
        signature: bytes,
        most_gas: int | None = None,
    ) -> Receipt:
        """A wallet that is a contract checks the signature with whatever gas it likes: above `most_gas` TooMuchGas is
        raised and nothing sent.
        """
        ...

    def nominate(self, task_id: TaskId, miner: Address) -> Receipt: ...
    def open(
        self,
        proof: TrainingProof,
        claim: Claim,
        seal_key: bytes,
        slot_key: bytes,
        slot_path: Sequence[Hash32],
    ) -> Receipt: ...
    def advance(self, task_id: TaskId) -> Receipt: ...
    def reclaim(self, task_id: TaskId, round: int, miner: Address) -> Receipt: ...
    def reveal_slot(self, model_hash: Hash32, slot: int, key: bytes, path: Sequence[Hash32]) -> Receipt: ...
    def withdraw(self, account: Address) -> Receipt: ...
    def withdraw_to(self, to: Address) -> Receipt: ...
    def pay(self, to: Address, wei: Wei) -> Receipt:
        """Sends ether of the account itself."""
        ...
