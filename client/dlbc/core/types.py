"""Values of the protocol, named as in Solidity (contracts/types/Task.sol) and docs/protocol.md.

Hashes, locators and keys are `bytes` of length 32. Addresses are EIP-55 strings. Money is wei, times are unix
seconds, shares are parts per million; all are ints. Nothing hashed or paid is ever a float.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import IntEnum, IntFlag
from typing import NewType

TaskId = NewType("TaskId", int)
Wei = NewType("Wei", int)
Timestamp = NewType("Timestamp", int)
Address = NewType("Address", str)
Hash32 = NewType("Hash32", bytes)
Locator = NewType("Locator", bytes)
"""The 32-byte SHA2-256 digest inside an IPFS CIDv0 (dag-pb root, raw leaves off)."""

ZERO_HASH = Hash32(bytes(32))
ZERO_ADDRESS = Address("0x" + "0" * 40)
PPM = 1_000_000

METRIC_TOP1 = 1
"""metricId of top-1 classification: s = 1 if p = y else 0, M = 1."""


class Phase(IntEnum):
    """What a round is waiting for."""

    NONE = 0
    TRAINING = 1
    RELEASING = 2
    REVEALING = 3
    OPENING = 4
    CHALLENGE = 5
    VOTING_COMMIT = 6
    VOTING_REVEAL = 7
    NOMINATING = 8
    SETTLED = 9
    ABORTED = 10
    VOID = 11
    CANCELLED = 12

    @property
    def is_cold(self) -> bool:
        """Cold phases are final."""
        return self >= Phase.SETTLED

    @property
    def label(self) -> str:
        """As users read it, e.g. "Training"."""
        return self.name.title().replace("_", "")


class Outcome(IntEnum):
    """How a whole task ended."""

    NONE = 0
    SETTLED = 1
    ABORTED = 2
    VOID = 3
    CANCELLED = 4


class Reason(IntEnum):
    """Why a leader was struck."""

    NONE = 0
    SILENT = 1
    REFUTED = 2
    WITHHELD = 3
    VOTED = 4


class Vote(IntEnum):
    """What a round's auditors vote on."""

    NONE = 0
    TEST_SET = 1
    CLAIM = 2


class Verdict(IntEnum):
    """What one ballot says (P-54)."""

    NONE = 0
    STANDS = 1
    FALLS = 2
    UNAVAILABLE = 3


class Ruling(IntEnum):
    """What a whole vote says (P-54, P-55)."""

    NONE = 0
    REPEAT = 1
    STANDS = 2
    FALLS = 3
    SPLIT = 4
    NO_QUORUM = 5


class Fault(IntEnum):
    """What a refutation proves (M-6)."""

    NONE = 0
    WRONG_SCORE = 1
    OUT_OF_RANGE = 2
    WRONG_SUM = 3
    PADDING = 4


class Ground(IntFlag):
    """Why a claim is disputed (P-52); several may hold."""

    SCORE = 1
    HASH = 2
    UNAVAILABLE = 4
    ARCHITECTURE = 8
    NO_WATERMARK = 16
    COPIED = 32
    SAMPLES = 64


class LockKind(IntEnum):
    """What a locked amount is."""

    BOUNTY = 0
    BOND = 1
    DEPOSIT = 2
    STAKE = 3
    PENDING_STAKE = 4
    UNBONDING_STAKE = 5
    DISPUTE_BOND = 6


@dataclass(frozen=True, slots=True)
class Workload:
    """What training costs, as the requester states it (P-11)."""

    parameters: int
    flops_per_sample: int
    samples: int
    epochs: int
    data_bytes: int
    model_bytes: int


@dataclass(frozen=True, slots=True)
class Terms:
    """Everything fixed at posting (P-11)."""

    manifest_hash: Hash32
    manifest: Locator
    workload: Workload
    train_seconds: int
    release_seconds: int
    reveal_seconds: int
    open_seconds: int
    challenge_seconds: int
    min_score_ppm: int
    min_gain_ppm: int
    tolerance_ppm: int
    bounty_wei: Wei
    deposit_wei: Wei
    bond_wei: Wei
    royalty_bps: int


@dataclass(frozen=True, slots=True)
class TestSet:
    """The preimage of a test commitment (P-13)."""

    __test__ = False  # not a pytest class

    sealed_locator: Locator
    plaintext_hash: Hash32
    key_hash: Hash32
    samples: int
    max_sample_score: int
    classes: int
    metric: int
    labels_root: Hash32


@dataclass(frozen=True, slots=True)
class TrainingProof:
    """What a miner binds its work to (P-31)."""

    task_id: TaskId
    round: int
    miner: Address
    model_hash: Hash32
    sealed_model: Locator
    seal_key_hash: Hash32
    watermark_root: Hash32
    parent_model: Hash32


@dataclass(frozen=True, slots=True)
class Claim:
    """What a miner says its model scores (P-41)."""

    total: int
    predictions_root: Hash32
    predictions: Locator


@dataclass(frozen=True, slots=True)
class Task:
    """Stored facts of a task."""

    requester: Address
    round: int
    rounds: int
    outcome: Outcome
    train_seconds: int
    release_seconds: int
    bounty_wei: Wei
    deposit_wei: Wei
    reveal_seconds: int
    open_seconds: int
    bond_wei: Wei
    challenge_seconds: int
    min_score_ppm: int
    min_gain_ppm: int
    tolerance_ppm: int
    royalty_bps: int
    difficulty: int
    posted_at: Timestamp
    terms_hash: Hash32


@dataclass(frozen=True, slots=True)
class Round:
    """Stored facts of a round; a window end of 0 = the fact that starts the window is not written yet."""

    train_end: Timestamp
    reveal_end: Timestamp
    nominate_end: Timestamp
    challenge_end: Timestamp
    commits: int
    vote_start: Timestamp
    vote: Vote
    open_demands: int
    leader: Address
    leader_total: int
    reveals: int
    samples: int
    max_sample_score: int
    classes: int
    metric: int
    demand_end: Timestamp
    strikes: int
    is_fee_due: bool
    test_commitment: Hash32


@dataclass(frozen=True, slots=True)
class Entry:
    """Stored facts of one miner's entry in one round. commit_seq 0 = no entry."""

    digest: Hash32
    commit_seq: int
    total: int
    holds_deposit: bool
    has_revealed: bool
    qualifies: bool
    is_struck: bool


@dataclass(frozen=True, slots=True)
class PhaseInfo:
    """The derived phase; `due` = its time is up and advance() will write what follows."""

    phase: Phase
    due: bool
    ends_at: Timestamp


@dataclass(frozen=True, slots=True)
class BlockHeader:
    """One block of the ledger of useful work (P-70)."""

    version: int
    height: int
    previous_hash: Hash32
    task_id: TaskId
    round: int
    model_hash: Hash32
    proof_digest: Hash32
    miner: Address
    total: int
    score_ppm: int
    difficulty: int
    cumulative_difficulty: int
    timestamp: Timestamp
    open_tasks: int


@dataclass(frozen=True, slots=True)
class Winner:
    """The settled claim of a round; the miner is ZERO_ADDRESS until settled."""

    miner: Address
    total: int
    height: int
    model_hash: Hash32
    proof_digest: Hash32
    watermark_root: Hash32
    parent_model: Hash32


@dataclass(frozen=True, slots=True)
class WatermarkRecord:
    """Who registered a watermark for a settled model, and when by commit order."""

    root: Hash32
    miner: Address
    commit_seq: int
    task_id: TaskId
    round: int


@dataclass(frozen=True, slots=True)
class SlotReveal:
    """When a watermark slot was published (P-94); zeros if it was not."""

    commit_seq: int
    revealed_at: Timestamp


@dataclass(frozen=True, slots=True)
class Params:
    """Immutable parameters of a market (section 12)."""

    fee_bps: int
    max_royalty_bps: int
    min_window: int
    max_window: int
    finality_gap: int
    aging_seconds: int
    weight_complexity: int
    weight_network: int
    weight_data: int
    weight_queue: int
    max_challenge: int
    vote_seconds: int
    pool: Address


@dataclass(frozen=True, slots=True)
class PoolParams:
    """Immutable parameters of an auditor pool (section 12)."""

    activation_seconds: int
    unbonding_seconds: int
    lock_bps: int
    demand_bond_wei: Wei


@dataclass(frozen=True, slots=True)
class Stake:
    """One auditor's stake (P-56)."""

    active_wei: Wei
    pending_wei: Wei
    ready_at: Timestamp
    ballots: int
    accrued_wei: Wei
    paid_index: int
    unbonding_wei: Wei
    free_at: Timestamp
    counted_from: Timestamp


@dataclass(frozen=True, slots=True)
class Case:
    """One dispute of a claim, or the impeachment of a test set. filers 0 = there is none."""

    bond_wei: Wei
    filers: int
    vote_start: Timestamp
    snapshot_at: Timestamp
    attempt: int
    ruling: Ruling
    grounds: int
    task_id: TaskId
    round: int
    subject: Address
    filer_pot_wei: Wei
    filers_left: int


@dataclass(frozen=True, slots=True)
class Tally:
    """The ballots of one vote, counted by what they risk."""

    committed_wei: Wei
    stands_wei: Wei
    falls_wei: Wei
    unavailable_wei: Wei
    pot_wei: Wei
    winners_wei: Wei


@dataclass(frozen=True, slots=True)
class ClaimRef:
    """Names a revealed claim and gives what its hash binds."""

    proof: TrainingProof
    claim: Claim
    h_top: Hash32


@dataclass(frozen=True, slots=True)
class PredictionLeaf:
    """A leaf of the prediction tree (M-3)."""

    prediction: int
    score: int


@dataclass(frozen=True, slots=True)
class SumNode:
    """One level of a path in the prediction tree, leaf to root: what the parent's hash binds (M-4)."""

    hash: Hash32  # of the sibling
    sum: int  # of the sibling, as the parent states it
    own_sum: int  # of the node on the path, as the parent states it


@dataclass(frozen=True, slots=True)
class LabelProof:
    """A label of the test set, proved against the round's test commitment (M-2)."""

    test_set: TestSet
    label: int
    path: tuple[Hash32, ...]


@dataclass(frozen=True, slots=True)
class RankedTask:
    """One row of the ranked list (P-81)."""

    task_id: TaskId
    rank: int
    bounty_wei: Wei
    difficulty: int
    posted_at: Timestamp
    train_end: Timestamp
    commits: int


@dataclass(frozen=True, slots=True)
class Lock:
    """One amount that is locked for an account, and the call that frees it (P-71)."""

    kind: LockKind
    round: int
    amount_wei: Wei
    free_at: Timestamp
    freed_by: str
