"""Files that commands read: a requester's own data, shards, evidence, signed reveals, suspects, task files."""

from __future__ import annotations

import io
import json
import pickle
import struct
import zipfile
from collections.abc import Callable
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
from dlbc.adapters.ml.datasets import load_data
from dlbc.adapters.ml.trainer import TorchTrainer
from dlbc.adapters.weight_file import read_weights
from dlbc.core import canonical
from dlbc.core.hashing import keccak
from dlbc.core.report import Check
from dlbc.core.signed_reveal import SignedReveal
from dlbc.core.signed_reveal import from_bytes as reveal_from_bytes
from dlbc.core.signed_reveal import to_bytes as reveal_to_bytes
from dlbc.core.task_file import parse_task_file
from dlbc.core.types import Address, Claim, Ground, Hash32, Locator, TaskId, TrainingProof
from dlbc.roles.evidence import Evidence, evidence_from_bytes, evidence_to_bytes
from fakes.world import TASK
from safetensors.numpy import save

from hostile.case import Case
from hostile.stage import CLASSES, FEATURES, Stage, honest_model, samples
from hostile.weights import BIAS, GOOD, WEIGHT, Bomb, changed, file_of

MINER = Address("0x70997970C51812dc3A010C7d01b50e0d17dc79C8")
REFUSED = "refused"
MEGABYTE = 2**20
X = np.linspace(0, 1, 60, dtype=np.float32).reshape(20, 3)
Y = np.arange(20) % 4


def cases() -> list[Case]:
    """Every one is refused in one sentence, before anything else happens."""
    return [
        *(Case("requester's data", name, REFUSED, _npz(make)) for name, make in DATA.items()),
        *(Case("training shard", name, REFUSED, _shard(make)) for name, make in SHARDS.items()),
        *(Case("evidence", name, REFUSED, _parsed(evidence_from_bytes, make)) for name, make in EVIDENCE.items()),
        *(Case("signed reveal", name, REFUSED, _parsed(reveal_from_bytes, make)) for name, make in RELAY.items()),
        *(Case("suspect file", name, REFUSED, _suspect(make)) for name, make in SUSPECTS.items()),
        *(Case("task file", name, REFUSED, _parsed(parse_task_file, make)) for name, make in TASK_FILES.items()),
    ]


def _parsed(parse: Callable[[bytes], object], make: Callable[[], bytes]) -> Callable[[Stage], str]:
    def run(stage: Stage) -> str:
        parse(make())
        return "accepted"

    return run


# ------------------------------------------------------------------ what `dlbc task post` reads


def _npz(make: Callable[[], bytes]) -> Callable[[Stage], str]:
    def run(stage: Stage) -> str:
        file = stage.place() / "data.npz"
        file.write_bytes(make())
        load_data(str(file))
        return "accepted"

    return run


def _zipped(**members: bytes) -> bytes:
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, data in members.items():
            archive.writestr(zipfile.ZipInfo(f"{name}.npy"), data, zipfile.ZIP_DEFLATED)
    return file.getvalue()


def _npy_of(array: Any) -> bytes:
    file = io.BytesIO()
    np.save(file, array, allow_pickle=True)
    return file.getvalue()


def _npy(header: str, data: bytes = b"") -> bytes:
    raw = header.encode().ljust(117) + b"\n"
    return b"\x93NUMPY\x01\x00" + struct.pack("<H", len(raw)) + raw + data


def _shape(shape: str, data: bytes = b"") -> bytes:
    return _npy(f"{{'descr': '<f4', 'fortran_order': False, 'shape': {shape}, }}", data)


def _pair(x: Any = X, y: Any = Y) -> Callable[[], bytes]:
    return lambda: _zipped(x=_npy_of(x), y=_npy_of(y))


def _member(make: Callable[[], bytes]) -> Callable[[], bytes]:
    return lambda: _zipped(x=make(), y=_npy_of(Y))


def _wrong_checksum() -> bytes:
    """The directory of the archive says another one than the bytes have."""
    data = bytearray(_zipped(x=_npy_of(X), y=_npy_of(Y)))
    data[data.index(b"PK\x01\x02") + 16] ^= 1
    return bytes(data)


DATA: dict[str, Callable[[], bytes]] = {
    "no bytes": lambda: b"",
    "text": lambda: b"PK nothing",
    "a pickle": lambda: pickle.dumps({"x": 1}),
    "a zip of other files": lambda: _zipped(readme=b"hello"),
    "paths that lead out": lambda: _zipped(**{"../../x": _npy_of(X), "../../y": _npy_of(Y)}),
    "a member that is a pickle": _member(lambda: pickle.dumps(Bomb())),
    "an array of objects": lambda: _zipped(x=_npy_of(np.array([{}] * 20, dtype=object)), y=_npy_of(Y)),
    "an array of records": _pair(x=np.zeros(20, [("a", "f4")])),
    "an array of dates": _pair(x=np.zeros((20, 3), "datetime64[s]")),
    "an array of texts": _pair(y=np.array(["a", "b"] * 10)),
    "a zip bomb behind a small header": _member(lambda: _shape("(5, 3)", bytes(50 * MEGABYTE))),
    "a petabyte promised": _member(lambda: _shape("(1000000000, 1000000)")),
    "a product that overflows": _member(lambda: _shape("(4294967296, 4294967296, 4294967296)")),
    "a dimension of ninety digits": _member(lambda: _shape("(" + "9" * 90 + ",)")),
    "negative dimensions": _member(lambda: _shape("(-5, 3)", bytes(60))),
    "no dimensions": _member(lambda: _shape("()", bytes(4))),
    "a header that is code": _member(lambda: _npy("__import__('os').abort()")),
    "a header nested deep": _member(lambda: _npy("(" * 110)),
    "a header of two gigabytes": _member(lambda: b"\x93NUMPY\x02\x00" + struct.pack("<I", 2**31) + bytes(99)),
    "an unknown version": _member(lambda: b"\x93NUMPY\x09\x00" + bytes(99)),
    "a checksum that is wrong": _wrong_checksum,
    "NaN": _pair(x=np.where(X > 0.9, np.nan, X)),
    "numbers beyond float32": _pair(x=X.astype(np.float64) * 1e300),
    "no samples": _pair(x=X[:0], y=Y[:0]),
    "fewer labels than samples": _pair(y=Y[:19]),
    "labels below zero": _pair(y=Y - 1),
    "labels of 2^40": _pair(y=Y + 2**40),
    "one class": _pair(y=np.zeros(20, int)),
    "one class in the test set": lambda: _zipped(
        x_train=_npy_of(X), y_train=_npy_of(Y), x_test=_npy_of(X), y_test=_npy_of(np.zeros(20, int))
    ),
    "classes that are only in the test set": lambda: _zipped(
        x_train=_npy_of(X), y_train=_npy_of(Y), x_test=_npy_of(X), y_test=_npy_of(Y + 1)
    ),
}


# ------------------------------------------------------------------ what a training reads


def _shard(make: Callable[[], bytes]) -> Callable[[Stage], str]:
    def run(stage: Stage) -> str:
        file = stage.place() / "shard-0.safetensors"
        file.write_bytes(make())
        TorchTrainer().load_dataset([file], input_shape=(FEATURES,), classes=CLASSES)
        return "accepted"

    return run


def _saved(x: Callable[[np.ndarray], Any] = np.array, y: Callable[[np.ndarray], Any] = np.array) -> Callable[[], bytes]:
    training, _ = samples()
    return lambda: bytes(save({"x": np.ascontiguousarray(x(training.x)), "y": np.ascontiguousarray(y(training.y))}))


SHARDS: dict[str, Callable[[], bytes]] = {
    "no bytes": lambda: b"",
    "noise": lambda: bytes((index * 89) % 256 for index in range(5_000)),
    "a pickle": lambda: pickle.dumps(Bomb()).ljust(5_000, b"."),
    "a model in its place": honest_model,
    "cut in half": lambda: _saved()()[:500_000],
    "NaN": _saved(x=lambda x: np.where(x > 0, np.nan, x)),
    "labels that are no classes": _saved(y=lambda y: y + 1_000_000),
    "labels below zero": _saved(y=lambda y: y - 5),
    "other features": _saved(x=lambda x: x[:, :10]),
    "fewer labels than samples": _saved(y=lambda y: y[:50]),
    "no samples": _saved(x=lambda x: x[:0], y=lambda y: y[:0]),
    "doubles": _saved(x=lambda x: x.astype(np.float64)),
}


# ------------------------------------------------------------------ evidence and signed reveals


@cache
def good_evidence() -> bytes:
    """What an honest filer writes."""
    checks = (Check("score recomputed", False, "40 of 40", "8 of 40"),)
    return evidence_to_bytes(
        Evidence(31337, MINER, TaskId(1), 0, MINER, Ground.SCORE, (3,), checks, "dlbc audit 1 --round 0")
    )


@cache
def good_reveal() -> bytes:
    """What an honest miner leaves in the relay folder."""
    word = Hash32(keccak(b"word"))
    proof = TrainingProof(TaskId(1), 0, MINER, word, Locator(word), word, word, word)
    return reveal_to_bytes(
        SignedReveal(31337, MINER, proof, word, Claim(30, word, Locator(word)), word, bytes(range(65)))
    )


def _of(make: Callable[[], bytes], *path: str | int, value: object) -> Callable[[], bytes]:
    def apply() -> bytes:
        whole = json.loads(make())
        at = whole
        for step in path[:-1]:
            at = at[step]
        at[path[-1]] = value
        return canonical.to_bytes(whole)

    return apply


def _evidence(*path: str | int, value: object) -> Callable[[], bytes]:
    return _of(good_evidence, *path, value=value)


def _reveal(*path: str | int, value: object) -> Callable[[], bytes]:
    return _of(good_reveal, *path, value=value)


_CHECK = {"expected": "", "found": "", "name": "score recomputed", "ok": 0}
_FILE = {"locator": "00" * 32, "sha256": "00" * 32, "size_bytes": 1}
EVIDENCE: dict[str, Callable[[], bytes]] = {
    "no bytes": lambda: b"",
    "a list nested 100,000 deep": lambda: b"[" * 100_000,
    "a megabyte": lambda: good_evidence().ljust(MEGABYTE),
    "not canonical": lambda: good_evidence() + b"\n",
    "a name twice": lambda: good_evidence().replace(b'"round":0', b'"round":0,"round":0'),
    "a negative task": lambda: good_evidence().replace(b'"task_id":1', b'"task_id":-1'),
    "a task of 2^256": lambda: good_evidence().replace(b'"task_id":1', b'"task_id":' + str(2**256).encode()),
    "NaN for grounds": lambda: good_evidence().replace(b'"grounds":1', b'"grounds":NaN'),
    "grounds that there are not": _evidence("grounds", value=2**20),
    "a market that is a URL": _evidence("market", value="https://example.org"),
    "a subject of 39 digits": _evidence("subject", value="0x" + "1" * 39),
    "nine samples": _evidence("samples", value=list(range(9))),
    "a sample of 2^50": _evidence("samples", value=[2**50]),
    "samples that are texts": _evidence("samples", value=["3"]),
    "a hundred and one checks": _evidence("checks", value=[_CHECK] * 101),
    "a check of 100,000 letters": _evidence("checks", value=[{**_CHECK, "found": "x" * 100_000}]),
    "a check with code": _evidence("checks", value=[{**_CHECK, "run": "rm -rf /"}]),
    "a check that is half true": _evidence("checks", value=[{**_CHECK, "ok": 2}]),
    "a command of 10,000 letters": _evidence("reproduce", value="dlbc " * 2_000),
    "two attachments": _evidence("attachments", value=[_FILE] * 2),
    "an attachment of a gigabyte": _evidence("attachments", value=[{**_FILE, "size_bytes": 2**30}]),
    "an attachment whose place is a path": _evidence("attachments", value=[{**_FILE, "locator": "/etc/passwd"}]),
    "half a surrogate pair": lambda: good_evidence().replace(b'"dlbc audit 1 --round 0"', b'"\\ud800"'),
}
RELAY: dict[str, Callable[[], bytes]] = {
    "no bytes": lambda: b"",
    "a list nested 10,000 deep": lambda: b"[" * 10_000,
    "a megabyte": lambda: good_reveal().ljust(MEGABYTE),
    "a pickle": lambda: pickle.dumps(Bomb()),
    "not canonical": lambda: b" " + good_reveal(),
    "an entry more": _reveal("gas", value=1),
    "another version": _reveal("dlbc_reveal", value=2),
    "chain zero": _reveal("chain_id", value=0),
    "a market in another alphabet": _reveal("market", value="0x" + "\u0661" * 40),
    "task zero": _reveal("proof", "task_id", value=0),
    "round 2^20": _reveal("proof", "round", value=2**20),
    "a miner that is a name": _reveal("proof", "miner", value="vitalik.eth"),
    "a hash of 31 bytes": _reveal("proof", "model_hash", value="0x" + "11" * 31),
    "a hash in capitals": _reveal("proof", "model_hash", value="0x" + "AA" * 32),
    "a total of 2^70": _reveal("claim", "total", value=2**70),
    "a total that is a fraction": lambda: good_reveal().replace(b'"total":30', b'"total":30.0'),
    "a proof that is a list": _reveal("proof", value=[]),
    "a signature of no bytes": _reveal("signature", value="0x"),
    "a signature of 5,000 bytes": _reveal("signature", value="0x" + "11" * 5_000),
    "a signature that is no hexadecimal": _reveal("signature", value="0x" + "zz" * 65),
}


# ------------------------------------------------------------------ what `dlbc watermark detect` reads


def _suspect(make: Callable[[], bytes]) -> Callable[[Stage], str]:
    def run(stage: Stage) -> str:
        file: Path = stage.place() / "suspect.safetensors"
        file.write_bytes(make())
        read_weights(file)
        return "accepted"

    return run


SUSPECTS: dict[str, Callable[[], bytes]] = {
    "no bytes": lambda: b"",
    "a pickle": lambda: pickle.dumps(Bomb()).ljust(500, b"."),
    "a header of 2^63 bytes": lambda: (2**63).to_bytes(8, "little") + b"{}",
    "a header nested 100,000 deep": lambda: file_of(b"[" * 100_000),
    "a header of no tensors": lambda: file_of({}),
    "a tensor twice": lambda: file_of(b'{"a": {}, "a": {}}'),
    "quantised weights": lambda: file_of(changed(BIAS, dtype="I8")),
    "dimensions that overflow": lambda: file_of(changed(WEIGHT, shape=[2**47] * 8)),
    "nine dimensions": lambda: file_of(changed(BIAS, shape=[10, 1, 1, 1, 1, 1, 1, 1, 1])),
    "negative dimensions": lambda: file_of(changed(WEIGHT, shape=[-10, -3_300])),
    "offsets beyond the file": lambda: file_of(changed(BIAS, data_offsets=[2**40, 2**40 + 40])),
    "offsets that are texts": lambda: file_of(changed(BIAS, data_offsets=["0", "40"])),
    "NaN": lambda: file_of(GOOD, b"\xff" * (40 + 4 * 33_000)),
}


# ------------------------------------------------------------------ what `dlbc task post` is told

TASK_FILES: dict[str, Callable[[], bytes]] = {
    "no bytes": lambda: b"",
    "not UTF-8": lambda: b"\xff\xfe",
    "arrays nested 10,000 deep": lambda: b"a = " + b"[" * 10_000,
    "tables nested 5,000 deep": lambda: b"[" + b"a." * 5_000 + b"a]\nb = 1",
    "a megabyte": lambda: TASK.encode() + b"#" * MEGABYTE,
    "a misspelt setting": lambda: TASK.replace("epochs", "epoch").encode(),
    "a setting twice": lambda: TASK.replace("epochs = 5", "epochs = 5\nepochs = 6").encode(),
    "a bounty of NaN": lambda: TASK.replace('"1 ether"', "nan").encode(),
    "a bounty of 10^90 ether": lambda: TASK.replace('"1 ether"', f'"1{"0" * 90} ether"').encode(),
    "a bounty with an exponent that overflows": lambda: TASK.replace('"1 ether"', '"9e999999 ether"').encode(),
    "a bounty of 10^5000 ether": lambda: TASK.replace('"1 ether"', '"1e5000 ether"').encode(),
    "epochs in 5,000 hexadecimal digits": lambda: TASK.replace("epochs = 5", f"epochs = 0x{'f' * 5_000}").encode(),
    "a bounty in 5,000 hexadecimal digits": lambda: TASK.replace('"1 ether"', f"0x{'f' * 5_000}").encode(),
    "a window in 5,000 hexadecimal digits": lambda: TASK.replace('"1h"', f"0x{'f' * 5_000}", 1).encode(),
    "layers in 5,000 hexadecimal digits": lambda: TASK.replace(
        'family = "mlp"', f'family = "mlp"\nhidden = [0x{"f" * 5_000}]'
    ).encode(),
    "a window of minus an hour": lambda: TASK.replace('train = "1h"', 'train = "-1h"').encode(),
    "a window of 10^30 days": lambda: TASK.replace('train = "1h"', f'train = "1{"0" * 30}d"').encode(),
    "a score of infinity": lambda: TASK.replace("min_score = 0.5", "min_score = inf").encode(),
    "a score of 10^100,000": lambda: TASK.replace("min_score = 0.5", "min_score = 1e100000").encode(),
    "epochs of 10^4000": lambda: TASK.replace("epochs = 5", f"epochs = 1{'0' * 4_000}").encode(),
    "epochs of 10^5000": lambda: TASK.replace("epochs = 5", f"epochs = 1{'0' * 5_000}").encode(),
    "a name that steers terminals": lambda: TASK.replace('"clusters"', '"\\u001b[2J"', 1).encode(),
    "a family that is code": lambda: TASK.replace('"mlp"', '"__import__"').encode(),
}
