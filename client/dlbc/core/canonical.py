"""Canonical JSON: one byte string per value, so that its sha256 and locator name the value.

UTF-8, keys sorted, no spaces, no escapes beyond what JSON demands; whole numbers, strings, lists and tables only.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from typing import Any, NoReturn

from dlbc.core.errors import BadInput

MAX_DEPTH = 8
MAX_INT = 2**256 - 1
# A string ends at its quote or, if it is never closed, at the end of the data: so one pass is linear in any case.
_STRING_OR_BRACKET = re.compile(rb'"(?:[^"\\]|\\.)*+(?:"|\\?\Z)|[\[\]{}]', re.DOTALL)
_HEX64 = re.compile(r"[0-9a-f]{64}")


def to_bytes(value: Mapping[str, Any]) -> bytes:
    """The canonical bytes of a table of ints, strings, lists and tables."""
    text = json.dumps(value, sort_keys=True, separators=(",", ":"), ensure_ascii=False, allow_nan=False)
    return text.encode("utf-8")


def from_bytes(data: bytes, *, what: str, max_bytes: int) -> dict[str, Any]:
    """Parses bytes from strangers. Raises BadInput unless they are the canonical form of a table."""
    if len(data) > max_bytes:
        raise BadInput(f"{what}: expected at most {max_bytes} bytes, found {len(data)}")
    check_depth(data, what=what)
    try:
        value = json.loads(
            data.decode("utf-8"),
            object_pairs_hook=lambda pairs: _table(pairs, what),
            parse_int=lambda digits: _whole(digits, what),
            parse_float=lambda digits: _refuse(what, f"the fraction {digits[:40]}"),
            parse_constant=lambda name: _refuse(what, name),
        )
    except UnicodeDecodeError as error:
        raise BadInput(f"{what}: expected UTF-8, found other bytes at offset {error.start}") from error
    except json.JSONDecodeError as error:
        raise BadInput(f"{what}: expected JSON, found an error at offset {error.pos}: {error.msg}") from error
    if not isinstance(value, dict):
        raise BadInput(f"{what}: expected a JSON table, found a {type(value).__name__}")
    _check_values(value, what)
    try:
        canonical = to_bytes(value)
    except UnicodeEncodeError as error:
        raise BadInput(f"{what}: expected text, found half a surrogate pair") from error
    if canonical != data:
        raise BadInput(f"{what}: expected canonical JSON (sorted keys, no spaces), found another form of it")
    return value


def check_depth(data: bytes, *, what: str) -> None:
    """Bounds the nesting of JSON before it is parsed. Raises BadInput.

    The parser recurses. Libraries that we import raise Python's own recursion limit so far that deep enough bytes
    would take the whole process down, instead of raising RecursionError.
    """
    depth = 0
    for token in _STRING_OR_BRACKET.finditer(data):
        if token[0] in (b"[", b"{"):
            depth += 1
            if depth > MAX_DEPTH:
                raise BadInput(f"{what}: expected lists and tables nested at most {MAX_DEPTH} deep, found more")
        elif token[0] in (b"]", b"}"):
            depth -= 1


def table(value: object, keys: set[str], *, what: str) -> dict[str, Any]:
    """The value as a table with exactly these keys. Raises BadInput."""
    if not isinstance(value, dict):
        raise BadInput(f"{what}: expected a table, found a {type(value).__name__}")
    for key in sorted(value.keys() - keys):
        raise BadInput(f"{what}: expected the entries {', '.join(sorted(keys))}; found also {key[:40]!r}")
    for key in sorted(keys - value.keys()):
        raise BadInput(f"{what}: expected the entry {key!r}, found none")
    return value


def whole(value: object, least: int, most: int, *, what: str) -> int:
    """The value as a whole number from least to most. Raises BadInput."""
    if isinstance(value, bool) or not isinstance(value, int) or not least <= value <= most:
        raise BadInput(f"{what}: expected a whole number from {least} to {most}, found {str(value)[:40]!r}")
    return value


def digest(value: object, *, what: str) -> bytes:
    """The value as 32 bytes from 64 lower-case hex digits without 0x. Raises BadInput."""
    if not isinstance(value, str) or not _HEX64.fullmatch(value):
        raise BadInput(f"{what}: expected 64 lower-case hex digits, found {str(value)[:80]!r}")
    return bytes.fromhex(value)


def items(value: object, least: int, most: int, *, what: str) -> list[Any]:
    """The value as a list of least to most entries. Raises BadInput."""
    if not isinstance(value, list):
        raise BadInput(f"{what}: expected a list, found a {type(value).__name__}")
    if not least <= len(value) <= most:
        raise BadInput(f"{what}: expected {least} to {most} entries, found {len(value)}")
    return value


def _check_values(value: object, what: str) -> None:
    if isinstance(value, dict | list):
        for item in value.values() if isinstance(value, dict) else value:
            _check_values(item, what)
    elif isinstance(value, bool) or value is None:
        _refuse(what, str(value))


def _table(pairs: list[tuple[str, Any]], what: str) -> dict[str, Any]:
    value = dict(pairs)
    if len(value) != len(pairs):
        raise BadInput(f"{what}: expected each entry once, found one twice")
    return value


def _whole(digits: str, what: str) -> int:
    if len(digits) > 78:
        raise BadInput(f"{what}: expected whole numbers below 2^256, found one of {len(digits)} digits")
    value = int(digits)
    if not 0 <= value <= MAX_INT:
        raise BadInput(f"{what}: expected whole numbers from 0 to 2^256 - 1, found {digits}")
    return value


def _refuse(what: str, found: str) -> NoReturn:
    raise BadInput(f"{what}: expected whole numbers, texts, lists and tables only, found {found}")
