"""A leader's model file, sealed and hashed as it should be, that is not the task's model. An auditor examines it."""

from __future__ import annotations

import io
import json
import pickle
from collections.abc import Callable
from typing import Any

import numpy as np
from dlbc.core.hashing import sha256
from safetensors.numpy import save

from hostile.case import Case
from hostile.stage import Entry, Stage, honest_model, honest_weights, samples

AREA = "model file"
WEIGHT, BIAS = "linears.0.weight", "linears.0.bias"
WEIGHT_BYTES, BIAS_BYTES = 4 * 3_300 * 10, 40
FALLS = "falls: architecture"
LOADS = "falls: score, no-watermark, samples"
UNDECIDED = "falls: score, no-watermark"
"""All classes alike: nothing is contradicted decisively."""

GOOD: dict[str, Any] = {
    BIAS: {"dtype": "F32", "shape": [10], "data_offsets": [0, BIAS_BYTES]},
    WEIGHT: {"dtype": "F32", "shape": [10, 3_300], "data_offsets": [BIAS_BYTES, BIAS_BYTES + WEIGHT_BYTES]},
}


def cases() -> list[Case]:
    """A file that does not load falls by its architecture; one that does is scored like any other."""
    bad = [Case(AREA, name, FALLS, _examined(make)) for name, make in FILES.items()]
    bad += [Case(AREA, name, FALLS, _examined(_with_header(header))) for name, header in HEADERS.items()]
    bad += [Case(AREA, name, FALLS, _examined(_with_weights(change))) for name, change in NOT_FINITE.items()]
    loads = [Case(AREA, name, expected, _examined(_with_weights(*change))) for name, expected, *change in LOADING]
    return bad + loads


def _examined(make: Callable[[], bytes]) -> Callable[[Stage], str]:
    def run(stage: Stage) -> str:
        model = make()
        return stage.play().examine(Entry(model=model, model_hash=sha256(model)), stage.scorer)

    return run


def file_of(header: object, data: bytes | None = None) -> bytes:
    """A safetensors file of this header, whatever it says."""
    raw = header if isinstance(header, bytes) else json.dumps(header).encode()
    return len(raw).to_bytes(8, "little") + raw + (_data() if data is None else data)


def _with_header(header: object) -> Callable[[], bytes]:
    return lambda: file_of(header)


def _data() -> bytes:
    weights = honest_weights()
    return weights[BIAS].tobytes() + weights[WEIGHT].tobytes()


def changed(name: str, **values: object) -> dict[str, Any]:
    """The good header with other values of one tensor."""
    return {**GOOD, name: {**GOOD[name], **values}}


def _with_weights(change: Callable[[dict[str, np.ndarray]], object]) -> Callable[[], bytes]:
    def make() -> bytes:
        weights = {name: np.array(tensor) for name, tensor in honest_weights().items()}
        change(weights)
        return bytes(save(weights))

    return make


def _npz(**arrays: Any) -> bytes:
    file = io.BytesIO()
    np.savez(file, allow_pickle=True, **arrays)
    return file.getvalue()


def _npy() -> bytes:
    file = io.BytesIO()
    np.save(file, honest_weights()[WEIGHT])
    return file.getvalue()


def _torch_zip() -> bytes:
    """What torch.save writes begins like this: a zip with a pickle in it."""
    import zipfile

    file = io.BytesIO()
    with zipfile.ZipFile(file, "w") as archive:
        archive.writestr(zipfile.ZipInfo("archive/data.pkl"), pickle.dumps(Bomb()))
        archive.writestr(zipfile.ZipInfo("archive/data/0"), _data())
    return file.getvalue()


class Bomb:
    """Runs a command when it is unpickled."""

    def __reduce__(self) -> tuple[Any, ...]:
        return exec, ("raise SystemExit('a pickle was loaded')",)


def _tensors(count: int) -> dict[str, Any]:
    empty = {"dtype": "F32", "shape": [0], "data_offsets": [0, 0]}
    return {**GOOD, **{f"{index:x}": empty for index in range(count)}}


FILES: dict[str, Callable[[], bytes]] = {
    "no bytes": lambda: b"",
    "seven bytes": lambda: b"\x02\0\0\0\0\0\0",
    "eight bytes": lambda: b"\x02\0\0\0\0\0\0\0",
    "an empty header": lambda: bytes(8),
    "text": lambda: b"hello, this is my model",
    "a pickle": lambda: pickle.dumps(Bomb()).ljust(2_000, b"."),
    "a file of torch.save": _torch_zip,
    "an npy array": _npy,
    "an npz archive": lambda: _npz(weight=honest_weights()[WEIGHT]),
    "an npz archive of objects": lambda: _npz(weight=np.array([Bomb()], dtype=object)),
    "HDF5": lambda: b"\x89HDF\r\n\x1a\n".ljust(5_000, b"\0"),
    "an ELF program": lambda: b"\x7fELF\x02\x01\x01".ljust(5_000, b"\0"),
    "the model, cut in the header": lambda: honest_model()[:50],
    "the model, cut in the data": lambda: honest_model()[:-1],
    "the model, with a byte after it": lambda: honest_model() + b"\0",
    "the model, twice": lambda: honest_model() + honest_model(),
    "a header as long as 2^63": lambda: (2**63).to_bytes(8, "little") + honest_model()[8:],
    "a header as long as the file": lambda: len(honest_model()).to_bytes(8, "little") + honest_model()[8:],
    "a header of -1": lambda: b"\xff" * 8 + honest_model()[8:],
    "a header that begins in the data": lambda: (100_000).to_bytes(8, "little") + honest_model()[8:],
    "a header of the largest size, all spaces": lambda: file_of(b" " * 2**20, b""),
    "a header one byte over the largest size": lambda: file_of(json.dumps(GOOD).encode().ljust(2**20 + 1)),
    "no data": lambda: file_of(GOOD, b""),
    "a byte of data missing": lambda: file_of(GOOD, _data()[:-1]),
    "a byte of data left over": lambda: file_of(GOOD, _data() + b"\0"),
    "data shifted by one": lambda: file_of(
        {name: {**entry, "data_offsets": [at + 1 for at in entry["data_offsets"]]} for name, entry in GOOD.items()},
        b"\0" + _data(),
    ),
}
HEADERS: dict[str, object] = {
    "a header that is a list": [1],
    "a header that is a number": 7,
    "a header that is null": None,
    "a header of no tensors": {},
    "a header that is not JSON": b"{'a': 1}",
    "a header that is not UTF-8": b"\xff\xfe\xfd\xfc",
    "a header with half a surrogate pair": b'{"\\ud800": {}}',
    "a header with NaN": b'{"a": NaN}',
    "a header nested 100,000 deep": b"[" * 100_000,
    "a header of tables nested 100,000 deep": b'{"a":' * 100_000,
    "a header with a number of 100,000 digits": b'{"a":' + b"9" * 100_000 + b"}",
    "a tensor twice": json.dumps(GOOD)[:-1].encode() + b"," + json.dumps(GOOD)[1:].encode(),
    "10,000 tensors more": _tensors(10_000),
    "a tensor with a name of 500 kB": {**GOOD, "n" * 500_000: GOOD[BIAS]},
    "a tensor whose name steers terminals": {**GOOD, "\x1b[2J\x00": GOOD[BIAS]},
    "a tensor missing": {WEIGHT: GOOD[WEIGHT]},
    "a tensor under another name": {"linears.0.bais": GOOD[BIAS], WEIGHT: GOOD[WEIGHT]},
    "a tensor that is a number": {**GOOD, BIAS: 1},
    "a tensor without offsets": {**GOOD, BIAS: {"dtype": "F32", "shape": [10]}},
    "a tensor with an entry more": changed(BIAS, code="x"),
    "metadata that is a list": {**GOOD, "__metadata__": ["a"]},
    "metadata that is not text": {**GOOD, "__metadata__": {"a": 1}},
    "half floats": changed(BIAS, dtype="F16"),
    "doubles": changed(BIAS, dtype="F64"),
    "whole numbers": changed(BIAS, dtype="I32"),
    "a type that is no type": changed(BIAS, dtype="object"),
    "a type that is a list": changed(BIAS, dtype=["F32"]),
    "transposed": changed(WEIGHT, shape=[3_300, 10]),
    "flattened": changed(WEIGHT, shape=[33_000]),
    "one dimension more": changed(WEIGHT, shape=[1, 10, 3_300]),
    "a dimension of zero": changed(WEIGHT, shape=[0, 3_300]),
    "negative dimensions": changed(WEIGHT, shape=[-10, -3_300]),
    "dimensions that overflow": changed(WEIGHT, shape=[2**32, 2**32]),
    "dimensions whose product is right modulo 2^64": changed(WEIGHT, shape=[2**63, 3_300 * 2]),
    "dimensions as fractions": changed(WEIGHT, shape=[10.0, 3_300.0]),
    "dimensions as texts": changed(WEIGHT, shape=["10", "3300"]),
    "dimensions as booleans": changed(BIAS, shape=[True]),
    "10,000 dimensions": changed(BIAS, shape=[1] * 10_000),
    "offsets turned around": changed(BIAS, data_offsets=[40, 0]),
    "negative offsets": changed(BIAS, data_offsets=[-40, 0]),
    "offsets beyond the file": changed(BIAS, data_offsets=[2**40, 2**40 + 40]),
    "offsets beyond 64 bits": changed(BIAS, data_offsets=[2**70, 2**70 + 40]),
    "offsets as fractions": changed(BIAS, data_offsets=[0.0, 40.0]),
    "three offsets": changed(BIAS, data_offsets=[0, 40, 80]),
    "one offset": changed(BIAS, data_offsets=[0]),
    "tensors over each other": changed(WEIGHT, data_offsets=[0, WEIGHT_BYTES]),
    "tensors with a gap": changed(WEIGHT, data_offsets=[80, 80 + WEIGHT_BYTES]),
    "tensors that hold the header": changed(BIAS, data_offsets=[-8, 32]),
    "a tensor of one byte too few": changed(BIAS, data_offsets=[0, 39]),
}


def _set(name: str, value: float) -> Callable[[dict[str, np.ndarray]], object]:
    return lambda weights: weights[name].reshape(-1).__setitem__(-1, value)


NOT_FINITE: dict[str, Callable[[dict[str, np.ndarray]], object]] = {
    "one NaN": _set(WEIGHT, np.nan),
    "one infinity": _set(BIAS, np.inf),
    "one minus infinity": _set(WEIGHT, -np.inf),
    "all NaN": lambda weights: [tensor.fill(np.nan) for tensor in weights.values()],
    "a NaN with a payload": lambda weights: weights[BIAS].view(np.uint32).__setitem__(3, 0x7F800001),
}


def _fill(weight: float, bias: float = 0.0) -> Callable[[dict[str, np.ndarray]], object]:
    def change(weights: dict[str, np.ndarray]) -> None:
        weights[WEIGHT].fill(weight)
        weights[BIAS].fill(bias)

    return change


def _wide(weights: dict[str, np.ndarray]) -> None:
    """Logits are infinite, of both signs."""
    _fill(0.0)(weights)
    weights[WEIGHT][:, 0] = np.where(np.arange(10) % 2, 3e38, -3e38)
    weights[BIAS][:] = weights[WEIGHT][:, 0]


def _noise(weights: dict[str, np.ndarray]) -> None:
    chance = np.random.default_rng(1)
    weights[WEIGHT][:] = chance.normal(size=weights[WEIGHT].shape)
    weights[BIAS].fill(0)


def _memorised(weights: dict[str, np.ndarray]) -> None:
    """Right on the test set, and without the miner's mark."""
    test = samples()[1]
    weights[WEIGHT][:] = np.stack([test.x[test.y == label].mean(0) for label in range(10)])
    weights[BIAS][:] = -np.square(weights[WEIGHT]).sum(1) / 2


LOADING: list[tuple[Any, ...]] = [
    ("all zeros", UNDECIDED, _fill(0.0)),
    ("no weights, and the same bias for all", UNDECIDED, _fill(0.0, 1.0)),
    ("all denormal", UNDECIDED, _fill(1e-41, 1e-41)),
    ("biases as large as floats go", UNDECIDED, _fill(0.0, 3.4e38)),
    ("infinite logits of both signs", LOADS, _wide),
    ("minus zeros", UNDECIDED, _fill(-0.0, -0.0)),
    ("noise that claims every sample right", LOADS, _noise),
    ("one weight blown up to drown the mark", "falls: score, samples", _set(WEIGHT, 1e30)),
    ("right, and without a mark", "falls: no-watermark", _memorised),
]
