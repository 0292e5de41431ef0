"""Plays tasks on a deployed market: real signatures, real proofs, made-up models. Everything follows from seeds."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

from anvil_node import PRIVATE_KEYS, Anvil
from dlbc.adapters.chain.deploy import Deployment, deploy_contracts, load_params
from dlbc.adapters.chain.web3_chain import Web3Chain
from dlbc.adapters.keys import KeystoreKeys
from dlbc.core import proofs, scoring
from dlbc.core.hashing import keccak
from dlbc.core.types import (
    METRIC_TOP1,
    ZERO_HASH,
    Claim,
    Hash32,
    Locator,
    Receipt,
    TaskId,
    Terms,
    TestSet,
    TrainingProof,
    Wei,
    Workload,
)
from eth_account import Account

SAMPLES = 360
CLASSES = 10
ETHER = 10**18
DEPLOYER, REQUESTER, FIRST_MINER, TREASURY = 0, 1, 2, 9

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
    h_top: Hash32
    signature: bytes

    @property
    def commitment(self) -> Hash32:
        return proofs.commitment(self.digest, self.salt)


class Play:
    """A fresh market, and the calls of a task's life with sensible arguments."""

    def __init__(self, anvil: Anvil, **params: Any) -> None:
        """`params` replaces parameters of the local network."""
        self.anvil = anvil
        treasury = account(TREASURY).address
        chosen = replace(load_params(31337, treasury), **params)
        self.deployment: Deployment = deploy_contracts(anvil.url, account(DEPLOYER), chosen)
        self._chains: dict[int, Web3Chain] = {}

    def chain(self, index: int) -> Web3Chain:
        """The market as this account sees it."""
        if index not in self._chains:
            where = self.deployment
            self._chains[index] = Web3Chain(
                self.anvil.url, where.market, where.lens, account(index), where.block_number, where.chain_id
            )
        return self._chains[index]

    @property
    def requester(self) -> Web3Chain:
        return self.chain(REQUESTER)

    def test_key(self, round: int) -> bytes:
        return secret("test key", round)

    def test_set(self, round: int = 0) -> TestSet:
        return TestSet(
            sealed_locator=Locator(secret("sealed", round)),
            plaintext_hash=secret("plain", round),
            key_hash=proofs.key_hash(self.test_key(round)),
            samples=SAMPLES,
            max_sample_score=1,
            classes=CLASSES,
            metric=METRIC_TOP1,
            labels_root=secret("labels", round),
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
    ) -> Work:
        """Trained work of account `miner` that classifies `total` of the samples. `model` names the file's bytes."""
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
        scores = [1] * total + [0] * (SAMPLES - total)
        tree = scoring.PredictionTree(digest, [i % CLASSES for i in range(SAMPLES)], scores)
        claim = Claim(total, tree.root(SAMPLES), Locator(secret("predictions", *seed)))
        message = proofs.score_claim_typed_data(digest, claim, where.chain_id, where.market)
        return Work(
            miner=miner,
            proof=proof,
            digest=digest,
            salt=secret("salt", *seed),
            seal_key=seal_key,
            slot_keys=slot_keys,
            claim=claim,
            h_top=tree.h_top,
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

    def pass_phase(self, task_id: TaskId, label: str) -> None:
        """Moves time to the end of the phase if the task is in it."""
        info = self.requester.phase(task_id)
        if info.phase.label == label:
            self.anvil.move_to(info.ends_at)
