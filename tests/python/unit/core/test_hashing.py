"""Hashes agree with independent implementations and refuse what Solidity's ABI could not encode."""

from __future__ import annotations

import hashlib

import pytest
from dlbc.core.errors import BadInput
from dlbc.core.hashing import address_bytes, h, keccak, sha256, words
from eth_abi.abi import encode
from eth_utils.crypto import keccak as eth_keccak
from hypothesis import given
from hypothesis import strategies as st

pytestmark = pytest.mark.unit

ADDRESSES = st.binary(min_size=20, max_size=20).map(lambda raw: "0x" + raw.hex())
UINTS = st.integers(min_value=0, max_value=2**256 - 1)
HASHES = st.binary(min_size=32, max_size=32)


@given(data=st.binary(max_size=400))
def test_keccak__any_bytes__agrees_with_eth_utils(data: bytes) -> None:
    """keccak256 is the one that Ethereum's own library computes."""
    assert eth_keccak(data) == keccak(data)


def test_keccak__memoryview__hashes_its_bytes() -> None:
    """Views are hashed without a copy."""
    assert keccak(b"abc") == keccak(memoryview(b"abc")) == keccak(bytearray(b"abc"))


def test_sha256__bytes__agrees_with_hashlib() -> None:
    """sha256 is plain SHA-256, so `sha256sum` checks it."""
    assert hashlib.sha256(b"model").digest() == sha256(b"model")


@given(number=UINTS, digest=HASHES, address=ADDRESSES, flag=st.booleans())
def test_words__static_values__agree_with_abi_encode(number: int, digest: bytes, address: str, flag: bool) -> None:
    """Words are abi.encode of static values, in order."""
    expected = encode(["uint256", "bytes32", "address", "bool"], [number, digest, address, flag])

    assert expected == words(number, digest, address, flag)
    assert eth_keccak(expected) == h(number, digest, address, flag)


@pytest.mark.parametrize("item", [-1, 2**256, 10**400, b"", bytes(31), bytes(33), "", "0x12", "0x" + "g" * 40])
def test_words__not_one_word__refused(item: int | bytes | str) -> None:
    """A value that is no single word is refused in one sentence and never padded or cut."""
    with pytest.raises(BadInput, match="expected") as caught:
        words(item)
    assert len(str(caught.value)) < 200


@pytest.mark.parametrize("text", ["0x" + "ab" * 19 + " 1", "ab" * 20 + "00", "0x" + "ab" * 20 + "\n"])
def test_address_bytes__lookalikes__refused(text: str) -> None:
    """Spaces, a missing 0x and a trailing newline are no address."""
    with pytest.raises(BadInput, match="address"):
        address_bytes(text)
