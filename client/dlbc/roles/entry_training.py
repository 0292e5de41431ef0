"""The training of one entry's model, until it is sealed, stored and can be committed to."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from pathlib import Path

from dlbc.core import watermark
from dlbc.core.architecture import tensor_shapes
from dlbc.core.errors import TryLater
from dlbc.core.manifest import Manifest
from dlbc.core.proofs import key_hash, slot_root
from dlbc.core.records import to_record
from dlbc.core.secrets import Recovery, encrypt_recovery
from dlbc.core.types import TrainingProof
from dlbc.ports import Trainer, TrainHandle, TrainJob, TrainProgress, TrainResult
from dlbc.roles.artifacts import fetch_shard, file_chunks, file_sha256, store_sealed
from dlbc.roles.entry_record import EntryRecord
from dlbc.roles.errand import Errand, StillRunning
from dlbc.roles.models import Models

TRAININGS_LOST = 3
"""Training children that may be ended from outside before the task is given up."""
FETCH_SLICE_SECONDS = 20.0
PARENT_WAIT = 5.0
"""Seconds that a tick waits for the parent's model."""
COMMIT_SECONDS = 15.0
"""For sealing and for a commit that is mined late, beside what storing the model takes."""
COMMIT_SHARE = 20
"""And one in so many of the window's seconds."""
STORE_BYTES_PER_SECOND = 2**20
LEAST_BUDGET = 1.0


@dataclass(slots=True, kw_only=True)
class Training:
    """The child process that trains goes on while other entries have their turn."""

    entry: EntryRecord = field(repr=False, compare=False)
    trainer: Trainer
    strategy: str = "default"
    seconds: Callable[[], float] = time.monotonic
    """A stopwatch."""
    estimate: int = 0
    """Seconds that it was planned with."""
    handle: TrainHandle | None = None
    progress: TrainProgress | None = None
    """What the training child last said."""
    began: float = 0.0
    """On the stopwatch."""
    downloaded: tuple[int, float] = (0, 0.0)
    """(bytes, seconds) of training data that came from the network."""
    data_tries: int = 0
    """How often the training data was asked for, in vain or in part."""
    shards: list[Path] = field(default_factory=list)
    """Training data that is here."""
    _pulling: Errand[int] | None = None

    @property
    def is_running(self) -> bool:
        """There is a child process."""
        return self.handle is not None

    def train(self, epochs: int | None) -> TrainProgress:
        """Starts the training child, or looks at it; when it is done the model is sealed and stored."""
        manifest = self.entry.manifest
        if self.handle is None:
            self.handle = self.trainer.start(self._job(manifest, epochs))
            self.began = self.seconds()
            self.entry.report("training_started", task_id=self.entry.task_id, epochs=epochs or manifest.training.epochs)
        try:
            progress = self.progress = self.handle.poll()
        except OSError:
            self.stop()
            raise
        if progress.state == "failed" and progress.may_resume and self._may_train_again():
            self.stop()
            lost = self.entry.record["trainings_lost"]
            why = f"it goes on from its checkpoint ({lost} of at most {TRAININGS_LOST} times): {progress.message}"
            self.entry.report("training_lost", task_id=self.entry.task_id, why=why)
            progress = self.progress = replace(progress, state="starting")
        elif progress.state == "failed":
            self.stop()
            self.entry.give_up(f"training failed: {progress.message or 'no reason given'}")
        elif progress.state == "done":
            self._seal(self.handle.result(), manifest)
            self.handle = None
        return progress

    def _may_train_again(self) -> bool:
        """A child that was ended from outside (by the kernel, for its memory) is started again a few times."""
        lost = int(self.entry.record.get("trainings_lost", 0)) + 1
        if lost > TRAININGS_LOST:
            return False
        self.entry.note(trainings_lost=lost)
        return True

    def stop(self) -> None:
        """Ends the child; its folder stays and can be resumed."""
        if self.handle is not None:
            self.handle.kill()
            self.handle = None

    def abandon(self) -> None:
        """What is still fetched for it is of no use any more."""
        if self._pulling is not None:
            self._pulling.abandon()
            self._pulling = None

    def _job(self, manifest: Manifest, epochs: int | None) -> TrainJob:
        shards = self._fetch_data(manifest)
        secrets, slots = self.entry.own_secrets(), _slots(manifest)
        return TrainJob(
            work=self.entry.folder / "training",
            architecture=manifest.architecture,
            shards=shards,
            epochs=epochs or manifest.training.epochs,
            batch=manifest.training.batch,
            learning_rate=manifest.training.learning_rate_ppm / 1_000_000,
            device=self.entry.device,
            budget=self._seconds_for_training(manifest),
            strategy=self.strategy,
            seed=int.from_bytes(secrets.init_key[:4], "big"),
            init_key=secrets.init_key,
            slot_keys=secrets.slot_keys(slots),
            start=self._parent_file(),
            payloads=tuple(self._payload(slot) for slot in range(slots)),
        )

    def _seconds_for_training(self, manifest: Manifest) -> float:
        """Until the model has to be there, to be sealed, stored and committed to in time."""
        window = self.entry.posted.terms.train_seconds
        left = self.entry.chain.round(self.entry.task_id, self.entry.round).train_end - self.entry.chain.now()
        storing = manifest.model_bytes / STORE_BYTES_PER_SECOND
        return max(LEAST_BUDGET, left - storing - max(min(COMMIT_SECONDS, window / 4), window / COMMIT_SHARE))

    def _parent_file(self) -> Path | None:
        """The parent's verified weights, fetched once; under its hash, so that no other model is taken for it."""
        if not self.entry.has_parent:
            return None
        file = self.entry.folder / f"{self.entry.parent.hex()}.safetensors"
        if not file.is_file():
            model = Models(self.entry.chain, self.entry.storage, self.trainer).by_hash(self.entry.parent)
            file.parent.mkdir(parents=True, exist_ok=True)
            if self._pulling is None:
                self._pulling = Errand(
                    "the parent's model is being fetched",
                    self.entry.storage,
                    lambda storage: Models(self.entry.chain, storage, self.trainer).pull(model, file),
                )
            try:
                self._pulling.result(PARENT_WAIT)
            except StillRunning:
                raise
            except BaseException:
                self._pulling = None
                raise
            self._pulling = None
            self.entry.report(
                "parent_fetched", task_id=self.entry.task_id, model_hash=self.entry.parent, of_task=model.task_id
            )
        return file

    def _fetch_data(self, manifest: Manifest) -> tuple[Path, ...]:
        """The shards, as far as they come in FETCH_SLICE_SECONDS. Raises TryLater for the rest.

        Whoever serves them sets the pace; meanwhile other entries have deadlines.
        """
        self.data_tries += 1
        began = self.seconds()
        while len(self.shards) < len(manifest.shards):
            if self.shards and self.seconds() - began > FETCH_SLICE_SECONDS:
                raise TryLater(f"{len(self.shards)} of {len(manifest.shards)} shards are here, the rest follows")
            self.shards.append(self._fetch_shard(manifest, len(self.shards)))
        return tuple(self.shards)

    def _fetch_shard(self, manifest: Manifest, index: int) -> Path:
        """Counts what comes from the network; what a former run left here is no measure of it."""
        folder = self.entry.folder / "data"
        before, began = set(folder.glob("*")), self.seconds()
        path = fetch_shard(self.entry.storage, manifest, index, folder, timeout=FETCH_SLICE_SECONDS)
        if path not in before:
            size, seconds = self.downloaded
            self.downloaded = size + manifest.shards[index].size_bytes, seconds + self.seconds() - began
        return path

    def _seal(self, result: TrainResult, manifest: Manifest) -> None:
        """Checks, seals and stores the trained model and journals the proof; then it can be committed."""
        weights = self.trainer.check_model(result.model, manifest.architecture, max_bytes=manifest.model_bytes)
        secrets, slots = self.entry.own_secrets(), _slots(manifest)
        for slot, slot_key in enumerate(secrets.slot_keys(slots)):
            if not watermark.detect(weights, slot_key, slot, self._payload(slot)).is_detected:
                self.entry.give_up(
                    f"the trained model does not carry the mark of slot {slot}; it would not stand an audit"
                )
                return
        sealed = store_sealed(self.entry.storage, file_chunks(result.model), secrets.seal_key)
        proof = TrainingProof(
            task_id=self.entry.task_id,
            round=self.entry.round,
            miner=self.entry.keys.address,
            model_hash=file_sha256(result.model),
            sealed_model=sealed,
            seal_key_hash=key_hash(secrets.seal_key),
            watermark_root=slot_root(secrets.slot_keys(slots)),
            parent_model=self.entry.parent,
        )
        blob = encrypt_recovery(secrets.recovery_key, Recovery(self.entry.attempt, proof))
        recovery = self.entry.storage.add(blob)
        self.entry.note(
            stage="sealed",
            proof=to_record(proof),
            recovery=to_record(recovery),
            model=str(result.model),
            validation_ppm=result.validation_ppm,
            train_seconds=int(result.seconds),
            train_epochs=result.epochs,
        )
        self.entry.report(
            "model_sealed",
            task_id=self.entry.task_id,
            model_hash=proof.model_hash,
            validation_ppm=result.validation_ppm,
            seconds=int(result.seconds),
        )

    def _payload(self, slot: int) -> bytes:
        """The bits that mark this entry's model in a slot."""
        own, chain = self.entry, self.entry.chain
        return watermark.payload(chain.chain_id, chain.market, own.task_id, own.round, own.keys.address, slot)


def _slots(manifest: Manifest) -> int:
    return watermark.slot_count(tensor_shapes(manifest.architecture))
