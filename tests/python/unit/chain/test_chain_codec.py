"""ABI values and our values, without a chain."""

from __future__ import annotations

import re
from dataclasses import fields, is_dataclass
from enum import IntEnum
from pathlib import Path

import pytest
from dlbc.adapters.chain import abi, codec
from dlbc.adapters.chain.errors import refusal
from dlbc.core import types
from dlbc.core.types import Address, Hash32, Phase
from eth_abi import abi as eth_abi
from eth_abi.exceptions import DecodingError
from eth_utils.address import to_checksum_address
from hypothesis import given, settings
from hypothesis import strategies as st

pytestmark = pytest.mark.unit

WORD = Hash32(bytes(range(32)))
OTHER = Address("0x70997970C51812dc3A010C7d01b50e0d17dc79C8")


def _structs(items: object) -> dict[str, codec.Item]:
    """Every struct named anywhere in these parameters, by its Solidity name."""
    found: dict[str, codec.Item] = {}
    assert isinstance(items, (list, tuple))
    for item in items:
        if "components" in item:
            name = str(item["internalType"]).split(" ")[-1].split(".")[-1].split("[")[0]
            found[name] = item
            found |= _structs(item["components"])
    return found


def test_structs__of_every_abi__have_a_dataclass_with_the_same_members() -> None:
    """Each struct in the shipped ABIs is one of ours, member for member and in the same order."""
    found: dict[str, codec.Item] = {}
    for name in ("TaskMarket", "MarketRules", "ModelRegistry", "AuditorPool", "PoolRules", "MarketLens"):
        contract = abi.load(name)
        for function in contract.functions.values():
            found |= _structs(function.inputs) | _structs(function.outputs)
        for event in contract.events.values():
            found |= _structs(event.plain)
        found |= _structs(contract.constructor)
    assert set(found) == set(codec.STRUCTS)
    for name, item in found.items():
        ours = [field.name for field in fields(codec.STRUCTS[name])]
        assert ours == [codec.snake(part["name"]) for part in item["components"]], name


def test_enums__of_types__count_as_in_solidity() -> None:
    """Every enum of the protocol is known to the codec, member for member."""
    source = (Path(__file__).parents[4] / "contracts" / "types" / "Task.sol").read_text()
    found = dict(re.findall(r"^enum (\w+) \{(.*?)^\}", re.sub(r"//.*", "", source), re.MULTILINE | re.DOTALL))
    assert set(found) == set(codec.ENUMS)
    for name, body in found.items():
        members = [member.strip() for member in body.split(",")]
        assert [_screaming(member) for member in members] == [member.name for member in codec.ENUMS[name]], name


def _screaming(name: str) -> str:
    return codec.snake(name).upper()


def test_roundtrip__structs_in_structs_and_in_arrays__are_the_same_values() -> None:
    """A refutation's arguments survive encoding and decoding: structs of structs, lists of structs, a path in one."""
    proof = types.TrainingProof(types.TaskId(1), 2, OTHER, WORD, types.Locator(WORD), WORD, WORD, WORD)
    ref = types.ClaimRef(proof, types.Claim(3, WORD, types.Locator(WORD)), WORD)
    path = (types.SumNode(WORD, 2**256 - 1, 0), types.SumNode(WORD, 1, 2))
    test_set = types.TestSet(types.Locator(WORD), WORD, WORD, 1, 2, 3, 4, WORD)
    values = (ref, 5, types.PredictionLeaf(6, 7), path, types.LabelProof(test_set, 8, (WORD, WORD)))
    items = abi.load("AuditorPool").functions["refute"].inputs
    assert values == codec.decode(items, codec.encode(items, values))


def test_roundtrip__nested_struct__is_the_same_value() -> None:
    """Terms with their workload survive encoding and decoding."""
    workload = types.Workload(1, 2, 3, 4, 5, 6)
    terms = types.Terms(WORD, types.Locator(WORD), workload, *range(11), 12)
    items = abi.load("TaskMarket").functions["post"].inputs
    assert (terms, (WORD, WORD)) == codec.decode(items, codec.encode(items, [terms, [WORD, WORD]]))


@pytest.mark.parametrize(
    "data",
    [b"", bytes(31), b"\xff" * 32, bytes(31) + b"\x0d", bytes(31) + b"\x03" + b"\xff" * 64],
    ids=["empty", "short", "enum of all ones", "enum past its end", "a bool of all ones"],
)
def test_decode__malformed__is_undecodable(data: bytes) -> None:
    """Bytes that are not what the ABI says raise one error, whatever is wrong with them."""
    with pytest.raises(codec.Undecodable):
        codec.decode(abi.load("TaskMarket").functions["phaseOf"].outputs, data)


def test_decode__huge_array_length__is_undecodable() -> None:
    """A length of 2^255 allocates nothing."""
    data = (32).to_bytes(32, "big") + (2**255).to_bytes(32, "big")
    with pytest.raises(codec.Undecodable):
        codec.decode(abi.load("MarketLens").functions["rankedTasks"].outputs, data)


CONTRACTS = ("TaskMarket", "MarketRules", "ModelRegistry", "AuditorPool", "PoolRules", "MarketLens")
SHAPES = [
    (f"{name}.{part}", items)
    for name in CONTRACTS
    for contract in [abi.load(name)]
    for part, items in [
        *((event.name, [*event.indexed, *event.plain]) for event in contract.events.values()),
        *((function.name, function.outputs) for function in contract.functions.values()),
    ]
    if items
]
"""Whatever our contracts can tell: the arguments of every event, the answers of every view."""


def _values(item: codec.Item) -> st.SearchStrategy[object]:
    """What eth_abi encodes as this type."""
    kind = str(item["type"])
    if kind.endswith("]"):
        return st.lists(_values({**item, "type": kind[:-2], "internalType": item["internalType"][:-2]}), max_size=3)
    if kind == "tuple":
        return st.tuples(*map(_values, item["components"]))
    if kind == "uint8" and (enum := codec.ENUMS.get(str(item["internalType"]).split(" ")[-1])):
        return st.integers(0, len(enum) - 1)
    if kind.startswith("uint"):
        return st.integers(0, 2 ** int(kind[4:]) - 1)
    simple: dict[str, st.SearchStrategy[object]] = {
        "bool": st.booleans(),
        "address": st.binary(min_size=20, max_size=20).map(lambda value: "0x" + value.hex()),
        "bytes": st.binary(max_size=70),
        "string": st.text(max_size=40),
        "bytes32": st.binary(min_size=32, max_size=32),
    }
    return simple[kind]


def _plain(value: object) -> object:
    """Our value as eth_abi tells it."""
    if is_dataclass(value) and not isinstance(value, type):
        return tuple(_plain(getattr(value, field.name)) for field in fields(value))
    if isinstance(value, tuple):
        return tuple(map(_plain, value))
    if isinstance(value, IntEnum):
        return int(value)
    if isinstance(value, str) and value.startswith("0x") and len(value) == 42:
        assert value == to_checksum_address(value)
        return value.lower()
    return value


@given(st.data())
@settings(max_examples=300, deadline=None)
def test_decode__random_events_and_answers__equals_what_web3_decodes(data: st.DataObject) -> None:
    """Our decoder tells of any valid encoding exactly what eth_abi, the codec of web3, tells."""
    _, items = data.draw(st.sampled_from(SHAPES))
    kinds = [codec.type_of(item) for item in items]
    encoded = eth_abi.encode(kinds, data.draw(st.tuples(*map(_values, items))))
    assert eth_abi.decode(kinds, encoded) == _plain(codec.decode(items, encoded))


@given(st.data())
@settings(max_examples=300, deadline=None)
def test_decode__damaged_bytes__equals_what_web3_decodes_or_is_undecodable(data: st.DataObject) -> None:
    """With bytes changed or cut off, both refuse or both tell the same; enums beyond their end only ours refuses."""
    _, items = data.draw(st.sampled_from(SHAPES))
    kinds = [codec.type_of(item) for item in items]
    damaged = bytearray(eth_abi.encode(kinds, data.draw(st.tuples(*map(_values, items)))))
    for _ in range(data.draw(st.integers(0, 3))):
        damaged[data.draw(st.integers(0, len(damaged) - 1))] = data.draw(st.integers(0, 255))
    damaged = damaged[: data.draw(st.integers(0, len(damaged)))] if data.draw(st.booleans()) else damaged
    try:
        expected = eth_abi.decode(kinds, bytes(damaged))
    except (DecodingError, UnicodeDecodeError, OverflowError):
        with pytest.raises(codec.Undecodable):
            codec.decode(items, bytes(damaged))
        return
    try:
        found = codec.decode(items, bytes(damaged))
    except codec.Undecodable as error:
        assert "an enum is" in str(error), error  # noqa: PT017
        return
    assert expected == _plain(found)


@pytest.mark.parametrize(
    ("camel", "snake"),
    [("taskId", "task_id"), ("hTop", "h_top"), ("minScorePpm", "min_score_ppm"), ("round", "round")],
)
def test_snake__camel_case__is_split(camel: str, snake: str) -> None:
    """Names are translated by one rule."""
    assert snake == codec.snake(camel)


def test_event__wrong_topic_or_count__is_undecodable() -> None:
    """A log of another event, or with topics missing, is not decoded."""
    event = abi.load("TaskMarket").events["TaskCancelled"]
    assert event.decode([event.topic, (7).to_bytes(32, "big")], b"") == {"task_id": 7}
    for topics in ([], [event.topic], [WORD, WORD], [event.topic, WORD, WORD]):
        with pytest.raises(codec.Undecodable):
            event.decode(topics, b"")


@pytest.mark.parametrize(
    ("data", "message", "expected"),
    [
        (b"", "out of gas", "refused without a reason (out of gas)"),
        (b"", "", "no reason given"),
        (bytes.fromhex("08c379a0") + codec.encode([{"type": "string"}], ["paused"]), "", "refused: 'paused'"),
        (bytes.fromhex("4e487b71") + (17).to_bytes(32, "big"), "", "panicked with code 0x11"),
        (bytes.fromhex("08c379a0"), "", "unknown error 0x08c379a0"),
        (bytes.fromhex("deadbeef"), "", "unknown error 0xdeadbeef"),
    ],
    ids=["message only", "nothing", "string", "panic", "malformed string", "unknown"],
)
def test_refusal__not_one_of_our_errors__still_says_something(data: bytes, message: str, expected: str) -> None:
    """Reverts of other contracts, panics and silence become a sentence without a name."""
    error = refusal("advance", data, message)
    assert error.name == ""
    assert expected in str(error)


def test_refusal__custom_error__carries_name_and_arguments() -> None:
    """The decoded error is a sentence for people and a name with arguments for programs."""
    known = next(error for error in abi.load("Errors").errors.items() if error[1].name == "Market_WrongPhase")
    data = known[0] + codec.encode(known[1].inputs, [1, False, 5])
    error = refusal("open", data)
    assert (
        str(error) == "open: this needs the phase Challenge, the task is in Training; wait for Challenge or give it up"
    )
    assert error.arguments == {"given": Phase.TRAINING, "due": False, "expected": Phase.CHALLENGE}
    assert "malformed Market_WrongPhase" in str(refusal("open", known[0] + b"\xff" * 32))


def test_refusal__every_sentence__ends_without_a_traceback() -> None:
    """Each custom error decodes from its own encoding into one line."""
    zero = Address("0x" + "0" * 40)
    samples = {"uint": 3, "bytes32": b"bountyWei".ljust(32, b"\0"), "address": zero, "bool": True}
    for selector, error in abi.load("Errors").errors.items():
        values = [
            next(value for kind, value in samples.items() if item["type"].startswith(kind)) for item in error.inputs
        ]
        told = refusal("call", selector + codec.encode(error.inputs, values))
        assert error.name == told.name
        assert "\n" not in str(told)
        assert len(str(told)) < 300
