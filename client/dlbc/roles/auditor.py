"""The auditor: verifies a settled or opened task again from public data alone, as a list of named checks.

Needs an RPC endpoint and an IPFS API, no account, no journal, no lens. Nothing the requester or the miner says is
believed: bytes are fetched, re-hashed, unsealed, loaded, scored and searched for the watermark here.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, fields
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np
from numpy.typing import NDArray

from dlbc.core import seal
from dlbc.core.cid import to_cid
from dlbc.core.difficulty import difficulty
from dlbc.core.disputes import MAX_DISPUTED_SAMPLES
from dlbc.core.errors import BadInput, Garbled, NotFound, NotYet, Refused, Unavailable, VerificationFailed
from dlbc.core.events import ClaimRevealed, ModelOpened, TaskPosted
from dlbc.core.hashing import sha256
from dlbc.core.manifest import MAX_MANIFEST_BYTES, Manifest, manifest_from_bytes, workload_of
from dlbc.core.payouts import settlement
from dlbc.core.proofs import (
    block_hash,
    claim_hash,
    commitment,
    key_hash,
    proof_digest,
    score_claim_digest,
    terms_hash,
    test_commitment,
)
from dlbc.core.report import Check, Checks
from dlbc.core.scoring import (
    PredictionTree,
    decisive,
    decode_predictions,
    label_root,
    meets,
    predictions_bytes,
    score_ppm,
    top1_scores,
)
from dlbc.core.types import (
    METRIC_TOP1,
    PPM,
    ZERO_ADDRESS,
    ZERO_HASH,
    Address,
    BlockHeader,
    Hash32,
    Locator,
    Phase,
    Round,
    Task,
    TaskId,
    Workload,
)
from dlbc.ports import Chain, Dataset, Progress, Scorer, Storage, silent
from dlbc.roles.artifacts import FETCH_SECONDS, fetch_sealed_parts, file_chunks
from dlbc.roles.copies import ALIGN_LIMIT, ORIGINAL_SECONDS, CopySearch, never
from dlbc.roles.findings import Findings
from dlbc.roles.marks import check_no_other_mark, check_own_mark
from dlbc.roles.models import Models
from dlbc.roles.outcome import not_now
from dlbc.roles.sealed_model import SealedModel, check_weights, write_parts

MAX_EXAMINED = 4096
"""Samples whose logits are compared, at most."""

RecoverSigner = Callable[[Hash32, bytes], Address]
_STEPS = 7


@dataclass(frozen=True, slots=True)
class AuditReport:
    """The outcome of an audit; `passed` iff every check is ok."""

    task_id: TaskId
    round: int
    miner: Address
    is_settled: bool
    model_hash: Hash32
    score_ppm: int
    checks: tuple[Check, ...]
    contradicted: tuple[int, ...] = ()  # up to eight samples that the model decides otherwise (M-8)
    findings: Findings = field(default_factory=Findings, repr=False, compare=False)

    @property
    def passed(self) -> bool:
        """True iff every check is ok."""
        return bool(self.checks) and all(check.ok for check in self.checks)


@dataclass(frozen=True, slots=True)
class Auditor:
    """Audits tasks of one market."""

    chain: Chain
    storage: Storage
    trainer: Scorer
    recover_signer: RecoverSigner
    fetch_seconds: float = FETCH_SECONDS
    progress: Progress = silent
    align_limit: int = ALIGN_LIMIT
    """Originals of earlier models that an opened one is aligned with."""
    is_late: Callable[[], bool] = never
    """From then on no more of them are looked at."""

    def audit(self, task_id: TaskId, round_index: int | None = None, *, model_file: Path | None = None) -> AuditReport:
        """Every check of one round: the settled winner or, before that, the leader that has opened.

        model_file: audited in the place of the opened model. Raises Refused when there is nothing to audit yet.
        """
        task, index = self._round(task_id, round_index)
        return _Audit(self, task_id, index, task, model_file).run()

    def audit_test_set(self, task_id: TaskId, round_index: int | None = None) -> tuple[Check, ...]:
        """The checks of a released test set alone: whether to impeach it (P-45). Raises Refused before its release."""
        task, index = self._round(task_id, round_index)
        if self.chain.released(task_id, index) is None:
            phase = self.chain.phase(task_id).phase
            sentence = f"task {task_id} is in {phase.label}: its test set is not released"
            raise not_now(phase, Phase.REVEALING, sentence)
        return _Audit(self, task_id, index, task, None).run_test_set()

    def _round(self, task_id: TaskId, round_index: int | None) -> tuple[Task, int]:
        task = self.chain.task(task_id)
        index = task.round if round_index is None else round_index
        if not 0 <= index < task.rounds:
            raise NotFound(f"task {task_id} has rounds 0 to {task.rounds - 1}, there is no round {index}")
        return task, index


class _Audit:
    """One audit of one round."""

    def __init__(self, auditor: Auditor, task_id: TaskId, index: int, task: Task, model_file: Path | None) -> None:
        self.chain, self.storage, self.trainer = auditor.chain, auditor.storage, auditor.trainer
        self.auditor, self.task_id, self.index, self.task = auditor, task_id, index, task
        self.model_file = model_file
        self.checks = Checks()
        self.contradicted: tuple[int, ...] = ()
        self.findings = Findings()
        self.posted: TaskPosted = self.chain.task_posted(task_id)
        self.round: Round = self.chain.round(task_id, index)
        self.winner = self.chain.winner(task_id, index)
        self.is_settled = self.winner.miner != ZERO_ADDRESS

    def run(self) -> AuditReport:
        opening, claim = self._what_was_claimed()
        self.findings.claim, self.findings.opening = claim, opening
        self.digest = proof_digest(claim.proof, self.chain.chain_id, self.chain.market)
        self._progress(1)
        if self.is_settled:
            self._check_ledger(claim)
            self._check_payout(claim)
        self._check_signature(claim)
        self._check_commitment(claim)
        self._progress(2)
        manifest = self.findings.manifest = self._check_terms()
        self._check_leader(claim)
        self._progress(3)
        with TemporaryDirectory(prefix="dlbc-audit-") as folder:
            weights = self._check_model(claim, opening, manifest, Path(folder)) if manifest else None
        self._progress(4)
        test = self._check_test_set(manifest) if manifest else None
        self._progress(5)
        self._check_score(claim, manifest, weights, test)
        self._progress(6)
        self.findings.own_mark(self.chain, weights, check_own_mark(self.chain, self.checks, claim, opening, weights))
        if weights is not None and manifest is not None:
            self._check_copies(claim, weights, manifest)
        self._progress(_STEPS)
        return AuditReport(
            task_id=self.task_id,
            round=self.index,
            miner=claim.proof.miner,
            is_settled=self.is_settled,
            model_hash=claim.proof.model_hash,
            score_ppm=score_ppm(claim.claim.total, max(1, self.round.samples), max(1, self.round.max_sample_score)),
            checks=tuple(self.checks.done),
            contradicted=self.contradicted,
            findings=self.findings,
        )

    def run_test_set(self) -> tuple[Check, ...]:
        manifest = self._check_terms()
        if manifest is not None:
            self._check_test_set(manifest)
        return tuple(self.checks.done)

    def _progress(self, done: int) -> None:
        self.auditor.progress(f"auditing task {self.task_id}", done, _STEPS)

    def _what_was_claimed(self) -> tuple[ModelOpened, ClaimRevealed]:
        openings = self.chain.openings(self.task_id, self.index)
        who = self.winner.miner if self.is_settled else self.round.leader
        opening = next((event for event in reversed(openings) if event.miner == who), None)
        claim = next(
            (event for event in self.chain.reveals(self.task_id, self.index) if event.proof.miner == who), None
        )
        if opening is None or claim is None:
            phase = self.chain.phase(self.task_id).phase
            if phase.is_cold or self.is_settled:
                raise Refused(
                    f"task {self.task_id} is {phase.label} and no model was opened: there is nothing to audit"
                )
            raise NotYet(
                f"task {self.task_id} is in {phase.label}: there is nothing to audit before its leader opens the model"
            )
        return opening, claim

    # ------------------------------------------------------------------ the ledger

    def _check_ledger(self, claim: ClaimRevealed) -> None:
        headers = self.chain.blocks(0, self.winner.height + 1)
        own = next((header for header in headers if header.height == self.winner.height), None)
        if own is None or len(headers) != self.winner.height + 1:
            found = f"{len(headers)} blocks in the log"
            self.checks.that("ledger block", False, f"blocks 0 to {self.winner.height}", found)
            return
        stored = self.chain.block_hash(own.height)
        self.checks.equal("ledger block hash", stored, block_hash(own))
        self.checks.that(
            "ledger block (contract)", self.chain.verify_block(own), "verifyBlock: true", "the header in the log"
        )
        broken = broken_link(headers, self.chain.genesis_hash())
        self.checks.that(
            "ledger links",
            broken is None,
            f"{len(headers)} blocks linked to genesis",
            "all linked" if broken is None else f"block {broken} does not follow",
        )
        recorded = (own.task_id, own.round, own.miner, own.total, own.model_hash, own.proof_digest, own.difficulty)
        proof = claim.proof
        expected = (
            self.task_id,
            self.index,
            proof.miner,
            claim.claim.total,
            proof.model_hash,
            self.digest,
            self.posted.difficulty,
        )
        self.checks.that(
            "ledger record", recorded == expected, "the revealed claim", _same("the block", recorded == expected)
        )
        winner = self.winner
        stored_winner = (winner.miner, winner.total, winner.model_hash, winner.proof_digest, winner.watermark_root)
        wanted = (proof.miner, claim.claim.total, proof.model_hash, self.digest, proof.watermark_root)
        same = stored_winner == wanted and winner.parent_model == proof.parent_model
        self.checks.that("winning record (contract)", same, "the revealed claim", _same("winnerOf", same))

    def _check_payout(self, claim: ClaimRevealed) -> None:
        paid = next((event for event in self.chain.settlements(self.task_id) if event.round == self.index), None)
        terms, has_parent = self.posted.terms, claim.proof.parent_model != ZERO_HASH
        shares = settlement(terms.bounty_wei, self.chain.params().fee_bps, terms.royalty_bps, has_parent)
        found = (paid.paid_wei, paid.fee_wei, paid.royalty_wei) if paid else None
        self.checks.equal("payout, fee, royalty (wei)", tuple(shares), found)

    # ------------------------------------------------------------------ the claim

    def _check_signature(self, claim: ClaimRevealed) -> None:
        valid = self.chain.verify_proof(claim.proof, claim.claim, claim.signature)
        self.checks.that("signature (contract)", valid, "verifyProof: true", f"verifyProof: {str(valid).lower()}")
        digest = score_claim_digest(self.digest, claim.claim, self.chain.chain_id, self.chain.market)
        signer = self.checks.attempt(
            "signature (off chain)",
            claim.proof.miner,
            lambda: self.auditor.recover_signer(digest, claim.signature),
        )
        if signer is not None:
            self.checks.equal("signature (off chain)", claim.proof.miner, signer)

    def _check_commitment(self, claim: ClaimRevealed) -> None:
        commits = self.chain.commits(self.task_id, self.index)
        committed = [event for event in commits if event.miner == claim.proof.miner]
        last = committed[-1].commitment if committed else ZERO_HASH
        self.checks.equal("commitment opens", last, commitment(self.digest, claim.salt))
        entry = self.chain.entry(self.task_id, self.index, claim.proof.miner)
        self.checks.equal("claim on chain", entry.digest, claim_hash(self.digest, claim.claim))

    def _check_leader(self, claim: ClaimRevealed) -> None:
        """After a strike only nominated claims compete, so then it is enough that this one qualifies.

        Every strike, whether by silence, a vote, a refutation or an unanswered demand, is in the log.
        """
        struck = {event.miner for event in self.chain.strikes(self.task_id, self.index)}
        marked = sum(self.chain.entry(self.task_id, self.index, miner).is_struck for miner in struck)
        self.checks.that(
            "strikes",
            self.round.strikes == len(struck) == marked and claim.proof.miner not in struck,
            f"{self.round.strikes} struck, this miner not among them",
            f"{len(struck)} in the log, {marked} of them marked on chain"
            + (", this miner among them" if claim.proof.miner in struck else ""),
        )
        mine = self.chain.entry(self.task_id, self.index, claim.proof.miner)
        required = self.posted.terms.min_score_ppm
        enough = meets(claim.claim.total, required, self.round.samples, self.round.max_sample_score)
        self.checks.that(
            "claim qualifies",
            enough and mine.qualifies and not mine.is_struck,
            f"at least {required} ppm, not struck",
            f"{score_ppm(claim.claim.total, max(1, self.round.samples), max(1, self.round.max_sample_score))} ppm, "
            f"{'qualifies' if mine.qualifies else 'does not qualify'}",
        )
        better = []
        for event in self.chain.reveals(self.task_id, self.index):
            entry = self.chain.entry(self.task_id, self.index, event.proof.miner)
            ahead = (entry.total, -entry.commit_seq) > (mine.total, -mine.commit_seq)
            if ahead and entry.qualifies and not entry.is_struck:
                better.append(event.proof.miner)
        self.checks.that(
            "best qualifying claim",
            not better or self.round.strikes != 0,
            "no better claim" if not self.round.strikes else "the best nominated claim",
            f"better: {better[0]}" if better else "none is better",
        )

    def _check_terms(self) -> Manifest | None:
        posted, terms = self.posted, self.posted.terms
        self.checks.equal("terms hash", self.task.terms_hash, terms_hash(terms, posted.test_commitments))
        data = self.checks.attempt(
            "manifest bytes",
            to_cid(terms.manifest),
            lambda: self.storage.fetch(
                terms.manifest, max_bytes=MAX_MANIFEST_BYTES, timeout=self.auditor.fetch_seconds
            ),
        )
        if data is None:
            return None
        self.checks.equal("manifest bytes", terms.manifest_hash, sha256(data))
        manifest = self.checks.attempt("manifest", "a well-formed manifest", lambda: manifest_from_bytes(data))
        if manifest is None:
            return None
        rounds = len(posted.test_commitments)
        if len(manifest.tests) != rounds:
            self.checks.that("manifest", False, f"{rounds} test sets, one a round", f"{len(manifest.tests)}")
            return None
        stated, recomputed = terms.workload, workload_of(manifest)
        self.checks.that(
            "workload",
            stated == recomputed,
            _workload_in_words(stated),
            _workload_in_words(recomputed),
        )
        self._check_difficulty(manifest)
        return manifest

    def _check_difficulty(self, manifest: Manifest) -> None:
        """Three factors follow from the manifest, the queue at posting from the log."""
        queue = self.chain.queue_at_posting(self.task_id)
        found = difficulty(workload_of(manifest), queue, self.chain.params())
        self.checks.that(
            "difficulty",
            found == self.posted.difficulty == self.task.difficulty,
            str(self.task.difficulty),
            f"{found} with a queue of {queue}",
        )

    # ------------------------------------------------------------------ the model, the test set and the score

    def _check_model(
        self, claim: ClaimRevealed, opening: ModelOpened, manifest: Manifest, folder: Path
    ) -> Mapping[str, Any] | None:
        proof = claim.proof
        self.checks.equal("sealing key", proof.seal_key_hash, key_hash(opening.seal_key))
        sealed = SealedModel(self.storage, self.checks, self.auditor.fetch_seconds)
        model = sealed.fetch(proof.sealed_model, opening.seal_key, manifest, folder)
        if self.model_file is not None:
            model = self.model_file
            if not model.is_file():
                raise NotFound(f"model file {self.model_file} does not exist")
        return None if model is None else check_weights(self.checks, self.trainer, model, proof.model_hash, manifest)

    def _check_test_set(self, manifest: Manifest) -> Dataset | None:
        released = self.chain.released(self.task_id, self.index)
        if released is None:
            self.checks.that("test set", False, "a release in the log", "none")
            return None
        test_set, listed = released.test_set, manifest.tests[self.index]
        self.checks.equal("test set preimage", self.posted.test_commitments[self.index], test_commitment(test_set))
        self.checks.equal("test set key", test_set.key_hash, key_hash(released.test_key))
        # The sizes that bound the download are those of the listed test set, so it has to be the same one.
        wanted = (listed.sealed, listed.samples, manifest.architecture.classes, METRIC_TOP1, 1)
        found = (
            *(test_set.sealed_locator, test_set.samples),
            *(test_set.classes, test_set.metric, test_set.max_sample_score),
        )
        if not self.checks.that(
            "test set as listed", wanted == found, _test_set_in_words(*wanted), _test_set_in_words(*found)
        ):
            return None
        plain = self._unsealed_test_set(test_set.sealed_locator, released.test_key, listed.size_bytes)
        if plain is None:
            return None
        is_same = sha256(plain) == test_set.plaintext_hash
        self.checks.equal("test set bytes" if is_same else "test set", test_set.plaintext_hash, sha256(plain))
        architecture = manifest.architecture
        data = self.checks.attempt(
            "test set",
            "finite samples, labels in range",
            lambda: self.trainer.parse_dataset(
                plain, input_shape=architecture.input_shape, classes=architecture.classes
            ),
        )
        if data is None:
            return None
        self.checks.equal("test samples", test_set.samples, len(data.y))
        self.checks.equal("labels root", test_set.labels_root, label_root(data.y))
        return data if len(data.y) == test_set.samples else None

    def _unsealed_test_set(self, locator: Locator, key: bytes, size: int) -> bytearray | None:
        """Bytes that nobody serves may be served later; bytes that are no sealed file, or not under this key, never."""
        seconds, cid = self.auditor.fetch_seconds, to_cid(locator)
        with TemporaryDirectory(prefix="dlbc-audit-") as folder:

            def fetch() -> list[Path]:
                parts = fetch_sealed_parts(self.storage, locator, max_bytes=size, timeout=seconds)
                return write_parts(parts, Path(folder))

            def unseal() -> bytearray:
                plain = bytearray()  # a list of all chunks would take as much again
                for chunk in seal.unseal((piece for part in parts for piece in file_chunks(part)), key):
                    plain += chunk
                return plain

            try:
                parts = fetch()
            except (Unavailable, Garbled) as error:
                self.checks.that("test set bytes", False, cid, str(error))
                return None
            except (BadInput, VerificationFailed) as error:
                self.checks.that("test set", False, "a sealed file", str(error))
                return None
            return self.checks.attempt("test set", "a file that the released key unseals", unseal)

    def _check_score(
        self,
        claim: ClaimRevealed,
        manifest: Manifest | None,
        weights: Mapping[str, Any] | None,
        test: Dataset | None,
    ) -> None:
        if test is None or manifest is None:
            self.checks.that("score", False, f"{claim.claim.total} correct", "not recomputed: no verified test set")
            return
        count = len(test.y)
        published = self.checks.attempt(
            "predictions root",
            to_cid(claim.claim.predictions),
            lambda: decode_predictions(
                self.storage.fetch(
                    claim.claim.predictions, max_bytes=predictions_bytes(count), timeout=self.auditor.fetch_seconds
                ),
                count,
            ),
        )
        if published is None:
            return
        predictions, scores = published
        tree = PredictionTree(self.digest, predictions, scores)
        self.checks.equal("predictions root", claim.claim.predictions_root, tree.root(count))
        self.checks.equal("published total", claim.claim.total, tree.total)
        honest = bool(np.array_equal(scores, top1_scores(predictions, test.y)))
        self.checks.that("published scores", honest, "1 where prediction = label", "all" if honest else "some differ")
        if weights is None:
            self.checks.that("score", False, f"{claim.claim.total} correct", "not recomputed: no verified weights")
            self.findings.scored(test, predictions, None)
            return
        what = f"{claim.claim.total} of {count} correct"
        again = self.checks.attempt("score", what, lambda: self.trainer.predict(weights, manifest.architecture, test.x))
        if again is None:
            self.findings.scored(test, predictions, None)
            return
        mismatches = int(np.count_nonzero(again != predictions))
        correct = int(np.count_nonzero(again == test.y))
        allowed = self.posted.terms.tolerance_ppm * count // PPM
        self.checks.that(
            "score recomputed",
            mismatches <= allowed,
            f"{claim.claim.total} of {count}, at most {allowed} predictions off",
            f"{correct} of {count}, {mismatches} off",
        )
        self._check_contradictions(weights, manifest, test, predictions, np.flatnonzero(again != predictions))
        self.findings.scored(test, predictions, again, self.contradicted)

    def _check_contradictions(
        self,
        weights: Mapping[str, Any],
        manifest: Manifest,
        test: Dataset,
        predictions: NDArray[np.int64],
        differing: NDArray[np.int64],
    ) -> None:
        """One decisive sample is enough for a vote, whatever the tolerance (M-8)."""
        differing = differing[:MAX_EXAMINED]
        found: list[int] = []
        none = "the model contradicts no prediction decisively"
        if len(differing):
            logits = self.checks.attempt(
                "decisive samples",
                none,
                lambda: self.trainer.logits(weights, manifest.architecture, test.x[differing]),
            )
            if logits is None:
                return
            found = differing[decisive(logits, predictions[differing])].tolist()
        self.contradicted = tuple(found[:MAX_DISPUTED_SAMPLES])
        shown = ", ".join(map(str, self.contradicted))
        self.checks.that(
            "decisive samples",
            not found,
            none,
            "none" if not found else f"{len(found)}, among them {shown}",
        )

    def _check_copies(self, claim: ClaimRevealed, weights: Mapping[str, Any], manifest: Manifest) -> None:
        auditor = self.auditor
        seconds = min(auditor.fetch_seconds, ORIGINAL_SECONDS)
        models = Models(self.chain, self.storage, self.trainer, seconds)
        search = CopySearch(self.chain, models, auditor.progress, auditor.is_late)
        architecture, limit = manifest.architecture, auditor.align_limit
        self.findings.looked(check_no_other_mark(search, self.checks, claim, weights, architecture, limit))


def broken_link(headers: list[BlockHeader], genesis: Hash32) -> int | None:
    """Height of the first block whose previous hash is not its predecessor's, or None."""
    previous = genesis
    for height, header in enumerate(headers):
        if header.height != height or header.previous_hash != previous:
            return height
        previous = block_hash(header)
    return None


def _workload_in_words(workload: Workload) -> str:
    return ", ".join(f"{field.name} {getattr(workload, field.name)}" for field in fields(workload))


def _test_set_in_words(sealed: Locator, samples: int, classes: int, metric: int, most: int) -> str:
    return f"{to_cid(sealed)}, {samples} samples of {classes} classes, metric {metric}, {most} a sample"


def _same(what: str, same: bool) -> str:
    return f"{what} agrees" if same else f"{what} differs"
