"""Uploads are parsed as they come, in any pieces, and never past their end."""

from __future__ import annotations

import io
import random

import pytest
from dlbc.adapters.devnet.multipart import (
    BodyTooLarge,
    MalformedRequest,
    Multipart,
    RequestBody,
    boundary_of,
)
from hypothesis import given
from hypothesis import strategies as st

pytestmark = pytest.mark.unit

BOUNDARY = b"----boundary"


class Pieces:
    """A body that comes in pieces of the given sizes, then all that is left."""

    def __init__(self, data: bytes, sizes: list[int]) -> None:
        self._stream = io.BytesIO(data)
        self._sizes = [size for size in sizes if size]

    def read(self) -> bytes:
        return self._stream.read(self._sizes.pop(0) if self._sizes else -1)


def encode(parts: list[bytes], *, before: bytes = b"", after: bytes = b"\r\n") -> bytes:
    body = before
    for number, part in enumerate(parts):
        body += b'--%b\r\nContent-Disposition: form-data; name="file"; filename="f%d"\r\n' % (BOUNDARY, number)
        body += b"Content-Type: application/octet-stream\r\n\r\n%b\r\n" % part
    return body + b"--" + BOUNDARY + b"--" + after


def parse(body: bytes, sizes: list[int] | None = None) -> list[tuple[str, bytes]]:
    return [(part.file_name, b"".join(part.blocks)) for part in Multipart(Pieces(body, sizes or []), BOUNDARY)]


contents = (
    st.lists(  # whoever sends a form chooses a boundary that none of its parts contains (RFC 2046, 5.1.1)
        st.one_of(
            st.binary(max_size=60),
            st.sampled_from(
                [b"\r\n", b"--", b"\r\n--", b"\r\n------boundar", b"\r\n--" + BOUNDARY[:-1] + b"\r\n", b"-" * 50]
            ),
        ),
        max_size=5,
    )
    .map(b"".join)
    .filter(lambda content: b"\r\n--" + BOUNDARY not in b"\r\n" + content)
)


@given(st.lists(contents, min_size=1, max_size=4), st.lists(st.integers(0, 40), max_size=60))
def test_multipart__any_parts_in_any_pieces__come_out_whole(parts: list[bytes], sizes: list[int]) -> None:
    """Bytes that look like half a boundary are content, wherever the pieces are cut."""
    expected = [(f"f{number}", part) for number, part in enumerate(parts)]

    assert parse(encode(parts), sizes) == expected


def test_multipart__text_before_and_after__is_ignored() -> None:
    """RFC 2046 allows a preamble and an epilogue."""
    assert parse(encode([b"x"], before=b"preamble\r\n", after=b"\r\nepilogue")) == [("f0", b"x")]


def test_multipart__a_part_left_unread__is_skipped() -> None:
    """The next part begins where it should."""
    names = [part.file_name for part in Multipart(Pieces(encode([b"a" * 1000, b"b"]), []), BOUNDARY)]

    assert names == ["f0", "f1"]


def test_multipart__a_large_part__is_held_in_small_blocks() -> None:
    """Memory does not grow with the file."""
    data = random.Random(1).randbytes(3_000_000)
    body = RequestBody(io.BytesIO(encode([data])), {"content-length": str(len(encode([data])))}, 1 << 30)

    for part in Multipart(body, BOUNDARY):
        blocks = list(part.blocks)

    assert b"".join(blocks) == data
    assert max(map(len, blocks)) <= (1 << 18) + 100


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"no boundary at all",
        encode([b"x"])[:-10],
        encode([b"x"]).replace(b"\r\n\r\n", b"\r\n"),
        b"--" + BOUNDARY + b"xx" + b"rest",
        b"--" + BOUNDARY + b"\r\nheader: " + b"x" * 20_000,
        b"--" + BOUNDARY + b"\r\n" + b"a: b\r\n" * 5_000 + b"\r\n",
    ],
)
def test_multipart__malformed__is_refused(body: bytes) -> None:
    """Cut off, without a boundary, without an end of headers, with endless headers."""
    with pytest.raises(MalformedRequest):
        parse(body)


@pytest.mark.parametrize(
    ("content_type", "expected"),
    [
        ('multipart/form-data; boundary="a b"', None),
        ("multipart/form-data; boundary=abc", b"abc"),
        ('Multipart/Form-Data; charset=x; boundary="abc"', b"abc"),
        ("multipart/form-data", None),
        ("text/plain; boundary=abc", None),
        ("", None),
        (f"multipart/form-data; boundary={'x' * 71}", None),
    ],
)
def test_boundary_of__a_content_type__is_the_boundary_or_refused(content_type: str, expected: bytes | None) -> None:
    """Only multipart/form-data, and a boundary of 1 to 70 characters."""
    if expected is None:
        with pytest.raises(MalformedRequest, match="expected multipart/form-data"):
            boundary_of(content_type)
    else:
        assert boundary_of(content_type) == expected


def read_all(body: RequestBody) -> bytes:
    return b"".join(iter(body.read, b""))


def test_body__of_a_stated_length__ends_there() -> None:
    """What follows in the stream belongs to the next request."""
    stream = io.BytesIO(b"helloNEXT")
    body = RequestBody(stream, {"content-length": "5"}, 100)

    assert not body.is_read
    assert read_all(body) == b"hello"
    assert body.is_read
    assert stream.read() == b"NEXT"


def test_body__in_chunks__ends_after_the_trailers() -> None:
    """Extensions and trailers are passed over."""
    stream = io.BytesIO(b"5;x=y\r\nhello\r\n1\r\n!\r\n0\r\nTrailer: x\r\n\r\nNEXT")
    body = RequestBody(stream, {"transfer-encoding": "chunked"}, 100)

    assert read_all(body) == b"hello!"
    assert body.is_read
    assert stream.read() == b"NEXT"


def test_body__none__is_read_at_once() -> None:
    """No Content-Length and no chunks: no body."""
    assert RequestBody(io.BytesIO(b"NEXT"), {}, 100).is_read


@pytest.mark.parametrize(
    ("headers", "data", "error"),
    [
        ({"content-length": "101"}, b"x" * 101, BodyTooLarge),
        ({"content-length": "-1"}, b"", MalformedRequest),
        ({"content-length": "５"}, b"", MalformedRequest),
        ({"content-length": "5, 5"}, b"", MalformedRequest),
        ({"content-length": "5"}, b"hi", MalformedRequest),
        ({"transfer-encoding": "gzip"}, b"", MalformedRequest),
        ({"transfer-encoding": "chunked", "content-length": "5"}, b"", MalformedRequest),
        ({"transfer-encoding": "chunked"}, b"65\r\n" + b"x" * 101, BodyTooLarge),
        ({"transfer-encoding": "chunked"}, b"-5\r\nhello", MalformedRequest),
        ({"transfer-encoding": "chunked"}, b"5\r\nhello!\r\n", MalformedRequest),
        ({"transfer-encoding": "chunked"}, b"5\r\nhel", MalformedRequest),
        ({"transfer-encoding": "chunked"}, b"5\r\nhello\r\n", MalformedRequest),
        ({"transfer-encoding": "chunked"}, b"5" * 2000, MalformedRequest),
    ],
)
def test_body__wrong_or_too_large__is_refused(headers: dict[str, str], data: bytes, error: type[Exception]) -> None:
    """Both framings are bounded, and contradictions (request smuggling) are no requests."""
    with pytest.raises(error):
        read_all(RequestBody(io.BytesIO(data), headers, 100))
