"""A signed reveal as a file: read back exactly, and refused with a sentence when it is anything else."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest
from dlbc.core import canonical
from dlbc.core.errors import BadInput
from dlbc.core.signed_reveal import MAX_BYTES, MAX_SIGNATURE_BYTES, SignedReveal, from_bytes, to_bytes
from dlbc.core.types import Address, Claim, Hash32, Locator, TaskId, TrainingProof
from hypothesis import given
from hypothesis import strategies as st

pytestmark = pytest.mark.unit

MARKET = Address("0x5FbDB2315678afecb367f032d93F642f64180aa3")
MINER = Address("0xf39Fd6e51aad88F6F4ce6aB8827279cffFb92266")


def hash_of(number: int) -> Hash32:
    return Hash32(bytes([number]) * 32)


REVEAL = SignedReveal(
    chain_id=31337,
    market=MARKET,
    proof=TrainingProof(
        TaskId(3), 1, MINER, hash_of(1), Locator(hash_of(2)), hash_of(3), hash_of(4), parent_model=hash_of(5)
    ),
    salt=hash_of(6),
    claim=Claim(total=17, predictions_root=hash_of(7), predictions=Locator(hash_of(8))),
    h_top=hash_of(9),
    signature=bytes(range(65)),
)


@given(
    st.integers(1, 2**256 - 1),
    st.integers(0, 2**16 - 1),
    st.integers(0, 2**64 - 1),
    st.binary(min_size=1, max_size=MAX_SIGNATURE_BYTES),
)
def test_signed_reveal__written__is_read_back(task: int, index: int, total: int, signature: bytes) -> None:
    """Every number and byte comes back."""
    reveal = replace(
        REVEAL,
        proof=replace(REVEAL.proof, task_id=TaskId(task), round=index),
        claim=replace(REVEAL.claim, total=total),
        signature=signature,
    )
    assert reveal == from_bytes(to_bytes(reveal))


def test_signed_reveal__its_file_name__tells_whose_it_is() -> None:
    """One name for a miner in a round, without anything that could leave a folder."""
    assert f"reveal-31337-{MARKET.lower()}-3-1-{MINER.lower()}.json" == REVEAL.file_name


def changed(change: Callable[[dict[str, Any]], object]) -> bytes:
    value = json.loads(to_bytes(REVEAL))
    change(value)
    return canonical.to_bytes(value)


@pytest.mark.parametrize(
    ("data", "said"),
    [
        (b"", "expected JSON"),
        (b"[]", "expected a JSON table"),
        (b"\xff", "expected UTF-8"),
        (b"[" * 100_000, "expected at most 16384 bytes"),
        (b"[" * 1_000, "nested at most"),
        (b"x" * (MAX_BYTES + 1), "expected at most 16384 bytes"),
        (to_bytes(REVEAL) + b" ", "canonical JSON"),
        (to_bytes(REVEAL)[:-20], "expected JSON"),
        (changed(lambda value: value.update(extra=1)), "found also 'extra'"),
        (changed(lambda value: value.pop("salt")), "expected the entry 'salt'"),
        (changed(lambda value: value.update(dlbc_reveal=2)), "dlbc_reveal: expected a whole number from 1 to 1"),
        (changed(lambda value: value.update(chain_id=0)), "chain_id: expected"),
        (changed(lambda value: value.update(chain_id="31337")), "chain_id: expected a whole number"),
        (changed(lambda value: value.update(market="../../etc/passwd")), "market: expected an address"),
        (changed(lambda value: value.update(salt="0x11")), "salt: expected 0x and the lower-case hex digits of 32"),
        (changed(lambda value: value.update(salt="0x" + "AA" * 32)), "salt: expected 0x and the lower-case"),
        (changed(lambda value: value.update(signature="0x")), "signature: expected 0x .* of 1 to 4096 bytes"),
        (changed(lambda value: value.update(proof=[])), "proof: expected a table"),
        (changed(lambda value: value["proof"].update(round=2**16)), "round: expected a whole number"),
        (changed(lambda value: value["proof"].update(miner="0x00")), "miner: expected an address"),
        (changed(lambda value: value["claim"].update(total=2**64)), "total: expected a whole number"),
        (changed(lambda value: value["claim"].pop("predictions")), "expected the entry 'predictions'"),
    ],
)
def test_signed_reveal__anything_else__is_one_sentence(data: bytes, said: str) -> None:
    """Strangers may write to the folder."""
    with pytest.raises(BadInput, match=said) as caught:
        from_bytes(data)
    assert "\n" not in str(caught.value)
    assert len(str(caught.value)) < 400


@given(st.binary(max_size=300))
def test_signed_reveal__random_bytes__are_bad_input(data: bytes) -> None:
    """Nothing but our own error comes out."""
    with pytest.raises(BadInput):
        from_bytes(data)
