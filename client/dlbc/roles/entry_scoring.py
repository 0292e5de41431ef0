"""What an entry's own model says about the released test set, found beside everything else that a miner does."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from threading import Lock
from typing import Any

import numpy as np
from numpy.typing import NDArray

from dlbc.core.errors import TryLater, VerificationFailed
from dlbc.core.events import TestSetReleased
from dlbc.core.manifest import Manifest
from dlbc.core.scoring import PredictionTree, top1_scores
from dlbc.core.types import Hash32
from dlbc.ports import Scorer, Storage
from dlbc.roles.artifacts import fetch_sealed, fetch_test_set, file_sha256, write_atomically
from dlbc.roles.entry_record import EntryRecord
from dlbc.roles.errand import Errand, Room, StillRunning

LAST_CHANCE = 4
"""In the last quarter of the reveal window a claim of zero is revealed, which brings the deposit back."""
TURN_SECONDS = 300.0
"""How long the scoring of one entry lets another one's finish first."""
FIRST_WAIT, NEXT_WAIT = 5.0, 0.1
"""Seconds that a tick waits for the scores of a test set: the first time, and once it is known to be slow."""

Values = NDArray[np.int64]
Leaves = Callable[[Values, Values], tuple[Values, Values]]
"""(what the model predicts, the labels) become the (predictions, scores) to publish, [n] each."""


def as_predicted(predictions: Values, labels: Values) -> tuple[Values, Values]:
    """The model's own predictions, and what they score."""
    return predictions, top1_scores(predictions, labels)


@dataclass(frozen=True, slots=True)
class Scored:
    """What the own model says about a test set: the tree of the claim, and its leaves."""

    tree: PredictionTree
    predictions: NDArray[np.int64]
    scores: NDArray[np.int64]
    is_recovered: bool  # the model was fetched back


@dataclass(slots=True, kw_only=True)
class Scoring:
    """The scoring of one entry's model, in a thread of its own."""

    entry: EntryRecord = field(repr=False, compare=False)
    trainer: Scorer
    room: Room
    """For released test sets."""
    turn: Lock
    """Held while a model is scored: two at a time need twice the memory. A slow one does not keep others for ever."""
    leaves: Leaves = as_predicted
    _errand: Errand[Scored] | None = None
    _about: TestSetReleased | None = None

    def evaluate(self, committed_test: Hash32) -> Scored:
        """The own model on the released test set. Raises StillRunning until that is done.

        Whoever serves the test set sets the pace, and how large it is.
        """
        digest, key = self.entry.digest, self.entry.own_secrets().seal_key
        released = self.entry.chain.released(self.entry.task_id, self.entry.round)
        if released is None:
            raise TryLater(f"task {self.entry.task_id} shows no release in the node's log yet; try again")
        if self._errand is not None and self._about != released:  # a reorganisation brought another one
            self.abandon()
        seconds = NEXT_WAIT
        if self._errand is None:
            self._errand = Errand(
                "the released test set is being fetched and scored",
                self.entry.storage,
                lambda storage: self._score_in_room(storage, released, committed_test, digest, key),
                max(FIRST_WAIT, self.entry.posted.terms.reveal_seconds / LAST_CHANCE),
            )
            self._about, seconds = released, FIRST_WAIT
        try:
            scored = self._errand.result(seconds)
        except StillRunning:
            raise
        except BaseException:
            self._errand = None
            raise
        self._errand = None
        if scored.is_recovered:
            self.entry.report("model_recovered", task_id=self.entry.task_id)
        return scored

    def abandon(self) -> None:
        """What is still fetched or scored is of no use any more."""
        if self._errand is not None:
            self._errand.abandon()
            self._errand = None

    def _score_in_room(self, storage: Storage, released: TestSetReleased, *about: Any) -> Scored:
        """In the errand's thread: neither chain nor journal."""
        size = 2 * self.entry.manifest_from(storage).tests[released.round].size_bytes  # the bytes and the arrays
        with self.room.taken(size, TURN_SECONDS):
            return self._score(storage, released, *about)

    def _score(
        self,
        storage: Storage,
        released: TestSetReleased,
        committed_test: Hash32,
        digest: Hash32,
        seal_key: bytes,
    ) -> Scored:
        manifest = self.entry.manifest_from(storage)
        test = fetch_test_set(storage, self.trainer, manifest, released, committed_test)
        file, is_recovered = self._model_file(storage, manifest, seal_key)
        is_my_turn = self.turn.acquire(timeout=TURN_SECONDS)
        try:
            weights = self.trainer.check_model(file, manifest.architecture, max_bytes=manifest.model_bytes)
            predictions, scores = self.leaves(
                self.trainer.predict(weights, manifest.architecture, test.x, self.entry.device), test.y
            )
            return Scored(PredictionTree(digest, predictions, scores), predictions, scores, is_recovered)
        finally:
            if is_my_turn:
                self.turn.release()

    def _model_file(self, storage: Storage, manifest: Manifest, seal_key: bytes) -> tuple[Path, bool]:
        """The model this entry committed to: the trained file, or (True) the sealed bytes fetched back and opened."""
        proof = self.entry.proof
        own = Path(str(self.entry.record.get("model", "")) or self.entry.folder / "recovered.safetensors")
        if own.is_file() and file_sha256(own) == proof.model_hash:
            return own, False
        recovered = self.entry.folder / "recovered.safetensors"
        write_atomically(recovered, fetch_sealed(storage, proof.sealed_model, seal_key, max_bytes=manifest.model_bytes))
        if file_sha256(recovered) != proof.model_hash:
            raise VerificationFailed(
                f"own model: expected sha256 {proof.model_hash.hex()}, found {file_sha256(recovered).hex()}"
            )
        return recovered, True
