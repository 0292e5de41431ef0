"""The models a requester paid for, verified and kept in a folder. Fetching takes as long as strangers let it."""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from pathlib import Path

from dlbc.core.errors import DlbcError, Refused, VerificationFailed
from dlbc.core.types import Hash32, TaskId
from dlbc.ports import Journal, Storage
from dlbc.roles.artifacts import file_sha256
from dlbc.roles.errand import Errand, StillRunning
from dlbc.roles.loop import Report, unheard
from dlbc.roles.models import Models, architecture_file

MODEL = "model"
FIRST_PAUSE = 2.0
LONGEST_PAUSE = 900.0
"""Seconds between two tries for one model."""
AT_ONCE = 2
SPARE_BYTES = 64 << 20
"""What a model leaves free on the disk."""
_PULLING = ".pulling"


@dataclass(frozen=True, slots=True)
class Stored:
    """A verified model file."""

    path: Path
    sha256: Hash32
    size: int


@dataclass(slots=True)
class _Try:
    failures: int = 0
    not_before: float = 0.0
    running: Errand[Stored] | None = None


@dataclass(slots=True)
class ModelStore:
    """One account's models of one market; `folder` is theirs alone. Errands have connections of their own."""

    open_models: Callable[[], Models]
    storage: Storage
    journal: Journal
    folder: Path
    seconds: Callable[[], float]
    report: Report = unheard
    free_bytes: Callable[[Path], int] = lambda folder: shutil.disk_usage(folder).free
    patience: float = 0.0
    _tries: dict[str, _Try] = field(default_factory=dict)

    def known(self, key: str) -> Stored | None:
        """What was stored before; whoever moves the file away keeps it."""
        return stored_model(self.journal, key)

    def failures(self, key: str) -> int:
        """Tries that failed."""
        return self._tries[key].failures if key in self._tries else 0

    def fetch(self, key: str, task_id: TaskId, index: int, model_hash: Hash32) -> Stored | str | None:
        """Goes on with it: what is stored now; or why a try failed, once; or None while there is no more to say."""
        found = self.known(key)
        if found is not None:
            return found
        attempt = self._tries.setdefault(key, _Try())
        if attempt.running is None:
            busy = sum(1 for each in self._tries.values() if each.running is not None)
            if busy >= AT_ONCE or self.seconds() < attempt.not_before:
                return None
            attempt.running = Errand(
                f"the model of task {task_id} is being fetched",
                self.storage,
                lambda storage: self._pull(storage, task_id, index, model_hash),
            )
        try:
            stored = attempt.running.result(self.patience)
        except StillRunning:
            return None
        except DlbcError as error:
            attempt.running, attempt.failures = None, attempt.failures + 1
            pause = min(LONGEST_PAUSE, FIRST_PAUSE * 2 ** min(attempt.failures - 1, 20))
            attempt.not_before = self.seconds() + pause
            self.report("model_not_stored", task_id=task_id, round=index, reason=str(error))
            return str(error)
        del self._tries[key]
        record = {"path": str(stored.path), "sha256": stored.sha256.hex(), "bytes": stored.size}
        self.journal.put(MODEL, key, record)
        self.report("model_stored", task_id=task_id, round=index, path=str(stored.path), sha256=stored.sha256.hex())
        return stored

    def close(self) -> None:
        """Nobody waits for the models any more; they are fetched again."""
        for attempt in self._tries.values():
            if attempt.running is not None:
                attempt.running.abandon()

    # ------------------------------------------------------------------ in the errand's thread

    def _pull(self, storage: Storage, task_id: TaskId, index: int, model_hash: Hash32) -> Stored:
        target = self._place(task_id, index, model_hash)
        if target.exists():
            return Stored(target, model_hash, target.stat().st_size)
        models = replace(self.open_models(), storage=storage)
        model = models.settled(task_id, index)
        if model.model_hash != model_hash:
            raise VerificationFailed(f"expected model {model_hash.hex()}, the log now shows {model.model_hash.hex()}")
        draft = self.folder / _PULLING / target.stem / target.name
        try:
            draft.parent.mkdir(parents=True, exist_ok=True)
            self._check_space(model.manifest.model_bytes)
            size = models.pull(model, draft)
            failed = [check for check in models.verify_file(model, draft).done if not check.ok]
            if failed:
                raise VerificationFailed(
                    f"{failed[0].name}: expected {failed[0].expected}, found {failed[0].found}; not stored"
                )
            _move(architecture_file(draft), architecture_file(target))
            _move(draft, target)
        except OSError as error:
            raise Refused(f"{target} can't be written: {error.strerror}; free some space, or name another") from error
        finally:
            shutil.rmtree(draft.parent, ignore_errors=True)
        return Stored(target, model_hash, size)

    def _place(self, task_id: TaskId, index: int, model_hash: Hash32) -> Path:
        """Its name; another one where somebody else's file has it. Raises Refused if that is taken as well."""
        names = [f"task-{task_id}-round-{index}", f"task-{task_id}-round-{index}-{model_hash.hex()[:12]}"]
        for name in names:
            path = self.folder / f"{name}.safetensors"
            try:
                if not path.exists() or file_sha256(path) == model_hash:
                    return path
            except OSError as error:
                raise Refused(f"{path} can't be read: {error.strerror}") from error
        raise Refused(f"{path} is there and is another file; nothing is overwritten: move it away")

    def _check_space(self, size: int) -> None:
        free = self.free_bytes(self.folder)
        if free < size + SPARE_BYTES:
            raise Refused(
                f"the model takes up to {size >> 20} MiB and {self.folder} has {free >> 20} MiB free, of which "
                f"{SPARE_BYTES >> 20} stay free; make room there, or name another folder with --models"
            )


def stored_model(journal: Journal, key: str) -> Stored | None:
    """What the journal knows of a model; the file itself may be elsewhere by now."""
    record = journal.get(MODEL, key)
    if record is None:
        return None
    return Stored(Path(record["path"]), Hash32(bytes.fromhex(record["sha256"])), int(record["bytes"]))


def _move(source: Path, target: Path) -> None:
    """Unlike a rename it never replaces what is there."""
    try:
        os.link(source, target)
    except FileExistsError:
        if file_sha256(target) != file_sha256(source):
            raise
    except OSError:  # a filesystem without links
        if target.exists():
            raise
        source.rename(target)
        return
    source.unlink()
