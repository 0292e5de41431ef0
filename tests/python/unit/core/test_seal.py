"""Sealing gives back exactly what went in, and refuses everything that was changed on the way."""

from __future__ import annotations

import random
from collections.abc import Callable, Iterator
from dataclasses import replace
from typing import Any

import pytest
from dlbc.core import canonical
from dlbc.core.errors import BadInput, DlbcError, VerificationFailed
from dlbc.core.seal import (
    CHUNK_BYTES,
    PART_BYTES,
    PartList,
    SealedPart,
    part_count,
    part_list_from_bytes,
    part_list_max_bytes,
    part_list_to_bytes,
    seal,
    sealed_size,
    unseal,
)
from dlbc.core.types import Hash32, Locator
from hypothesis import given
from hypothesis import strategies as st

pytestmark = pytest.mark.unit

KEY = bytes(range(32))
OVERHEAD = 17
HEADER = 24
SEALED_CHUNK = CHUNK_BYTES + OVERHEAD
SIZES = [0, 1, 1000, CHUNK_BYTES - 1, CHUNK_BYTES, CHUNK_BYTES + 1, 3 * CHUNK_BYTES]


def data_of(size: int) -> bytes:
    """Repeatable bytes that do not compress into a pattern."""
    return random.Random(size).randbytes(size)


def pieces(data: bytes, size: int) -> Iterator[bytes]:
    """The data in pieces of `size`."""
    for start in range(0, len(data), size):
        yield data[start : start + size]


def listed(plain_bytes: int) -> PartList:
    """A part list with the sizes that sealing gives."""
    sizes = [PART_BYTES] * (part_count(plain_bytes) - 1)
    sizes.append(sealed_size(plain_bytes) - sum(sizes))
    parts = tuple(
        SealedPart(Locator(bytes([index]) * 32), Hash32(bytes([index + 100]) * 32), size)
        for index, size in enumerate(sizes)
    )
    return PartList(plain_bytes, sealed_size(plain_bytes), parts)


# ---------------------------------------------------------------- seal and unseal


@given(size=st.sampled_from(SIZES), cut=st.sampled_from([997, 65_536, CHUNK_BYTES, 5 * CHUNK_BYTES]))
def test_seal__any_size_in_any_pieces__comes_back(size: int, cut: int) -> None:
    """How the plaintext arrives and how the ciphertext is cut again does not matter."""
    data = data_of(size)

    sealed = b"".join(seal(pieces(data, cut), KEY))

    assert sealed_size(size) == len(sealed)
    assert data == b"".join(unseal(pieces(sealed, cut + 1), KEY))


@pytest.mark.parametrize("plain", [PART_BYTES - 1000, PART_BYTES, 2 * PART_BYTES + 5])
def test_seal__large__parts_are_full_but_the_last(plain: int) -> None:
    """Parts are PART_BYTES each, the last what remains, as the part list says."""
    data = bytes(plain)

    parts = list(seal(pieces(data, 3_000_000), KEY))

    assert [part.size_bytes for part in listed(plain).parts] == [len(part) for part in parts]
    assert plain == sum(len(chunk) for chunk in unseal(parts, KEY))


def test_seal__twice__differs() -> None:
    """Each run has its own nonce."""
    assert b"".join(seal([b"model"], KEY)) != b"".join(seal([b"model"], KEY))


def test_seal_and_unseal__long_stream__pull_lazily() -> None:
    """Neither side reads far ahead, so memory stays bounded however long the file is."""
    pulled = 0

    def endless() -> Iterator[bytes]:
        nonlocal pulled
        while True:
            pulled += 1
            yield bytes(CHUNK_BYTES)

    first = next(unseal(seal(endless(), KEY), KEY))

    assert bytes(CHUNK_BYTES) == first
    assert pulled <= 2 * PART_BYTES // CHUNK_BYTES


@pytest.mark.parametrize("key", [b"", bytes(31), bytes(33)])
def test_seal__key_of_another_length__refused_at_once(key: bytes) -> None:
    """A wrong key length is refused by the call itself, not when the iterator is first used."""
    with pytest.raises(BadInput, match="32 bytes"):
        seal([b""], key)
    with pytest.raises(BadInput, match="32 bytes"):
        unseal([b""], key)


def test_unseal__another_key__refused() -> None:
    """Only the sealing key opens it."""
    sealed = list(seal([b"model"], KEY))

    with pytest.raises(VerificationFailed, match="sealed bytes"):
        list(unseal(sealed, bytes(32)))


@given(position=st.integers(0, HEADER + 2 * OVERHEAD + CHUNK_BYTES + 99), bit=st.integers(0, 7))
def test_unseal__one_bit_flipped__refused(position: int, bit: int) -> None:
    """Every bit of header, tags and ciphertext is authenticated."""
    sealed = bytearray(b"".join(seal([data_of(CHUNK_BYTES + 100)], KEY)))
    sealed[position] ^= 1 << bit

    with pytest.raises(VerificationFailed):
        list(unseal([bytes(sealed)], KEY))


@given(kept=st.integers(0, HEADER + 3 * SEALED_CHUNK - 1))
def test_unseal__cut_anywhere__refused(kept: int) -> None:
    """A truncated file is noticed, at chunk borders too."""
    sealed = b"".join(seal([bytes(3 * CHUNK_BYTES)], KEY))

    with pytest.raises(VerificationFailed):
        list(unseal([sealed[:kept]], KEY))


def chunks_of(sealed: bytes) -> list[bytes]:
    """Header and sealed chunks."""
    return [sealed[:HEADER], *pieces(sealed[HEADER:], SEALED_CHUNK)]


@pytest.mark.parametrize(
    "change",
    [
        pytest.param(lambda c: [c[0], c[2], c[1], c[3]], id="reordered"),
        pytest.param(lambda c: [c[0], c[1], c[1], c[2], c[3]], id="repeated"),
        pytest.param(lambda c: [c[0], c[1], c[3]], id="left out"),
        pytest.param(lambda c: [c[0], c[3], c[1], c[2]], id="last first"),
        pytest.param(lambda c: c[:3], id="last left out, at a chunk border"),
        pytest.param(lambda c: [*c, b"\0"], id="one byte more"),
        pytest.param(lambda c: [*c, c[3]], id="last twice"),
        pytest.param(lambda c: c + c, id="whole file twice"),
        pytest.param(lambda c: [c[0], c[1], c[2][:-1], c[3]], id="one byte lost inside"),
        pytest.param(lambda c: c[1:], id="no header"),
        pytest.param(lambda c: c[:1], id="only the header"),
        pytest.param(lambda c: [], id="nothing"),
    ],
)
def test_unseal__stream_rearranged__refused(change: Callable[[list[bytes]], list[bytes]]) -> None:
    """Order, number and ends of the chunks are authenticated."""
    sealed = b"".join(seal([data_of(2 * CHUNK_BYTES + 7)], KEY))

    with pytest.raises(VerificationFailed):
        list(unseal(change(chunks_of(sealed)), KEY))


def test_unseal__chunks_of_another_seal__refused() -> None:
    """Chunks of two files under one key can't be mixed."""
    one = chunks_of(b"".join(seal([bytes(2 * CHUNK_BYTES)], KEY)))
    other = chunks_of(b"".join(seal([bytes(2 * CHUNK_BYTES)], KEY)))

    with pytest.raises(VerificationFailed):
        list(unseal([one[0], one[1], other[2]], KEY))


def test_unseal__empty_last_chunk__refused() -> None:
    """A key holder can't pad a file: one plaintext has one sealed size."""
    from nacl import bindings

    state = bindings.crypto_secretstream_xchacha20poly1305_state()
    stream = [bindings.crypto_secretstream_xchacha20poly1305_init_push(state, KEY)]
    stream.append(bindings.crypto_secretstream_xchacha20poly1305_push(state, bytes(CHUNK_BYTES), tag=0))
    stream.append(bindings.crypto_secretstream_xchacha20poly1305_push(state, b"", tag=3))

    with pytest.raises(VerificationFailed):
        list(unseal(stream, KEY))


# ---------------------------------------------------------------- part list


@pytest.mark.parametrize("plain", [0, 1, CHUNK_BYTES, PART_BYTES, 3 * PART_BYTES + 1])
def test_part_list__as_sealed__comes_back(plain: int) -> None:
    """The list survives its bytes, and its size is within the announced bound."""
    data = part_list_to_bytes(listed(plain))

    assert listed(plain) == part_list_from_bytes(data, plain)
    assert len(data) <= part_list_max_bytes(plain)


def test_part_list__largest_numbers__within_the_announced_bound() -> None:
    """The download cap never refuses an honest list."""
    plain = 1 << 40
    entry = len(b'{"bytes":16777216,"locator":"","sha256":""},') + 128
    head = len(b'{"dlbc_parts":1,"parts":[],"plain_bytes":,"sealed_bytes":}') + 2 * len(str(2 * plain))

    assert head + entry * part_count(plain) <= part_list_max_bytes(plain)


def test_part_list__larger_than_the_limit__refused_before_any_fetch() -> None:
    """The declared size is checked against the task's limit first."""
    with pytest.raises(VerificationFailed, match="at most 1000 bytes, found 1001"):
        part_list_from_bytes(part_list_to_bytes(listed(1001)), 1000)


def changed(**values: Any) -> bytes:
    """The JSON of a two-part list with some entries replaced."""
    value = canonical.from_bytes(part_list_to_bytes(listed(PART_BYTES)), what="list", max_bytes=10_000)
    return canonical.to_bytes({**value, **values})


PART = {"bytes": 5, "locator": "ab" * 32, "sha256": "cd" * 32}


@pytest.mark.parametrize(
    "data",
    [
        pytest.param(b"", id="empty"),
        pytest.param(b"\xff\xfe", id="not text"),
        pytest.param(b"[]", id="no table"),
        pytest.param(b"{}", id="nothing in it"),
        pytest.param(b" " + part_list_to_bytes(listed(5)), id="a space before"),
        pytest.param(part_list_to_bytes(listed(5)) + b"\n", id="a newline after"),
        pytest.param(b"[" * 3000, id="deep"),
        pytest.param(changed(dlbc_parts=2), id="version"),
        pytest.param(changed(more=1), id="unknown entry"),
        pytest.param(changed(plain_bytes=PART_BYTES - 1), id="plain bytes do not fit"),
        pytest.param(changed(plain_bytes=-1), id="negative"),
        pytest.param(changed(plain_bytes="5"), id="text for a number"),
        pytest.param(changed(sealed_bytes=sealed_size(PART_BYTES) + 1), id="sealed bytes do not fit"),
        pytest.param(changed(sealed_bytes=[]), id="list for a number"),
        pytest.param(changed(parts=[]), id="no parts"),
        pytest.param(changed(parts={}), id="parts no list"),
        pytest.param(changed(parts=[PART]), id="one part of two"),
        pytest.param(changed(parts=[PART] * 2), id="part sizes"),
        pytest.param(changed(parts=[PART] * 3), id="three parts of two"),
        pytest.param(changed(parts=[1, 2]), id="parts are numbers"),
        pytest.param(changed(parts=[{**PART, "locator": "AB" * 32}] * 2), id="upper-case hex"),
        pytest.param(changed(parts=[{**PART, "sha256": "ab"}] * 2), id="short hash"),
        pytest.param(changed(parts=[{**PART, "bytes": PART_BYTES + 1}] * 2), id="part too large"),
        pytest.param(changed(parts=[{**PART, "url": "http://x"}] * 2), id="unknown entry in a part"),
    ],
)
def test_part_list_from_bytes__hostile__one_sentence(data: bytes) -> None:
    """Whatever a stranger serves as a part list is refused in one short sentence."""
    with pytest.raises(DlbcError, match=r"part list: .*expected") as caught:
        part_list_from_bytes(data, 2 * PART_BYTES)
    assert isinstance(caught.value, BadInput | VerificationFailed)
    assert len(str(caught.value)) < 250


def test_part_list_from_bytes__parts_swapped_sizes__refused() -> None:
    """Only the last part may be short."""
    whole = listed(PART_BYTES)
    swapped = replace(whole, parts=whole.parts[::-1])

    with pytest.raises(VerificationFailed, match="part 0"):
        part_list_from_bytes(part_list_to_bytes(swapped), PART_BYTES)
