"""ABI values to our values and back, driven by the ABI's own names: camelCase there is snake_case here.

Structs become the dataclasses of dlbc.core.types, enums its IntEnums, addresses EIP-55 strings, arrays tuples.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import fields
from functools import lru_cache
from typing import Any

from eth_abi import abi as eth_abi
from eth_abi.exceptions import DecodingError, EncodingError
from eth_utils.address import to_checksum_address

from dlbc.core import types
from dlbc.core.errors import BadInput

Item = Mapping[str, Any]
"""One parameter of an ABI: name, type, internalType, components."""

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
ENUMS: dict[str, type] = {
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
    try:
        values = eth_abi.decode([type_of(item) for item in items], data)
        return tuple(to_python(item, value) for item, value in zip(items, values, strict=True))
    except (DecodingError, ValueError, OverflowError, MemoryError) as error:
        raise Undecodable(str(error)) from error


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


def to_python(item: Item, value: Any) -> Any:
    """One decoded ABI value as ours. Raises ValueError for an enum value that does not exist."""
    kind = str(item["type"])
    if kind.endswith("]"):
        return tuple(to_python(_element(item), part) for part in value)
    if kind == "tuple":
        parts = zip(item["components"], value, strict=True)
        return struct(item, [to_python(part, given) for part, given in parts])
    if kind == "address":
        return to_checksum_address(value)
    if kind == "uint8" and (enum := ENUMS.get(_internal(item))):
        return enum(value)
    return value


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
    return kind(**{field.name: values[field.name] for field in fields(kind)})


def _element(item: Item) -> Item:
    """The item of one element of an array."""
    strip = re.compile(r"\[\d*\]$")
    internal = strip.sub("", str(item.get("internalType", "")))
    return {**item, "type": strip.sub("", str(item["type"])), "internalType": internal}


def _internal(item: Item) -> str:
    """The Solidity name of a struct or enum: "struct ITaskMarket.Terms" and "struct Terms" are both Terms."""
    return str(item.get("internalType", "")).split(" ")[-1].split(".")[-1]
