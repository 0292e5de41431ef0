"""The checks of an audit that score: the released test set, the published predictions, and the opened model on it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np
from numpy.typing import NDArray

from dlbc.core import seal
from dlbc.core.cid import to_cid
from dlbc.core.disputes import MAX_DISPUTED_SAMPLES
from dlbc.core.errors import BadInput, Garbled, Unavailable, VerificationFailed
from dlbc.core.events import ClaimRevealed
from dlbc.core.hashing import sha256
from dlbc.core.manifest import Manifest
from dlbc.core.proofs import key_hash, test_commitment
from dlbc.core.report import Checks
from dlbc.core.scoring import PredictionTree, decisive, decode_predictions, label_root, predictions_bytes, top1_scores
from dlbc.core.types import METRIC_TOP1, PPM, Locator
from dlbc.ports import Dataset, Scorer, Storage
from dlbc.roles.artifacts import fetch_sealed_parts, file_chunks
from dlbc.roles.audited import AuditedRound
from dlbc.roles.findings import Findings
from dlbc.roles.sealed_model import write_parts

MAX_EXAMINED = 4096
"""Samples whose logits are compared, at most."""


@dataclass(slots=True)
class ScoreChecks:
    """Of one round."""

    audited: AuditedRound
    storage: Storage
    trainer: Scorer
    checks: Checks
    findings: Findings
    fetch_seconds: float
    contradicted: tuple[int, ...] = ()
    """Up to eight samples that the model decides otherwise (M-8)."""

    def test_set(self, manifest: Manifest) -> Dataset | None:
        """The released samples; None and a failed check if they are not the committed ones."""
        released = self.audited.chain.released(self.audited.task_id, self.audited.index)
        if released is None:
            self.checks.that("test set", False, "a release in the log", "none")
            return None
        test_set, listed = released.test_set, manifest.tests[self.audited.index]
        self.checks.equal(
            "test set preimage", self.audited.posted.test_commitments[self.audited.index], test_commitment(test_set)
        )
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
        seconds, cid = self.fetch_seconds, to_cid(locator)
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

    def score(
        self,
        claim: ClaimRevealed,
        manifest: Manifest | None,
        weights: Mapping[str, Any] | None,
        test: Dataset | None,
    ) -> None:
        """The published predictions against the claim, and the opened model against them."""
        if test is None or manifest is None:
            self.checks.that("score", False, f"{claim.claim.total} correct", "not recomputed: no verified test set")
            return
        count = len(test.y)
        published = self.checks.attempt(
            "predictions root",
            to_cid(claim.claim.predictions),
            lambda: decode_predictions(
                self.storage.fetch(
                    claim.claim.predictions, max_bytes=predictions_bytes(count), timeout=self.fetch_seconds
                ),
                count,
            ),
        )
        if published is None:
            return
        predictions, scores = published
        tree = PredictionTree(self.audited.digest(claim), predictions, scores)
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
        allowed = self.audited.posted.terms.tolerance_ppm * count // PPM
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


def _test_set_in_words(sealed: Locator, samples: int, classes: int, metric: int, most: int) -> str:
    return f"{to_cid(sealed)}, {samples} samples of {classes} classes, metric {metric}, {most} a sample"
