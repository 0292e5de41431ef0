"""A requester's manifest, whose hash is in the terms: what a miner that looks for work makes of the task."""

from __future__ import annotations

import gzip
import json
import pickle
from collections.abc import Callable
from dataclasses import replace
from typing import Any

from dlbc.core import canonical
from dlbc.core.manifest import MAX_MANIFEST_BYTES
from dlbc.core.types import Terms

from hostile.case import Case
from hostile.stage import Stage, Task

AREA = "manifest"
MEGABYTE = 2**20

_Change = Callable[[dict[str, Any]], object]


def cases() -> list[Case]:
    """Every one is skipped with a reason, unless nobody serves it: then it is looked at again now and then."""
    bytes_ = [_of_bytes(name, change) for name, change in BYTES.items()]
    values = [_of_bytes(name, _changed(change)) for name, change in VALUES.items()]
    terms = [Case(AREA, name, "skipped", _terms(change)) for name, change in TERMS.items()]
    late = [
        Case(AREA, "served by nobody", "waits", lambda stage: _look(stage, Task(serves_manifest=False))),
        Case(
            AREA,
            "one byte more than may be fetched",
            "waits",
            lambda stage: _look(stage, Task(manifest=lambda honest: honest.ljust(MAX_MANIFEST_BYTES + 1))),
        ),
    ]
    return bytes_ + values + terms + late


def _of_bytes(name: str, change: Callable[[bytes], bytes]) -> Case:
    return Case(AREA, name, "skipped", lambda stage: _look(stage, Task(manifest=change)))


def _terms(change: Callable[[Terms], Terms]) -> Callable[[Stage], str]:
    return lambda stage: _look(stage, Task(terms=change))


def _look(stage: Stage, task: Task) -> str:
    return stage.play(task).looked_at_by_a_miner()


def _changed(change: _Change) -> Callable[[bytes], bytes]:
    """A canonical manifest with other values; what the canonical form can't hold is written as Python's JSON does."""

    def apply(honest: bytes) -> bytes:
        value = json.loads(honest)
        change(value)
        try:
            return canonical.to_bytes(value)
        except (ValueError, UnicodeEncodeError):
            return json.dumps(value, sort_keys=True, separators=(",", ":")).encode()

    return apply


def _named(text: bytes) -> Callable[[bytes], bytes]:
    """The honest manifest with another JSON text in the place of its name."""
    return lambda honest: honest.replace(b'"clusters"', text)


def _number(text: bytes) -> Callable[[bytes], bytes]:
    """And in the place of its epochs."""
    return lambda honest: honest.replace(b'"epochs":5', b'"epochs":' + text)


BYTES: dict[str, Callable[[bytes], bytes]] = {
    "empty": lambda honest: b"",
    "noise": lambda honest: bytes((7 * index * index + 3 * index) % 256 for index in range(1_000)),
    "a list": lambda honest: b"[]",
    "a text": lambda honest: b'"manifest"',
    "a number": lambda honest: b"1",
    "null": lambda honest: b"null",
    "an empty table": lambda honest: b"{}",
    "a million opened lists": lambda honest: b"[" * 1_000_000,
    "tables nested 100,000 deep": lambda honest: b'{"a":' * 100_000,
    "nine levels": lambda honest: b'{"a":' + b"[" * 8 + b"]" * 8 + b"}",
    "brackets after an escaped quote": lambda honest: b'{"a":"\\"' + b"[" * 100_000,
    "a text of a megabyte that never ends": lambda honest: b'{"a":"' + b"\\" * (MEGABYTE - 6),
    "a megabyte of spaces": lambda honest: b" " * MEGABYTE,
    "a megabyte of commas": lambda honest: b"[" + b"," * (MEGABYTE - 1),
    "honest, with spaces around": lambda honest: b" " + honest + b" ",
    "honest, with a line break after it": lambda honest: honest + b"\n",
    "honest, twice": lambda honest: honest + honest,
    "honest, cut in the middle": lambda honest: honest[: len(honest) // 2],
    "honest, indented": lambda honest: json.dumps(json.loads(honest), indent=1).encode(),
    "honest, keys turned around": lambda honest: json.dumps(
        dict(reversed(json.loads(honest).items())), separators=(",", ":")
    ).encode(),
    "honest, as UTF-16": lambda honest: honest.decode().encode("utf-16"),
    "honest, after a byte order mark": lambda honest: b"\xef\xbb\xbf" + honest,
    "honest, with a comment": lambda honest: honest.replace(b"{", b"{/* hello */", 1),
    "honest, in single quotes": lambda honest: honest.replace(b'"', b"'"),
    "honest, gzipped": lambda honest: gzip.compress(honest, mtime=0),
    "a pickle": lambda honest: pickle.dumps({"dlbc": 1}),
    "a name twice": lambda honest: honest.replace(b'"dlbc":1', b'"dlbc":1,"dlbc":1'),
    "a name twice in a table below": lambda honest: honest.replace(b'"batch":32', b'"batch":32,"batch":64'),
    "100,000 names": lambda honest: canonical.to_bytes({f"{index:06}": 1 for index in range(80_000)}),
    "a name of a megabyte": lambda honest: b'{"' + b"a" * (MEGABYTE - 8) + b'":1}',
    "NaN": _number(b"NaN"),
    "infinity": _number(b"Infinity"),
    "minus infinity": _number(b"-Infinity"),
    "a fraction": _number(b"5.0"),
    "an exponent": _number(b"5E0"),
    "an exponent beyond floats": _number(b"1E400"),
    "minus zero": _number(b"-0"),
    "a leading zero": _number(b"05"),
    "a plus sign": _number(b"+5"),
    "a hexadecimal number": _number(b"0x5"),
    "a number of 100,000 digits": _number(b"9" * 100_000),
    "2^256": _number(str(2**256).encode()),
    "true for a number": _number(b"true"),
    "a name that is not UTF-8": _named(b'"\xff\xfe"'),
    "an overlong encoding": _named(b'"\xc0\xaf"'),
    "half a surrogate pair, escaped": _named(b'"\\ud800"'),
    "half a surrogate pair, encoded": _named(b'"\xed\xa0\x80"'),
    "an escape where none is needed": _named(b'"\\u0063lusters"'),
    "an escaped solidus": _named(b'"clusters\\/"'),
    "an escaped NUL": _named(b'"\\u0000"'),
    "a raw control character": _named(b'"a\x01b"'),
    "a name of half a megabyte": _named(b'"' + b"n" * (MEGABYTE // 2) + b'"'),
}


def _in(*path: str | int, value: object) -> _Change:
    """Sets one value."""

    def change(manifest: dict[str, Any]) -> None:
        at: Any = manifest
        for step in path[:-1]:
            at = at[step]
        at[path[-1]] = value

    return change


def _without(*path: str) -> _Change:
    def change(manifest: dict[str, Any]) -> None:
        at: Any = manifest
        for step in path[:-1]:
            at = at[step]
        del at[path[-1]]

    return change


def _architecture(**settings: object) -> _Change:
    """Another architecture altogether."""
    return _in("architecture", value=settings)


_TEXTS = {
    "an empty name": "",
    "a name of 101 letters": "n" * 101,
    "a name that steers terminals": "\x1b[2J\x1b[31m",
    "a name that is written backwards": "a\u202eb",
    "a name with a space of no width": "a\u200bb",
    "a name with a line break": "a\nb",
    "a name with a space before it": " a",
    "a name with another kind of space": "a\u00a0b",
    "a name from the private area": "\ue000",
}
_IMAGE = {"family": "cnn", "input_shape": [1, 28, 28], "classes": 10, "hidden": [64], "channels": [8]}
VALUES: dict[str, _Change] = {
    **{f"without {key}": _without(key) for key in ("architecture", "data", "dlbc", "limits", "metric", "name")},
    "without training": _without("training"),
    "without tests": _without("tests"),
    "an entry more": _in("code", value="import os"),
    "another version": _in("dlbc", value=2),
    "version true": _in("dlbc", value=True),
    "a metric that nobody knows": _in("metric", value="top5"),
    "a metric that is a list": _in("metric", value=["top1"]),
    **{what: _in("name", value=text) for what, text in _TEXTS.items()},
    "a name that is a number": _in("name", value=1),
    "a family that is a path": _in("architecture", "family", value="../../etc/passwd"),
    "a family that is code": _in("architecture", "family", value="__import__('os').abort()"),
    "a family that is a list": _in("architecture", "family", value=["mlp"]),
    "a family that no metric scores": _architecture(
        family="unet", input_shape=[1, 32, 32], classes=2, channels=[8, 16]
    ),
    "an architecture that is a text": _in("architecture", value="mlp"),
    "a setting of another family": _in("architecture", "channels", value=[8]),
    "a setting that nobody knows": _in("architecture", "forward", value="lambda x: x"),
    "no dimensions": _in("architecture", "input_shape", value=[]),
    "five dimensions": _in("architecture", "input_shape", value=[1, 1, 1, 1, 1]),
    "a dimension of zero": _in("architecture", "input_shape", value=[0]),
    "a negative dimension": _in("architecture", "input_shape", value=[-3300]),
    "a dimension that is true": _in("architecture", "input_shape", value=[True]),
    "a dimension that is a text": _in("architecture", "input_shape", value=["3300"]),
    "dimensions that overflow 64 bits": _in("architecture", "input_shape", value=[2**20] * 4),
    "one class": _in("architecture", "classes", value=1),
    "two million classes": _in("architecture", "classes", value=2**21),
    "layers that are a text": _in("architecture", "hidden", value="1024"),
    "65 layers": _in("architecture", "hidden", value=[10] * 65),
    "a layer of no units": _in("architecture", "hidden", value=[0]),
    "10^12 parameters in two layers": _in("architecture", "hidden", value=[2**20, 2**20]),
    "10^18 units in one layer": _in("architecture", "hidden", value=[10**18]),
    "an image for an mlp's settings": _architecture(**{**_IMAGE, "family": "mlp"}),
    "convolutions that leave nothing of the image": _architecture(**{**_IMAGE, "channels": [8] * 6}),
    "an image of 2^40 pixels": _architecture(**{**_IMAGE, "input_shape": [1, 2**20, 2**20]}),
    "a convolution of 2^20 channels": _architecture(**{**_IMAGE, "channels": [2**20]}),
    "a resnet of a million blocks": _architecture(
        family="resnet", input_shape=[1, 28, 28], classes=10, channels=[8], blocks=[10**6]
    ),
    "a resnet with fewer blocks than stages": _architecture(
        family="resnet", input_shape=[1, 28, 28], classes=10, channels=[8, 16], blocks=[1]
    ),
    "a transformer of a million tokens": _architecture(
        family="transformer", input_shape=[2**20, 4], classes=10, width=64, heads=4, layers=2
    ),
    "heads that do not divide the width": _architecture(
        family="transformer", input_shape=[8, 8], classes=10, width=64, heads=7, layers=2
    ),
    "a model too small for a mark": _architecture(family="mlp", input_shape=[4], classes=2, hidden=[]),
    "no epochs": _in("training", "epochs", value=0),
    "2^40 epochs": _in("training", "epochs", value=2**40),
    "a batch of none": _in("training", "batch", value=0),
    "a batch of 2^60": _in("training", "batch", value=2**60),
    "a learning rate of zero": _in("training", "learning_rate_ppm", value=0),
    "a learning rate that is a text": _in("training", "learning_rate_ppm", value="0.001"),
    "a training that is a list": _in("training", value=[5, 32, 1_000]),
    "no shards": _in("data", "shards", value=[]),
    "shards that are a table": _in("data", "shards", value={}),
    "a shard of a petabyte": _in("data", "shards", 0, "bytes", value=10**15),
    "a shard of minus one byte": _in("data", "shards", 0, "bytes", value=-1),
    "a shard without samples": _in("data", "shards", 0, "samples", value=0),
    "a shard of 2^50 samples": _in("data", "shards", 0, "samples", value=2**50),
    "a shard too small for its samples": _in("data", "shards", 0, "bytes", value=100),
    "a shard without a place": _in("data", "shards", 0, "locator", value="ab"),
    "a shard's place in capitals": _in("data", "shards", 0, "locator", value="AB" * 32),
    "a shard's place that is a path": _in("data", "shards", 0, "locator", value="../" * 21 + "a"),
    "a shard's hash that is a number": _in("data", "shards", 0, "sha256", value=0),
    "a sum of samples that is none": _in("data", "samples", value=99),
    "a sum of bytes that is none": _in("data", "bytes", value=1),
    "no test sets": _in("tests", value=[]),
    "17 test sets": lambda manifest: manifest.update(tests=manifest["tests"] * 17),
    "a test set more than rounds": lambda manifest: manifest.update(tests=manifest["tests"] * 2),
    "a test set of 2^30 samples": _in("tests", 0, "samples", value=2**30),
    "a test set beyond memory": lambda manifest: manifest["tests"][0].update(samples=2**20, bytes=2**33),
    "a test set of one byte": _in("tests", 0, "bytes", value=1),
    "a model of no bytes": _in("limits", "model_bytes", value=0),
    "a model of 2^60 bytes": _in("limits", "model_bytes", value=2**60),
    "a model one byte too small": lambda manifest: manifest["limits"].update(model_bytes=4 * (3_300 * 10 + 10) - 1),
    "limits that are null": _in("limits", value=None),
}
TERMS: dict[str, Callable[[Terms], Terms]] = {
    "terms with another manifest's hash": lambda terms: replace(terms, manifest_hash=terms.manifest_hash[::-1]),
    "terms with half of the operations": lambda terms: _workload(terms, "flops_per_sample"),
    "terms with half of the samples": lambda terms: _workload(terms, "samples"),
    "terms with half of the bytes": lambda terms: _workload(terms, "data_bytes"),
}


def _workload(terms: Terms, name: str) -> Terms:
    halved = max(1, getattr(terms.workload, name) // 2)
    return replace(terms, workload=replace(terms.workload, **{name: halved}))
