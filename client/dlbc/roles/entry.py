"""One entry of one miner in one round: every thing it does, each repeatable after a crash at any line.

What a step needs is taken from the journal if it is there and otherwise found again from the wallet, the chain and
IPFS. Intent is journaled before a transaction leaves.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, field, replace
from pathlib import Path
from threading import Lock
from typing import Any

import numpy as np
from numpy.typing import NDArray

from dlbc.core import watermark
from dlbc.core.architecture import tensor_shapes
from dlbc.core.cid import locator_of
from dlbc.core.decide import Facts
from dlbc.core.errors import BadInput, ContractRefused, Garbled, TryLater, Unavailable, VerificationFailed
from dlbc.core.events import ClaimRevealed, Receipt, TaskPosted, TestSetReleased
from dlbc.core.manifest import Manifest, manifest_to_bytes
from dlbc.core.proofs import (
    commitment,
    key_hash,
    proof_digest,
    score_claim_typed_data,
    slot_path,
    slot_root,
)
from dlbc.core.records import from_record, hex_bytes, to_record
from dlbc.core.scoring import (
    PredictionTree,
    decode_predictions,
    encode_predictions,
    predictions_bytes,
    predictions_root,
    score_ppm,
    top1_scores,
)
from dlbc.core.secrets import MinerSecrets, encrypt_recovery
from dlbc.core.secrets import Recovery as RecoveryBlob
from dlbc.core.signed_reveal import SignedReveal
from dlbc.core.types import ZERO_HASH, Claim, Entry, Hash32, Locator, PredictionLeaf, TaskId, TrainingProof
from dlbc.ports import Chain, Journal, Keys, Pool, Storage, Trainer, TrainHandle, TrainJob, TrainProgress, TrainResult
from dlbc.roles.artifacts import (
    fetch_manifest,
    fetch_sealed,
    fetch_shard,
    fetch_test_set,
    file_chunks,
    file_sha256,
    read_manifest,
    store_sealed,
    write_atomically,
)
from dlbc.roles.errand import Errand, Room, StillRunning
from dlbc.roles.loop import Report
from dlbc.roles.models import Models
from dlbc.roles.recovery import Wallet
from dlbc.roles.refuting import ref_of
from dlbc.roles.relaying import Outbox

ENTRY = "entry"
CLAIM_ATTEMPTS = 8
"""How often in the reveal window a test set that failed its checks is fetched again."""
TRAININGS_LOST = 3
"""Training children that may be ended from outside before the task is given up."""
GARBLED_SECONDS = 15
"""Between two attempts when a node serves other bytes than were asked for."""
FETCH_SLICE_SECONDS = 20.0
COMMIT_SECONDS = 15.0
"""For sealing and for a commit that is mined late, beside what storing the model takes."""
COMMIT_SHARE = 20
"""And one in so many of the window's seconds."""
STORE_BYTES_PER_SECOND = 2**20
LEAST_BUDGET = 1.0
SLOT_COUNTS = (2, 4, 8)
"""Slots a model may have (P-90)."""
PREDICTIONS_SECONDS = 10.0
ANSWER_SECONDS = 20.0
LAST_CHANCE = 4
"""In the last quarter of the reveal window a claim of zero is revealed, which brings the deposit back."""
LAST_MOMENT = 8
"""In the last eighth if scoring is under way, and may still end in time."""
TURN_SECONDS = 300.0
"""How long the scoring of one entry lets another one's finish first."""
FIRST_WAIT, NEXT_WAIT = 5.0, 0.1
"""Seconds that a tick waits for the scores of a test set: the first time, and once it is known to be slow."""


@dataclass(frozen=True, slots=True)
class _Scored:
    """What the own model says about a test set: the tree of the claim, and its leaves."""

    tree: PredictionTree
    predictions: NDArray[np.int64]
    scores: NDArray[np.int64]
    is_recovered: bool  # the model was fetched back


@dataclass(slots=True)
class MinerEntry:
    """The doing side of one entry; core.decide says when. `record` mirrors the journal."""

    chain: Chain
    pool: Pool
    storage: Storage
    keys: Keys
    trainer: Trainer
    journal: Journal
    report: Report
    folder: Path  # of this entry: shards, model
    device: str
    posted: TaskPosted
    round: int
    record: dict[str, Any]
    strategy: str = "default"
    seconds: Callable[[], float] = time.monotonic
    """A stopwatch."""
    outbox: Outbox | None = None
    """Where its signed reveal is left for keepers."""
    handle: TrainHandle | None = None
    progress: TrainProgress | None = None
    """What the training child last said."""
    began: float = 0.0
    """On the stopwatch, of the training."""
    estimate: int = 0
    """Seconds that the training was planned with."""
    downloaded: tuple[int, float] = (0, 0.0)
    """(bytes, seconds) of training data that came from the network."""
    data_tries: int = 0
    """How often the training data was asked for, in vain or in part."""
    _shards: list[Path] = field(default_factory=list)
    claim_refused: str = ""
    """Why the released test set can't be claimed on. Not journaled: our own node may have been the liar."""
    claim_again_at: int = 0
    """Chain time of the next attempt."""
    room: Room = field(default_factory=Room)
    """For released test sets."""
    scoring: Lock = field(default_factory=Lock)
    """Held while a model is scored: two at a time need twice the memory. A slow one does not keep others for ever."""
    _errand: Errand[_Scored] | None = None
    _errand_about: TestSetReleased | None = None
    _pulling: Errand[int] | None = None
    _manifest: Manifest | None = None
    _secrets: dict[int, MinerSecrets] = field(default_factory=dict)

    @property
    def task_id(self) -> TaskId:
        """The task."""
        return self.posted.task_id

    @property
    def key(self) -> str:
        """Of the journal record: terms are unique across chains and reorgs, task ids are not."""
        return entry_key(self.posted.terms_hash, self.round)

    @property
    def is_done(self) -> bool:
        """Nothing is left to do or to collect."""
        return bool(self.record.get("done"))

    @property
    def gave_up(self) -> str:
        """Why this miner does not go on; "" if it does."""
        return str(self.record.get("gave_up", "")) or self.claim_refused

    @property
    def may_give_up(self) -> bool:
        """Only before the deposit is paid; after that, every step is tried again as long as it counts."""
        return bool(self.record["stage"] == "training")

    @property
    def may_have_paid(self) -> bool:
        """A commit was sent, whether or not we saw it mined."""
        return str(self.record["stage"]) in ("committing", "committed", "revealing", "revealed")

    @property
    def manifest(self) -> Manifest:
        """The task's, checked against its terms."""
        return self._checked_manifest()

    @property
    def has_committed(self) -> bool:
        """Its deposit is in the market, as far as is known."""
        return str(self.record["stage"]) in ("committed", "revealing", "revealed", "recovered", "found")

    def why_not(self, now: int) -> str:
        """gave_up, except that a refused claim is tried again from time to time."""
        if self.claim_refused and now >= self.claim_again_at:
            return ""
        return self.gave_up

    @property
    def is_sealed(self) -> bool:
        """The model is trained, sealed and stored, and its proof is journaled."""
        return "proof" in self.record

    @property
    def parent(self) -> Hash32:
        """The settled model that training goes on from, declared in the proof; ZERO_HASH: none."""
        return Hash32(hex_bytes(self.record["parent"], "parent", 32)) if "parent" in self.record else ZERO_HASH

    def note(self, **changes: Any) -> None:
        """Changes the record, durably."""
        record = self.record | changes
        self.journal.put(ENTRY, self.key, record)
        self.record = record  # only now: what a full disk did not take has not happened

    # ------------------------------------------------------------------ train

    def train(self, epochs: int | None) -> TrainProgress:
        """Starts the training child, or looks at it; when it is done the model is sealed and stored."""
        manifest = self._checked_manifest()
        if self.handle is None:
            self.handle = self.trainer.start(self._job(manifest, epochs))
            self.began = self.seconds()
            self.report("training_started", task_id=self.task_id, epochs=epochs or manifest.training.epochs)
        try:
            progress = self.progress = self.handle.poll()
        except OSError:
            self.stop_training()
            raise
        if progress.state == "failed" and progress.may_resume and self._may_train_again():
            self.stop_training()
            lost = self.record["trainings_lost"]
            why = f"it goes on from its checkpoint ({lost} of at most {TRAININGS_LOST} times): {progress.message}"
            self.report("training_lost", task_id=self.task_id, why=why)
            progress = self.progress = replace(progress, state="starting")
        elif progress.state == "failed":
            self.stop_training()
            self.give_up(f"training failed: {progress.message or 'no reason given'}")
        elif progress.state == "done":
            self._seal(self.handle.result(), manifest)
            self.handle = None
        return progress

    def _may_train_again(self) -> bool:
        """A child that was ended from outside (by the kernel, for its memory) is started again a few times."""
        lost = int(self.record.get("trainings_lost", 0)) + 1
        if lost > TRAININGS_LOST:
            return False
        self.note(trainings_lost=lost)
        return True

    def stop_training(self) -> None:
        """Ends the child; its folder stays and can be resumed."""
        if self.handle is not None:
            self.handle.kill()
            self.handle = None

    def end_errands(self) -> None:
        """What is still fetched or scored for this entry is of no use any more."""
        for errand in (self._errand, self._pulling):
            if errand is not None:
                errand.abandon()
        self._errand = self._pulling = None

    def give_up(self, why: str) -> None:
        """Remembers why this round is lost, so that it is said once and not tried for ever."""
        self.note(gave_up=why)
        self.report("gave_up", task_id=self.task_id, why=why)

    # ------------------------------------------------------------------ commit, reveal, open

    def commit(self) -> Receipt:
        """Commits to the sealed model, with the deposit."""
        digest, secrets = self._digest(), self._own_secrets()
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
        self._ensure_proof(entry)
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
            proof=self._proof(),
            salt=self._own_secrets().salt,
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
        self._ensure_proof(entry)
        proof, slot_keys = self._proof(), self._committed_slot_keys()
        seal_key = self._own_secrets().seal_key
        receipt = self.chain.open(proof, self._revealed().claim, seal_key, slot_keys[0], slot_path(slot_keys, 0))
        self.report("model_opened", task_id=self.task_id, tx=receipt.tx_hash, gas=receipt.gas_used)
        return receipt

    def answer(self, entry: Entry) -> list[Receipt]:
        """Shows the demanded predictions of the own claim, and takes the demands' bonds (M-7).

        Each waits for a block. After ANSWER_SECONDS the rest is left to the next tick: other entries have deadlines.
        """
        self._ensure_proof(entry)
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

    # ------------------------------------------------------------------ inside

    def _job(self, manifest: Manifest, epochs: int | None) -> TrainJob:
        shards = self._fetch_data(manifest)
        secrets, slots = self._own_secrets(), self._slots(manifest)
        market = self.chain.market
        return TrainJob(
            work=self.folder / "training",
            architecture=manifest.architecture,
            shards=shards,
            epochs=epochs or manifest.training.epochs,
            batch=manifest.training.batch,
            learning_rate=manifest.training.learning_rate_ppm / 1_000_000,
            device=self.device,
            budget=self._seconds_for_training(manifest),
            strategy=self.strategy,
            seed=int.from_bytes(secrets.init_key[:4], "big"),
            init_key=secrets.init_key,
            slot_keys=secrets.slot_keys(slots),
            start=self._parent_file(),
            payloads=tuple(
                watermark.payload(self.chain.chain_id, market, self.task_id, self.round, self.keys.address, slot)
                for slot in range(slots)
            ),
        )

    def _seconds_for_training(self, manifest: Manifest) -> float:
        """Until the model has to be there, to be sealed, stored and committed to in time."""
        window = self.posted.terms.train_seconds
        left = self.chain.round(self.task_id, self.round).train_end - self.chain.now()
        storing = manifest.model_bytes / STORE_BYTES_PER_SECOND
        return max(LEAST_BUDGET, left - storing - max(min(COMMIT_SECONDS, window / 4), window / COMMIT_SHARE))

    def _parent_file(self) -> Path | None:
        """The parent's verified weights, fetched once; under its hash, so that no other model is taken for it."""
        if self.parent == ZERO_HASH:
            return None
        file = self.folder / f"{self.parent.hex()}.safetensors"
        if not file.is_file():
            model = Models(self.chain, self.storage, self.trainer).by_hash(self.parent)
            file.parent.mkdir(parents=True, exist_ok=True)
            if self._pulling is None:
                self._pulling = Errand(
                    "the parent's model is being fetched",
                    self.storage,
                    lambda storage: Models(self.chain, storage, self.trainer).pull(model, file),
                )
            try:
                self._pulling.result(FIRST_WAIT)
            except StillRunning:
                raise
            except BaseException:
                self._pulling = None
                raise
            self._pulling = None
            self.report("parent_fetched", task_id=self.task_id, model_hash=self.parent, of_task=model.task_id)
        return file

    def _fetch_data(self, manifest: Manifest) -> tuple[Path, ...]:
        """The shards, as far as they come in FETCH_SLICE_SECONDS. Raises TryLater for the rest.

        Whoever serves them sets the pace; meanwhile other entries have deadlines.
        """
        self.data_tries += 1
        began = self.seconds()
        while len(self._shards) < len(manifest.shards):
            if self._shards and self.seconds() - began > FETCH_SLICE_SECONDS:
                raise TryLater(f"{len(self._shards)} of {len(manifest.shards)} shards are here, the rest follows")
            self._shards.append(self._fetch_shard(manifest, len(self._shards)))
        return tuple(self._shards)

    def _fetch_shard(self, manifest: Manifest, index: int) -> Path:
        """Counts what comes from the network; what a former run left here is no measure of it."""
        folder = self.folder / "data"
        before, began = set(folder.glob("*")), self.seconds()
        path = fetch_shard(self.storage, manifest, index, folder, timeout=FETCH_SLICE_SECONDS)
        if path not in before:
            size, seconds = self.downloaded
            self.downloaded = size + manifest.shards[index].size_bytes, seconds + self.seconds() - began
        return path

    def _seal(self, result: TrainResult, manifest: Manifest) -> None:
        """Checks, seals and stores the trained model and journals the proof; then it can be committed."""
        weights = self.trainer.check_model(result.model, manifest.architecture, max_bytes=manifest.model_bytes)
        secrets, slots = self._own_secrets(), self._slots(manifest)
        for slot, slot_key in enumerate(secrets.slot_keys(slots)):
            payload = watermark.payload(
                self.chain.chain_id, self.chain.market, self.task_id, self.round, self.keys.address, slot
            )
            if not watermark.detect(weights, slot_key, slot, payload).is_detected:
                self.give_up(f"the trained model does not carry the mark of slot {slot}; it would not stand an audit")
                return
        sealed = store_sealed(self.storage, file_chunks(result.model), secrets.seal_key)
        proof = TrainingProof(
            task_id=self.task_id,
            round=self.round,
            miner=self.keys.address,
            model_hash=file_sha256(result.model),
            sealed_model=sealed,
            seal_key_hash=key_hash(secrets.seal_key),
            watermark_root=slot_root(secrets.slot_keys(slots)),
            parent_model=self.parent,
        )
        blob = encrypt_recovery(secrets.recovery_key, RecoveryBlob(self._attempt, proof))
        recovery = self.storage.add(blob)
        self.note(
            stage="sealed",
            proof=to_record(proof),
            recovery=to_record(recovery),
            model=str(result.model),
            validation_ppm=result.validation_ppm,
            train_seconds=int(result.seconds),
            train_epochs=result.epochs,
        )
        self.report(
            "model_sealed",
            task_id=self.task_id,
            model_hash=proof.model_hash,
            validation_ppm=result.validation_ppm,
            seconds=int(result.seconds),
        )

    def _predict(self, committed_test: Hash32) -> None:
        """Builds and publishes the claim and journals it."""
        scored = self._evaluate(committed_test)
        digest, tree, scores = self._digest(), scored.tree, scored.scores
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

    def _evaluate(self, committed_test: Hash32) -> _Scored:
        """The own model on the released test set. Raises StillRunning until that is done.

        Whoever serves the test set sets the pace, and how large it is.
        """
        digest, key = self._digest(), self._own_secrets().seal_key
        released = self.chain.released(self.task_id, self.round)
        if released is None:
            raise TryLater(f"task {self.task_id} shows no release in the node's log yet; try again")
        if self._errand is not None and self._errand_about != released:  # a reorganisation brought another one
            self.end_errands()
        seconds = NEXT_WAIT
        if self._errand is None:
            self._errand = Errand(
                "the released test set is being fetched and scored",
                self.storage,
                lambda storage: self._score_in_room(storage, released, committed_test, digest, key),
                max(FIRST_WAIT, self.posted.terms.reveal_seconds / LAST_CHANCE),
            )
            self._errand_about, seconds = released, FIRST_WAIT
        try:
            scored = self._errand.result(seconds)
        except StillRunning:
            raise
        except BaseException:
            self._errand = None
            raise
        self._errand = None
        if scored.is_recovered:
            self.report("model_recovered", task_id=self.task_id)
        return scored

    def _score_in_room(self, storage: Storage, released: TestSetReleased, *about: Any) -> _Scored:
        """In the errand's thread: neither chain nor journal."""
        size = 2 * self._checked_manifest(storage).tests[released.round].size_bytes  # the bytes and the arrays
        with self.room.taken(size, TURN_SECONDS):
            return self._score(storage, released, *about)

    def _score(
        self,
        storage: Storage,
        released: TestSetReleased,
        committed_test: Hash32,
        digest: Hash32,
        seal_key: bytes,
    ) -> _Scored:
        manifest = self._checked_manifest(storage)
        test = fetch_test_set(storage, self.trainer, manifest, released, committed_test)
        file, is_recovered = self._model_file(storage, manifest, seal_key)
        is_my_turn = self.scoring.acquire(timeout=TURN_SECONDS)
        try:
            weights = self.trainer.check_model(file, manifest.architecture, max_bytes=manifest.model_bytes)
            predictions, scores = self._leaves(
                self.trainer.predict(weights, manifest.architecture, test.x, self.device), test.y
            )
            return _Scored(PredictionTree(digest, predictions, scores), predictions, scores, is_recovered)
        finally:
            if is_my_turn:
                self.scoring.release()

    def _leaves(
        self, predictions: NDArray[np.int64], labels: NDArray[np.int64]
    ) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
        """(predictions, scores) to publish, [n] each."""
        return predictions, top1_scores(predictions, labels)

    def _claimed_tree(self, claim: ClaimRevealed) -> tuple[PredictionTree, NDArray[np.int64], NDArray[np.int64]]:
        """The tree of the own claim and its leaves, from the published file or, if that is lost, from the model."""
        facts = self.chain.round(self.task_id, self.round)
        try:
            size = predictions_bytes(facts.samples)
            data = self.storage.fetch(claim.claim.predictions, max_bytes=size, timeout=PREDICTIONS_SECONDS)
            predictions, scores = decode_predictions(data, facts.samples)
            tree = PredictionTree(self._digest(), predictions, scores)
        except (Unavailable, BadInput, VerificationFailed):
            scored = self._evaluate(facts.test_commitment)
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
        digest = self._digest()
        root = predictions_root(digest, facts.round.samples, ZERO_HASH, 0)
        claim = Claim(total=0, predictions_root=root, predictions=locator_of(b""))
        signature = self.keys.sign_typed(score_claim_typed_data(digest, claim, self.chain.chain_id, self.chain.market))
        self.note(stage="revealing", claim=to_record(claim), h_top=to_record(ZERO_HASH), signature=to_record(signature))
        self.report("zero_claimed", task_id=self.task_id, why=f"to get the deposit back: {error}"[:300])

    def _model_file(self, storage: Storage, manifest: Manifest, seal_key: bytes) -> tuple[Path, bool]:
        """The model this entry committed to: the trained file, or (True) the sealed bytes fetched back and opened."""
        proof = self._proof()
        own = Path(str(self.record.get("model", "")) or self.folder / "recovered.safetensors")
        if own.is_file() and file_sha256(own) == proof.model_hash:
            return own, False
        recovered = self.folder / "recovered.safetensors"
        write_atomically(recovered, fetch_sealed(storage, proof.sealed_model, seal_key, max_bytes=manifest.model_bytes))
        if file_sha256(recovered) != proof.model_hash:
            raise VerificationFailed(
                f"own model: expected sha256 {proof.model_hash.hex()}, found {file_sha256(recovered).hex()}"
            )
        return recovered, True

    def _ensure_proof(self, entry: Entry) -> None:
        """Makes the journal agree with the chain about what was committed, from the wallet if need be."""
        if self.is_sealed and (
            entry.has_revealed or commitment(self._digest(), self._own_secrets().salt) == entry.digest
        ):
            return
        found = Wallet(self.chain, self.keys, self.journal).recover(self.storage, self.task_id, self.round)
        for stale in ("claim", "h_top", "signature", "model"):
            self.record.pop(stale, None)
        self.note(stage="recovered", attempt=found.attempt, proof=to_record(found.proof))
        self.report("entry_recovered", task_id=self.task_id, attempt=found.attempt)

    def _revealed(self) -> ClaimRevealed:
        for event in self.chain.reveals(self.task_id, self.round):
            if event.proof.miner == self.keys.address:
                return event
        raise TryLater(f"task {self.task_id}: this miner's reveal is not in the node's log yet; is it in sync?")

    def _checked_manifest(self, storage: Storage | None = None) -> Manifest:
        """Kept on disk: its requester may stop serving it once deposits are paid."""
        file = self.folder / "manifest.json"
        if self._manifest is None:
            with suppress(OSError, BadInput, VerificationFailed):
                self._manifest = read_manifest(file.read_bytes(), self.posted)
        if self._manifest is None:
            self._manifest = fetch_manifest(storage or self.storage, self.posted)
            with suppress(OSError):  # a full disk
                write_atomically(file, [manifest_to_bytes(self._manifest)])
        return self._manifest

    def _committed_slot_keys(self) -> tuple[bytes, ...]:
        """As many as the proof's root is made of; the manifest, which somebody else serves, is not needed for it."""
        secrets, root = self._own_secrets(), self._proof().watermark_root
        for count in SLOT_COUNTS:
            keys = secrets.slot_keys(count)
            if slot_root(keys) == root:
                return keys
        raise VerificationFailed(
            f"own slot keys: expected the root {root.hex()}, found no number of slots that gives it"
        )

    def _slots(self, manifest: Manifest) -> int:
        return watermark.slot_count(tensor_shapes(manifest.architecture))

    @property
    def _attempt(self) -> int:
        return int(self.record.get("attempt", 0))

    def _own_secrets(self) -> MinerSecrets:
        attempt = self._attempt
        if attempt not in self._secrets:
            wallet = Wallet(self.chain, self.keys, self.journal)
            self._secrets[attempt] = wallet.secrets(self.task_id, self.round, attempt)
        return self._secrets[attempt]

    def _proof(self) -> TrainingProof:
        return from_record(TrainingProof, self.record["proof"])

    def _digest(self) -> Hash32:
        return proof_digest(self._proof(), self.chain.chain_id, self.chain.market)


def entry_key(terms_hash: Hash32, round_index: int) -> str:
    """Journal key of an entry."""
    return f"{terms_hash.hex()}/{round_index}"
