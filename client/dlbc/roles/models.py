"""Models come home: the opened model of a task, verified before anybody uses it, and other files compared with it."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from dlbc.core import watermark
from dlbc.core.architecture import architecture_from_json, architecture_to_json
from dlbc.core.canonical import to_bytes
from dlbc.core.errors import BadInput, NotFound, NotYet, Refused, VerificationFailed
from dlbc.core.events import ClaimRevealed, ModelOpened
from dlbc.core.hashing import sha256
from dlbc.core.manifest import Manifest
from dlbc.core.proofs import key_hash, verify_slot_path
from dlbc.core.report import Checks
from dlbc.core.types import ZERO_ADDRESS, Address, Hash32, TaskId
from dlbc.ports import Chain, Progress, Scorer, Storage, silent
from dlbc.roles.artifacts import FETCH_SECONDS, fetch_manifest, fetch_sealed, file_sha256, write_atomically

_FETCHING = "fetching the model"


@dataclass(frozen=True, slots=True)
class OpenedModel:
    """A settled model whose sealing key and slot 0 are public."""

    task_id: TaskId
    round: int
    miner: Address
    claim: ClaimRevealed
    opening: ModelOpened
    manifest: Manifest

    @property
    def model_hash(self) -> Hash32:
        """sha256 of its safetensors file."""
        return self.claim.proof.model_hash


@dataclass(frozen=True, slots=True)
class Models:
    """The settled models of one market."""

    chain: Chain
    storage: Storage
    trainer: Scorer
    fetch_seconds: float = FETCH_SECONDS
    progress: Progress = silent

    def settled(self, task_id: TaskId, round_index: int | None = None) -> OpenedModel:
        """The winner of a round. Raises Refused before it is settled."""
        task = self.chain.task(task_id)
        index = task.round if round_index is None else round_index
        winner = self.chain.winner(task_id, index)
        if winner.miner == ZERO_ADDRESS:
            phase = self.chain.phase(task_id).phase
            if phase.is_cold:
                raise NotFound(f"task {task_id} is {phase.label}: round {index} has no winner, and so no model")
            raise NotYet(
                f"task {task_id} is in {phase.label}: round {index} has no settled model to fetch yet; follow it with "
                f"`dlbc task watch {task_id}`"
            )
        model = self.opened(task_id, index, winner.miner)
        if model.model_hash != winner.model_hash:
            raise VerificationFailed(
                f"task {task_id}: expected the ledger's model {winner.model_hash.hex()}, the log shows "
                f"{model.model_hash.hex()}"
            )
        return model

    def opened(self, task_id: TaskId, round_index: int, miner: Address) -> OpenedModel:
        """What a miner opened, settled or not. Raises NotFound if the log does not show it."""
        reveals, openings = self.chain.reveals(task_id, round_index), self.chain.openings(task_id, round_index)
        claim = next((event for event in reveals if event.proof.miner == miner), None)
        opening = next((event for event in openings if event.miner == miner), None)
        if claim is None or opening is None:
            raise NotFound(f"the node's log does not show the opening of task {task_id}; is it in sync from the start?")
        manifest = fetch_manifest(self.storage, self.chain.task_posted(task_id), timeout=self.fetch_seconds)
        return OpenedModel(task_id, round_index, miner, claim, opening, manifest)

    def weights(self, model: OpenedModel) -> dict[str, Any]:
        """The verified weights of an opened model, float32 arrays by name.

        Raises Unavailable when nobody serves them, VerificationFailed when they are not what was promised.
        """
        data = b"".join(self._fetch(model))
        if sha256(data) != model.model_hash:
            raise VerificationFailed(f"model: expected sha256 {model.model_hash.hex()}, found {sha256(data).hex()}")
        return self.trainer.check_model(data, model.manifest.architecture, max_bytes=model.manifest.model_bytes)

    def pull(self, model: OpenedModel, output: Path) -> int:
        """Writes the verified weights to `output` and returns their size; a failed check leaves nothing behind.

        The architecture goes to `output` with the suffix .json: the weights alone do not say what module they fill.
        Pulled again, what is there stays; files that are not this model's are left alone. Raises Refused then.
        """
        with writing(output):
            if output.is_dir():
                raise Refused(f"{output} is a folder; name a file in it, or say --format huggingface for a folder")
            described = architecture_file(output)
            if described == output or (described.exists() and not _is_architecture(described)):
                raise Refused(
                    f"{described} would be overwritten and is no architecture; name another file for the weights"
                )
            size = self.pull_weights(model, output)
            write_atomically(described, [to_bytes(architecture_to_json(model.manifest.architecture))])
        return size

    def pull_weights(self, model: OpenedModel, output: Path) -> int:
        """As `pull`, without the architecture."""
        partial = output.with_name(output.name + ".unverified")
        limit = model.manifest.model_bytes
        with writing(output):
            if output.exists():
                check_same(output, model.model_hash)
                self.trainer.check_model(output, model.manifest.architecture, max_bytes=limit)
                return output.stat().st_size
            try:
                write_atomically(partial, self._fetch(model))
                found = file_sha256(partial)
                if found != model.model_hash:
                    raise VerificationFailed(f"model: expected sha256 {model.model_hash.hex()}, found {found.hex()}")
                self.trainer.check_model(partial, model.manifest.architecture, max_bytes=limit)
                partial.replace(output)
            finally:
                with suppress(OSError):  # where there is no such folder, there is no such file
                    partial.unlink(missing_ok=True)
            return output.stat().st_size

    def verify_file(self, model: OpenedModel, file: Path) -> Checks:
        """Whether a local file is the settled model: digest, architecture, limits and the miner's mark."""
        if not file.is_file():
            raise NotFound(f"model file {file} does not exist")
        checks, limit = Checks(), model.manifest.model_bytes
        checks.equal("sha256 of the weights", model.model_hash, file_sha256(file))
        name, expected = "architecture and limits", f"{model.manifest.architecture.family}, at most {limit} bytes"
        weights = checks.attempt(
            name, expected, lambda: self.trainer.check_model(file, model.manifest.architecture, max_bytes=limit)
        )
        if weights is None:
            return checks
        checks.that(name, True, expected, f"{len(weights)} tensors, {file.stat().st_size} bytes")
        opening, proof = model.opening, model.claim.proof
        rooted = verify_slot_path(opening.slot_key, 0, opening.slot_path, proof.watermark_root)
        checks.that("slot key under root", rooted, "slot 0 of watermarkRoot", "it is" if rooted else "it is not")
        read = watermark.detect(weights, opening.slot_key, 0, self._payload(model))
        found = f"S = {read.strength:.2f}, false <= 2^{read.log2_false_positive:.0f}"
        checks.that("watermark slot 0", read.is_detected, f"S >= {float(watermark.OWN)}", found)
        return checks

    def by_hash(self, model_hash: Hash32) -> OpenedModel:
        """The settled model with this sha256. Raises NotFound."""
        record = self.chain.watermark(model_hash)
        if record.miner == ZERO_ADDRESS:
            raise NotFound(f"the ledger has no model {model_hash.hex()}")
        return self.settled(record.task_id, record.round)

    def _fetch(self, model: OpenedModel) -> Iterator[bytes]:
        """The unsealed bytes, as far as they can be trusted before they are whole."""
        proof, opening, limit = model.claim.proof, model.opening, model.manifest.model_bytes
        if key_hash(opening.seal_key) != proof.seal_key_hash:
            raise VerificationFailed("sealing key: expected the one the proof binds, found another")
        chunks = fetch_sealed(
            self.storage, proof.sealed_model, opening.seal_key, max_bytes=limit, timeout=self.fetch_seconds
        )
        return _counted(chunks, limit, self.progress)

    def _payload(self, model: OpenedModel) -> bytes:
        return watermark.payload(
            self.chain.chain_id, self.chain.market, model.task_id, model.round, model.miner, slot=0
        )


def architecture_file(weights: Path) -> Path:
    """Where `Models.pull` writes the architecture of these weights."""
    return weights.with_suffix(".json")


@contextmanager
def writing(output: Path) -> Iterator[None]:
    """What the file system refuses becomes one sentence about `output`."""
    try:
        yield
    except OSError as error:
        raise Refused(f"{output} can't be written: {error.strerror or error}") from error


def check_same(file: Path, expected: Hash32) -> None:
    """Raises Refused for anything at this place but a file with this sha256: it is somebody's, and stays as it is."""
    if not file.is_file():
        raise Refused(f"{file} is there already and is no file; name another one")
    found = file_sha256(file)
    if found != expected:
        raise Refused(
            f"{file} is there already with sha256 {found.hex()}, this pull's has {expected.hex()}; move it away or "
            "name another file"
        )


def _counted(chunks: Iterable[bytes], most: int, progress: Progress) -> Iterator[bytes]:
    """The same chunks; `most` is what there may be at most, a little more than there is."""
    done = 0
    progress(_FETCHING, 0, most)
    for chunk in chunks:
        done += len(chunk)
        progress(_FETCHING, done, most)
        yield chunk
    progress(_FETCHING, most, most)


def _is_architecture(file: Path) -> bool:
    try:
        architecture_from_json(json.loads(file.read_bytes()))
    except (OSError, ValueError, RecursionError, BadInput):
        return False
    return True
