"""Reading what an HTTP client uploads as it comes: bodies in chunks or of a stated length, and multipart/form-data."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from io import BufferedIOBase
from typing import Protocol

_BLOCK = 1 << 18
_MAX_LINE = 1 << 10
_MAX_PART_HEADERS = 1 << 14
_BOUNDARY = re.compile(r'multipart/form-data;.*\bboundary="?([^";,\s]{1,70})"?', re.IGNORECASE)


class MalformedRequest(Exception):
    """The request is not what HTTP, or Kubo's API, asks for."""


class BodyTooLarge(Exception):
    """The request has more bytes than this node takes."""


class Body(Protocol):
    """A request body."""

    def read(self) -> bytes:
        """The next bytes, at most 256 KiB; b"" at the end."""
        ...


class RequestBody:
    """A body read from a socket's stream, never past its end and never more than `max_bytes`."""

    def __init__(self, stream: BufferedIOBase, headers: dict[str, str], max_bytes: int) -> None:
        """`headers` by lower-case name. Raises MalformedRequest and BodyTooLarge."""
        self._stream = stream
        self._max_bytes = max_bytes
        self._count = 0
        self._chunked = headers.get("transfer-encoding", "").strip().lower() == "chunked"
        self._left = 0
        self._ended = False
        if "transfer-encoding" in headers and (not self._chunked or "content-length" in headers):
            raise MalformedRequest("expected one of Transfer-Encoding: chunked and Content-Length")
        if not self._chunked:
            length = headers.get("content-length", "0").strip()
            if not (length.isascii() and length.isdigit()):
                raise MalformedRequest(f"expected a Content-Length, found {length[:40]!r}")
            self._left = int(length)
            if self._left > max_bytes:
                raise BodyTooLarge

    @property
    def is_read(self) -> bool:
        """Nothing of it is left in the stream."""
        return not self._left and (self._ended or not self._chunked)

    def read(self) -> bytes:
        if self._chunked and not self._left and not self._ended:
            self._left = self._chunk_size()
            if not self._left:
                self._ended = True
                while self._line():  # trailers
                    pass
        if not self._left:
            return b""
        block = self._stream.read(min(self._left, _BLOCK))
        if not block:
            raise MalformedRequest("the request ended before its end")
        self._left -= len(block)
        self._count += len(block)
        if self._count > self._max_bytes:
            raise BodyTooLarge
        if self._chunked and not self._left and self._line():
            raise MalformedRequest("a chunk is longer than it said")
        return block

    def _chunk_size(self) -> int:
        size = self._line().split(b";")[0].strip()
        if not re.fullmatch(rb"[0-9a-fA-F]{1,12}", size):
            raise MalformedRequest("expected the size of a chunk")
        return int(size, 16)

    def _line(self) -> bytes:
        line = self._stream.readline(_MAX_LINE)
        if not line.endswith(b"\n"):
            raise MalformedRequest("the request ended before its end")
        return line.rstrip(b"\r\n")


def boundary_of(content_type: str) -> bytes:
    """Raises MalformedRequest for anything but multipart/form-data with a boundary."""
    found = _BOUNDARY.fullmatch(content_type.strip())
    if found is None:
        raise MalformedRequest(f"expected multipart/form-data with a boundary, found {content_type[:80]!r}")
    return found[1].encode()


@dataclass
class Part:
    """One part: its headers by lower-case name, and its bytes, to be read before the next part."""

    headers: dict[str, str]
    blocks: Iterator[bytes]

    @property
    def file_name(self) -> str:
        found = re.search(r'filename="([^"]*)"', self.headers.get("content-disposition", ""))
        return found[1] if found else ""


class Multipart:
    """The parts of a multipart body, one after the other and in constant memory; what is left unread is skipped."""

    def __init__(self, body: Body, boundary: bytes) -> None:
        self._body = body
        self._mark = b"\r\n--" + boundary
        self._buffer = b"\r\n"  # the first boundary has no line before it

    def __iter__(self) -> Iterator[Part]:
        """Raises MalformedRequest and BodyTooLarge."""
        for _ in self._until_mark():
            pass
        while (end := self._take(2)) != b"--":
            if end != b"\r\n":
                raise MalformedRequest("expected a line end or -- after a boundary")
            part = Part(self._headers(), self._until_mark())
            yield part
            for _ in part.blocks:
                pass
        while self._body.read():  # what follows the last boundary means nothing
            pass

    def _until_mark(self) -> Iterator[bytes]:
        while (position := self._buffer.find(self._mark)) < 0:
            keep = len(self._mark) - 1
            if len(self._buffer) > keep:
                block, self._buffer = self._buffer[:-keep], self._buffer[-keep:]
                yield block
            self._more()
        block, self._buffer = self._buffer[:position], self._buffer[position + len(self._mark) :]
        if block:
            yield block

    def _headers(self) -> dict[str, str]:
        headers: dict[str, str] = {}
        count = 0
        while line := self._line():
            count += len(line)
            if count > _MAX_PART_HEADERS:
                raise MalformedRequest("the headers of a part are too long")
            name, _, value = line.partition(b":")
            headers[name.decode("latin-1").strip().lower()] = value.decode("latin-1").strip()
        return headers

    def _line(self) -> bytes:
        while (position := self._buffer.find(b"\r\n")) < 0:
            if len(self._buffer) > _MAX_PART_HEADERS:
                raise MalformedRequest("the headers of a part are too long")
            self._more()
        line, self._buffer = self._buffer[:position], self._buffer[position + 2 :]
        return line

    def _take(self, count: int) -> bytes:
        while len(self._buffer) < count:
            self._more()
        taken, self._buffer = self._buffer[:count], self._buffer[count:]
        return taken

    def _more(self) -> None:
        block = self._body.read()
        if not block:
            raise MalformedRequest("the multipart body ended before its last boundary")
        self._buffer += block
