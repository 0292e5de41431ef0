"""What the roles need from the outside world. Each port has one or more adapters and, for unit tests, a fake;
both pass the same test suite. Every method raises only errors of `dlbc.core.errors`.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from dlbc.core.architecture import Architecture
from dlbc.core.events import (
    ClaimRevealed,
    ClaimStruck,
    DisputeFiled,
    Logged,
    ModelCommitted,
    ModelOpened,
    News,
    PredictionDemanded,
    PredictionShown,
    Prize,
    Receipt,
    RoundSettled,
    SlotRevealed,
    TaskEvent,
    TaskPosted,
    TestSetReleased,
    VoteCommitted,
    VoteResolved,
    VoteRevealed,
)
from dlbc.core.examination import Examination
from dlbc.core.types import (
    Address,
    BlockHeader,
    Case,
    Claim,
    ClaimRef,
    Entry,
    Hash32,
    LabelProof,
    Locator,
    Lock,
    Params,
    PhaseInfo,
    PoolParams,
    PredictionLeaf,
    RankedTask,
    Round,
    Ruling,
    SlotReveal,
    Stake,
    SumNode,
    Tally,
    Task,
    TaskId,
    Terms,
    TestSet,
    Timestamp,
    TrainingProof,
    Verdict,
    WatermarkRecord,
    Wei,
    Winner,
)

Progress = Callable[[str, int, int], None]
"""progress(what, done, total): called often and cheaply; total 0 = unknown."""


def silent(what: str, done: int, total: int) -> None:
    """A Progress that shows nothing."""


class Keys(Protocol):
    """One account's signing key. The key itself never leaves the adapter."""

    @property
    def address(self) -> Address: ...

    def sign_typed(self, typed_data: Mapping[str, Any]) -> bytes:
        """EIP-712 signature of a full typed-data message; 65 bytes r ‖ s ‖ v, s low, v in {27, 28}."""
        ...

    def sign_transaction(self, transaction: Mapping[str, Any]) -> bytes:
        """Raw signed transaction."""
        ...


class Clock(Protocol):
    """Wall-clock time, for deadlines of our own work. Phases follow the chain's time (Chain.now)."""

    def now(self) -> float: ...

    def sleep(self, seconds: float) -> None: ...


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


class Pool(Protocol):
    """The AuditorPool of a market, as one account sees it: stakes, disputes and votes, refutations and demands. Writes
    simulate first (ContractRefused costs nothing), then wait for the receipt.
    """

    @property
    def address(self) -> Address: ...
    @property
    def account(self) -> Address | None:
        """Who sends transactions; None = read only (writes then raise Usage)."""
        ...

    # -- reads
    def params(self) -> PoolParams: ...
    def stake_of(self, auditor: Address) -> Stake: ...
    def stake_at(self, auditor: Address, time: Timestamp) -> Wei: ...
    def totals(self) -> tuple[Wei, Wei]:
        """(active stake of all, dividends not shared out yet)."""
        ...

    def total_stake_at(self, time: Timestamp) -> Wei: ...
    def dividend(self, auditor: Address) -> tuple[Wei, int, int]:
        """(accrued before participation, ballots collected, votes resolved) since the last dividend (P-60)."""
        ...

    def case(self, case_id: Hash32) -> Case: ...
    def tally(self, case_id: Hash32, attempt: int) -> Tally: ...
    def ruling(self, case_id: Hash32, attempt: int) -> Ruling: ...
    def windows(self, case_id: Hash32) -> tuple[Timestamp, Timestamp, Timestamp]:
        """(start, end of committing, end of revealing) of the present attempt."""
        ...

    def lock_for(self, case_id: Hash32, voter: Address) -> Wei: ...
    def has_filed(self, case_id: Hash32, filer: Address) -> bool: ...
    def ballot(self, case_id: Hash32, attempt: int, voter: Address) -> Hash32: ...
    def demander(self, task_id: TaskId, round: int, miner: Address, index: int) -> Address | None:
        """Who demanded this prediction and has no answer yet."""
        ...

    def credit(self, account: Address) -> Wei: ...
    def liabilities(self) -> tuple[Wei, Wei]:
        """(locked, credited) in the pool."""
        ...

    def balance(self) -> Wei:
        """Ether the pool holds."""
        ...

    # -- the log
    def filings(self, task_id: TaskId | None = None) -> list[DisputeFiled]:
        """Disputes and impeachments, of one task or of all."""
        ...

    def ballots_committed(self, case_id: Hash32) -> list[VoteCommitted]: ...
    def ballots_revealed(self, case_id: Hash32) -> list[VoteRevealed]: ...
    def resolved(self, case_id: Hash32) -> list[VoteResolved]: ...
    def ballots_of(self, voter: Address) -> list[VoteCommitted]:
        """Every ballot of one voter, oldest first."""
        ...

    def demands(self, task_id: TaskId, round: int) -> list[PredictionDemanded]: ...
    def shown(self, task_id: TaskId, round: int) -> list[PredictionShown]: ...

    # -- writes
    def stake(self, amount_wei: Wei) -> Receipt: ...
    def activate(self, auditor: Address) -> Receipt: ...
    def unstake(self, amount_wei: Wei) -> Receipt: ...
    def finish_unstake(self, auditor: Address) -> Receipt: ...
    def collect_fees(self) -> Receipt: ...
    def claim_dividends(self) -> Receipt: ...
    def impeach(self, task_id: TaskId, evidence: Locator, bond_wei: Wei) -> Receipt: ...
    def dispute(
        self, task_id: TaskId, grounds: int, evidence: Locator, samples: Sequence[int], bond_wei: Wei
    ) -> Receipt: ...
    def commit_vote(self, case_id: Hash32, ballot: Hash32) -> Receipt: ...
    def reveal_vote(self, case_id: Hash32, voter: Address, verdict: Verdict, lock_wei: Wei, salt: bytes) -> Receipt: ...
    def resolve(self, task_id: TaskId) -> Receipt: ...
    def collect_vote(self, case_id: Hash32, attempt: int, voter: Address) -> Receipt: ...
    def recover_vote(self, case_id: Hash32, attempt: int, voter: Address, ballot: Hash32, lock_wei: Wei) -> Receipt: ...
    def collect_bond(self, case_id: Hash32, filer: Address) -> Receipt: ...
    def refute(
        self,
        ref: ClaimRef,
        index: int,
        leaf: PredictionLeaf,
        path: Sequence[SumNode],
        label: LabelProof | None,
    ) -> Receipt: ...
    def demand(self, ref: ClaimRef, index: int, bond_wei: Wei) -> Receipt: ...
    def answer(self, ref: ClaimRef, index: int, leaf: PredictionLeaf, path: Sequence[SumNode]) -> Receipt: ...
    def close_demand(self, task_id: TaskId, round: int, miner: Address, index: int) -> Receipt: ...
    def withdraw(self, account: Address) -> Receipt: ...
    def withdraw_to(self, to: Address) -> Receipt: ...


class LedgerLog(Protocol):
    """What verifying a whole ledger takes: one market's log in order, and what its contracts store; nothing is sent."""

    @property
    def chain_id(self) -> int: ...
    @property
    def market(self) -> Address: ...
    @property
    def first_block(self) -> int:
        """The chain's block that the market was deployed in: no event is older."""
        ...

    def params(self) -> Params: ...
    def genesis_hash(self) -> Hash32: ...
    def head(self) -> tuple[int, Hash32, int]:
        """(blocks, head hash, cumulative difficulty) of the ledger."""
        ...

    def tip(self) -> tuple[int, Hash32]:
        """Number and hash of the chain's newest block."""
        ...

    def hash_of(self, number: int) -> Hash32 | None:
        """Hash of a block of the chain; None if there is none."""
        ...

    def events(self, first: int, last: int) -> Iterator[Logged]:
        """Of the chain's blocks first … last, in the order in which they happened; read as they are consumed."""
        ...

    def block_hashes(self, heights: Sequence[int]) -> list[Hash32]:
        """Stored hashes of ledger blocks. Raises ContractRefused for one that is not stored."""
        ...

    def winners(self, places: Sequence[tuple[TaskId, int]]) -> list[Winner]:
        """Stored winners of (task, round)."""
        ...

    def block_times(self, numbers: Collection[int]) -> dict[int, Timestamp]: ...
    def confirms(self, claim: ClaimRevealed) -> bool | None:
        """What a miner that is a contract says now of the signature of its revealed claim (ERC-1271); None: it is no
        contract.
        """
        ...


class Storage(Protocol):
    """Content-addressed storage (IPFS). Whatever is fetched is re-hashed to its locator before it is returned."""

    def add(self, data: bytes) -> Locator:
        """Adds and pins; the locator is recomputed here and must match what the node says."""
        ...

    def add_file(self, path: Path, progress: Progress = silent) -> Locator: ...

    def fetch(self, locator: Locator, *, max_bytes: int, timeout: float = 60.0) -> bytes:
        """Raises Unavailable after `timeout` seconds, VerificationFailed if the bytes do not hash to the
        locator or are more than `max_bytes` (the fetch stops there).
        """
        ...

    def pin(self, locator: Locator, timeout: float = 60.0) -> None: ...

    def is_pinned(self, locator: Locator) -> bool: ...

    def unpin(self, locator: Locator) -> None:
        """The node may forget these bytes; no error if it had not pinned them."""
        ...

    def collect(self) -> int:
        """Asks the node to delete what is pinned by nobody; how many bytes that freed. Raises Unavailable."""
        ...

    def version(self) -> str:
        """Raises StorageUnreachable."""
        ...


class Channel(Protocol):
    """One way to tell the owner of a daemon something."""

    @property
    def name(self) -> str:
        """Which way: "webhook", "command"."""
        ...

    def send(self, notice_id: str, kind: str, body: bytes) -> None:
        """Delivers one JSON document, within a minute. Called in a thread of its own, one at a time.

        Raises TryLater when it did not arrive: it is sent again, under the same id.
        """
        ...

    def close(self) -> None:
        """Ends what is being sent."""
        ...


class Journal(Protocol):
    """This role's own memory on disk: small JSON records by (kind, key), written durably before they return.
    The chain is the truth; deleting the journal must be survivable.
    """

    def put(self, kind: str, key: str, record: Mapping[str, Any]) -> None:
        """Inserts or replaces. Values are JSON; bytes are stored as 0x-hex by the caller."""
        ...

    def get(self, kind: str, key: str) -> dict[str, Any] | None: ...

    def all(self, kind: str) -> list[tuple[str, dict[str, Any]]]:
        """In order of first insertion."""
        ...

    def delete(self, kind: str, key: str) -> None: ...

    def close(self) -> None: ...


@dataclass(frozen=True, slots=True)
class Dataset:
    """Samples in memory. x: float32 [n, *input_shape], finite, normalised; y: int64 [n], 0 <= y < classes."""

    x: NDArray[np.float32]
    y: NDArray[np.int64]


class DataSource(Protocol):
    """Where a requester's samples come from, and how they are packed."""

    def load(self, source: str, folder: Path, seed: int) -> tuple[Dataset, Dataset]:
        """(training, test) samples of a built-in name or of an .npz file (a relative path starts at `folder`).

        Raises BadInput for NaN, wrong shapes, labels out of range, no samples, only one class or no such file.
        """
        ...

    def pack(self, data: Dataset) -> bytes:
        """One safetensors file with tensors x and y; the same data gives the same bytes."""
        ...


@dataclass(frozen=True, slots=True)
class TrainJob:
    """What the training child process needs; it is written to `work` as JSON, never pickled.

    shards: paths of verified safetensors shards with tensors x and y. The child splits off its own validation
    part, trains, embeds the watermark of every slot, and writes model.safetensors, progress.json and result.json
    into `work`, each by rename. A rerun in the same folder resumes from its last checkpoint, with the budget it is
    given now.
    """

    work: Path
    architecture: Architecture
    shards: tuple[Path, ...]
    epochs: int
    batch: int
    learning_rate: float
    device: str  # "auto", "cuda", "cuda:N", "cpu", or a group that trains together: "cuda:0+cuda:1", "cpu+cpu"
    seed: int
    init_key: bytes = field(repr=False)  # seeds the weight initialisation (32 bytes; secret)
    slot_keys: tuple[bytes, ...] = field(repr=False)  # 32 bytes each; secret
    payloads: tuple[bytes, ...]  # per slot: 32 bytes, the bits to embed (core.watermark.payload)
    start: Path | None = None  # safetensors of this architecture to go on from; None: random weights by init_key
    budget: float | None = None  # seconds from start() to the model; None: as long as the epochs take
    patience: int | None = None  # epochs after the warm-up without a better validation that end it; None: never
    deterministic: bool = False  # the same bytes from the same job on the same machine, on CUDA too
    strategy: str = "default"  # "default", "search" or "module:Class" of the operator's own


@dataclass(frozen=True, slots=True)
class TrainProgress:
    """Where the child is; epoch counts from 0 to epochs. Reads are cheap."""

    state: str  # "starting", "training", "done", "failed"
    epoch: int
    epochs: int
    loss: float | None
    validation_ppm: int | None  # best validation accuracy so far, ppm
    message: str = ""
    may_resume: bool = False  # it was ended from outside; started again it goes on from its checkpoint


@dataclass(frozen=True, slots=True)
class TrainResult:
    """A finished training."""

    model: Path  # safetensors
    model_bytes: int
    validation_ppm: int
    epochs: int  # trained, which may be fewer than were asked for
    seconds: float
    device: str


class TrainHandle(Protocol):
    """One training child process."""

    def poll(self) -> TrainProgress:
        """Raises OSError if it ended for want of what the machine may have again; started again, it goes on."""
        ...

    def result(self) -> TrainResult:
        """Raises Refused with the child's last words if it failed or is not done."""
        ...

    def kill(self) -> None:
        """Ends the child; the work folder stays and can be resumed."""
        ...


class Examining(Protocol):
    """One examination that runs in a process of its own."""

    def poll(self) -> Examination | None:
        """None while it runs. Raises when it ended without a finding, saying why: LimitReached if it broke its limits
        and would again, TryLater for anything else.
        """
        ...

    def stop(self) -> None:
        """Ends it and forgets what it had; may be called again."""
        ...


class Examinations(Protocol):
    """Starts examinations, within limits of time, memory and file size. They have no account and no key."""

    def start(self, task_id: TaskId, *, test_set: bool) -> Examining: ...


@dataclass(frozen=True, slots=True)
class WeightFile:
    """A model file of a stranger: nothing is known but its bytes."""

    weights: Mapping[str, NDArray[np.float32]]  # finite, by name
    sha256: Hash32
    widened: tuple[str, ...]  # dtypes that were widened to float32, e.g. "float16"


ReadWeights = Callable[[Path], WeightFile]
"""Raises NotFound, BadInput or VerificationFailed, saying what was expected and found."""


class Scorer(Protocol):
    """What whoever checks others' work needs of torch and safetensors. Everything given to it may be a stranger's.

    Each raises LimitReached when this machine's limits ended it, which says nothing about what it was given.
    """

    def parse_dataset(self, data: bytes | bytearray, *, input_shape: Sequence[int], classes: int) -> Dataset:
        """The samples of one safetensors file (a released test set).

        Raises BadInput for anything but finite x of this shape and y in range.
        """
        ...

    def check_model(self, model: bytes | Path, architecture: Architecture, *, max_bytes: int) -> dict[str, Any]:
        """Parses safetensors and checks names, shapes, dtype float32 and finiteness against the architecture.

        Returns {tensor name: numpy float32 array}. Raises VerificationFailed saying what was expected and found.
        """
        ...

    def predict(
        self,
        weights: Mapping[str, Any],
        architecture: Architecture,
        x: NDArray[np.float32],
        device: str = "cpu",
    ) -> NDArray[np.int64]:
        """Top-1 classes, shape [n], int64, by the pinned evaluator (float32, batches of 256)."""
        ...

    def logits(
        self,
        weights: Mapping[str, Any],
        architecture: Architecture,
        x: NDArray[np.float32],
        device: str = "cpu",
    ) -> NDArray[np.float32]:
        """What `predict` takes the largest of, shape [n, classes]. For few samples: nothing bounds its memory."""
        ...


@dataclass(frozen=True, slots=True)
class OnnxFile:
    """An ONNX file taken apart, so that two can be compared."""

    tensors: Mapping[str, bytes]  # name, dtype, shape and values of each initializer, by its name
    about: Mapping[str, str]  # its metadata
    rest: bytes  # the graph and everything else
    producer: str  # what it says made it, e.g. "pytorch 2.13.0"


class Exports(Protocol):
    """Models in forms that other programs read. The safetensors file stays what the ledger records."""

    def loader(self, architecture: Architecture) -> bytes:
        """A Python program that builds the model from the files beside it, without the client. Raises Refused."""
        ...

    def check_onnx(self, architecture: Architecture) -> None:
        """Raises Usage where what it takes is not installed, Refused for a model too large for one file."""
        ...

    def to_onnx(self, weights: Mapping[str, Any], architecture: Architecture, about: Mapping[str, str]) -> bytes:
        """One ONNX file, float32, any number of samples at once, `about` as its metadata.

        The same libraries make the same bytes of the same model. Raises as `check_onnx` does.
        """
        ...

    def read_onnx(self, data: bytes) -> OnnxFile:
        """Raises VerificationFailed for anything but one ONNX file that needs no other."""
        ...


class Trainer(Scorer, Protocol):
    """Everything that needs torch or safetensors."""

    def start(self, job: TrainJob) -> TrainHandle: ...

    def load_dataset(self, shards: Sequence[Path], *, input_shape: Sequence[int], classes: int) -> Dataset:
        """As parse_dataset, of all shards."""
        ...
