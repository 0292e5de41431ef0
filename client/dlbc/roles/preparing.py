"""What posting a task takes: its data, its test set and its manifest, packed, sealed and stored."""

from __future__ import annotations

import secrets
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from dlbc.core import watermark
from dlbc.core.architecture import Architecture, architecture_from_json, stored_values, tensor_shapes
from dlbc.core.canonical import to_bytes
from dlbc.core.errors import BadInput
from dlbc.core.hashing import sha256
from dlbc.core.manifest import Manifest, SealedTest, Shard, Training, manifest_to_bytes, workload_of
from dlbc.core.proofs import key_hash
from dlbc.core.records import to_record
from dlbc.core.scoring import label_root
from dlbc.core.task_file import TaskFile
from dlbc.core.test_key import data_digest, derive_test_key, task_secrets_typed_data
from dlbc.core.types import METRIC_TOP1, Hash32, Locator, Terms, TestSet
from dlbc.ports import Chain, Dataset, DataSource, Keys, Storage
from dlbc.roles.artifacts import store_sealed
from dlbc.roles.loop import Report

SHARD_BYTES = 8 * 2**20


@dataclass(frozen=True, slots=True)
class Preparation:
    """Nothing is sent to the chain."""

    chain: Chain
    storage: Storage
    keys: Keys
    data: DataSource
    report: Report

    def draft_key(self, task: TaskFile, training: Dataset, test: Dataset) -> str:
        """One draft per market, task file and data: the same input continues it."""
        about = {
            "market": [self.chain.chain_id, self.chain.market],
            "task": to_record(task),
            "data": [sha256(array.tobytes()).hex() for part in (training, test) for array in (part.x, part.y)],
        }
        return sha256(to_bytes(about)).hex()[:32]

    def store(
        self,
        task: TaskFile,
        architecture: Architecture,
        training: Dataset,
        test: Dataset,
    ) -> dict[str, Any]:
        """Returns the draft's record, for the journal."""
        shards = self._store_shards(training)
        test_key = self._new_test_key(data_digest(shards))
        plain = self.data.pack(test)
        sealed = store_sealed(self.storage, [plain], test_key)
        self.report("test_set_sealed", samples=len(test.y), bytes=len(plain))
        manifest = Manifest(
            name=task.name,
            architecture=architecture,
            training=Training(task.epochs, task.batch, task.learning_rate_ppm),
            shards=shards,
            tests=(SealedTest(sealed, len(plain), len(test.y)),),
            model_bytes=model_bytes_limit(architecture),
            license=task.license,
        )
        data = manifest_to_bytes(manifest)
        locator = self.storage.add(data)
        terms = Terms(
            manifest_hash=sha256(data),
            manifest=locator,
            workload=workload_of(manifest),
            train_seconds=task.train_seconds,
            release_seconds=task.release_seconds,
            reveal_seconds=task.reveal_seconds,
            open_seconds=task.open_seconds,
            challenge_seconds=task.challenge_seconds,
            min_score_ppm=task.min_score_ppm,
            min_gain_ppm=0,
            tolerance_ppm=task.tolerance_ppm,
            bounty_wei=task.bounty_wei,
            deposit_wei=task.deposit_wei,
            bond_wei=task.bond_wei,
            royalty_bps=task.royalty_bps,
        )
        test_set = described(sealed, plain, test_key, test.y, architecture.classes)
        return {
            "name": task.name,
            "stage": "prepared",
            "tasks_before": 0,
            "task_id": None,
            "terms": to_record(terms),
            "test_set": to_record(test_set),
            "test_key": to_record(test_key),
        }

    def _store_shards(self, training: Dataset) -> tuple[Shard, ...]:
        # A fresh random order: see core.test_key. Miners shuffle anyway.
        order = np.random.default_rng(secrets.randbits(128)).permutation(len(training.y))
        sample_bytes = training.x[0].nbytes + training.y[0].nbytes
        size = max(1, SHARD_BYTES // sample_bytes)
        shards = []
        for start in range(0, len(order), size):
            chosen = order[start : start + size]
            packed = self.data.pack(Dataset(training.x[chosen], training.y[chosen]))
            shards.append(Shard(self.storage.add(packed), sha256(packed), len(packed), len(chosen)))
            self.report("shard_stored", number=len(shards), samples=len(chosen), bytes=len(packed))
        return tuple(shards)

    def _new_test_key(self, data: Hash32) -> bytes:
        """From the wallet; from 32 random bytes, which then only the journal has, if it signs differently each time."""
        signed = [sign_task_secrets(self.keys, self.chain, data) for _ in range(2)]
        if signed[0] == signed[1]:
            return derive_test_key(signed[0])
        return derive_test_key(secrets.token_bytes(32))


def sign_task_secrets(keys: Keys, chain: Chain, data: Hash32) -> bytes:
    """What the test key of this data is derived from."""
    return keys.sign_typed(task_secrets_typed_data(data, 0, chain.chain_id, chain.market))


def described(sealed: Locator, plain: bytes, key: bytes, labels: NDArray[np.int64], classes: int) -> TestSet:
    """The preimage of a test commitment, less the key itself."""
    return TestSet(
        sealed_locator=sealed,
        plaintext_hash=sha256(plain),
        key_hash=key_hash(key),
        samples=len(labels),
        max_sample_score=1,
        classes=classes,
        metric=METRIC_TOP1,
        labels_root=label_root(labels),
    )


def architecture_for(task: TaskFile, data: Dataset) -> Architecture:
    """The task file's model for this data; refuses one too small to be watermarked (P-91). Raises BadInput."""
    settings = {
        "hidden": list(task.hidden),
        "channels": list(task.channels),
        "blocks": list(task.blocks),
        "width": task.width,
        "heads": task.heads,
        "layers": task.layers,
    }
    architecture = architecture_from_json(
        {
            "family": task.family,
            "input_shape": list(data.x.shape[1:]),
            "classes": int(data.y.max()) + 1,
            **{name: setting for name, setting in settings.items() if setting},
        }
    )
    carriers = watermark.carriers_per_slot(tensor_shapes(architecture))
    if carriers < watermark.MIN_CARRIERS:
        raise BadInput(
            f"model: a watermark needs {watermark.MIN_CARRIERS} carriers a slot and this model has {carriers}; "
            "use wider or more layers"
        )
    return architecture


def model_bytes_limit(architecture: Architecture) -> int:
    """Largest model file a miner may deliver: float32 weights and room for the safetensors header."""
    return 4 * stored_values(architecture) + 256 * len(tensor_shapes(architecture)) + 1024
