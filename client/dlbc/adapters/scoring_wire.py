"""How an auditor and its scoring process talk over a pair of pipes: one JSON message, then raw numbers of a known size.

Both sides read no more than they expect, and nothing in a message is code.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from typing import Any, BinaryIO

MAX_MESSAGE = 2**22
_LENGTH = 4

Piece = bytes | bytearray | memoryview


class Broken(Exception):
    """The other side is gone, or says what it must not say."""


def send(stream: BinaryIO, message: Mapping[str, Any], pieces: Iterable[Piece] = ()) -> None:
    """A message, and what it announces. Raises Broken."""
    text = json.dumps(message).encode()
    try:
        stream.write(len(text).to_bytes(_LENGTH, "little") + text)
        for piece in pieces:
            stream.write(piece)
        stream.flush()
    except (OSError, ValueError) as error:  # ValueError: it was closed here
        raise Broken("the pipe is closed") from error


def receive(stream: BinaryIO) -> dict[str, Any]:
    """The next message. Raises Broken, also at the end of the stream."""
    length = int.from_bytes(take(stream, _LENGTH), "little")
    if length > MAX_MESSAGE:
        raise Broken(f"a message of {length} bytes")
    try:
        message = json.loads(take(stream, length))
    except (ValueError, RecursionError) as error:
        raise Broken("a message that is not JSON") from error
    if not isinstance(message, dict):
        raise Broken("a message that is no table")
    return message


def take(stream: BinaryIO, size: int) -> bytearray:
    """Exactly so many bytes. Raises Broken if there are fewer."""
    taken = bytearray(size)
    fill(stream, memoryview(taken))
    return taken


def fill(stream: BinaryIO, place: memoryview) -> None:
    """Reads exactly as much as there is room for. Raises Broken if there is less."""
    done = 0
    while done < len(place):
        try:
            count = stream.readinto(place[done:])  # type: ignore[attr-defined]
        except (OSError, ValueError) as error:
            raise Broken("the pipe is closed") from error
        if not count:
            raise Broken("the pipe ended early")
        done += count
