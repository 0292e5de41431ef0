"""One entry of one miner in one round: every thing it does, each repeatable after a crash at any line.

What a step needs is taken from the journal if it is there and otherwise found again from the wallet, the chain and
IPFS. Intent is journaled before a transaction leaves.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import InitVar, dataclass, field
from threading import Lock

import numpy as np
from numpy.typing import NDArray

from dlbc.core.cid import locator_of
from dlbc.core.decide import Facts
from dlbc.core.errors import BadInput, ContractRefused, Garbled, TryLater, Unavailable, VerificationFailed
from dlbc.core.events import ClaimRevealed, Receipt
from dlbc.core.proofs import commitment, score_claim_typed_data, slot_path
from dlbc.core.records import from_record, hex_bytes, to_record
from dlbc.core.scoring import (
    PredictionTree,
    decode_predictions,
    encode_predictions,
    predictions_bytes,
    predictions_root,
    score_ppm,
)
from dlbc.core.signed_reveal import SignedReveal
from dlbc.core.types import ZERO_HASH, Claim, Entry, Hash32, Locator, PredictionLeaf
from dlbc.ports import Pool, Trainer
from dlbc.roles.entry_record import EntryRecord
from dlbc.roles.entry_scoring import LAST_CHANCE, Scoring
from dlbc.roles.entry_training import Training
from dlbc.roles.errand import Room, StillRunning
from dlbc.roles.refuting import ref_of
from dlbc.roles.relaying import Outbox

CLAIM_ATTEMPTS = 8
"""How often in the reveal window a test set that failed its checks is fetched again."""
GARBLED_SECONDS = 15
"""Between two attempts when a node serves other bytes than were asked for."""
PREDICTIONS_SECONDS = 10.0
ANSWER_SECONDS = 20.0
LAST_MOMENT = 8
"""A claim of zero waits until the last eighth if scoring is under way, and may still end in time."""


@dataclass(slots=True, kw_only=True)
class MinerEntry(EntryRecord):
    """The doing side of one entry; core.decide says when."""

    pool: Pool
    trainer: InitVar[Trainer]
    room: InitVar[Room]
    turn: InitVar[Lock]
    strategy: InitVar[str]
    estimate: InitVar[int]
    seconds: Callable[[], float] = time.monotonic
    """A stopwatch."""
    outbox: Outbox | None = None
    """Where its signed reveal is left for keepers."""
    claim_refused: str = ""
    """Why the released test set can't be claimed on. Not journaled: our own node may have been the liar."""
    claim_again_at: int = 0
    """Chain time of the next attempt."""
    training: Training = field(init=False)
    scoring: Scoring = field(init=False)

    def __post_init__(self, trainer: Trainer, room: Room, turn: Lock, strategy: str, estimate: int) -> None:
        self.training = Training(
            entry=self, trainer=trainer, strategy=strategy, seconds=self.seconds, estimate=estimate
        )
        self.scoring = Scoring(entry=self, trainer=trainer, room=room, turn=turn)

    @property
    def gave_up(self) -> str:
        """Why this miner does not go on; "" if it does."""
        return str(self.record.get("gave_up", "")) or self.claim_refused

    def why_not(self, now: int) -> str:
        """gave_up, except that a refused claim is tried again from time to time."""
        if self.claim_refused and now >= self.claim_again_at:
            return ""
        return self.gave_up

    def end_errands(self) -> None:
        """What is still fetched or scored for this entry is of no use any more."""
        self.training.abandon()
        self.scoring.abandon()

    # ------------------------------------------------------------------ commit, reveal, open

    def commit(self) -> Receipt:
        """Commits to the sealed model, with the deposit."""
        digest, secrets = self.digest, self.own_secrets()
        recovery = Locator(hex_bytes(self.record["recovery"], "recovery", 32))
        self.note(stage="committing")
        receipt = self.chain.commit(
            self.task_id,
            self.round,
            self.posted.terms_hash,
            commitment(digest, secrets.salt),
            recovery,
            self.posted.terms.deposit_wei,
        )
        self.note(stage="committed")
        self.report("model_committed", task_id=self.task_id, tx=receipt.tx_hash, gas=receipt.gas_used)
        return receipt

    def reveal(self, entry: Entry, facts: Facts) -> Receipt | None:
        """Claims a score on the released test set. None if the test set is not the committed one: claim nothing yet.

        A requester may release bytes that nobody can get or use. Only a reveal brings the deposit back (P-42), so
        before the window ends a claim of zero is revealed, provided that it can't qualify.
        """
        self.ensure_proof(entry)
        if "claim" not in self.record:
            try:
                self._predict(facts.round.test_commitment)
            except Exception as error:
                if self._must_save_deposit(facts, LAST_MOMENT if isinstance(error, StillRunning) else LAST_CHANCE):
                    self.end_errands()
                    self._claim_nothing(facts, error)
                    return self._send_reveal()
                if not isinstance(error, VerificationFailed | BadInput):
                    raise
                self._claim_later(facts, error)
                return None
        return self._send_reveal()

    def _claim_later(self, facts: Facts, error: VerificationFailed | BadInput) -> None:
        """Wrong bytes may be the own node's fault, and soon over; wrong contents are hardly ever."""
        pause = max(1, facts.task.reveal_seconds // CLAIM_ATTEMPTS)
        if isinstance(error, Garbled):
            self.claim_refused = f"the test set is fetched again: {error}"
            self.claim_again_at = facts.now + min(pause, GARBLED_SECONDS)
            self.report("try_later", task_id=self.task_id, reason=str(error))
            return
        self.claim_refused = f"nothing is claimed: {error}"
        self.claim_again_at = facts.now + pause
        self.report("gave_up", task_id=self.task_id, why=self.claim_refused)

    def _send_reveal(self) -> Receipt:
        self.claim_refused = ""
        reveal = SignedReveal(
            chain_id=self.chain.chain_id,
            market=self.chain.market,
            proof=self.proof,
            salt=self.own_secrets().salt,
            claim=from_record(Claim, self.record["claim"]),
            h_top=Hash32(hex_bytes(self.record["h_top"], "h_top", 32)),
            signature=hex_bytes(self.record["signature"], "signature", 65),
        )
        if self.outbox is not None:
            self.outbox.leave(reveal)  # first: whatever happens now, a keeper can send it
        receipt = self.chain.reveal(reveal.proof, reveal.salt, reveal.claim, reveal.h_top, reveal.signature)
        self.note(stage="revealed")
        self.report("claim_revealed", task_id=self.task_id, tx=receipt.tx_hash, gas=receipt.gas_used)
        return receipt

    def open(self, entry: Entry) -> Receipt:
        """Opens the leading model: its sealing key and slot 0 of the watermark."""
        self.ensure_proof(entry)
        proof, slot_keys = self.proof, self.committed_slot_keys()
        seal_key = self.own_secrets().seal_key
        receipt = self.chain.open(proof, self._revealed().claim, seal_key, slot_keys[0], slot_path(slot_keys, 0))
        self.report("model_opened", task_id=self.task_id, tx=receipt.tx_hash, gas=receipt.gas_used)
        return receipt

    def answer(self, entry: Entry) -> list[Receipt]:
        """Shows the demanded predictions of the own claim, and takes the demands' bonds (M-7).

        Each waits for a block. After ANSWER_SECONDS the rest is left to the next tick: other entries have deadlines.
        """
        self.ensure_proof(entry)
        claim = self._revealed()
        indices = {
            event.index
            for event in self.pool.demands(self.task_id, self.round)
            if event.miner == self.keys.address
            and self.pool.demander(self.task_id, self.round, event.miner, event.index) is not None
        }
        tree, predictions, scores = self._claimed_tree(claim)
        receipts: list[Receipt] = []
        began = self.seconds()
        for index in sorted(indices):
            if receipts and self.seconds() - began > ANSWER_SECONDS:
                break
            leaf = PredictionLeaf(int(predictions[index]), int(scores[index]))
            try:
                receipt = self.pool.answer(ref_of(claim), index, leaf, tree.path(index))
            except ContractRefused:
                # somebody else was faster; the others still wait
                if self.pool.demander(self.task_id, self.round, self.keys.address, index) is None:
                    continue
                raise
            receipts.append(receipt)
            self.report("prediction_shown", task_id=self.task_id, index=index, tx=receipt.tx_hash, gas=receipt.gas_used)
        return receipts

    def _predict(self, committed_test: Hash32) -> None:
        """Builds and publishes the claim and journals it."""
        scored = self.scoring.evaluate(committed_test)
        digest, tree, scores = self.digest, scored.tree, scored.scores
        claim = Claim(
            total=tree.total,
            predictions_root=tree.root(len(scores)),
            predictions=self.storage.add(encode_predictions(scored.predictions, scores)),
        )
        signature = self.keys.sign_typed(score_claim_typed_data(digest, claim, self.chain.chain_id, self.chain.market))
        self.note(
            stage="revealing",
            claim=to_record(claim),
            h_top=to_record(tree.h_top),
            signature=to_record(signature),
        )
        self.report(
            "claim_built",
            task_id=self.task_id,
            total=claim.total,
            samples=len(scores),
            score_ppm=score_ppm(claim.total, len(scores), 1),
        )

    def _claimed_tree(self, claim: ClaimRevealed) -> tuple[PredictionTree, NDArray[np.int64], NDArray[np.int64]]:
        """The tree of the own claim and its leaves, from the published file or, if that is lost, from the model."""
        facts = self.chain.round(self.task_id, self.round)
        try:
            size = predictions_bytes(facts.samples)
            data = self.storage.fetch(claim.claim.predictions, max_bytes=size, timeout=PREDICTIONS_SECONDS)
            predictions, scores = decode_predictions(data, facts.samples)
            tree = PredictionTree(self.digest, predictions, scores)
        except (Unavailable, BadInput, VerificationFailed):
            scored = self.scoring.evaluate(facts.test_commitment)
            tree, predictions, scores = scored.tree, scored.predictions, scored.scores
        if tree.h_top != claim.h_top:
            raise VerificationFailed(
                f"own predictions of task {self.task_id}: expected the top hash {claim.h_top.hex()}, found "
                f"{tree.h_top.hex()}"
            )
        return tree, predictions, scores

    def _must_save_deposit(self, facts: Facts, share: int) -> bool:
        is_late = facts.phase.ends_at - facts.now <= facts.task.reveal_seconds // share
        return is_late and facts.task.min_score_ppm > 0

    def _claim_nothing(self, facts: Facts, error: Exception) -> None:
        """A claim of zero, with no predictions behind it, journaled."""
        digest = self.digest
        root = predictions_root(digest, facts.round.samples, ZERO_HASH, 0)
        claim = Claim(total=0, predictions_root=root, predictions=locator_of(b""))
        signature = self.keys.sign_typed(score_claim_typed_data(digest, claim, self.chain.chain_id, self.chain.market))
        self.note(stage="revealing", claim=to_record(claim), h_top=to_record(ZERO_HASH), signature=to_record(signature))
        self.report("zero_claimed", task_id=self.task_id, why=f"to get the deposit back: {error}"[:300])

    def _revealed(self) -> ClaimRevealed:
        for event in self.chain.reveals(self.task_id, self.round):
            if event.proof.miner == self.keys.address:
                return event
        raise TryLater(f"task {self.task_id}: this miner's reveal is not in the node's log yet; is it in sync?")
