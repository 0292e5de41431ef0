"""ABI values to our values and back, driven by the ABI's own names: camelCase there is snake_case here.

Structs become the dataclasses of dlbc.core.types, enums its IntEnums, addresses EIP-55 strings, arrays tuples.

Encoding is eth_abi's. Decoding is our own: it goes from bytes to those values in one pass, by functions that are put
together once for a list of types, and is some ten times as fast, which reading a market's whole log needs. It accepts
what eth_abi's strict mode accepts.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, fields
from enum import IntEnum
from functools import lru_cache
from typing import Any

from eth_abi import abi as eth_abi
from eth_abi.exceptions import EncodingError
from eth_utils.address import to_checksum_address

from dlbc.core import types
from dlbc.core.errors import BadInput
from dlbc.core.types import Address

Item = Mapping[str, Any]
"""One parameter of an ABI: name, type, internalType, components."""
Decoder = Callable[[bytes], tuple[Any, ...]]
"""Bytes to one value for each item. Raises Undecodable for anything malformed."""
Read = Callable[[bytes, int], Any]
"""read(data, at) is the value at an offset. Raises ValueError."""

WORD = 32
KNOWN_ADDRESSES = 2**14
"""Checksums that are kept: each costs a hash, and the same few accounts fill a log."""

STRUCTS: dict[str, type] = {
    "Workload": types.Workload,
    "Terms": types.Terms,
    "TestSet": types.TestSet,
    "TrainingProof": types.TrainingProof,
    "Claim": types.Claim,
    "Task": types.Task,
    "Round": types.Round,
    "Entry": types.Entry,
    "BlockHeader": types.BlockHeader,
    "Winner": types.Winner,
    "Watermark": types.WatermarkRecord,
    "SlotReveal": types.SlotReveal,
    "Params": types.Params,
    "PoolParams": types.PoolParams,
    "Stake": types.Stake,
    "Case": types.Case,
    "Tally": types.Tally,
    "ClaimRef": types.ClaimRef,
    "PredictionLeaf": types.PredictionLeaf,
    "SumNode": types.SumNode,
    "LabelProof": types.LabelProof,
    "RankedTask": types.RankedTask,
    "Lock": types.Lock,
}
ENUMS: dict[str, type[IntEnum]] = {
    "Phase": types.Phase,
    "Outcome": types.Outcome,
    "Reason": types.Reason,
    "LockKind": types.LockKind,
    "Vote": types.Vote,
    "Verdict": types.Verdict,
    "Ruling": types.Ruling,
    "Fault": types.Fault,
}


class Undecodable(Exception):
    """Bytes that are not what the ABI says. Never leaves the chain adapter."""


def decode(items: Sequence[Item], data: bytes) -> tuple[Any, ...]:
    """Decodes one value for each item. Raises Undecodable for anything malformed."""
    return decoder(items)(data)


def decoder(items: Sequence[Item]) -> Decoder:
    """What decodes one value for each item, to be kept where it is needed often."""
    read = _read_members([_kind(item) for item in items])

    def decode_all(data: bytes) -> tuple[Any, ...]:
        try:
            return read(data, 0)
        except (ValueError, OverflowError, MemoryError) as error:
            raise Undecodable(str(error)) from error

    return decode_all


def encode(items: Sequence[Item], values: Sequence[Any]) -> bytes:
    """Encodes one value for each item. Raises BadInput for a value that does not fit its type."""
    try:
        return eth_abi.encode(
            [type_of(item) for item in items],
            [to_abi(item, value) for item, value in zip(items, values, strict=True)],
        )
    except EncodingError as error:
        raise BadInput(f"expected values that fit the contract's types, found one that does not: {error}") from error


def type_of(item: Item) -> str:
    """The canonical type, tuples spelled out."""
    kind = str(item["type"])
    if kind.startswith("tuple"):
        return "(" + ",".join(type_of(part) for part in item["components"]) + ")" + kind[len("tuple") :]
    return kind


@lru_cache(maxsize=1024)
def snake(name: str) -> str:
    """camelCase to snake_case."""
    return re.sub(r"(?<=[a-z0-9])([A-Z])", r"_\1", name).lower()


def to_abi(item: Item, value: Any) -> Any:
    """One of our values as eth_abi wants it."""
    kind = str(item["type"])
    if kind.endswith("]"):
        return [to_abi(_element(item), part) for part in value]
    if kind == "tuple":
        return tuple(to_abi(part, getattr(value, snake(part["name"]))) for part in item["components"])
    return value


def struct(item: Item, members: Sequence[Any]) -> Any:
    """The dataclass of a struct from its members in order."""
    names = [snake(part["name"]) for part in item["components"]]
    return STRUCTS[_internal(item)](**dict(zip(names, members, strict=True)))


def build(kind: type, values: Mapping[str, Any]) -> Any:
    """A dataclass from those of `values` that it has fields for."""
    return kind(*[values[name] for name in _field_names(kind)])


@lru_cache(maxsize=KNOWN_ADDRESSES)
def address(value: bytes) -> Address:
    """20 bytes with their checksum."""
    return Address(to_checksum_address(value))


@lru_cache
def _field_names(kind: type) -> tuple[str, ...]:
    return tuple(field.name for field in fields(kind))


def _element(item: Item) -> Item:
    """The item of one element of an array."""
    strip = re.compile(r"\[\d*\]$")
    internal = strip.sub("", str(item.get("internalType", "")))
    return {**item, "type": strip.sub("", str(item["type"])), "internalType": internal}


def _internal(item: Item) -> str:
    """The Solidity name of a struct or enum: "struct ITaskMarket.Terms" and "struct Terms" are both Terms."""
    return str(item.get("internalType", "")).split(" ")[-1].split(".")[-1]


# ------------------------------------------------------------------ decoding


@dataclass(frozen=True, slots=True)
class _Kind:
    """How a type is read: in place, or where the offset in its place says."""

    size: int  # bytes in its place
    is_dynamic: bool
    read: Read


def _kind(item: Item) -> _Kind:
    kind = str(item["type"])
    if kind.endswith("]"):
        return _array(_kind(_element(item)), kind)
    if kind == "tuple":
        return _struct(item)
    if kind in {"bytes", "string"}:
        return _Kind(WORD, True, _read_bytes if kind == "bytes" else _read_text)
    return _Kind(WORD, False, _read_word(item, kind))


def _read_word(item: Item, kind: str) -> Read:
    if kind == "address":
        return _read_address
    if kind == "bool":
        return _read_bool
    if kind == "uint8" and (enum := ENUMS.get(_internal(item))):
        members = {int(member): member for member in enum}
        return lambda data, at: _member(members, _number(data, at))
    if kind.startswith("uint"):
        return _read_uint(int(kind.removeprefix("uint")))
    if kind.startswith("bytes"):
        return _read_fixed(int(kind.removeprefix("bytes")))
    raise NotImplementedError(f"no contract of ours has a value of type {kind}")


def _number(data: bytes, at: int) -> int:
    return int.from_bytes(data[at : at + WORD], "big")


def _read_uint(bits: int) -> Read:
    limit = 1 << bits

    def read(data: bytes, at: int) -> int:
        value = int.from_bytes(data[at : at + WORD], "big")
        if value >= limit:
            raise ValueError(f"a uint{bits} is {value}")
        return value

    return read


def _member(members: Mapping[int, Any], value: int) -> Any:
    if value not in members:
        raise ValueError(f"an enum is {value}")
    return members[value]


def _read_bool(data: bytes, at: int) -> bool:
    value = _number(data, at)
    if value > 1:
        raise ValueError(f"a bool is {value}")
    return value == 1


def _read_address(data: bytes, at: int) -> Address:
    if any(data[at : at + 12]):
        raise ValueError("an address has more than 20 bytes")
    return address(data[at + 12 : at + WORD])


def _read_fixed(count: int) -> Read:
    padding = bytes(WORD - count)

    def read(data: bytes, at: int) -> bytes:
        if data[at + count : at + WORD] != padding:
            raise ValueError(f"a bytes{count} is not padded with zeros")
        return data[at : at + count]

    return read


def _read_bytes(data: bytes, at: int) -> bytes:
    _need(data, at, WORD)
    count = _number(data, at)
    padded = -(-count // WORD) * WORD
    _need(data, at + WORD, padded)
    if any(data[at + WORD + count : at + WORD + padded]):
        raise ValueError("bytes are not padded with zeros")
    return data[at + WORD : at + WORD + count]


def _read_text(data: bytes, at: int) -> str:
    return _read_bytes(data, at).decode()


def _struct(item: Item) -> _Kind:
    kinds = [_kind(part) for part in item["components"]]
    members, make = _read_members(kinds), STRUCTS[_internal(item)]
    assert _field_names(make) == tuple(snake(part["name"]) for part in item["components"])
    if any(kind.is_dynamic for kind in kinds):
        return _Kind(WORD, True, lambda data, at: make(*members(data, at)))
    return _Kind(sum(kind.size for kind in kinds), False, lambda data, at: make(*members(data, at)))


def _array(element: _Kind, kind: str) -> _Kind:
    one, size = _read_member(element), element.size
    if not kind.endswith("[]"):
        row = _read_members([element] * int(kind[kind.rindex("[") + 1 : -1]))
        length = size * int(kind[kind.rindex("[") + 1 : -1])
        return _Kind(WORD, True, row) if element.is_dynamic else _Kind(length, False, row)

    def read(data: bytes, at: int) -> tuple[Any, ...]:
        _need(data, at, WORD)
        count, first = _number(data, at), at + WORD
        _need(data, first, count * size)
        return tuple([one(data, first, place) for place in range(first, first + count * size, size)])

    return _Kind(WORD, True, read)


def _read_members(kinds: Sequence[_Kind]) -> Callable[[bytes, int], tuple[Any, ...]]:
    """Values in a row, as those of a struct or the arguments of an event."""
    parts, size = [], 0
    for kind in kinds:
        parts.append((size, _read_member(kind)))
        size += kind.size

    def read(data: bytes, at: int) -> tuple[Any, ...]:
        _need(data, at, size)
        return tuple([one(data, at, at + offset) for offset, one in parts])

    return read


def _read_member(kind: _Kind) -> Callable[[bytes, int, int], Any]:
    """read(data, base, place): the value at a place that is known to be there; offsets count from `base`."""
    read = kind.read
    if kind.is_dynamic:
        return lambda data, base, place: read(data, base + _number(data, place))
    return lambda data, base, place: read(data, place)


def _need(data: bytes, at: int, count: int) -> None:
    if at + count > len(data):
        raise ValueError(f"{count} bytes were expected at {at}, and there are {len(data)} in all")
