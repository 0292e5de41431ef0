"""The shipped artifacts, and what their ABIs say: how to call a function, read a log, name an error."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cache, cached_property
from importlib import resources
from typing import Any

from eth_utils.crypto import keccak

from dlbc.adapters.chain import codec


@dataclass(frozen=True)
class Function:
    """One function of a contract."""

    name: str
    selector: bytes
    inputs: Sequence[codec.Item]
    outputs: Sequence[codec.Item]

    def encode(self, arguments: Sequence[Any]) -> bytes:
        """Call data."""
        return self.selector + codec.encode(self.inputs, arguments)

    @cached_property
    def decode(self) -> codec.Decoder:
        """The outputs from an answer. Raises codec.Undecodable."""
        return codec.decoder(self.outputs)


@dataclass(frozen=True)
class Event:
    """One event of a contract."""

    name: str
    topic: bytes
    indexed: Sequence[codec.Item]
    plain: Sequence[codec.Item]

    def decode(self, topics: Sequence[bytes], data: bytes) -> dict[str, Any]:
        """Arguments by snake_case name. Raises codec.Undecodable."""
        if not topics or topics[0] != self.topic or len(topics) != len(self.indexed) + 1:
            raise codec.Undecodable(f"not a {self.name}")
        if any(len(topic) != codec.WORD for topic in topics):
            raise codec.Undecodable(f"a {self.name} with a topic that is not 32 bytes")
        return dict(
            zip(self._names, self._decode_indexed(b"".join(topics[1:])) + self._decode_plain(data), strict=True)
        )

    @cached_property
    def _names(self) -> tuple[str, ...]:
        return tuple(codec.snake(item["name"]) for item in (*self.indexed, *self.plain))

    @cached_property
    def _decode_indexed(self) -> codec.Decoder:
        return codec.decoder(self.indexed)

    @cached_property
    def _decode_plain(self) -> codec.Decoder:
        return codec.decoder(self.plain)


@dataclass(frozen=True, slots=True)
class Error:
    """One custom error."""

    name: str
    inputs: Sequence[codec.Item]


@dataclass(frozen=True, slots=True)
class Contract:
    """A compiled contract."""

    name: str
    functions: Mapping[str, Function]
    events: Mapping[str, Event]
    errors: Mapping[bytes, Error]
    constructor: Sequence[codec.Item]
    bytecode: bytes
    deployed_bytecode: bytes


@cache
def artifact(name: str) -> Mapping[str, Any]:
    """The shipped artifact of a contract, as compile.py wrote it."""
    text = resources.files("dlbc.adapters.chain").joinpath("artifacts", f"{name}.json").read_text()
    found: Mapping[str, Any] = json.loads(text)
    return found


@cache
def load(name: str) -> Contract:
    """A shipped contract, one of compile.SHIPPED."""
    return parse(artifact(name))


def parse(content: Mapping[str, Any]) -> Contract:
    """An artifact of compile.py."""
    functions: dict[str, Function] = {}
    events: dict[str, Event] = {}
    errors: dict[bytes, Error] = {}
    constructor: Sequence[codec.Item] = ()
    for entry in content["abi"]:
        kind, inputs = entry["type"], entry.get("inputs", ())
        if kind == "constructor":
            constructor = inputs
            continue
        if kind not in {"function", "event", "error"}:
            continue
        name = entry["name"]
        digest = keccak(text=f"{name}({','.join(codec.type_of(item) for item in inputs)})")
        if kind == "function":
            functions[name] = Function(name, digest[:4], inputs, entry["outputs"])
        elif kind == "event":
            indexed = [item for item in inputs if item["indexed"]]
            events[name] = Event(name, digest, indexed, [item for item in inputs if not item["indexed"]])
        else:
            errors[digest[:4]] = Error(name, inputs)
    return Contract(
        name=content["contractName"],
        functions=functions,
        events=events,
        errors=errors,
        constructor=constructor,
        bytecode=bytes.fromhex(content["bytecode"][2:]),
        deployed_bytecode=bytes.fromhex(content["deployedBytecode"][2:]),
    )
