"""A requester's released test set, as it committed to it at posting. An auditor examines whether to impeach it."""

from __future__ import annotations

import gzip
import io
import json
import pickle
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import numpy as np
from dlbc.core import canonical
from dlbc.core.hashing import keccak
from dlbc.core.types import TestSet
from safetensors.numpy import save

from hostile.case import Case
from hostile.stage import Entry, Sealed, Stage, Task, honest_test, samples

AREA = "test set"
FALLS, UNAVAILABLE, STANDS = "falls: test set", "unavailable: test set bytes", "stands"
X_BYTES, Y_BYTES = 40 * 3_300 * 4, 40 * 8


def cases() -> list[Case]:
    """What can't be scored on is impeached; what is merely foolish hurts its requester and stands."""
    plain = [Case(AREA, name, FALLS, _released(test_plain=make)) for name, make in PLAIN.items()]
    sealed = [Case(AREA, name, FALLS, _released(sealed=damage)) for name, damage in SEALED.items()]
    missing = [Case(AREA, name, UNAVAILABLE, _released(sealed=damage)) for name, damage in MISSING.items()]
    facts = [Case(AREA, name, expected, _released(test_set=change)) for name, (expected, change) in FACTS.items()]
    foolish = [Case(AREA, name, STANDS, run) for name, run in FOOLISH.items()]
    return plain + sealed + missing + facts + foolish


def _released(test_plain: Callable[[], bytes] | None = None, **changes: Any) -> Callable[[Stage], str]:
    def run(stage: Stage) -> str:
        task = Task(test_plain=None if test_plain is None else test_plain(), **changes)
        return stage.play(task).examine_test_set(stage.scorer)

    return run


def _saved(x: Callable[[np.ndarray], Any] = np.array, y: Callable[[np.ndarray], Any] = np.array) -> bytes:
    test = samples()[1]
    return bytes(save({"x": np.ascontiguousarray(x(test.x)), "y": np.ascontiguousarray(y(test.y))}))


def _header(**changes: dict[str, Any]) -> Callable[[], bytes]:
    """The honest data under another header."""

    def make() -> bytes:
        test = samples()[1]
        header: dict[str, Any] = {
            "x": {"dtype": "F32", "shape": [40, 3_300], "data_offsets": [0, X_BYTES]},
            "y": {"dtype": "I64", "shape": [40], "data_offsets": [X_BYTES, X_BYTES + Y_BYTES]},
        }
        for name, change in changes.items():
            header[name] = {**header.get(name, {}), **change}
        raw = json.dumps(header).encode()
        return len(raw).to_bytes(8, "little") + raw + test.x.tobytes() + test.y.tobytes()

    return make


def _one(array: np.ndarray, value: float) -> np.ndarray:
    changed = np.array(array)
    changed.reshape(-1)[7] = value
    return changed


def _npz() -> bytes:
    file = io.BytesIO()
    np.savez(file, x=samples()[1].x, y=samples()[1].y)
    return file.getvalue()[:500_000]


PLAIN: dict[str, Callable[[], bytes]] = {
    "no bytes": lambda: b"",
    "noise": lambda: bytes((index * 97) % 256 for index in range(10_000)),
    "a pickle": lambda: pickle.dumps(list(range(1_000))),
    "an npz archive": _npz,
    "a gzip bomb": lambda: gzip.compress(bytes(50 * 2**20), mtime=0),
    "cut in half": lambda: honest_test()[: len(honest_test()) // 2],
    "a byte after it": lambda: honest_test() + b"\0",
    "NaN": lambda: _saved(x=lambda x: _one(x, np.nan)),
    "infinity": lambda: _saved(x=lambda x: _one(x, np.inf)),
    "a label below zero": lambda: _saved(y=lambda y: _one(y, -1)),
    "a label that is no class": lambda: _saved(y=lambda y: _one(y, 10)),
    "a label of 2^62": lambda: _saved(y=lambda y: _one(y, 2**62)),
    "fewer labels than samples": lambda: _saved(y=lambda y: y[:39]),
    "fewer samples than labels": lambda: _saved(x=lambda x: x[:39]),
    "no samples": lambda: _saved(x=lambda x: x[:0], y=lambda y: y[:0]),
    "samples of another shape": lambda: _saved(x=lambda x: x[:, :3_299]),
    "samples with a dimension more": lambda: _saved(x=lambda x: x[:, np.newaxis]),
    "half floats": lambda: _saved(x=lambda x: x.astype(np.float16)),
    "doubles": lambda: _saved(x=lambda x: x[:20].astype(np.float64)),
    "labels of one byte": lambda: _saved(y=lambda y: y.astype(np.uint8)),
    "labels as floats": lambda: _saved(y=lambda y: y.astype(np.float32)),
    "labels in two dimensions": lambda: _saved(y=lambda y: y[:, np.newaxis]),
    "a tensor more": lambda: bytes(save({"x": samples()[1].x, "y": samples()[1].y, "z": np.zeros(3, np.float32)})),
    "only samples": lambda: bytes(save({"x": samples()[1].x})),
    "a million samples promised": _header(x={"shape": [10**6, 3_300]}),
    "2^60 samples promised": _header(x={"shape": [2**60, 3_300]}),
    "a negative number of samples": _header(x={"shape": [-40, 3_300]}),
    "labels inside the samples": _header(y={"data_offsets": [0, Y_BYTES]}),
    "labels beyond the file": _header(y={"data_offsets": [2**40, 2**40 + Y_BYTES]}),
    "another type than there is": _header(y={"dtype": "F64"}),
}


def _damaged(change: Callable[[list[bytes]], list[bytes]]) -> Callable[[Sealed], Sealed]:
    return lambda sealed: replace(sealed, damage_parts=change)


def _listed(change: Callable[[bytes], bytes]) -> Callable[[Sealed], Sealed]:
    return lambda sealed: replace(sealed, damage_list=change)


def _parts_changed(**values: object) -> Callable[[bytes], bytes]:
    def apply(honest: bytes) -> bytes:
        listed = json.loads(honest)
        listed["parts"][0].update(values)
        return canonical.to_bytes(listed)

    return apply


SEALED: dict[str, Callable[[Sealed], Sealed]] = {
    "sealed under another key": lambda sealed: replace(sealed, key=keccak(b"another")),
    "a changed byte": _damaged(lambda parts: [parts[0][:-1] + bytes([parts[0][-1] ^ 1])]),
    "zeros in the place of the stream": _damaged(lambda parts: [bytes(len(parts[0]))]),
    "a part list of noise": _listed(lambda honest: b"\x01" * 200),
    "a part list that lies about a hash": _listed(_parts_changed(sha256="33" * 32)),
    "a part list of a terabyte": lambda sealed: replace(sealed, plain_bytes=2**40),
    "a part list nested deep": _listed(lambda honest: b"[" * 300),
}
MISSING: dict[str, Callable[[Sealed], Sealed]] = {
    "a part list that nobody serves": lambda sealed: replace(sealed, loses=("list",)),
    "a part that nobody serves": lambda sealed: replace(sealed, loses=("parts",)),
    "a part list of a megabyte": _listed(lambda honest: honest.ljust(2**20)),
}
FACTS: dict[str, tuple[str, Callable[[TestSet], TestSet]]] = {
    "another file's hash": (FALLS, lambda test: replace(test, plaintext_hash=keccak(b"other"))),
    "other labels than committed": ("falls: labels root", lambda test: replace(test, labels_root=keccak(b"other"))),
    "another place than the manifest's": (
        "falls: test set as listed",
        lambda test: replace(test, sealed_locator=test.sealed_locator[::-1]),
    ),
    "more samples than the manifest's": ("falls: test set as listed", lambda test: replace(test, samples=41)),
    "2^32 samples": ("falls: test set as listed", lambda test: replace(test, samples=2**32)),
    "another number of classes": ("falls: test set as listed", lambda test: replace(test, classes=11)),
    "another metric": ("falls: test set as listed", lambda test: replace(test, metric=2)),
    "a thousand points a sample": ("falls: test set as listed", lambda test: replace(test, max_sample_score=1_000)),
}


def _one_class(stage: Stage) -> str:
    labels = [3] * 40
    return stage.play(Task(test_plain=_saved(y=lambda y: np.full_like(y, 3)), labels=labels)).examine_test_set(
        stage.scorer
    )


def _one_class_claimed(stage: Stage) -> str:
    """The score by class must not divide by the samples of classes that there are none of."""
    labels = [3] * 40
    play = stage.play(Task(test_plain=_saved(y=lambda y: np.full_like(y, 3)), labels=labels))
    verdict, _, why = play.examine(Entry(predictions=labels), stage.scorer).partition(" | ")
    assert verdict == "falls: score, samples", (verdict, why)
    return f"stands | its claim, whose model knows all classes, ends with {verdict}"


FOOLISH: dict[str, Callable[[Stage], str]] = {
    "one class": _one_class,
    "one class, and a claim on it": _one_class_claimed,
    "samples that are all the same": _released(lambda: _saved(x=lambda x: np.ones_like(x))),
    "samples as large as floats go": _released(lambda: _saved(x=lambda x: np.full_like(x, 3e38))),
    "denormal samples": _released(lambda: _saved(x=lambda x: np.full_like(x, 1e-41))),
}
