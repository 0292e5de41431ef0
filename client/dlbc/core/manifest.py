"""The manifest: everything a miner needs to know about a task's model, data and limits (P-11, P-82)."""

from __future__ import annotations

import unicodedata
from dataclasses import dataclass, fields
from math import prod

from dlbc.core import canonical
from dlbc.core.architecture import (
    Architecture,
    architecture_from_json,
    architecture_to_json,
    check_classifies,
    flops_per_sample,
    parameters,
    stored_values,
)
from dlbc.core.errors import BadInput, VerificationFailed
from dlbc.core.hashing import sha256
from dlbc.core.license import check_license
from dlbc.core.types import Hash32, Locator, Terms, Workload

MAX_MANIFEST_BYTES = 1 << 20
MAX_SHARDS = 65_536
MAX_ROUNDS = 16
MAX_NAME_CHARACTERS = 100
MAX_SAMPLES = 2**40
MAX_TEST_SAMPLES = 2**24
MAX_TEST_BYTES = 2**31  # held in memory whole, with the trees over it
MAX_SHARD_BYTES = 2**29
DATA_HEADER_BYTES = 4096  # room for the safetensors header of a shard or a test set
MODEL_HEADER_BYTES = 2**20 + 8  # what the reader of model files accepts
MAX_EPOCHS = 2**20
MAX_BATCH = 2**20
MAX_LEARNING_RATE_PPM = 10_000_000
METRIC = "top1"

_VALUE_BYTES = 4  # float32
_LABEL_BYTES = 8  # int64


@dataclass(frozen=True, slots=True)
class Shard:
    """One safetensors file of training data, tensors x and y."""

    locator: Locator
    sha256: Hash32
    size_bytes: int
    samples: int


@dataclass(frozen=True, slots=True)
class SealedTest:
    """One round's sealed test set; size_bytes is that of the plaintext file."""

    sealed: Locator
    size_bytes: int
    samples: int


@dataclass(frozen=True, slots=True)
class Training:
    """How much training the requester pays for; a miner may do better."""

    epochs: int
    batch: int
    learning_rate_ppm: int


@dataclass(frozen=True, slots=True)
class Manifest:
    """A task's model, data and limits. One test a round; samples and data_bytes are sums over the shards."""

    name: str
    architecture: Architecture
    training: Training
    shards: tuple[Shard, ...]
    tests: tuple[SealedTest, ...]
    model_bytes: int
    license: str = ""
    """SPDX identifier; "" if the requester names none. The bytes then have no such entry, so older ones stay valid."""

    @property
    def samples(self) -> int:
        """Training samples of all shards."""
        return sum(shard.samples for shard in self.shards)

    @property
    def data_bytes(self) -> int:
        """Bytes of all shards."""
        return sum(shard.size_bytes for shard in self.shards)


def manifest_to_bytes(manifest: Manifest) -> bytes:
    """Canonical JSON; its sha256 and locator are in the terms. Raises BadInput for a manifest out of bounds."""
    data = canonical.to_bytes(
        {
            "dlbc": 1,
            "name": manifest.name,
            "architecture": architecture_to_json(manifest.architecture),
            "training": {
                "epochs": manifest.training.epochs,
                "batch": manifest.training.batch,
                "learning_rate_ppm": manifest.training.learning_rate_ppm,
            },
            "data": {
                "samples": manifest.samples,
                "bytes": manifest.data_bytes,
                "shards": [
                    {
                        "locator": shard.locator.hex(),
                        "sha256": shard.sha256.hex(),
                        "bytes": shard.size_bytes,
                        "samples": shard.samples,
                    }
                    for shard in manifest.shards
                ],
            },
            "tests": [
                {"sealed": test.sealed.hex(), "bytes": test.size_bytes, "samples": test.samples}
                for test in manifest.tests
            ],
            "limits": {"model_bytes": manifest.model_bytes},
            "metric": METRIC,
            **({"license": manifest.license} if manifest.license else {}),
        }
    )
    manifest_from_bytes(data)
    return data


def manifest_from_bytes(data: bytes) -> Manifest:
    """Parses a manifest from strangers. Raises BadInput, one sentence, for anything malformed or out of bounds."""
    what = "manifest"
    value = canonical.from_bytes(data, what=what, max_bytes=MAX_MANIFEST_BYTES)
    keys = {"dlbc", "name", "architecture", "training", "data", "tests", "limits", "metric"}
    canonical.table(value, keys | ({"license"} & value.keys()), what=what)
    canonical.whole(value["dlbc"], 1, 1, what=f"{what}: dlbc")
    if value["metric"] != METRIC:
        raise BadInput(f"{what}: metric: expected {METRIC!r}, found {str(value['metric'])[:40]!r}")
    architecture = architecture_from_json(value["architecture"])
    check_classifies(architecture.family, what=f"{what}: architecture.family")
    limits = canonical.table(value["limits"], {"model_bytes"}, what=f"{what}: limits")
    weights = _VALUE_BYTES * stored_values(architecture)
    sample = _VALUE_BYTES * prod(architecture.input_shape) + _LABEL_BYTES
    manifest = Manifest(
        name=_name(value["name"]),
        architecture=architecture,
        training=_training(value["training"]),
        shards=_shards(value["data"], sample),
        tests=tuple(
            _test(item, sample, f"{what}: test {index}")
            for index, item in enumerate(canonical.items(value["tests"], 1, MAX_ROUNDS, what=f"{what}: tests"))
        ),
        model_bytes=canonical.whole(
            limits["model_bytes"], weights, weights + MODEL_HEADER_BYTES, what=f"{what}: limits.model_bytes"
        ),
        license=check_license(value["license"], what=f"{what}: license") if "license" in value else "",
    )
    if (value["data"]["samples"], value["data"]["bytes"]) != (manifest.samples, manifest.data_bytes):
        raise BadInput(
            f"{what}: data: expected the shards' sums, {manifest.samples} samples and {manifest.data_bytes} bytes; "
            "found other numbers"
        )
    return manifest


def workload_of(manifest: Manifest) -> Workload:
    """What training this costs, recomputed from the manifest (P-80)."""
    return Workload(
        parameters=parameters(manifest.architecture),
        flops_per_sample=flops_per_sample(manifest.architecture),
        samples=manifest.samples,
        epochs=manifest.training.epochs,
        data_bytes=manifest.data_bytes,
        model_bytes=manifest.model_bytes,
    )


def check_against_terms(manifest: Manifest, terms: Terms) -> None:
    """Raises VerificationFailed when the terms name another manifest or misstate its workload (P-80)."""
    manifest_hash = sha256(manifest_to_bytes(manifest))
    if manifest_hash != terms.manifest_hash:
        raise VerificationFailed(f"manifest: expected sha256 {terms.manifest_hash.hex()}, found {manifest_hash.hex()}")
    workload = workload_of(manifest)
    for field in fields(Workload):
        stated, found = getattr(terms.workload, field.name), getattr(workload, field.name)
        if stated != found:
            raise VerificationFailed(
                f"terms: {field.name}: expected {found} as the manifest gives, found {stated}; skip this task"
            )


def _name(value: object) -> str:
    if not isinstance(value, str) or not 1 <= len(value) <= MAX_NAME_CHARACTERS:
        raise BadInput(f"manifest: name: expected 1 to {MAX_NAME_CHARACTERS} characters, found {str(value)[:40]!r}")
    if any(unicodedata.category(character)[0] in "CZ" and character != " " for character in value):
        raise BadInput("manifest: name: expected visible characters and plain spaces, found a control character")
    if value != value.strip():
        raise BadInput("manifest: name: expected no space at either end, found one")
    return value


def _training(value: object) -> Training:
    what = "manifest: training"
    table = canonical.table(value, {"epochs", "batch", "learning_rate_ppm"}, what=what)
    return Training(
        epochs=canonical.whole(table["epochs"], 1, MAX_EPOCHS, what=f"{what}.epochs"),
        batch=canonical.whole(table["batch"], 1, MAX_BATCH, what=f"{what}.batch"),
        learning_rate_ppm=canonical.whole(
            table["learning_rate_ppm"], 1, MAX_LEARNING_RATE_PPM, what=f"{what}.learning_rate_ppm"
        ),
    )


def _shards(value: object, sample: int) -> tuple[Shard, ...]:
    what = "manifest: data"
    table = canonical.table(value, {"samples", "bytes", "shards"}, what=what)
    items = canonical.items(table["shards"], 1, MAX_SHARDS, what=f"{what}.shards")
    return tuple(_shard(item, sample, f"manifest: shard {index}") for index, item in enumerate(items))


def _shard(value: object, sample: int, what: str) -> Shard:
    table = canonical.table(value, {"locator", "sha256", "bytes", "samples"}, what=what)
    samples = canonical.whole(table["samples"], 1, MAX_SAMPLES, what=f"{what}: samples")
    return Shard(
        locator=Locator(canonical.digest(table["locator"], what=f"{what}: locator")),
        sha256=Hash32(canonical.digest(table["sha256"], what=f"{what}: sha256")),
        size_bytes=_file_bytes(table["bytes"], samples * sample, MAX_SHARD_BYTES, what),
        samples=samples,
    )


def _test(value: object, sample: int, what: str) -> SealedTest:
    table = canonical.table(value, {"sealed", "bytes", "samples"}, what=what)
    samples = canonical.whole(table["samples"], 1, MAX_TEST_SAMPLES, what=f"{what}: samples")
    return SealedTest(
        sealed=Locator(canonical.digest(table["sealed"], what=f"{what}: sealed")),
        size_bytes=_file_bytes(table["bytes"], samples * sample, MAX_TEST_BYTES, what),
        samples=samples,
    )


def _file_bytes(value: object, content: int, most: int, what: str) -> int:
    """The size of a data file follows from its samples: a larger one is a bomb, or difficulty that nobody works."""
    if content + DATA_HEADER_BYTES > most:
        raise BadInput(f"{what}: expected at most {most} bytes, the samples alone are {content}")
    return canonical.whole(value, content, content + DATA_HEADER_BYTES, what=f"{what}: bytes")
