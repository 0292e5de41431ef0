"""Every reader of strangers' bytes with something good to read, and ways to spoil it."""

from __future__ import annotations

import io
import random
from collections.abc import Callable
from functools import cache
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np
from dlbc.adapters.ml.datasets import load_data
from dlbc.adapters.ml.shards import parse_dataset
from dlbc.adapters.ml.weights import check_model
from dlbc.adapters.weight_file import read_weights
from dlbc.core import seal
from dlbc.core.architecture import Architecture
from dlbc.core.examination import Examination, Subject, examination_from_json, examination_to_json
from dlbc.core.hashing import keccak, sha256
from dlbc.core.manifest import Manifest, SealedTest, Shard, Training, manifest_from_bytes, manifest_to_bytes
from dlbc.core.report import Check
from dlbc.core.scoring import decode_predictions, encode_predictions
from dlbc.core.signed_reveal import from_bytes as reveal_from_bytes
from dlbc.core.task_file import parse_task_file
from dlbc.core.types import Locator, TaskId
from dlbc.roles.evidence import evidence_from_bytes
from fakes.world import TASK
from safetensors.numpy import save

from hostile.files import MINER, X, Y, good_evidence, good_reveal

SMALL = Architecture("mlp", (3,), 4, ())
KEY = keccak(b"key")
WORDS = (
    *(
        b"[",
        b"]",
        b"{",
        b"}",
        b'"',
        b"\\",
        b",",
        b":",
        b"\0",
        b"\xff",
        b"\xed\xa0\x80",
        b"\\ud800",
        b"NaN",
        b"-1",
        b"1e9",
    ),
    *(b"9" * 60, b"[" * 60, b"null", b"true", b"F64", b"PK\x03\x04", (2**63).to_bytes(8, "little"), b"\x80\x04\x95"),
)


@cache
def good_manifest() -> bytes:
    """Of a small task."""
    word = Locator(keccak(b"word"))
    return manifest_to_bytes(
        Manifest(
            name="small",
            architecture=SMALL,
            training=Training(1, 1, 1),
            shards=(Shard(word, sha256(b""), 500, 20),),
            tests=(SealedTest(word, 500, 20),),
            model_bytes=1_000,
        )
    )


@cache
def good_model() -> bytes:
    """Of a small task."""
    return bytes(save({"linears.0.weight": np.ones((4, 3), np.float32), "linears.0.bias": np.ones(4, np.float32)}))


@cache
def good_data() -> bytes:
    """Of a small task."""
    return bytes(save({"x": X, "y": Y.astype(np.int64)}))


@cache
def good_npz() -> bytes:
    """Of a small task."""
    file = io.BytesIO()
    np.savez_compressed(file, x=X, y=Y)
    return file.getvalue()


@cache
def good_part() -> bytes:
    """A sealed file; sealing is random, so it is made once."""
    (part,) = seal.seal([good_model()], KEY)
    return part


@cache
def good_list() -> bytes:
    """Its list."""
    part = seal.SealedPart(Locator(keccak(b"part")), sha256(b"part"), seal.sealed_size(500))
    return seal.part_list_to_bytes(seal.PartList(500, seal.sealed_size(500), (part,)))


@cache
def good_examination() -> bytes:
    """What an examining process prints."""
    import json

    checks = (Check("score recomputed", False, "1", "2"),)
    return json.dumps(examination_to_json(Examination(Subject(TaskId(1), 0, MINER), checks))).encode()


def _from_file(name: str, read: Callable[[Path], object]) -> Callable[[bytes], object]:
    def parse(data: bytes) -> object:
        with TemporaryDirectory() as folder:
            file = Path(folder) / name
            file.write_bytes(data)
            return read(file)

    return parse


READERS: dict[str, tuple[Callable[[], bytes], Callable[[bytes], object]]] = {
    "manifest": (good_manifest, manifest_from_bytes),
    "part list": (good_list, lambda data: seal.part_list_from_bytes(data, 1_000)),
    "sealed stream": (good_part, lambda data: b"".join(seal.unseal([data], KEY))),
    "model file": (good_model, lambda data: check_model(data, SMALL, max_bytes=100_000)),
    "data file": (good_data, lambda data: parse_dataset(data, input_shape=(3,), classes=4)),
    "predictions": (
        lambda: encode_predictions([1, 2, 3], [1, 0, 1]),
        lambda data: decode_predictions(data, 3),
    ),
    "npz archive": (good_npz, _from_file("data.npz", lambda file: load_data(str(file)))),
    "suspect file": (good_model, _from_file("suspect.safetensors", read_weights)),
    "evidence": (good_evidence, evidence_from_bytes),
    "signed reveal": (good_reveal, reveal_from_bytes),
    "task file": (TASK.encode, parse_task_file),
    "examination": (good_examination, examination_from_json),
}


def spoil(good: bytes, chance: random.Random) -> bytes:
    """A few changes: bits, bytes, pieces cut, doubled, moved, and words that parsers know."""
    data = bytearray(good)
    for _ in range(chance.choice((1, 1, 1, 2, 3, 8))):
        size = len(data)
        at = chance.randrange(size + 1)
        length = min(chance.choice((1, 1, 2, 8, 32)), size - at)
        kind = chance.randrange(6)
        if kind == 0 and at < size:
            data[at] ^= 1 << chance.randrange(8)
        elif kind == 1:
            data[at : at + length] = chance.randbytes(length)
        elif kind == 2:
            del data[at : at + length]
        elif kind == 3:
            data[at:at] = data[at : at + length]
        elif kind == 4:
            data[at : at + length] = chance.choice(WORDS)
        else:
            del data[at:]
    return bytes(data)
