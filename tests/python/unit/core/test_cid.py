"""Locators agree with what a real IPFS node answered for the same bytes."""

from __future__ import annotations

import hashlib

import pytest
from dlbc.core import cid as cid_module
from dlbc.core.cid import CHUNK_BYTES, MAX_LINKS, LocatorHasher, from_cid, locator_of, to_cid
from dlbc.core.errors import BadInput
from dlbc.core.types import Locator
from hypothesis import given
from hypothesis import strategies as st

pytestmark = pytest.mark.unit


def zeros(size: int) -> Locator:
    """The locator of `size` zero bytes, streamed."""
    hasher = LocatorHasher()
    whole, rest = divmod(size, 1 << 20)
    for _ in range(whole):
        hasher.update(bytes(1 << 20))
    hasher.update(bytes(rest))
    return hasher.digest()


@pytest.mark.parametrize(
    ("data", "cid"),
    [
        (b"", "QmbFMke1KXqnYyBBWxB74N4c5SBnJMVAiMNRcGu6x1AwQH"),
        (b"hello world\n", "QmT78zSuBmuS4z925WZfrqQ1qHaJ56DQaTfyMUF7F8ff5o"),
        (b"hello world", "Qmf412jQZiuVUtdgnB36FXFX7xg5V6KEbSJ4dpQuhkLyfD"),
    ],
)
def test_locator_of__well_known_file__has_its_well_known_cid(data: bytes, cid: str) -> None:
    """Small files get the CIDs that every IPFS user knows."""
    assert cid == to_cid(locator_of(data))


KUBO_ZEROS = {
    1: "QmS9JArPwa55ePgDnyg6TzX24mYTS1b1vLqWNebyVotKxQ",
    CHUNK_BYTES - 1: "QmbNDspMkzkMFKyS3eCJGedG7GWRQHSCzJCZLjxP7wyVAx",
    CHUNK_BYTES: "QmRk1rduJvo5DfEYAaLobS2za9tDszk35hzaNSDCJ74DA7",
    CHUNK_BYTES + 1: "QmbVuw4C4vcmVKqxoWtgDVobvcHrSn51qsmQmyxjk4sB2Q",
    2 * CHUNK_BYTES: "QmeBAFpC3fbNhVMsExM8uS23gKmiaPQJbNu5rFEKDGdhcW",
    MAX_LINKS * CHUNK_BYTES - 1: "QmeVKjzcHc8LoGzwT1ExSWxPws8xr7d7QPumhGQRjyx6pP",
    MAX_LINKS * CHUNK_BYTES: "QmY4HSz1oVGdUzb8poVYPLsoqBZjH6LZrtgnme9wWn2Qko",
    MAX_LINKS * CHUNK_BYTES + 1: "QmehMASWcBsX7VcEQqs6rpR5AHoBfKyBVEgmkJHjpPg8jq",
    2 * MAX_LINKS * CHUNK_BYTES + 1: "QmRo9gREz4Bs1i9V41rKfcxAcWKwCpovYv9rF4Ew6SBfii",
}


@pytest.mark.parametrize(("size", "cid"), KUBO_ZEROS.items())
def test_locator_hasher__zeros__has_the_cid_kubo_gave(size: int, cid: str) -> None:
    """Around one chunk, 174 chunks and above, the tree is the one that Kubo built (recorded)."""
    assert cid == to_cid(zeros(size))


@given(
    size=st.sampled_from([0, 1, 100, CHUNK_BYTES - 1, CHUNK_BYTES, CHUNK_BYTES + 1, 2 * CHUNK_BYTES + 5]),
    cuts=st.lists(st.integers(0, 3 * CHUNK_BYTES), max_size=6),
)
def test_locator_hasher__any_split__same_locator(size: int, cuts: list[int]) -> None:
    """How the bytes arrive does not matter."""
    data = hashlib.shake_256(b"seed").digest(size)
    hasher = LocatorHasher()
    ends = sorted(min(cut, size) for cut in cuts)
    for start, end in zip([0, *ends], [*ends, size], strict=True):
        hasher.update(data[start:end])

    assert locator_of(data) == hasher.digest()


def test_locator_hasher__digest_in_between__changes_nothing() -> None:
    """A digest may be taken at any time; appending goes on."""
    hasher = LocatorHasher()
    for _ in range(3):
        hasher.update(bytes(CHUNK_BYTES - 1))
        hasher.digest()

    assert locator_of(bytes(3 * CHUNK_BYTES - 3)) == hasher.digest()
    assert hasher.digest() == hasher.digest()


@pytest.mark.parametrize("chunks", [1, 2, 3, 4, 8, 9, 10, 26, 27, 28, 80, 81, 82, 100])
def test_locator_hasher__deep_tree__is_the_balanced_one(chunks: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """With few links a node, trees of up to five levels are those that grouping level by level gives."""
    monkeypatch.setattr(cid_module, "MAX_LINKS", 3)
    hasher = LocatorHasher()
    for index in range(chunks):
        hasher.update(bytes([index]) * CHUNK_BYTES)

    level = [cid_module._leaf(bytes([index]) * CHUNK_BYTES) for index in range(chunks)]
    while len(level) > 1:
        level = [cid_module._parent(level[start : start + 3]) for start in range(0, len(level), 3)]

    assert level[0].digest == hasher.digest()


def test_locator_hasher__big_file__memory_stays_small() -> None:
    """What is held is one chunk and at most 174 links a level, however long the file."""
    hasher = LocatorHasher()
    piece = bytes(CHUNK_BYTES)
    for _ in range(3 * MAX_LINKS + 2):
        hasher.update(piece)

    assert [len(level) for level in hasher._levels] == [2, 3]
    assert len(hasher._chunk) == 0


@given(digest=st.binary(min_size=32, max_size=32))
def test_to_cid__any_locator__comes_back(digest: bytes) -> None:
    """CIDs and locators name the same thing."""
    cid = to_cid(Locator(digest))

    assert len(cid) == 46
    assert cid.startswith("Qm")
    assert digest == from_cid(cid)


@pytest.mark.parametrize(
    "text",
    [
        "",
        "Qm",
        "bafybeigdyrzt5sfp7udm7hu76uh7y26nf3efuylqabf3oclgtqy55fbzdi",  # CIDv1
        "QmbFMke1KXqnYyBBWxB74N4c5SBnJMVAiMNRcGu6x1AwQ",  # one short
        "QmbFMke1KXqnYyBBWxB74N4c5SBnJMVAiMNRcGu6x1AwQHH",  # one long
        "QmbFMke1KXqnYyBBWxB74N4c5SBnJMVAiMNRcGu6x1AwQ0",  # 0 is no base58 digit
        "QmbFMke1KXqnYyBBWxB74N4c5SBnJMVAiMNRcGu6x1AwQ\n",
        "Qzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzz",  # another hash function
        "1" * 46,
        "z" * 46,
        "Qm" * 500,
    ],
)
def test_from_cid__anything_else__refused(text: str) -> None:
    """Only a CIDv0 is a locator; the sentence is short whatever came."""
    with pytest.raises(BadInput, match="expected a CIDv0") as caught:
        from_cid(text)
    assert len(str(caught.value)) < 200


@pytest.mark.parametrize("size", [0, 31, 33])
def test_to_cid__not_32_bytes__refused(size: int) -> None:
    """A locator has 32 bytes."""
    with pytest.raises(BadInput, match="32 bytes"):
        to_cid(Locator(bytes(size)))
