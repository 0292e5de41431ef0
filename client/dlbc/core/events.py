"""What the contracts' logs tell, one class an event, named as in Solidity; and the receipt of a transaction."""

from __future__ import annotations

from dataclasses import dataclass

from dlbc.core.types import (
    Address,
    BlockHeader,
    Claim,
    Hash32,
    Locator,
    Outcome,
    PredictionLeaf,
    Reason,
    Ruling,
    SumNode,
    TaskId,
    Terms,
    TestSet,
    Timestamp,
    TrainingProof,
    Verdict,
    Wei,
)

# ------------------------------------------------------------------ of the market and the registry


@dataclass(frozen=True, slots=True)
class TaskPosted:
    """Event of a posting."""

    task_id: TaskId
    requester: Address
    terms_hash: Hash32
    difficulty: int
    terms: Terms
    test_commitments: tuple[Hash32, ...]
    block_number: int


@dataclass(frozen=True, slots=True)
class ModelCommitted:
    """Event of a commit or its replacement."""

    task_id: TaskId
    round: int
    miner: Address
    commitment: Hash32
    commit_seq: int
    recovery: Locator


@dataclass(frozen=True, slots=True)
class TestSetReleased:
    """Event of a release."""

    __test__ = False

    task_id: TaskId
    round: int
    test_set: TestSet
    test_key: bytes
    reveal_end: Timestamp


@dataclass(frozen=True, slots=True)
class ClaimRevealed:
    """Event of a reveal."""

    proof: TrainingProof
    claim: Claim
    salt: bytes
    h_top: Hash32
    signature: bytes
    qualifies: bool


@dataclass(frozen=True, slots=True)
class ModelOpened:
    """Event of an opening."""

    task_id: TaskId
    round: int
    miner: Address
    seal_key: bytes
    slot_key: bytes
    slot_path: tuple[Hash32, ...]
    challenge_end: Timestamp


@dataclass(frozen=True, slots=True)
class SlotRevealed:
    """Event of a watermark slot that somebody published as evidence (P-94)."""

    model_hash: Hash32
    task_id: TaskId
    round: int
    miner: Address  # who settled the model
    slot: int
    key: bytes
    commit_seq: int  # the market's last one then: the slot is burnt for models committed after it


@dataclass(frozen=True, slots=True)
class RoundSettled:
    """Event of a settlement: what was credited to whom."""

    task_id: TaskId
    round: int
    miner: Address
    paid_wei: Wei
    fee_wei: Wei
    royalty_wei: Wei


@dataclass(frozen=True, slots=True)
class ClaimNominated:
    """Event of a claim that was put forward after a strike."""

    task_id: TaskId
    round: int
    miner: Address


@dataclass(frozen=True, slots=True)
class TaskEnded:
    """Events TaskCancelled, TaskVoided and TaskAborted: a task that gives no further block."""

    task_id: TaskId
    outcome: Outcome


@dataclass(frozen=True, slots=True)
class BlockAppended:
    """Event of a ledger block."""

    height: int
    block_hash: Hash32
    task_id: TaskId
    header: BlockHeader


@dataclass(frozen=True, slots=True)
class Prize:
    """A settlement as its winner sees it."""

    task_id: TaskId
    round: int
    wei: Wei
    at: Timestamp


@dataclass(frozen=True, slots=True)
class News:
    """The newest block, and what the market's and the pool's logs tell since an earlier one."""

    block: int
    block_hash: Hash32
    time: Timestamp
    posted: frozenset[TaskId]  # tasks that are new
    touched: frozenset[TaskId] | None  # tasks that something happened to; None: not known, it may be any


@dataclass(frozen=True, slots=True)
class TaskEvent:
    """Any event of a task, of the market's or of its pool's log, with its place on the chain."""

    contract: str  # "TaskMarket" or "AuditorPool"
    name: str  # as in Solidity
    round: int | None  # None: the event does not say
    account: Address  # whom it is about; ZERO_ADDRESS: nobody
    wei: Wei  # what it moves; 0: nothing, or what follows from the terms
    detail: str  # name of its reason, ruling, verdict or fault; "" for none
    block_number: int
    tx_hash: Hash32


@dataclass(frozen=True, slots=True)
class Receipt:
    """A mined transaction, read back from the chain."""

    call: str  # name of the contract function, e.g. "commit"
    tx_hash: Hash32
    block_number: int
    gas_used: int
    task_id: TaskId | None = None  # of post()


# ------------------------------------------------------------------ of the pool


@dataclass(frozen=True, slots=True)
class DisputeFiled:
    """Event of a dispute (grounds > 0) or of an impeachment (subject ZERO_ADDRESS, grounds 0)."""

    case_id: Hash32
    task_id: TaskId
    round: int
    subject: Address
    filer: Address
    grounds: int
    evidence: Locator
    samples: tuple[int, ...]


@dataclass(frozen=True, slots=True)
class VoteCommitted:
    """Event of a ballot, still sealed."""

    case_id: Hash32
    attempt: int
    voter: Address
    ballot: Hash32
    lock_wei: Wei


@dataclass(frozen=True, slots=True)
class VoteRevealed:
    """Event of an opened ballot."""

    case_id: Hash32
    attempt: int
    voter: Address
    verdict: Verdict
    lock_wei: Wei


@dataclass(frozen=True, slots=True)
class VoteResolved:
    """Event of a counted vote."""

    case_id: Hash32
    attempt: int
    ruling: Ruling
    stands_wei: Wei
    falls_wei: Wei
    unavailable_wei: Wei
    snapshot_wei: Wei


@dataclass(frozen=True, slots=True)
class PredictionDemanded:
    """Event of a demand."""

    task_id: TaskId
    round: int
    miner: Address
    demander: Address
    index: int
    demand_end: Timestamp


@dataclass(frozen=True, slots=True)
class PredictionShown:
    """Event of an answer."""

    task_id: TaskId
    round: int
    miner: Address
    answerer: Address
    index: int
    leaf: PredictionLeaf
    path: tuple[SumNode, ...]


@dataclass(frozen=True, slots=True)
class ClaimStruck:
    """Event of a strike."""

    task_id: TaskId
    round: int
    miner: Address
    reason: Reason


# ------------------------------------------------------------------ of both, in order

LedgerEvent = (
    TaskPosted
    | ModelCommitted
    | TestSetReleased
    | ClaimRevealed
    | ClaimNominated
    | ModelOpened
    | ClaimStruck
    | RoundSettled
    | TaskEnded
    | BlockAppended
)
"""What a ledger block follows from."""


@dataclass(frozen=True, slots=True)
class Logged:
    """An event, and the block of the chain that holds it."""

    block_number: int
    event: LedgerEvent
