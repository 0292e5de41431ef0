"""A leader's sealed model: the list of its parts, the parts, and the stream that they hold. An auditor examines it."""

from __future__ import annotations

import gzip
import io
import json
import tarfile
import zipfile
from collections.abc import Callable
from dataclasses import replace
from typing import Any

from dlbc.core import canonical, seal
from dlbc.core.hashing import keccak

from hostile.case import Case
from hostile.stage import ARCHITECTURE, Entry, Sealed, Stage, honest_model, model_limit

AREA = "sealed model"
HASH, UNAVAILABLE, ARCHITECTURE_FALLS = "falls: hash", "unavailable: unavailable", "falls: architecture"
LIMIT = model_limit(ARCHITECTURE)
MEGABYTE = 2**20

_Damage = Callable[[Sealed], Sealed]


def cases() -> list[Case]:
    """What is served and no sealed file of the claimed bytes falls; what nobody serves is unavailable."""
    damaged = {
        HASH: {**{name: _list(change) for name, change in LISTS.items()}, **PARTS},
        UNAVAILABLE: MISSING,
        ARCHITECTURE_FALLS: TOO_LARGE,
    }
    found = [
        Case(AREA, name, expected, _examined(Entry(sealed=damage)))
        for expected, every in damaged.items()
        for name, damage in every.items()
    ]
    committed = Case(AREA, "another model than the committed one", HASH, _examined(Entry(model_hash=keccak(b"other"))))
    zeros = Entry(sealed=lambda sealed: replace(sealed, plain=bytes(len(sealed.plain))))
    return [*found, committed, Case(AREA, "a sealed file of zeros", "falls: hash, architecture", _examined(zeros))]


def _examined(entry: Entry) -> Callable[[Stage], str]:
    return lambda stage: stage.play().examine(entry, stage.scorer)


def _list(change: Callable[[bytes], bytes]) -> _Damage:
    return lambda sealed: replace(sealed, damage_list=change)


def _parts(change: Callable[[list[bytes]], list[bytes]]) -> _Damage:
    return lambda sealed: replace(sealed, damage_parts=change)


def _changed(change: Callable[[dict[str, Any]], object]) -> Callable[[bytes], bytes]:
    def apply(honest: bytes) -> bytes:
        value = json.loads(honest)
        change(value)
        return canonical.to_bytes(value)

    return apply


def _first(**values: object) -> Callable[[bytes], bytes]:
    """Another first part."""
    return _changed(lambda listed: listed["parts"][0].update(values))


LISTS: dict[str, Callable[[bytes], bytes]] = {
    "an empty list": lambda honest: b"",
    "a list of noise": lambda honest: bytes(range(256)),
    "the model itself in the place of its list": lambda honest: honest_model()[:300],
    "a list nested deep": lambda honest: b"[" * 300,
    "a list cut in half": lambda honest: honest[: len(honest) // 2],
    "a list with a byte after it": lambda honest: honest + b" ",
    "a list that is a zip": lambda honest: _zip(b"a")[:300],
    "a list that is a gzip": lambda honest: gzip.compress(b"a" * 1_000, mtime=0),
    "a list that is a tar": lambda honest: _tar(b"a").rstrip(b"\0").ljust(300, b"\0")[:300],
    "a list that links to itself": _first(locator="00" * 32, sha256="00" * 32, bytes=1),
    "a list of another version": _changed(lambda listed: listed.update(dlbc_parts=2)),
    "a list with an entry more": _changed(lambda listed: listed.update(code="x")),
    "a list without parts": _changed(lambda listed: listed.update(parts=[])),
    "a list whose parts are a table": _changed(lambda listed: listed.update(parts={})),
    "a list that counts one byte less": _changed(lambda listed: listed.update(plain_bytes=listed["plain_bytes"] - 1)),
    "a list of a terabyte in one part": _changed(lambda listed: listed.update(plain_bytes=2**40, sealed_bytes=2**40)),
    "a list of 2^200 bytes": _changed(lambda listed: listed.update(plain_bytes=2**200)),
    "a list of no bytes": _changed(lambda listed: listed.update(plain_bytes=0, sealed_bytes=seal.sealed_size(0))),
    "sealed bytes that do not fit": _changed(lambda listed: listed.update(sealed_bytes=1)),
    "sealed bytes that are a text": _changed(lambda listed: listed.update(sealed_bytes="all")),
    "a part of no bytes": _first(bytes=0),
    "a part of 2^62 bytes": _first(bytes=2**62),
    "a part one byte longer than it is": _changed(
        lambda listed: listed["parts"][0].update(bytes=listed["parts"][0]["bytes"] + 1)
    ),
    "a part with another sha256": _first(sha256="11" * 32),
    "a part whose place is a path": _first(locator="../" * 21 + "a"),
    "a part whose place is a number": _first(locator=7),
    "a part with an entry more": _first(code="x"),
}
_NOT_SERVED_PART = _first(locator="22" * 32)


def _flipped(at: int) -> Callable[[list[bytes]], list[bytes]]:
    def apply(parts: list[bytes]) -> list[bytes]:
        changed = bytearray(parts[0])
        changed[at] ^= 1
        return [bytes(changed), *parts[1:]]

    return apply


def _same_size(data: bytes) -> Callable[[list[bytes]], list[bytes]]:
    """Other bytes in the place of the only part, as many as it has."""
    return lambda parts: [(data * (len(parts[0]) // len(data) + 1))[: len(parts[0])]]


def _resealed(key: bytes) -> Callable[[list[bytes]], list[bytes]]:
    return lambda parts: list(seal.seal([honest_model()], key))


def _zip(data: bytes) -> bytes:
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr(zipfile.ZipInfo("../../model.safetensors"), data)
    return file.getvalue()


def _tar(data: bytes) -> bytes:
    file = io.BytesIO()
    with tarfile.open(fileobj=file, mode="w") as archive:
        entry = tarfile.TarInfo("../../model.safetensors")
        entry.size = len(data)
        archive.addfile(entry, io.BytesIO(data))
    return file.getvalue()


PARTS: dict[str, _Damage] = {
    "sealed under another key": _parts(_resealed(keccak(b"another"))),
    "a changed byte in the header": _parts(_flipped(0)),
    "a changed byte in the middle": _parts(_flipped(70_000)),
    "a changed byte at the end": _parts(_flipped(-1)),
    "not sealed at all": _parts(_same_size(honest_model())),
    "zeros": _parts(_same_size(b"\0")),
    "a zip bomb in the place of the part": _parts(_same_size(_zip(bytes(50 * MEGABYTE)))),
    "a gzip bomb in the place of the part": _parts(_same_size(gzip.compress(bytes(50 * MEGABYTE), mtime=0))),
    "a tar with a path that leads out": _parts(_same_size(_tar(b"x" * 1_000))),
    "the stream's header alone, then noise": _parts(lambda parts: [parts[0][:24] + bytes(len(parts[0]) - 24)]),
    "an earlier piece repeated": _parts(lambda parts: [(parts[0][:1_000] * 200)[: len(parts[0])]]),
}
MISSING: dict[str, _Damage] = {
    "a list that nobody serves": lambda sealed: replace(sealed, loses=("list",)),
    "a part that nobody serves": lambda sealed: replace(sealed, loses=("parts",)),
    "a list that names a part that there is not": _list(_NOT_SERVED_PART),
    "the same part twice, in a longer list than one part takes": _list(
        _changed(lambda listed: listed.update(parts=listed["parts"] * 2))
    ),
    "a list of a megabyte": _list(lambda honest: honest.ljust(MEGABYTE)),
    "a list of 10,000 parts": _list(
        _changed(lambda listed: listed.update(plain_bytes=10_000 * 2**24, parts=listed["parts"] * 10_000))
    ),
}


def _padded(size: int) -> _Damage:
    return lambda sealed: replace(sealed, plain=sealed.plain.ljust(size, b"\0"))


TOO_LARGE: dict[str, _Damage] = {
    "a file of one byte more than the manifest allows": _padded(LIMIT + 1),
    "a file of ten times the allowed size": _padded(10 * LIMIT),
}
