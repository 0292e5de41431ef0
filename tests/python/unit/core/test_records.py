"""Values of the protocol as JSON tables and back."""

from __future__ import annotations

import json
from dataclasses import dataclass

import pytest
from dlbc.core.errors import BadInput
from dlbc.core.records import from_record, hex_bytes, to_record
from dlbc.core.types import Address, Hash32, Locator, Phase, TaskId, Terms, TrainingProof, Wei, Workload
from hypothesis import given
from hypothesis import strategies as st

pytestmark = pytest.mark.unit

DIGEST = st.binary(min_size=32, max_size=32)
WORKLOAD = Workload(1, 2, 3, 4, 5, 6)
TERMS = Terms(
    Hash32(bytes(32)), Locator(b"\x01" * 32), WORKLOAD, 1, 2, 3, 4, 5, 6, 7, 8, Wei(2**96 - 1), Wei(10), Wei(11), 500
)


@given(DIGEST, DIGEST, st.integers(0, 2**256 - 1), st.integers(0, 2**16 - 1))
def test_record__any_proof__comes_back_through_json(first: bytes, second: bytes, task_id: int, index: int) -> None:
    """What a journal keeps is exactly what was put in."""
    proof = TrainingProof(
        TaskId(task_id),
        index,
        Address("0x" + "ab" * 20),
        Hash32(first),
        Locator(second),
        Hash32(first),
        Hash32(second),
        Hash32(first),
    )
    assert from_record(TrainingProof, json.loads(json.dumps(to_record(proof)))) == proof


def test_record__nested_values__come_back() -> None:
    """A dataclass inside another."""
    assert from_record(Terms, json.loads(json.dumps(to_record(TERMS)))) == TERMS


@dataclass
class Shelf:
    """Everything that may stand in a record."""

    names: tuple[str, ...]
    hashes: list[Hash32]
    by_hash: dict[Hash32, Workload]
    by_task: dict[TaskId, list[int]]
    parent: Hash32 | None
    load: Workload | None
    phase: Phase


@pytest.mark.parametrize("parent", [None, Hash32(bytes(32))])
def test_record__tables_lists_options_enums__come_back(parent: Hash32 | None) -> None:
    """Keys that are numbers or bytes, too."""
    hashes = [Hash32(bytes(32)), Hash32(b"\x01" * 32)]
    shelf = Shelf(("a", "b"), hashes, dict.fromkeys(hashes, WORKLOAD), {TaskId(3): [1, 2]}, parent, None, Phase.VOID)
    assert from_record(Shelf, json.loads(json.dumps(to_record(shelf)))) == shelf


@pytest.mark.parametrize(
    "change",
    [{"names": "a"}, {"by_hash": []}, {"by_task": {"x": []}}, {"by_hash": {"7": 1}}, {"phase": "NIGHT"}, {"load": 3}],
)
def test_from_record__damaged_tables_and_lists__names_the_entry(change: dict[str, object]) -> None:
    """Each is refused by its name."""
    shelf = Shelf((), [], {}, {}, None, None, Phase.VOID)
    with pytest.raises(BadInput, match=f"{next(iter(change))}|Workload"):
        from_record(Shelf, to_record(shelf) | change)


@pytest.mark.parametrize(
    ("change", "sentence"),
    [
        ({"royalty_bps": "500"}, "Terms.royalty_bps: expected int, found '500'"),
        ({"royalty_bps": True}, "Terms.royalty_bps: expected int, found 'True'"),
        ({"manifest": "0xzz"}, "Terms.manifest: expected 0x-hex, found '0xzz'"),
        ({"manifest": 7}, "Terms.manifest: expected 0x-hex"),
        ({"workload": [1]}, "Workload: expected a table, found list"),
        ({"more": 1}, "Terms: expected the entries"),
    ],
)
def test_from_record__damaged_journal__names_the_entry(change: dict[str, object], sentence: str) -> None:
    """A journal written by something else is refused by name, not half understood."""
    with pytest.raises(BadInput, match=sentence):
        from_record(Terms, to_record(TERMS) | change)


def test_hex_bytes__wrong_length__says_both() -> None:
    """Keys and digests have fixed lengths."""
    assert hex_bytes("0x0102", "x", 2) == b"\x01\x02"
    with pytest.raises(BadInput, match="x: expected 0x-hex of 32 bytes, found '0x0102'"):
        hex_bytes("0x0102", "x", 32)
