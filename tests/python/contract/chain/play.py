"""Plays tasks on a deployed market: real signatures, real proofs, made-up models. Everything follows from seeds."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from anvil_node import PRIVATE_KEYS, Anvil
from dlbc.adapters.chain.deploy import deploy_contracts, load_params
from dlbc.adapters.chain.record import Deployment
from dlbc.adapters.chain.web3_chain import Web3Chain
from dlbc.adapters.chain.web3_pool import Web3Pool
from dlbc.adapters.keys import KeystoreKeys
from dlbc.core import disputes, proofs, scoring
from dlbc.core.events import Receipt
from dlbc.core.hashing import keccak
from dlbc.core.types import (
    METRIC_TOP1,
    ZERO_ADDRESS,
    ZERO_HASH,
    Claim,
    ClaimRef,
    Ground,
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
from eth_account import Account

SAMPLES = 360
CLASSES = 10
ETHER = 10**18
DEPLOYER, REQUESTER, FIRST_MINER, DISPUTER = 0, 1, 2, 8
AUDITORS = (6, 7, 9)

TERMS = Terms(
    manifest_hash=keccak(b"manifest"),
    manifest=Locator(keccak(b"manifest locator")),
    workload=Workload(
        parameters=85_002,
        flops_per_sample=170_000,
        samples=1_437,
        epochs=40,
        data_bytes=380_000,
        model_bytes=341_000,
    ),
    train_seconds=3_600,
    release_seconds=1_800,
    reveal_seconds=1_200,
    open_seconds=600,
    challenge_seconds=900,
    min_score_ppm=500_000,
    min_gain_ppm=10_000,
    tolerance_ppm=5_000,
    bounty_wei=Wei(ETHER),
    deposit_wei=Wei(ETHER // 10),
    bond_wei=Wei(ETHER // 10),
    royalty_bps=500,
)


def account(index: int) -> KeystoreKeys:
    """One of Anvil's accounts."""
    return KeystoreKeys(Account.from_key(PRIVATE_KEYS[index]))


def secret(*parts: object) -> Hash32:
    """32 bytes that follow from their parts."""
    return keccak(repr(parts).encode())


@dataclass(frozen=True)
class Work:
    """What one miner has after training: everything it needs until it is paid."""

    miner: int
    proof: TrainingProof
    digest: Hash32
    salt: bytes
    seal_key: bytes
    slot_keys: tuple[bytes, ...]
    claim: Claim
    tree: scoring.PredictionTree
    leaves: tuple[PredictionLeaf, ...]
    signature: bytes

    @property
    def h_top(self) -> Hash32:
        return self.tree.h_top

    @property
    def ref(self) -> ClaimRef:
        return ClaimRef(self.proof, self.claim, self.h_top)

    @property
    def case_id(self) -> Hash32:
        """Of a dispute of this claim."""
        return proofs.case_id(self.proof.task_id, self.proof.round, self.proof.miner)

    def shown(self, index: int) -> tuple[PredictionLeaf, tuple[SumNode, ...]]:
        """A leaf and its path."""
        return self.leaves[index], self.tree.path(index)

    @property
    def commitment(self) -> Hash32:
        return proofs.commitment(self.digest, self.salt)


class Play:
    """A fresh market, and the calls of a task's life with sensible arguments."""

    def __init__(self, anvil: Anvil, *, samples: int = SAMPLES, **params: Any) -> None:
        """`params` replaces parameters of the local network's market."""
        self.anvil = anvil
        self.samples = samples
        chosen, of_pool = load_params(31337)
        self.deployment: Deployment = deploy_contracts(anvil.url, account(DEPLOYER), replace(chosen, **params), of_pool)
        self._chains: dict[int, Web3Chain] = {}
        self._pools: dict[int, Web3Pool] = {}

    def chain(self, index: int) -> Web3Chain:
        """The market as this account sees it."""
        if index not in self._chains:
            where = self.deployment
            self._chains[index] = Web3Chain(
                self.anvil.url, where.market, where.lens, account(index), where.block_number, where.chain_id
            )
        return self._chains[index]

    def pool(self, index: int) -> Web3Pool:
        """The auditor pool as this account sees it."""
        if index not in self._pools:
            self._pools[index] = Web3Pool(self.chain(index))
        return self._pools[index]

    @property
    def requester(self) -> Web3Chain:
        return self.chain(REQUESTER)

    def test_key(self, round: int) -> bytes:
        return secret("test key", round)

    def labels(self, round: int = 0) -> list[int]:
        """What the test set says."""
        return [(7 * i + round) % CLASSES for i in range(self.samples)]

    def label(self, index: int, round: int = 0) -> LabelProof:
        """One label with its path."""
        labels = self.labels(round)
        return LabelProof(self.test_set(round), labels[index], scoring.LabelTree(labels).path(index))

    def test_set(self, round: int = 0) -> TestSet:
        return TestSet(
            sealed_locator=Locator(secret("sealed", round)),
            plaintext_hash=secret("plain", round),
            key_hash=proofs.key_hash(self.test_key(round)),
            samples=self.samples,
            max_sample_score=1,
            classes=CLASSES,
            metric=METRIC_TOP1,
            labels_root=scoring.label_root(self.labels(round)),
        )

    def post(self, rounds: int = 1, **terms: Any) -> Receipt:
        commitments = [proofs.test_commitment(self.test_set(index)) for index in range(rounds)]
        chosen = {"bond_wei": Wei(ETHER * rounds // 10)} | terms
        return self.requester.post(replace(TERMS, **chosen), commitments)

    def work(
        self,
        task_id: TaskId,
        miner: int,
        total: int,
        *,
        round: int = 0,
        model: object = None,
        parent: Hash32 = ZERO_HASH,
        attempt: int = 0,
        slots: int = 2,
        lies: Sequence[int] = (),
    ) -> Work:
        """Trained work of account `miner` that classifies the first `total` samples rightly. `model` names the file's
        bytes. The samples `lies` are wrong, and counted all the same.
        """
        keys = account(miner)
        seed = (task_id, round, miner, attempt)
        slot_keys = tuple(secret("slot", k, *seed) for k in range(slots))
        seal_key = secret("seal", *seed)
        proof = TrainingProof(
            task_id=task_id,
            round=round,
            miner=keys.address,
            model_hash=secret("model", *(seed if model is None else (model,))),
            sealed_model=Locator(secret("sealed model", *seed)),
            seal_key_hash=proofs.key_hash(seal_key),
            watermark_root=proofs.slot_root(slot_keys),
            parent_model=parent,
        )
        where = self.deployment
        digest = proofs.proof_digest(proof, where.chain_id, where.market)
        labels = self.labels(round)
        predictions = [label if i < total else (label + 1) % CLASSES for i, label in enumerate(labels)]
        scores = [int(i < total or i in lies) for i in range(self.samples)]
        tree = scoring.PredictionTree(digest, predictions, scores)
        claim = Claim(tree.total, tree.root(self.samples), Locator(secret("predictions", *seed)))
        message = proofs.score_claim_typed_data(digest, claim, where.chain_id, where.market)
        return Work(
            miner=miner,
            proof=proof,
            digest=digest,
            salt=secret("salt", *seed),
            seal_key=seal_key,
            slot_keys=slot_keys,
            claim=claim,
            tree=tree,
            leaves=tuple(PredictionLeaf(*pair) for pair in zip(predictions, scores, strict=True)),
            signature=keys.sign_typed(message),
        )

    def commit(self, work: Work, *, deposit: int | None = None) -> Receipt:
        task = self.requester.task(work.proof.task_id)
        return self.chain(work.miner).commit(
            work.proof.task_id,
            work.proof.round,
            task.terms_hash,
            work.commitment,
            Locator(secret("recovery", work.salt)),
            Wei(task.deposit_wei if deposit is None else deposit),
        )

    def to_release(self, task_id: TaskId) -> None:
        """Moves time to the start of the release window."""
        task = self.requester.task(task_id)
        train_end = self.requester.round(task_id, task.round).train_end
        self.anvil.move_to(train_end + self.deployment.params.finality_gap)

    def release(self, task_id: TaskId) -> Receipt:
        """Moves time to the release window, then releases."""
        self.to_release(task_id)
        index = self.requester.task(task_id).round
        return self.requester.release(task_id, self.test_set(index), self.test_key(index))

    def reveal(self, work: Work) -> Receipt:
        return self.chain(work.miner).reveal(work.proof, work.salt, work.claim, work.h_top, work.signature)

    def open(self, work: Work) -> Receipt:
        """Moves time past the reveals, then opens."""
        self.pass_phase(work.proof.task_id, "Revealing")
        path = proofs.slot_path(work.slot_keys, 0)
        return self.chain(work.miner).open(work.proof, work.claim, work.seal_key, work.slot_keys[0], path)

    def settle(self, task_id: TaskId) -> Receipt:
        """Moves time past the challenge, then advances."""
        self.pass_phase(task_id, "Challenge")
        return self.requester.advance(task_id)

    # ------------------------------------------------------------------ disputes

    def opened(self, total: int = 350, miner: int = FIRST_MINER, **work: Any) -> Work:
        """A task with one claim, opened."""
        task_id = self.post().task_id
        assert task_id is not None
        made = self.work(task_id, miner, total, **work)
        self.commit(made)
        self.release(task_id)
        self.reveal(made)
        self.open(made)
        return made

    def stake(self, index: int, wei: int) -> None:
        """Stakes and waits until the stake is active."""
        pool = self.pool(index)
        pool.stake(Wei(wei))
        self.anvil.move_to(pool.stake_of(account(index).address).ready_at)
        pool.activate(account(index).address)

    def dispute(self, work: Work, index: int = DISPUTER, grounds: Ground = Ground.HASH) -> Receipt:
        """Disputes an opened claim, with the bond."""
        bond = disputes.dispute_bond(self.requester.task(work.proof.task_id).bounty_wei)
        return self.pool(index).dispute(work.proof.task_id, grounds, Locator(secret("evidence")), (), bond)

    def impeach(self, task_id: TaskId, index: int = DISPUTER) -> Hash32:
        """Impeaches a released test set; the case's id."""
        task = self.requester.task(task_id)
        self.pool(index).impeach(task_id, Locator(secret("evidence")), disputes.dispute_bond(task.bounty_wei))
        return proofs.case_id(task_id, task.round, ZERO_ADDRESS)

    def ballot(self, case_id: Hash32, index: int, verdict: Verdict) -> Hash32:
        """A ballot for the present attempt."""
        pool, me = self.pool(index), account(index).address
        dispute_id = proofs.dispute_id(case_id, pool.case(case_id).attempt)
        return proofs.ballot_hash(pool.address, dispute_id, me, verdict, secret("ballot", dispute_id, index))

    def cast(self, case_id: Hash32, index: int, verdict: Verdict) -> Receipt:
        """Commits a ballot, once the vote has begun."""
        self.anvil.move_to(self.pool(index).windows(case_id)[0])
        return self.pool(index).commit_vote(case_id, self.ballot(case_id, index, verdict))

    def show(self, case_id: Hash32, index: int, verdict: Verdict) -> Receipt:
        """Reveals a ballot, once committing is over."""
        pool, me = self.pool(index), account(index).address
        self.anvil.move_to(pool.windows(case_id)[1])
        attempt = pool.case(case_id).attempt
        salt = secret("ballot", proofs.dispute_id(case_id, attempt), index)
        (lock,) = (b.lock_wei for b in pool.ballots_committed(case_id) if (b.voter, b.attempt) == (me, attempt))
        return pool.reveal_vote(case_id, me, verdict, lock, salt)

    def vote(self, case_id: Hash32, verdicts: Mapping[int, Verdict]) -> None:
        """A whole vote up to its resolution: each auditor by index commits and reveals."""
        for index, verdict in verdicts.items():
            self.cast(case_id, index, verdict)
        for index, verdict in verdicts.items():
            self.show(case_id, index, verdict)
        self.anvil.move_to(self.pool(DISPUTER).windows(case_id)[2])

    def pass_phase(self, task_id: TaskId, label: str) -> None:
        """Moves time to the end of the phase if the task is in it."""
        info = self.requester.phase(task_id)
        if info.phase.label == label:
            self.anvil.move_to(info.ends_at)
