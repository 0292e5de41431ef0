"""Tasks on a FakeMarket with its pool, played call by call: real proofs and signatures, made-up models."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import cache, cached_property

from dlbc.adapters.keys import KeystoreKeys
from dlbc.core import proofs, scoring
from dlbc.core.hashing import keccak
from dlbc.core.types import (
    METRIC_TOP1,
    ZERO_HASH,
    Address,
    Claim,
    ClaimRef,
    Hash32,
    LabelProof,
    Locator,
    PredictionLeaf,
    SumNode,
    TaskId,
    Terms,
    TestSet,
    TrainingProof,
    Verdict,
    Wei,
    Workload,
)
from fakes.chain import CHAIN_ID, FakeChain, FakeMarket
from fakes.keys import account
from fakes.pool import FakePool, PoolState

ETHER = 10**18
LABELS = (0, 1, 2, 3, 4)
TERMS = Terms(
    manifest_hash=ZERO_HASH,
    manifest=Locator(ZERO_HASH),
    workload=Workload(1_000, 1_000, 1_000, 1, 2**20, 2**20),
    train_seconds=1_000,
    release_seconds=1_000,
    reveal_seconds=1_000,
    open_seconds=1_000,
    challenge_seconds=1_000,
    min_score_ppm=0,
    min_gain_ppm=0,
    tolerance_ppm=0,
    bounty_wei=Wei(ETHER + 5),  # so that shares have remainders
    deposit_wei=Wei(ETHER // 10 + 1),
    bond_wei=Wei(ETHER // 10 + 3),
    royalty_bps=0,
)


_account = cache(account)  # to find an address takes milliseconds


@dataclass(frozen=True)
class Work:
    """What a miner has: its proof and its tree of predictions."""

    name: str
    keys: KeystoreKeys
    proof: TrainingProof
    predictions: tuple[int, ...]
    scores: tuple[int, ...]
    claim: Claim

    @cached_property
    def tree(self) -> scoring.PredictionTree:
        """Over its predictions."""
        digest = proofs.proof_digest(self.proof, CHAIN_ID, FakeMarket().address)
        return scoring.PredictionTree(digest, self.predictions, self.scores)

    @property
    def ref(self) -> ClaimRef:
        """What refute, demand and answer name it by."""
        return ClaimRef(self.proof, self.claim, self.tree.h_top)

    def leaf(self, index: int) -> PredictionLeaf:
        """One of its leaves."""
        return PredictionLeaf(self.predictions[index], self.scores[index])

    def path(self, index: int) -> tuple[SumNode, ...]:
        """And its path."""
        return self.tree.path(index)


@dataclass
class Scene:
    """Everybody on one market."""

    market: FakeMarket = field(default_factory=FakeMarket)

    def __post_init__(self) -> None:
        """The market gets its pool."""
        self.state = PoolState(self.market)

    def who(self, name: str) -> Address:
        """The address of a name."""
        return _account(name).address

    def chain(self, name: str) -> FakeChain:
        """The market as this account sees it."""
        return FakeChain(self.market, self.who(name))

    def pool(self, name: str) -> FakePool:
        """The pool as this account sees it."""
        return FakePool(self.state, self.who(name))

    def pass_time(self, seconds: int) -> None:
        """Nothing happens meanwhile."""
        self.market.now += seconds

    def end_phase(self, task_id: TaskId) -> None:
        """To the end of the present window."""
        self.market.move_to_end_of_phase(task_id)

    @property
    def ether(self) -> int:
        """All there is, wherever it is."""
        held = FakeChain(self.market).market_balance() + FakePool(self.state).balance()
        return sum(self.market.balances.values()) + held

    # ------------------------------------------------------------------ tasks

    def test_set(self) -> tuple[TestSet, bytes]:
        """The same for every task."""
        key = keccak(b"test key")
        labels_root = scoring.label_root(LABELS)
        values = (Locator(ZERO_HASH), ZERO_HASH, proofs.key_hash(key), len(LABELS), 1, 5, METRIC_TOP1, labels_root)
        return TestSet(*values), key

    def label(self, index: int) -> LabelProof:
        """A committed label with its proof."""
        return LabelProof(self.test_set()[0], LABELS[index], scoring.LabelTree(LABELS).path(index))

    def post(self) -> TaskId:
        """A task of the requester."""
        commitment = proofs.test_commitment(self.test_set()[0])
        task_id = self.chain("requester").post(TERMS, [commitment]).task_id
        assert task_id is not None
        return task_id

    def commit(self, task_id: TaskId, name: str, right: int, lies: int = 0) -> Work:
        """A model that gets so many samples right, and claims so many more."""
        keys = _account(name)
        secret = keccak(name.encode())
        slot_keys = [secret, keccak(secret)]
        proof = TrainingProof(
            task_id=task_id,
            round=0,
            miner=keys.address,
            model_hash=keccak(f"{task_id} {name}".encode()),
            sealed_model=Locator(ZERO_HASH),
            seal_key_hash=proofs.key_hash(secret),
            watermark_root=proofs.slot_root(slot_keys),
            parent_model=ZERO_HASH,
        )
        predictions = tuple(label if i < right else (label + 1) % 5 for i, label in enumerate(LABELS))
        scores = tuple(int(i < right + lies) for i in range(len(LABELS)))
        digest = proofs.proof_digest(proof, CHAIN_ID, self.market.address)
        tree = scoring.PredictionTree(digest, predictions, scores)
        claim = Claim(tree.total, tree.root(len(LABELS)), Locator(ZERO_HASH))
        chain = self.chain(name)
        terms_hash = chain.task(task_id).terms_hash
        chain.commit(task_id, 0, terms_hash, proofs.commitment(digest, secret), Locator(ZERO_HASH), TERMS.deposit_wei)
        return Work(name, keys, proof, predictions, scores, claim)

    def release(self, task_id: TaskId) -> None:
        """As soon as commits are over."""
        self.end_phase(task_id)
        self.chain("requester").release(task_id, *self.test_set())

    def reveal(self, work: Work) -> None:
        """Signs the claim and sends it."""
        digest = proofs.proof_digest(work.proof, CHAIN_ID, self.market.address)
        typed = proofs.score_claim_typed_data(digest, work.claim, CHAIN_ID, self.market.address)
        secret = keccak(work.name.encode())
        FakeChain(self.market, work.keys.address).reveal(
            work.proof, secret, work.claim, work.tree.h_top, work.keys.sign_typed(typed)
        )

    def open(self, work: Work) -> None:
        """Discloses the sealing key and slot 0."""
        secret = keccak(work.name.encode())
        path = proofs.slot_path([secret, keccak(secret)], 0)
        FakeChain(self.market, work.keys.address).open(work.proof, work.claim, secret, secret, path)

    def revealing(self, **claims: tuple[int, int]) -> tuple[TaskId, dict[str, Work]]:
        """A task in Revealing, every claim revealed. claims: miner = (right answers, lies)."""
        task_id = self.post()
        works = {name: self.commit(task_id, name, *claim) for name, claim in claims.items()}
        self.release(task_id)
        for work in works.values():
            self.reveal(work)
        return task_id, works

    def challenged(self, **claims: tuple[int, int]) -> tuple[TaskId, dict[str, Work]]:
        """A task whose leader has opened."""
        task_id, works = self.revealing(**claims)
        self.end_phase(task_id)
        leader = self.chain("requester").round(task_id, 0).leader
        self.open(next(work for work in works.values() if work.keys.address == leader))
        return task_id, works

    # ------------------------------------------------------------------ auditors

    def stake(self, **stakes: int) -> None:
        """Active stakes, in wei."""
        for name, wei in stakes.items():
            self.pool(name).stake(Wei(wei))
        self.pass_time(self.state.params.activation_seconds)
        for name in stakes:
            self.pool(name).activate(self.who(name))

    def dispute(self, task_id: TaskId, name: str, grounds: int = 1, samples: Sequence[int] = ()) -> Hash32:
        """A dispute with the bond it takes."""
        bond = Wei(-(-TERMS.bounty_wei // 10))
        self.pool(name).dispute(task_id, grounds, Locator(ZERO_HASH), samples, bond)
        return self.state.filed[-1].case_id

    def impeach(self, task_id: TaskId, name: str) -> Hash32:
        """An impeachment with the bond it takes."""
        self.pool(name).impeach(task_id, Locator(ZERO_HASH), Wei(-(-TERMS.bounty_wei // 10)))
        return self.state.filed[-1].case_id

    def cast(self, case_id: Hash32, name: str, verdict: Verdict) -> None:
        """Commits a ballot."""
        dispute = proofs.dispute_id(case_id, self.state.cases[case_id].attempt)
        self.pool(name).commit_vote(case_id, self._ballot(dispute, name, verdict))

    def show(self, case_id: Hash32, name: str, verdict: Verdict) -> None:
        """Opens it."""
        attempt = self.state.cases[case_id].attempt
        ballots = self.pool(name).ballots_of(self.who(name))
        lock = next(found.lock_wei for found in ballots if (found.case_id, found.attempt) == (case_id, attempt))
        self.pool(name).reveal_vote(case_id, self.who(name), verdict, lock, keccak(name.encode()))

    def ballot_of(self, case_id: Hash32, attempt: int, name: str, verdict: Verdict) -> Hash32:
        """The ballot that cast() commits."""
        return self._ballot(proofs.dispute_id(case_id, attempt), name, verdict)

    def _ballot(self, dispute: Hash32, name: str, verdict: Verdict) -> Hash32:
        return proofs.ballot_hash(self.state.address, dispute, self.who(name), verdict, keccak(name.encode()))

    def vote(self, task_id: TaskId, case_id: Hash32, **verdicts: Verdict) -> None:
        """A whole vote of these ballots, up to its ruling."""
        start, _, _ = self.state.windows(case_id)
        self.market.now = max(self.market.now, start)
        for name, verdict in verdicts.items():
            self.cast(case_id, name, verdict)
        self.end_phase(task_id)
        for name, verdict in verdicts.items():
            self.show(case_id, name, verdict)
        self.end_phase(task_id)
        self.chain("onlooker").advance(task_id)
