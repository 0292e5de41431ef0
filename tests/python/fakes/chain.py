"""A market in memory that follows docs/protocol.md, with a clock the tests set: a FakeMarket, and a FakeChain a role.
Its auditor pool is in fakes/pool.py.

tests/python/contract/chain/test_chain_fake.py plays it and the real contracts side by side. Errors carry the names of
the contracts' custom errors.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import NamedTuple, TypeVar

from dlbc.adapters.signatures import recover_signer
from dlbc.core import payouts, proofs, scoring
from dlbc.core.difficulty import difficulty, rank
from dlbc.core.errors import ContractRefused, NotFound, Usage, VerificationFailed
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
from dlbc.core.hashing import keccak
from dlbc.core.phases import phase_of
from dlbc.core.types import (
    PPM,
    ZERO_ADDRESS,
    ZERO_HASH,
    Address,
    BlockHeader,
    Claim,
    Entry,
    Hash32,
    Locator,
    Lock,
    Outcome,
    Params,
    Phase,
    PhaseInfo,
    RankedTask,
    Reason,
    Round,
    Ruling,
    SlotReveal,
    Task,
    TaskId,
    Terms,
    TestSet,
    Timestamp,
    TrainingProof,
    Vote,
    WatermarkRecord,
    Wei,
    Winner,
)
from dlbc.ports import Payout

Event = TypeVar("Event")

CHAIN_ID = 31337
MARKET = Address("0x5FbDB2315678afecb367f032d93F642f64180aa3")
REGISTRY = Address("0xe7f1725E7734CE288F8367e1Bb143E90bb3F0512")
POOL = Address("0x9fE46736679d2D9a65F0992F2272dE9f3c7fa6e0")
NO_ENTRY = Entry(ZERO_HASH, 0, 0, False, False, False, False)
NO_WINNER = Winner(ZERO_ADDRESS, 0, 0, ZERO_HASH, ZERO_HASH, ZERO_HASH, ZERO_HASH)
NO_ROUND = Round(
    train_end=Timestamp(0),
    reveal_end=Timestamp(0),
    nominate_end=Timestamp(0),
    challenge_end=Timestamp(0),
    commits=0,
    vote_start=Timestamp(0),
    vote=Vote.NONE,
    open_demands=0,
    leader=ZERO_ADDRESS,
    leader_total=0,
    reveals=0,
    samples=0,
    max_sample_score=0,
    classes=0,
    metric=0,
    demand_end=Timestamp(0),
    strikes=0,
    is_fee_due=False,
    test_commitment=ZERO_HASH,
)
PARAMS = Params(
    fee_bps=200,
    max_royalty_bps=2_000,
    min_window=1,
    max_window=90 * 86_400,
    finality_gap=0,
    aging_seconds=86_400,
    weight_complexity=500_000,
    weight_network=200_000,
    weight_data=200_000,
    weight_queue=100_000,
    max_challenge=6 * 3_600,
    vote_seconds=1_800,
    pool=POOL,
)

RoundKey = tuple[int, int]


class VoteCall(NamedTuple):
    """What the market tells the pool of a vote it called."""

    round: int
    subject: Address
    vote_start: Timestamp
    snapshot_at: Timestamp
    bounty_wei: Wei


@dataclass
class FakeMarket:
    """The shared state: what everybody sees."""

    params: Params = PARAMS
    now: int = 1_800_000_000
    gas_price: int = 10**9
    address: Address = MARKET
    genesis: Hash32 = field(default_factory=lambda: proofs.genesis_hash(CHAIN_ID, REGISTRY))
    tasks: dict[int, Task] = field(default_factory=dict)
    rounds: dict[RoundKey, Round] = field(default_factory=dict)
    entries: dict[tuple[int, int, str], Entry] = field(default_factory=dict)
    owners: dict[tuple[int, int, bytes], Address] = field(default_factory=dict)
    first_reveals: dict[bytes, tuple[int, Address]] = field(default_factory=dict)
    """(lowest commitSeq, its miner) by model, over the whole market (P-33)."""
    winners: dict[RoundKey, Winner] = field(default_factory=dict)
    origins: dict[bytes, WatermarkRecord] = field(default_factory=dict)
    blocks: list[BlockHeader] = field(default_factory=list)
    commit_seq: int = 0
    credits: dict[str, int] = field(default_factory=dict)
    locked: int = 0
    balances: dict[str, int] = field(default_factory=dict)
    posted: dict[int, TaskPosted] = field(default_factory=dict)
    committed: dict[RoundKey, list[ModelCommitted]] = field(default_factory=dict)
    released: dict[RoundKey, TestSetReleased] = field(default_factory=dict)
    revealed: dict[RoundKey, list[ClaimRevealed]] = field(default_factory=dict)
    opened: dict[RoundKey, list[ModelOpened]] = field(default_factory=dict)
    struck: dict[RoundKey, list[ClaimStruck]] = field(default_factory=dict)
    settled: dict[int, list[RoundSettled]] = field(default_factory=dict)
    slots: list[SlotRevealed] = field(default_factory=list)
    slot_times: dict[tuple[int, int, int], Timestamp] = field(default_factory=dict)
    ended: list[tuple[int, int]] = field(default_factory=list)
    """(task that went cold, tasks posted until then), in order."""
    transactions: list[tuple[Address, str]] = field(default_factory=list)
    happened: dict[int, list[TaskEvent]] = field(default_factory=dict)
    """Every event of a task, the pool's too."""
    times: dict[int, Timestamp] = field(default_factory=dict)
    """Of blocks in which something happened."""
    waiting: list[str] = field(default_factory=list)
    """What was sent and is not mined; only a test puts something here."""
    resolve: Callable[[TaskId], object] | None = None
    """AuditorPool.resolve, once there is a pool (fakes.pool.PoolState)."""
    pool_receives: Callable[[int], None] | None = None
    """What the pool does with ether from the market."""

    def phase(self, task_id: int) -> PhaseInfo:
        """Derived from facts and the clock."""
        task = self.tasks[task_id]
        round_, params = self.rounds[task_id, task.round], self.params
        return phase_of(task, round_, self.now, params.finality_gap, params.vote_seconds)

    def move_to_end_of_phase(self, task_id: int) -> None:
        """Sets the clock to the moment the present window is over."""
        self.now = max(self.now, self.phase(task_id).ends_at)

    def note(
        self,
        name: str,
        task_id: int,
        round: int | None = None,
        account: Address = ZERO_ADDRESS,
        wei: int = 0,
        detail: str = "",
        contract: str = "TaskMarket",
    ) -> None:
        """An event of the transaction that runs; there is one a block."""
        number = len(self.transactions) + 1
        event = TaskEvent(contract, name, round, account, Wei(wei), detail, number, Hash32(number.to_bytes(32, "big")))
        self.happened.setdefault(task_id, []).append(event)
        self.times[number] = Timestamp(self.now)

    def credit(self, account: Address, wei: int, task_id: int) -> None:
        """Turns locked money into a credit."""
        self.locked -= wei
        self.credits[account] = self.credits.get(account, 0) + wei
        if wei:
            self.note("Credited", task_id, None, account, wei)

    def withdraw(self, account: Address, to: Address) -> None:
        """Pays a whole credit out."""
        amount = self.credits.pop(account, 0)
        if not amount:
            raise refused("Ledger_NothingToWithdraw", f"nothing is owed to {account}")
        if to == self.params.pool and self.pool_receives is not None:
            self.pool_receives(amount)
        else:
            self.balances[to] = self.balances.get(to, 0) + amount

    @property
    def open_tasks(self) -> int:
        """Tasks not yet cold."""
        return sum(task.outcome == Outcome.NONE for task in self.tasks.values())


class FakeChain:
    """ports.Chain of one account (or of nobody) on a FakeMarket."""

    def __init__(self, market: FakeMarket, account: Address | None = None) -> None:
        self.state = market
        self._account = account
        self.pays_to: Payout | None = None
        if account is not None:
            market.balances.setdefault(account, 10_000 * 10**18)

    # ------------------------------------------------------------------ reads

    @property
    def chain_id(self) -> int:
        return CHAIN_ID

    @property
    def market(self) -> Address:
        return self.state.address

    @property
    def account(self) -> Address | None:
        return self._account

    @property
    def payout(self) -> Payout | None:
        return self.pays_to

    def now(self) -> Timestamp:
        return Timestamp(self.state.now)

    def params(self) -> Params:
        return self.state.params

    def task_count(self) -> int:
        return len(self.state.tasks)

    def open_tasks(self) -> int:
        return self.state.open_tasks

    def task(self, task_id: TaskId) -> Task:
        if task_id not in self.state.tasks:
            raise NotFound(f"there is no task {task_id}")
        return self.state.tasks[task_id]

    def round(self, task_id: TaskId, round: int) -> Round:
        return self.state.rounds.get((task_id, round), NO_ROUND)

    def entry(self, task_id: TaskId, round: int, miner: Address) -> Entry:
        return self.state.entries.get((task_id, round, miner), NO_ENTRY)

    def phase(self, task_id: TaskId) -> PhaseInfo:
        return self.state.phase(task_id)

    def phases(self, first: TaskId, count: int) -> list[PhaseInfo]:
        return [self.state.phase(number) for number in range(first, first + count) if number in self.state.tasks]

    def tasks(self, task_ids: Sequence[TaskId]) -> list[tuple[Task, Round]]:
        found = [(task_id, self.task(task_id)) for task_id in task_ids]
        return [(task, self.round(task_id, task.round)) for task_id, task in found]

    def ranked_tasks(self) -> list[RankedTask]:
        rows = []
        for number, task in self.state.tasks.items():
            phase, due = self.state.phase(number).phase, self.state.phase(number).due
            if phase is Phase.TRAINING and not due:
                round_ = self.state.rounds[number, task.round]
                waited = self.state.now - task.posted_at
                value = rank(task.bounty_wei, waited, task.difficulty, self.state.params.aging_seconds)
                rows.append(
                    RankedTask(
                        TaskId(number),
                        value,
                        task.bounty_wei,
                        task.difficulty,
                        task.posted_at,
                        round_.train_end,
                        round_.commits,
                    )
                )
        return sorted(rows, key=lambda row: (-row.rank, row.task_id))

    def locks(self, task_id: TaskId, account: Address) -> list[Lock]:
        raise Usage("listing locked amounts needs the market's lens; this market has none")

    def credit(self, account: Address) -> Wei:
        return Wei(self.state.credits.get(account, 0))

    def balance(self, account: Address) -> Wei:
        return Wei(self.state.balances.get(account, 0))

    def gas_price(self) -> Wei:
        return Wei(self.state.gas_price)

    def finish_sent(self) -> int:
        return len(self.state.waiting)

    def liabilities(self) -> tuple[Wei, Wei]:
        return Wei(self.state.locked), Wei(sum(self.state.credits.values()))

    def market_balance(self) -> Wei:
        return Wei(self.state.locked + sum(self.state.credits.values()))

    def winner(self, task_id: TaskId, round: int) -> Winner:
        return self.state.winners.get((task_id, round), NO_WINNER)

    def watermark(self, model_hash: Hash32) -> WatermarkRecord:
        nobody = WatermarkRecord(ZERO_HASH, ZERO_ADDRESS, 0, TaskId(0), 0)
        return self.state.origins.get(model_hash, nobody)

    def slot(self, model_hash: Hash32, slot: int) -> SlotReveal:
        origin = self.state.origins.get(model_hash)
        for event in self.state.slots:
            if origin is not None and (event.task_id, event.round, event.slot) == (origin.task_id, origin.round, slot):
                return SlotReveal(event.commit_seq, self.state.slot_times[event.task_id, event.round, slot])
        return SlotReveal(0, Timestamp(0))

    def block_hash(self, height: int) -> Hash32:
        if height >= len(self.state.blocks):
            raise NotFound(f"the ledger has no block {height}")
        return proofs.block_hash(self.state.blocks[height])

    def head(self) -> tuple[int, Hash32, int]:
        if not self.state.blocks:
            return 0, self.state.genesis, 0
        last = self.state.blocks[-1]
        return len(self.state.blocks), proofs.block_hash(last), last.cumulative_difficulty

    def genesis_hash(self) -> Hash32:
        return self.state.genesis

    def verify_block(self, header: BlockHeader) -> bool:
        blocks = self.state.blocks
        return header.height < len(blocks) and blocks[header.height] == header

    def verify_proof(self, proof: TrainingProof, claim: Claim, signature: bytes) -> bool:
        digest = self._digest(proof)
        entry = self.entry(proof.task_id, proof.round, proof.miner)
        return (
            entry.has_revealed
            and entry.digest == proofs.claim_hash(digest, claim)
            and self._signer(digest, claim, signature) == proof.miner
        )

    # ------------------------------------------------------------------ the log

    def task_posted(self, task_id: TaskId) -> TaskPosted:
        self.task(task_id)
        return self.state.posted[task_id]

    def postings(self) -> Iterator[TaskPosted]:
        return iter(list(self.state.posted.values()))

    def postings_of(self, requester: Address) -> list[TaskPosted]:
        return [posted for posted in self.postings() if posted.requester == requester]

    def queue_at_posting(self, task_id: TaskId) -> int:
        self.task(task_id)
        return task_id - sum(posted < task_id for _, posted in self.state.ended)

    def commits(self, task_id: TaskId, round: int | None = None) -> list[ModelCommitted]:
        return _of_rounds(self.state.committed, task_id, round)

    def all_commits(self) -> Iterator[ModelCommitted]:
        everything = [event for events in self.state.committed.values() for event in events]
        return iter(sorted(everything, key=lambda event: event.commit_seq))

    def commits_of(self, miner: Address) -> list[ModelCommitted]:
        return [event for event in self.all_commits() if event.miner == miner]

    def prizes_of(self, miner: Address) -> list[Prize]:
        times = {(block.task_id, block.round): block.timestamp for block in self.state.blocks}
        won = [event for events in self.state.settled.values() for event in events if event.miner == miner]
        prizes = [Prize(event.task_id, event.round, event.paid_wei, times[event.task_id, event.round]) for event in won]
        return sorted(prizes, key=lambda prize: prize.at)

    def news(self, since: News | None = None) -> News:
        """A block a transaction; what happened in it is not kept, so that any task may be touched."""
        block = len(self.state.transactions)
        first = -1 if since is None else since.block
        posted = frozenset(TaskId(number) for number, task in self.state.posted.items() if task.block_number >= first)
        nothing: frozenset[TaskId] = frozenset()
        is_new = since is None or since.block != block
        return News(
            block=block,
            block_hash=Hash32(block.to_bytes(32, "big")),
            time=self.now(),
            posted=posted if is_new else nothing,
            touched=None if is_new else nothing,
        )

    def released(self, task_id: TaskId, round: int) -> TestSetReleased | None:
        return self.state.released.get((task_id, round))

    def reveals(self, task_id: TaskId, round: int) -> list[ClaimRevealed]:
        return list(self.state.revealed.get((task_id, round), []))

    def openings(self, task_id: TaskId, round: int | None = None) -> list[ModelOpened]:
        return _of_rounds(self.state.opened, task_id, round)

    def all_openings(self) -> Iterator[ModelOpened]:
        return iter([event for events in self.state.opened.values() for event in events])

    def strikes(self, task_id: TaskId, round: int) -> list[ClaimStruck]:
        return list(self.state.struck.get((task_id, round), []))

    def settlements(self, task_id: TaskId) -> list[RoundSettled]:
        return list(self.state.settled.get(task_id, []))

    def slot_reveals(self, model_hash: Hash32 | None = None) -> list[SlotRevealed]:
        return [event for event in self.state.slots if model_hash in (None, event.model_hash)]

    def blocks(self, first: int = 0, count: int | None = None) -> list[BlockHeader]:
        return self.state.blocks[first : None if count is None else first + count]

    def history(self, task_id: TaskId) -> list[TaskEvent]:
        return list(self.state.happened.get(task_id, []))

    def block_times(self, numbers: Collection[int]) -> dict[int, Timestamp]:
        return {number: self.state.times[number] for number in numbers}

    # ------------------------------------------------------------------ writes, in the order a task lives

    def post(self, terms: Terms, test_commitments: Sequence[Hash32]) -> Receipt:
        sender, state = self._begin("post"), self.state
        rounds = len(test_commitments)
        self._check_terms(terms, rounds)
        task_id = TaskId(len(state.tasks) + 1)
        self._pay_in(sender, terms.bounty_wei * rounds + terms.bond_wei)
        fixed = difficulty(terms.workload, state.open_tasks + 1, state.params)
        terms_hash = proofs.terms_hash(terms, test_commitments)
        state.tasks[task_id] = Task(
            requester=sender,
            round=0,
            rounds=rounds,
            outcome=Outcome.NONE,
            train_seconds=terms.train_seconds,
            release_seconds=terms.release_seconds,
            bounty_wei=terms.bounty_wei,
            deposit_wei=terms.deposit_wei,
            reveal_seconds=terms.reveal_seconds,
            open_seconds=terms.open_seconds,
            bond_wei=terms.bond_wei,
            challenge_seconds=terms.challenge_seconds,
            min_score_ppm=terms.min_score_ppm,
            min_gain_ppm=terms.min_gain_ppm,
            tolerance_ppm=terms.tolerance_ppm,
            royalty_bps=terms.royalty_bps,
            difficulty=fixed,
            posted_at=Timestamp(state.now),
            terms_hash=terms_hash,
        )
        for index, test_commitment in enumerate(test_commitments):
            state.rounds[task_id, index] = replace(NO_ROUND, test_commitment=test_commitment)
        self._set_round(task_id, 0, train_end=Timestamp(state.now + terms.train_seconds))
        state.posted[task_id] = TaskPosted(
            task_id, sender, terms_hash, fixed, terms, tuple(test_commitments), len(state.transactions)
        )
        state.note("TaskPosted", task_id, None, sender)
        return self._end("post", task_id)

    def cancel(self, task_id: TaskId) -> Receipt:
        sender = self._begin("cancel")
        task, round_ = self._load(task_id)
        self._check_requester(sender, task)
        if task.round != 0 or round_.commits != 0:
            raise refused("Market_AlreadyCommitted", f"task {task_id} has {round_.commits} commits")
        self._check_phase(task_id, Phase.TRAINING)
        self._finish(task_id, Outcome.CANCELLED)
        self._refund(task_id)
        self.state.note("TaskCancelled", task_id)
        return self._end("cancel")

    def commit(
        self,
        task_id: TaskId,
        round: int,
        terms_hash: Hash32,
        commitment: Hash32,
        recovery: Locator,
        deposit_wei: Wei,
    ) -> Receipt:
        sender, state = self._begin("commit"), self.state
        task, round_ = self._load_current(task_id, round)
        self._check_phase(task_id, Phase.TRAINING)
        if terms_hash != task.terms_hash:
            raise refused("Market_WrongTerms", "the task has other terms")
        if commitment == ZERO_HASH:
            raise refused("Market_EmptyCommitment", "the commitment is zero")
        entry = self.entry(task_id, round, sender)
        if deposit_wei != (0 if entry.commit_seq else task.deposit_wei):
            raise refused("Market_WrongValue", f"{deposit_wei} wei sent")
        if not entry.commit_seq:
            self._pay_in(sender, deposit_wei)
            self._set_round(task_id, round, commits=round_.commits + 1)
            entry = replace(entry, holds_deposit=True)
        state.commit_seq += 1
        state.entries[task_id, round, sender] = replace(entry, commit_seq=state.commit_seq, digest=commitment)
        state.committed.setdefault((task_id, round), []).append(
            ModelCommitted(task_id, round, sender, commitment, state.commit_seq, recovery)
        )
        state.note("ModelCommitted", task_id, round, sender)
        return self._end("commit")

    def release(self, task_id: TaskId, test_set: TestSet, test_key: bytes) -> Receipt:
        sender, state = self._begin("release"), self.state
        task, round_ = self._load(task_id)
        self._check_requester(sender, task)
        self._check_phase(task_id, Phase.RELEASING)
        if state.now < round_.train_end + state.params.finality_gap:
            raise refused("Market_TooEarly", "commits are not final yet")
        if proofs.test_commitment(test_set) != round_.test_commitment:
            raise refused("Market_WrongTestSet", "this is not the committed test set")
        if keccak(test_key) != test_set.key_hash:
            raise refused("Market_WrongTestKey", "this is not the committed key")
        reveal_end = Timestamp(state.now + task.reveal_seconds)
        self._set_round(
            task_id,
            task.round,
            reveal_end=reveal_end,
            samples=test_set.samples,
            max_sample_score=test_set.max_sample_score,
            classes=test_set.classes,
            metric=test_set.metric,
        )
        state.released[task_id, task.round] = TestSetReleased(task_id, task.round, test_set, test_key, reveal_end)
        state.note("TestSetReleased", task_id, task.round)
        return self._end("release")

    def reveal(
        self,
        proof: TrainingProof,
        salt: bytes,
        claim: Claim,
        h_top: Hash32,
        signature: bytes,
        most_gas: int | None = None,
    ) -> Receipt:
        self._begin("reveal")
        state, key = self.state, (proof.task_id, proof.round, proof.miner)
        task, round_ = self._load_current(proof.task_id, proof.round)
        self._check_phase(proof.task_id, Phase.REVEALING)
        entry, digest = self.entry(*key), self._digest(proof)
        if not entry.commit_seq:
            raise refused("Market_NoEntry", f"{proof.miner} has no entry")
        if entry.has_revealed:
            raise refused("Market_AlreadyRevealed", f"{proof.miner} has revealed")
        if proofs.commitment(digest, salt) != entry.digest:
            raise refused("Market_WrongCommitment", "this does not open the commitment")
        if claim.total > round_.samples * round_.max_sample_score:
            raise refused("Market_TotalTooHigh", f"{claim.total} is more than there is")
        if scoring.predictions_root(digest, round_.samples, h_top, claim.total) != claim.predictions_root:
            raise refused("Market_WrongPredictionsRoot", "the root does not follow")
        if self._signer(digest, claim, signature) != proof.miner:
            raise refused("Market_WrongSigner", "somebody else signed")
        qualifies = self._reaches(task, round_, proof, claim)
        entry = replace(entry, digest=proofs.claim_hash(digest, claim), total=claim.total, has_revealed=True)
        self._set_round(proof.task_id, proof.round, reveals=round_.reveals + 1)
        is_owner = self._record_reveal(proof, entry.commit_seq) and self._take_ownership(task, proof, entry.commit_seq)
        qualifies = is_owner and qualifies
        state.entries[key] = replace(entry, qualifies=qualifies)
        if qualifies and self._beats_leader(proof.task_id, proof.round, state.entries[key]):
            self._set_round(proof.task_id, proof.round, leader=proof.miner, leader_total=claim.total)
        state.revealed.setdefault((proof.task_id, proof.round), []).append(
            ClaimRevealed(proof, claim, salt, h_top, signature, qualifies)
        )
        state.note("ClaimRevealed", proof.task_id, proof.round, proof.miner)
        return self._end("reveal")

    def nominate(self, task_id: TaskId, miner: Address) -> Receipt:
        self._begin("nominate")
        task, round_ = self._load(task_id)
        self._check_phase(task_id, Phase.NOMINATING)
        entry = self.entry(task_id, task.round, miner)
        if not entry.commit_seq:
            raise refused("Market_NoEntry", f"{miner} has no entry")
        if not entry.qualifies or entry.is_struck:
            raise refused("Market_NotQualified", f"{miner} does not qualify")
        if not self._beats_leader(task_id, task.round, entry):
            raise refused("Market_NotBetter", f"{miner} does not beat {round_.leader}")
        self._set_round(task_id, task.round, leader=miner, leader_total=entry.total)
        self.state.note("ClaimNominated", task_id, task.round, miner)
        return self._end("nominate")

    def open(
        self, proof: TrainingProof, claim: Claim, seal_key: bytes, slot_key: bytes, slot_path: Sequence[Hash32]
    ) -> Receipt:
        self._begin("open")
        state, where = self.state, (proof.task_id, proof.round)
        task, round_ = self._load_current(*where)
        self._check_phase(proof.task_id, Phase.OPENING)
        if proof.miner != round_.leader:
            raise refused("Market_NotLeader", f"{round_.leader} leads")
        digest = self._digest(proof)
        if self.entry(*where, proof.miner).digest != proofs.claim_hash(digest, claim):
            raise refused("Market_WrongClaim", "this is not the revealed claim")
        if keccak(seal_key) != proof.seal_key_hash:
            raise refused("Market_WrongSealKey", "this is not the sealing key")
        if not proofs.verify_slot_path(slot_key, 0, slot_path, proof.watermark_root):
            raise refused("Market_WrongSlotPath", "this is not slot 0")
        challenge_end = Timestamp(state.now + task.challenge_seconds)
        self._set_round(*where, challenge_end=challenge_end)
        state.winners[where] = replace(
            NO_WINNER,
            model_hash=proof.model_hash,
            proof_digest=digest,
            watermark_root=proof.watermark_root,
            parent_model=proof.parent_model,
        )
        state.opened.setdefault(where, []).append(
            ModelOpened(*where, proof.miner, seal_key, slot_key, tuple(slot_path), challenge_end)
        )
        state.note("ModelOpened", *where, proof.miner)
        return self._end("open")

    def advance(self, task_id: TaskId) -> Receipt:
        self._begin("advance")
        task, round_ = self._load(task_id)
        info = self.state.phase(task_id)
        if not info.due:
            raise refused("Market_NothingDue", f"task {task_id} is in {info.phase.label}")
        if round_.open_demands:
            self._strike_leader(task_id, Reason.WITHHELD)
        elif info.phase is Phase.CHALLENGE:
            self._settle(task_id, task, round_)
        elif info.phase is Phase.OPENING:
            self._strike_leader(task_id, Reason.SILENT)
        elif info.phase is Phase.VOTING_REVEAL:
            assert self.state.resolve is not None
            self.state.resolve(task_id)
        elif info.phase is Phase.RELEASING:
            self._abort(task_id)
        else:
            fee = payouts.void_fee(task.bounty_wei, self.state.params.fee_bps, round_.is_fee_due)
            self._finish(task_id, Outcome.VOID)
            self._refund(task_id, fee)
            self.state.credit(self.state.params.pool, fee + self._unrevealed(task, round_), task_id)
            self.state.note("TaskVoided", task_id, task.round)
        return self._end("advance")

    def reclaim(self, task_id: TaskId, round: int, miner: Address) -> Receipt:
        self._begin("reclaim")
        task, _ = self._load(task_id)
        round_, entry = self.round(task_id, round), self.entry(task_id, round, miner)
        if not entry.holds_deposit:
            raise refused("Market_NothingToReclaim", f"{miner} holds no deposit")
        is_aborted = round == task.round and task.outcome is Outcome.ABORTED
        if round < task.round or task.outcome is not Outcome.NONE:
            if not entry.has_revealed and not is_aborted:
                raise refused("Market_NothingToReclaim", f"{miner} never revealed")
        elif (
            not entry.has_revealed
            or entry.qualifies
            or self.state.now < round_.reveal_end
            or round_.vote is Vote.TEST_SET
        ):
            raise refused("Market_DepositLocked", "the deposit is still locked")
        amount = task.deposit_wei
        if is_aborted:
            amount = Wei(amount + payouts.abortion(task.bond_wei, round_.commits - round_.strikes).share_wei)
        self.state.entries[task_id, round, miner] = replace(entry, holds_deposit=False)
        self.state.credit(miner, amount, task_id)
        self.state.note("DepositReclaimed", task_id, round, miner, amount)
        return self._end("reclaim")

    def reveal_slot(self, model_hash: Hash32, slot: int, key: bytes, path: Sequence[Hash32]) -> Receipt:
        self._begin("revealSlot")
        origin = self.state.origins.get(model_hash)
        if origin is None:
            raise refused("Registry_UnknownModel", f"the ledger has no model {model_hash.hex()}")
        place = (origin.task_id, origin.round, slot)
        if slot == 0 or any((event.task_id, event.round, event.slot) == place for event in self.state.slots):
            raise refused("Registry_SlotAlreadyRevealed", f"slot {slot} is revealed already")
        if not 1 <= len(path) <= 3:
            raise refused("Market_AboveMaximum" if path else "Market_BelowMinimum", f"{len(path)} siblings")
        if slot >> len(path):
            raise refused("Registry_SlotOutOfRange", f"slot {slot} is not in a tree of {1 << len(path)}")
        if not proofs.verify_slot_path(key, slot, path, origin.root):
            raise refused("Registry_WrongSlotPath", f"this is not slot {slot}")
        self.state.slots.append(
            SlotRevealed(
                model_hash, origin.task_id, origin.round, origin.miner, slot, bytes(key), self.state.commit_seq
            )
        )
        self.state.slot_times[place] = Timestamp(self.state.now)
        return self._end("revealSlot")

    def withdraw(self, account: Address) -> Receipt:
        self._begin("withdraw")
        self.state.withdraw(account, account)
        return self._end("withdraw")

    def withdraw_to(self, to: Address) -> Receipt:
        self.state.withdraw(self._begin("withdrawTo"), to)
        return self._end("withdrawTo")

    def pay(self, to: Address, wei: Wei) -> Receipt:
        self._pay_out(self._begin("pay"), to, wei)
        return self._end("pay")

    def _pay_out(self, sender: Address, to: Address, wei: int) -> None:
        self.state.balances[sender] -= wei
        assert self.state.balances[sender] >= 0
        self.state.balances[to] = self.state.balances.get(to, 0) + wei

    # ------------------------------------------------------------------ what only the pool may do

    def vote_call(self, task_id: TaskId, vote: Vote) -> VoteCall:
        """What callVote would return, or its refusal: Python does not undo what a call did before it failed."""
        task, round_ = self._load(task_id)
        if vote is Vote.TEST_SET:
            self._check_phase(task_id, Phase.REVEALING)
            subject, start, length = ZERO_ADDRESS, round_.reveal_end, task.reveal_seconds
        else:
            self._check_in_challenge(task_id)
            subject, start, length = round_.leader, round_.challenge_end, task.challenge_seconds
        return VoteCall(task.round, subject, start, Timestamp(start - length), task.bounty_wei)

    def call_vote(self, task_id: TaskId, vote: Vote) -> VoteCall:
        """ITaskMarket.callVote."""
        call = self.vote_call(task_id, vote)
        if self.state.rounds[task_id, call.round].vote is Vote.NONE:
            self._set_round(task_id, call.round, vote=vote)
            self.state.note("VoteCalled", task_id, call.round, call.subject)
        return call

    def check_conclude(self, task_id: TaskId) -> None:
        """Refuses what conclude would refuse."""
        info = self.state.phase(task_id)
        if info.phase is not Phase.VOTING_REVEAL or not info.due or self._load(task_id)[1].open_demands:
            raise refused("Market_WrongPhase", f"task {task_id} is in {info.phase.label}, and no verdict is due")

    def conclude(self, task_id: TaskId, ruling: Ruling) -> int:
        """ITaskMarket.conclude; returns what the voters and filers share."""
        self.check_conclude(task_id)
        task, round_ = self._load(task_id)
        now = self.state.now
        self.state.note("VoteConcluded", task_id, task.round, detail=ruling.name)
        if ruling is Ruling.REPEAT:
            self._set_round(task_id, task.round, vote_start=Timestamp(now))
        elif round_.vote is Vote.TEST_SET:
            if ruling is Ruling.FALLS:
                return self._abort(task_id)
            self._end_vote(task_id)
            nominating = task.open_seconds if round_.nominate_end else 0
            self._set_round(task_id, task.round, nominate_end=Timestamp(now + nominating))
        elif ruling is Ruling.FALLS:
            self._set_round(task_id, task.round, is_fee_due=True)
            return self._strike_leader(task_id, Reason.VOTED)
        else:
            self._end_vote(task_id)
        return 0

    def strike(self, task_id: TaskId, round: int, miner: Address, refuter: Address) -> None:
        """ITaskMarket.strike."""
        task, _ = self._load(task_id)
        entry = self.entry(task_id, round, miner)
        if round != task.round or task.outcome is not Outcome.NONE or not entry.qualifies or entry.is_struck:
            raise refused("Market_NotStrikable", f"{miner} can't be struck")
        self._strike(task_id, miner, Reason.REFUTED)
        shares = payouts.refutation(task.deposit_wei)
        self.state.credit(refuter, shares.refuter_wei, task_id)
        self.state.credit(self.state.params.pool, shares.pool_wei, task_id)

    def note_demand(self, task_id: TaskId, round: int, miner: Address) -> Timestamp:
        """ITaskMarket.noteDemand; returns until when it can be answered."""
        task, round_ = self._load_current(task_id, round)
        if self.state.phase(task_id).phase is Phase.OPENING:
            self._check_phase(task_id, Phase.OPENING)
        else:
            self._check_in_challenge(task_id)
        self._check_leader(miner, round_)
        if round_.open_demands == 2**16 - 1:
            raise refused("Market_TooManyDemands", "no more demands fit")
        demand_end = self._demand_end(task)
        self._set_round(task_id, round, demand_end=demand_end, open_demands=round_.open_demands + 1)
        return demand_end

    def note_answer(self, task_id: TaskId, round: int, miner: Address) -> None:
        """ITaskMarket.noteAnswer."""
        task, round_ = self._load_current(task_id, round)
        self._check_leader(miner, round_)
        if not round_.open_demands or self.state.now >= round_.demand_end:
            raise refused("Market_WrongPhase", "it is too late to answer")
        self._set_round(task_id, round, open_demands=round_.open_demands - 1)
        if round_.open_demands == 1:
            self._set_round(task_id, round, demand_end=self._demand_end(task))

    def _demand_end(self, task: Task) -> Timestamp:
        """An opening window, at most half of a vote."""
        return Timestamp(self.state.now + min(task.open_seconds, self.state.params.vote_seconds))

    # ------------------------------------------------------------------ rules

    def _settle(self, task_id: TaskId, task: Task, round_: Round) -> None:
        state, index, miner = self.state, task.round, round_.leader
        record = state.winners[task_id, index]
        parent = state.origins.get(record.parent_model)
        shares = payouts.settlement(task.bounty_wei, state.params.fee_bps, task.royalty_bps, parent is not None)
        open_tasks = state.open_tasks - 1
        if index + 1 == task.rounds:
            self._finish(task_id, Outcome.SETTLED)
            state.credit(task.requester, task.bond_wei, task_id)
        else:
            state.tasks[task_id] = replace(task, round=index + 1)
            self._set_round(task_id, index + 1, train_end=Timestamp(state.now + task.train_seconds))
        state.credit(miner, shares.paid_wei, task_id)
        state.credit(state.params.pool, shares.fee_wei + self._unrevealed(task, round_), task_id)
        if parent is not None:
            state.credit(parent.miner, shares.royalty_wei, task_id)
        state.note("RoundSettled", task_id, index, miner, shares.paid_wei)
        state.settled.setdefault(task_id, []).append(RoundSettled(task_id, index, miner, *shares))
        height, head, cumulative = self.head()
        samples = round_.samples * round_.max_sample_score
        header = BlockHeader(
            version=1,
            height=height,
            previous_hash=head,
            task_id=task_id,
            round=index,
            model_hash=record.model_hash,
            proof_digest=record.proof_digest,
            miner=miner,
            total=round_.leader_total,
            score_ppm=round_.leader_total * PPM // samples,
            difficulty=task.difficulty,
            cumulative_difficulty=cumulative + task.difficulty,
            timestamp=Timestamp(state.now),
            open_tasks=open_tasks,
        )
        state.blocks.append(header)
        state.winners[task_id, index] = replace(record, miner=miner, total=round_.leader_total, height=height)
        seq = self.entry(task_id, index, miner).commit_seq
        origin = state.origins.get(record.model_hash)
        if origin is None or seq < origin.commit_seq:
            mark = WatermarkRecord(record.watermark_root, miner, seq, task_id, index)
            state.origins[record.model_hash] = mark

    def _strike(self, task_id: TaskId, miner: Address, reason: Reason) -> None:
        task, round_ = self._load(task_id)
        key = (task_id, task.round, miner)
        self.state.entries[key] = replace(self.state.entries[key], is_struck=True, holds_deposit=False)
        self._set_round(task_id, task.round, strikes=round_.strikes + 1)
        if miner == round_.leader:
            self._set_round(
                task_id,
                task.round,
                leader=ZERO_ADDRESS,
                leader_total=0,
                challenge_end=Timestamp(0),
                open_demands=0,
                demand_end=Timestamp(0),
                nominate_end=Timestamp(max(self.state.now, round_.reveal_end) + task.open_seconds),
            )
            if round_.vote is Vote.CLAIM:
                self._end_vote(task_id)
        self.state.struck.setdefault((task_id, task.round), []).append(ClaimStruck(task_id, task.round, miner, reason))
        self.state.note("ClaimStruck", task_id, task.round, miner, detail=reason.name)

    def _strike_leader(self, task_id: TaskId, reason: Reason) -> int:
        task, round_ = self._load(task_id)
        self._strike(task_id, round_.leader, reason)
        self.state.credit(self.state.params.pool, task.deposit_wei, task_id)
        return task.deposit_wei

    def _abort(self, task_id: TaskId) -> int:
        task, round_ = self._load(task_id)
        rest = payouts.abortion(task.bond_wei, round_.commits - round_.strikes).pool_wei
        self._finish(task_id, Outcome.ABORTED)
        self.state.credit(task.requester, task.bounty_wei * (task.rounds - task.round), task_id)
        self.state.credit(self.state.params.pool, rest, task_id)
        self.state.note("TaskAborted", task_id, task.round)
        return rest

    def _end_vote(self, task_id: TaskId) -> None:
        self._set_round(task_id, self.state.tasks[task_id].round, vote=Vote.NONE, vote_start=Timestamp(0))

    def _take_ownership(self, task: Task, proof: TrainingProof, seq: int) -> bool:
        state, key = self.state, (proof.task_id, proof.round, proof.model_hash)
        owner = state.owners.get(key)
        if owner is not None:
            entry_key = (proof.task_id, proof.round, owner)
            if state.entries[entry_key].commit_seq < seq:
                return False
            state.entries[entry_key] = replace(state.entries[entry_key], qualifies=False)
            state.note("ClaimDisplaced", proof.task_id, proof.round, owner)
            round_ = state.rounds[proof.task_id, proof.round]
            if round_.leader == owner:
                self._set_round(
                    proof.task_id,
                    proof.round,
                    leader=ZERO_ADDRESS,
                    leader_total=0,
                    nominate_end=Timestamp(round_.reveal_end + task.open_seconds),
                )
        state.owners[key] = proof.miner
        return True

    def _reaches(self, task: Task, round_: Round, proof: TrainingProof, claim: Claim) -> bool:
        required = task.min_score_ppm
        if proof.round:
            before = self.state.rounds[proof.task_id, proof.round - 1]
            scored = before.leader_total * PPM // (before.samples * before.max_sample_score)
            required = max(required, min(PPM, scored + task.min_gain_ppm))
        return scoring.meets(claim.total, required, round_.samples, round_.max_sample_score)

    def _record_reveal(self, proof: TrainingProof, seq: int) -> bool:
        origins, firsts = self.state.origins, self.state.first_reveals
        if proof.model_hash == ZERO_HASH:
            return False
        first = firsts.get(proof.model_hash)
        if first is None or seq < first[0]:
            firsts[proof.model_hash] = (seq, proof.miner)
        elif first[1] != proof.miner:
            return False
        if proof.round:
            return proof.parent_model == self.state.winners[proof.task_id, proof.round - 1].model_hash
        return proof.parent_model == ZERO_HASH or proof.parent_model in origins

    def _beats_leader(self, task_id: TaskId, index: int, entry: Entry) -> bool:
        round_ = self.state.rounds[task_id, index]
        if round_.leader == ZERO_ADDRESS:
            return True
        leader = self.state.entries[task_id, index, round_.leader]
        return (entry.total, -entry.commit_seq) > (round_.leader_total, -leader.commit_seq)

    def _unrevealed(self, task: Task, round_: Round) -> int:
        return task.deposit_wei * (round_.commits - round_.reveals)

    def _refund(self, task_id: TaskId, fee_wei: int = 0) -> None:
        task = self.state.tasks[task_id]
        owed = task.bounty_wei * (task.rounds - task.round) + task.bond_wei - fee_wei
        self.state.credit(task.requester, owed, task_id)

    def _finish(self, task_id: TaskId, outcome: Outcome) -> None:
        self.state.tasks[task_id] = replace(self.state.tasks[task_id], outcome=outcome)
        self.state.ended.append((task_id, len(self.state.tasks)))

    def _set_round(self, task_id: TaskId, index: int, **facts: object) -> None:
        self.state.rounds[task_id, index] = replace(self.state.rounds[task_id, index], **facts)  # type: ignore[arg-type]

    # ------------------------------------------------------------------ checks and plumbing

    def _check_terms(self, terms: Terms, rounds: int) -> None:
        params = self.state.params
        windows = (
            terms.train_seconds,
            terms.release_seconds,
            terms.reveal_seconds,
            terms.open_seconds,
            terms.challenge_seconds,
        )
        bounty = terms.bounty_wei * rounds
        least = [
            *((window, params.min_window) for window in windows),
            (terms.bounty_wei, 1),
            (terms.deposit_wei, -(-terms.bounty_wei // 10)),
            (terms.bond_wei, -(-bounty // 10)),
        ]
        most = [
            *((window, params.max_window) for window in windows),
            (terms.challenge_seconds, params.max_challenge),
            (terms.min_score_ppm, PPM),
            (terms.tolerance_ppm, 20_000),
            (terms.deposit_wei, terms.bounty_wei),
            (terms.bond_wei, bounty),
            (terms.royalty_bps, params.max_royalty_bps),
        ]
        for given, minimum in least:
            if given < minimum:
                raise refused("Market_BelowMinimum", f"{given} is below {minimum}")
        for given, maximum in most:
            if given > maximum:
                raise refused("Market_AboveMaximum", f"{given} is above {maximum}")

    def _load(self, task_id: TaskId) -> tuple[Task, Round]:
        if task_id not in self.state.tasks:
            raise refused("Market_UnknownTask", f"there is no task {task_id}")
        task = self.state.tasks[task_id]
        return task, self.state.rounds[task_id, task.round]

    def _load_current(self, task_id: TaskId, index: int) -> tuple[Task, Round]:
        task, round_ = self._load(task_id)
        if index != task.round:
            raise refused("Market_WrongRound", f"the current round is {task.round}")
        return task, round_

    def _check_phase(self, task_id: TaskId, expected: Phase) -> None:
        info = self.state.phase(task_id)
        if info.phase is not expected or info.due:
            raise refused("Market_WrongPhase", f"task {task_id} is in {info.phase.label}, not {expected.label}")

    def _check_in_challenge(self, task_id: TaskId) -> None:
        self._check_phase(task_id, Phase.CHALLENGE)
        if self.state.now >= self._load(task_id)[1].challenge_end:
            raise refused("Market_WrongPhase", f"the challenge of task {task_id} only waits for demands")

    def _check_leader(self, miner: Address, round_: Round) -> None:
        if miner != round_.leader:
            raise refused("Market_NotLeader", f"{round_.leader} leads")

    def _check_requester(self, sender: Address, task: Task) -> None:
        if sender != task.requester:
            raise refused("Market_NotRequester", f"{task.requester} posted it")

    def _digest(self, proof: TrainingProof) -> Hash32:
        return proofs.proof_digest(proof, CHAIN_ID, self.state.address)

    def _signer(self, digest: Hash32, claim: Claim, signature: bytes) -> Address:
        message = proofs.score_claim_digest(digest, claim, CHAIN_ID, self.state.address)
        try:
            return recover_signer(message, signature)
        except VerificationFailed:
            return ZERO_ADDRESS

    def _pay_in(self, sender: Address, wei: int) -> None:
        if self.state.balances[sender] < wei:
            raise refused("", f"{sender} can't pay {wei} wei")
        self.state.balances[sender] -= wei
        self.state.locked += wei

    def _begin(self, call: str) -> Address:
        if self._account is None:
            raise Usage(f"{call}: no account")
        return self._account

    def _end(self, call: str, task_id: TaskId | None = None) -> Receipt:
        assert self._account is not None
        self.state.transactions.append((self._account, call))
        number = len(self.state.transactions)
        return Receipt(call, Hash32(number.to_bytes(32, "big")), number, 100_000, task_id)


def refused(name: str, sentence: str) -> ContractRefused:
    """What a contract refuses with this custom error."""
    return ContractRefused(sentence, name=name)


def _of_rounds(events: Mapping[RoundKey, Sequence[Event]], task_id: TaskId, round: int | None) -> list[Event]:
    """Of one round, or of all of a task's."""
    return [event for (task, index), of in events.items() if task == task_id and round in (None, index) for event in of]
