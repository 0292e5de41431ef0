"""What one entry of one miner knows about itself: its journal record, and what follows from it and the wallet.

What is not in the journal is found again from the wallet, the chain and IPFS. Intent is journaled before a transaction
leaves.
"""

from __future__ import annotations

from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from dlbc.core.errors import BadInput, VerificationFailed
from dlbc.core.events import TaskPosted
from dlbc.core.manifest import Manifest, manifest_to_bytes
from dlbc.core.proofs import commitment, proof_digest, slot_root
from dlbc.core.records import from_record, hex_bytes, to_record
from dlbc.core.secrets import MinerSecrets
from dlbc.core.types import ZERO_HASH, Entry, Hash32, TaskId, TrainingProof
from dlbc.ports import Chain, Journal, Keys, Storage
from dlbc.roles.artifacts import fetch_manifest, read_manifest, write_atomically
from dlbc.roles.loop import Report
from dlbc.roles.recovery import Wallet

ENTRY = "entry"
SLOT_COUNTS = (2, 4, 8)
"""Slots a model may have (P-90)."""


@dataclass(slots=True, kw_only=True)
class EntryRecord:
    """`record` mirrors the journal."""

    chain: Chain
    storage: Storage
    keys: Keys
    journal: Journal
    report: Report
    folder: Path  # of this entry: shards, model
    device: str
    posted: TaskPosted
    round: int
    record: dict[str, Any]
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
    def may_give_up(self) -> bool:
        """Only before the deposit is paid; after that, every step is tried again as long as it counts."""
        return bool(self.record["stage"] == "training")

    @property
    def may_have_paid(self) -> bool:
        """A commit was sent, whether or not we saw it mined."""
        return str(self.record["stage"]) in ("committing", "committed", "revealing", "revealed")

    @property
    def has_committed(self) -> bool:
        """Its deposit is in the market, as far as is known."""
        return str(self.record["stage"]) in ("committed", "revealing", "revealed", "recovered", "found")

    @property
    def is_sealed(self) -> bool:
        """The model is trained, sealed and stored, and its proof is journaled."""
        return "proof" in self.record

    @property
    def parent(self) -> Hash32:
        """The settled model that training goes on from, declared in the proof; ZERO_HASH: none."""
        return Hash32(hex_bytes(self.record["parent"], "parent", 32)) if "parent" in self.record else ZERO_HASH

    @property
    def has_parent(self) -> bool:
        """Training goes on from a settled model."""
        return self.parent != ZERO_HASH

    def note(self, **changes: Any) -> None:
        """Changes the record, durably."""
        record = self.record | changes
        self.journal.put(ENTRY, self.key, record)
        self.record = record  # only now: what a full disk did not take has not happened

    def give_up(self, why: str) -> None:
        """Remembers why this round is lost, so that it is said once and not tried for ever."""
        self.note(gave_up=why)
        self.report("gave_up", task_id=self.task_id, why=why)

    @property
    def manifest(self) -> Manifest:
        """The task's, checked against its terms."""
        return self.manifest_from(self.storage)

    def manifest_from(self, storage: Storage) -> Manifest:
        """Kept on disk: its requester may stop serving it once deposits are paid."""
        file = self.folder / "manifest.json"
        if self._manifest is None:
            with suppress(OSError, BadInput, VerificationFailed):
                self._manifest = read_manifest(file.read_bytes(), self.posted)
        if self._manifest is None:
            self._manifest = fetch_manifest(storage, self.posted)
            with suppress(OSError):  # a full disk
                write_atomically(file, [manifest_to_bytes(self._manifest)])
        return self._manifest

    @property
    def attempt(self) -> int:
        """Which of the account's commits in this round the secrets are of (P-32)."""
        return int(self.record.get("attempt", 0))

    def own_secrets(self) -> MinerSecrets:
        """Those of this attempt, from the wallet."""
        attempt = self.attempt
        if attempt not in self._secrets:
            wallet = Wallet(self.chain, self.keys, self.journal)
            self._secrets[attempt] = wallet.secrets(self.task_id, self.round, attempt)
        return self._secrets[attempt]

    @property
    def proof(self) -> TrainingProof:
        """Of the model that is sealed."""
        return from_record(TrainingProof, self.record["proof"])

    @property
    def digest(self) -> Hash32:
        """Of the proof, on this market."""
        return proof_digest(self.proof, self.chain.chain_id, self.chain.market)

    def committed_slot_keys(self) -> tuple[bytes, ...]:
        """As many as the proof's root is made of; the manifest, which somebody else serves, is not needed for it."""
        secrets, root = self.own_secrets(), self.proof.watermark_root
        for count in SLOT_COUNTS:
            keys = secrets.slot_keys(count)
            if slot_root(keys) == root:
                return keys
        raise VerificationFailed(
            f"own slot keys: expected the root {root.hex()}, found no number of slots that gives it"
        )

    def ensure_proof(self, entry: Entry) -> None:
        """Makes the journal agree with the chain about what was committed, from the wallet if need be."""
        if self.is_sealed and (entry.has_revealed or commitment(self.digest, self.own_secrets().salt) == entry.digest):
            return
        found = Wallet(self.chain, self.keys, self.journal).recover(self.storage, self.task_id, self.round)
        for stale in ("claim", "h_top", "signature", "model"):
            self.record.pop(stale, None)
        self.note(stage="recovered", attempt=found.attempt, proof=to_record(found.proof))
        self.report("entry_recovered", task_id=self.task_id, attempt=found.attempt)


def entry_key(terms_hash: Hash32, round_index: int) -> str:
    """Journal key of an entry."""
    return f"{terms_hash.hex()}/{round_index}"
