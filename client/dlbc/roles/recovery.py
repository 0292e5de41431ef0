"""A miner's secrets from its wallet, and its proof from the chain when the disk is gone (P-30, P-32)."""

from __future__ import annotations

import secrets as randomness
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from dlbc.core.errors import NotFound, VerificationFailed
from dlbc.core.events import ModelCommitted
from dlbc.core.proofs import key_hash, miner_secrets_typed_data
from dlbc.core.records import hex_bytes, to_record
from dlbc.core.secrets import MAX_RECOVERY_BYTES, MinerSecrets, Recovery, decrypt_recovery, derive
from dlbc.core.types import TaskId
from dlbc.ports import Chain, Journal, Keys, Storage

RANDOM_SECRET = "random_secret"  # noqa: S105  (the name of a journal kind)
_SPARE_ATTEMPTS = 4


@dataclass(frozen=True, slots=True)
class Memory:
    """A Journal that is only read: what is not in it is gone when the process ends."""

    kept: Journal | None

    def put(self, kind: str, key: str, record: Mapping[str, Any]) -> None:
        """Forgets it."""

    def get(self, kind: str, key: str) -> dict[str, Any] | None:
        """What was kept before."""
        return None if self.kept is None else self.kept.get(kind, key)

    def all(self, kind: str) -> list[tuple[str, dict[str, Any]]]:
        """What was kept before."""
        return [] if self.kept is None else self.kept.all(kind)

    def delete(self, kind: str, key: str) -> None:
        """Deletes nothing."""

    def close(self) -> None:
        """Closes what was opened for it."""
        if self.kept is not None:
            self.kept.close()


@dataclass(frozen=True, slots=True)
class Wallet:
    """Derives and finds again what one account keeps secret about its entries."""

    chain: Chain
    keys: Keys
    journal: Journal

    def secrets(self, task_id: TaskId, round_index: int, attempt: int) -> MinerSecrets:
        """The secrets of one attempt. A wallet that signs differently each time gets random ones, kept in the journal.

        Signs twice the first time; what was random once stays random.
        """
        name = f"{self.chain.chain_id}/{self.chain.market}/{task_id}/{round_index}/{attempt}"
        kept = self.journal.get(RANDOM_SECRET, name)
        if kept is not None:
            return derive(hex_bytes(kept["material"], "random secret", 32))
        message = miner_secrets_typed_data(task_id, round_index, attempt, self.chain.chain_id, self.chain.market)
        first, second = self.keys.sign_typed(message), self.keys.sign_typed(message)
        if first == second:
            return derive(first)
        material = randomness.token_bytes(32)
        self.journal.put(RANDOM_SECRET, name, {"material": to_record(material)})
        return derive(material)

    def recover(self, storage: Storage, task_id: TaskId, round_index: int) -> Recovery:
        """The attempt and proof behind this account's standing commit, without any journal.

        After a reveal the proof is on chain; before it, it is in the recovery blob, sealed under the wallet's key.
        Raises NotFound when there is no commit or no attempt's secrets fit it.
        """
        mine = [event for event in self.chain.commits(task_id, round_index) if event.miner == self.keys.address]
        if not mine:
            raise NotFound(f"{self.keys.address} has no commit in round {round_index} of task {task_id}")
        attempts = range(len(mine) + _SPARE_ATTEMPTS)
        return self._revealed(task_id, round_index, attempts) or self._open_blob(storage, mine[-1], attempts)

    def revealed(self, task_id: TaskId, round_index: int) -> Recovery:
        """The attempt and proof behind this account's reveal. Raises NotFound as `recover`."""
        commits = [event for event in self.chain.commits(task_id, round_index) if event.miner == self.keys.address]
        found = self._revealed(task_id, round_index, range(len(commits) + _SPARE_ATTEMPTS))
        if found is None:
            raise NotFound(
                f"no secrets of this wallet fit a claim of round {round_index} of task {task_id}; if the wallet signs "
                "differently each time, use the machine that committed"
            )
        return found

    def _revealed(self, task_id: TaskId, round_index: int, attempts: range) -> Recovery | None:
        for claim in self.chain.reveals(task_id, round_index):
            if claim.proof.miner == self.keys.address:
                for attempt in attempts:
                    if key_hash(self.secrets(task_id, round_index, attempt).seal_key) == claim.proof.seal_key_hash:
                        return Recovery(attempt, claim.proof)
        return None

    def _open_blob(self, storage: Storage, commit: ModelCommitted, attempts: range) -> Recovery:
        blob = storage.fetch(commit.recovery, max_bytes=MAX_RECOVERY_BYTES)
        for attempt in attempts:
            try:
                return decrypt_recovery(self.secrets(commit.task_id, commit.round, attempt).recovery_key, blob)
            except VerificationFailed:
                continue  # sealed under another attempt's key
        raise NotFound(
            f"the recovery blob of task {commit.task_id} does not open with this wallet's keys; "
            "use the journal of the machine that committed"
        )
