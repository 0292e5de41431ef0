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

from dlbc.core.cid import to_cid
from dlbc.core.difficulty import difficulty
from dlbc.core.errors import NotFound
from dlbc.core.events import ClaimRevealed, ModelOpened
from dlbc.core.hashing import sha256
from dlbc.core.manifest import MAX_MANIFEST_BYTES, Manifest, manifest_from_bytes, workload_of
from dlbc.core.proofs import key_hash, terms_hash
from dlbc.core.report import Check, Checks
from dlbc.core.types import Address, Hash32, Phase, Task, TaskId, Workload
from dlbc.ports import Chain, Progress, RecoverSigner, Scorer, Storage, silent
from dlbc.roles.artifacts import FETCH_SECONDS
from dlbc.roles.audited import read_audited
from dlbc.roles.copies import ALIGN_LIMIT, ORIGINAL_SECONDS, CopySearch, never
from dlbc.roles.findings import Findings
from dlbc.roles.marks import check_no_other_mark, check_own_mark
from dlbc.roles.models import Models
from dlbc.roles.outcome import not_now
from dlbc.roles.record_checks import check_commitment, check_leader, check_ledger, check_payout, check_signature
from dlbc.roles.score_checks import ScoreChecks
from dlbc.roles.sealed_model import SealedModel, check_weights

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
        self.auditor, self.model_file = auditor, model_file
        self.checks = Checks()
        self.findings = Findings()
        self.audited = read_audited(self.chain, task_id, index, task)
        self.scoring = ScoreChecks(
            self.audited, self.storage, self.trainer, self.checks, self.findings, auditor.fetch_seconds
        )

    def run(self) -> AuditReport:
        audited, checks = self.audited, self.checks
        opening, claim = audited.claimed()
        self.findings.claim, self.findings.opening = claim, opening
        self._progress(1)
        if audited.is_settled:
            check_ledger(audited, checks, claim)
            check_payout(audited, checks, claim)
        check_signature(audited, checks, claim, self.auditor.recover_signer)
        check_commitment(audited, checks, claim)
        self._progress(2)
        manifest = self.findings.manifest = self._check_terms()
        check_leader(audited, checks, claim)
        self._progress(3)
        with TemporaryDirectory(prefix="dlbc-audit-") as folder:
            weights = self._check_model(claim, opening, manifest, Path(folder)) if manifest else None
        self._progress(4)
        test = self.scoring.test_set(manifest) if manifest else None
        self._progress(5)
        self.scoring.score(claim, manifest, weights, test)
        self._progress(6)
        self.findings.own_mark(self.chain, weights, check_own_mark(self.chain, checks, claim, opening, weights))
        if weights is not None and manifest is not None:
            self._check_copies(claim, weights, manifest)
        self._progress(_STEPS)
        return AuditReport(
            task_id=audited.task_id,
            round=audited.index,
            miner=claim.proof.miner,
            is_settled=audited.is_settled,
            model_hash=claim.proof.model_hash,
            score_ppm=audited.ppm(claim),
            checks=tuple(checks.done),
            contradicted=self.scoring.contradicted,
            findings=self.findings,
        )

    def run_test_set(self) -> tuple[Check, ...]:
        manifest = self._check_terms()
        if manifest is not None:
            self.scoring.test_set(manifest)
        return tuple(self.checks.done)

    def _progress(self, done: int) -> None:
        self.auditor.progress(f"auditing task {self.audited.task_id}", done, _STEPS)

    def _check_terms(self) -> Manifest | None:
        task, posted = self.audited.task, self.audited.posted
        terms = posted.terms
        self.checks.equal("terms hash", task.terms_hash, terms_hash(terms, posted.test_commitments))
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
        task, posted = self.audited.task, self.audited.posted
        queue = self.chain.queue_at_posting(self.audited.task_id)
        found = difficulty(workload_of(manifest), queue, self.chain.params())
        self.checks.that(
            "difficulty",
            found == posted.difficulty == task.difficulty,
            str(task.difficulty),
            f"{found} with a queue of {queue}",
        )

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

    def _check_copies(self, claim: ClaimRevealed, weights: Mapping[str, Any], manifest: Manifest) -> None:
        auditor = self.auditor
        seconds = min(auditor.fetch_seconds, ORIGINAL_SECONDS)
        models = Models(self.chain, self.storage, self.trainer, seconds)
        search = CopySearch(self.chain, models, auditor.progress, auditor.is_late)
        architecture, limit = manifest.architecture, auditor.align_limit
        self.findings.looked(check_no_other_mark(search, self.checks, claim, weights, architecture, limit))


def _workload_in_words(workload: Workload) -> str:
    return ", ".join(f"{field.name} {getattr(workload, field.name)}" for field in fields(workload))
