"""A ledger of many real blocks on a real Anvil: every claim is signed and proved, every block is the contracts' own.

Two miners enter each task, so that a block has a loser, too: eight transactions. Models are made up: what their bytes
are is nothing that the chain knows.
"""

from __future__ import annotations

import sys
from collections.abc import Iterator
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path

from dlbc.adapters.keys import KeystoreKeys
from dlbc.core import proofs, scoring
from dlbc.core.hashing import keccak
from dlbc.core.types import METRIC_TOP1, ZERO_HASH, Claim, Hash32, Locator, TestSet, TrainingProof
from eth_account import Account
from miner_parts.market import TERMS, Call, Market, Node

sys.path.append(str(Path(__file__).resolve().parents[2] / "tests" / "python" / "contract"))

from anvil_node import PRIVATE_KEYS

A_BLOCK = 50
"""Transactions in one of the chain's blocks; settlements have one each."""
WAVE = 100
"""Tasks that are open at once."""
LABELS = (0, 1, 1, 0)
SALT, SEAL_KEY, TEST_KEY = keccak(b"salt"), keccak(b"seal key"), keccak(b"test key")
SLOT_KEYS = (keccak(b"slot 0"), keccak(b"slot 1"))
TEST_SET = TestSet(
    sealed_locator=Locator(keccak(b"sealed test set")),
    plaintext_hash=keccak(b"test set"),
    key_hash=proofs.key_hash(TEST_KEY),
    samples=len(LABELS),
    max_sample_score=1,
    classes=2,
    metric=METRIC_TOP1,
    labels_root=scoring.label_root(LABELS),
)
BLOCK_TERMS = replace(TERMS, train_seconds=3_600)


@dataclass(frozen=True)
class Work:
    """What one miner sends for one task."""

    miner: int
    proof: TrainingProof
    digest: Hash32
    claim: Claim
    h_top: Hash32
    signature: bytes


class Ledger:
    """Appends blocks to the ledger of a market."""

    def __init__(self, node: Node) -> None:
        self.node, self.market = node, Market(node)
        self._keys = [KeystoreKeys(Account.from_key(key)) for key in PRIVATE_KEYS]
        self._posted = 0

    def grow(self, blocks: int) -> None:
        """So many more."""
        for first in range(0, blocks, WAVE):
            self._wave(min(WAVE, blocks - first))
        found = self.market.chain().head()[0]
        if found != self._posted:
            raise SystemExit(f"expected a ledger of {self._posted} blocks, found {found}: some transaction failed")

    def _wave(self, count: int) -> None:
        market, terms = self.market, BLOCK_TERMS
        tasks = range(self._posted + 1, self._posted + count + 1)
        self._posted += count
        value = terms.bounty_wei + terms.bond_wei
        market.play((Call(0, "post", (terms, [self._test_commitment]), value) for _ in tasks), A_BLOCK)
        works = [list(self._works(task)) for task in tasks]
        everybody = [work for pair in works for work in pair]
        market.play(map(self._commit, everybody), A_BLOCK)
        self._pass(terms.train_seconds)
        market.play((Call(0, "release", (task, TEST_SET, TEST_KEY)) for task in tasks), A_BLOCK)
        market.play(map(self._reveal, everybody), A_BLOCK)
        self._pass(terms.reveal_seconds)
        market.play((self._open(best) for best, _ in works), A_BLOCK)
        self._pass(terms.challenge_seconds)
        market.play((Call(0, "advance", (task,)) for task in tasks), 1)

    def _pass(self, seconds: int) -> None:
        self.node.rpc("evm_increaseTime", seconds)
        self.node.rpc("evm_mine")

    @cached_property
    def _test_commitment(self) -> Hash32:
        return proofs.test_commitment(TEST_SET)

    @cached_property
    def _terms_hash(self) -> Hash32:
        return proofs.terms_hash(BLOCK_TERMS, [self._test_commitment])

    def _works(self, task: int) -> Iterator[Work]:
        """The winner's, and a worse one."""
        where = self.market.deployment
        others = len(self._keys) - 1
        for place, right in enumerate((4, 3)):
            miner = 1 + (2 * task + place) % others
            keys = self._keys[miner]
            proof = TrainingProof(
                task_id=task,
                round=0,
                miner=keys.address,
                model_hash=keccak(b"model %d %d" % (task, miner)),
                sealed_model=Locator(keccak(b"sealed %d %d" % (task, miner))),
                seal_key_hash=proofs.key_hash(SEAL_KEY),
                watermark_root=proofs.slot_root(SLOT_KEYS),
                parent_model=ZERO_HASH,
            )
            digest = proofs.proof_digest(proof, where.chain_id, where.market)
            predictions = [label if i < right else 1 - label for i, label in enumerate(LABELS)]
            tree = scoring.PredictionTree(digest, predictions, [int(i < right) for i in range(len(LABELS))])
            claim = Claim(tree.total, tree.root(len(LABELS)), Locator(keccak(b"predictions %d %d" % (task, miner))))
            message = proofs.score_claim_typed_data(digest, claim, where.chain_id, where.market)
            yield Work(miner, proof, digest, claim, tree.h_top, keys.sign_typed(message))

    def _commit(self, work: Work) -> Call:
        arguments = (work.proof.task_id, 0, self._terms_hash, proofs.commitment(work.digest, SALT), ZERO_HASH)
        return Call(work.miner, "commit", arguments, BLOCK_TERMS.deposit_wei)

    def _reveal(self, work: Work) -> Call:
        return Call(work.miner, "reveal", (work.proof, SALT, work.claim, work.h_top, work.signature))

    def _open(self, work: Work) -> Call:
        path = list(proofs.slot_path(SLOT_KEYS, 0))
        return Call(work.miner, "open", (work.proof, work.claim, SEAL_KEY, SLOT_KEYS[0], path))
