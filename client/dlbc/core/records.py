"""The protocol's values as JSON tables and back: what journals keep and `--json` prints. Bytes are 0x-hex."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import fields, is_dataclass
from enum import Enum
from functools import cache
from pathlib import Path
from types import UnionType
from typing import Any, TypeVar, Union, get_args, get_origin, get_type_hints

from dlbc.core.errors import BadInput

Value = TypeVar("Value")


def to_record(value: Any) -> Any:
    """Dataclasses become tables by field name, bytes 0x-hex, enums their name, tuples lists; the rest stays."""
    if is_dataclass(value) and not isinstance(value, type):
        return {field.name: to_record(getattr(value, field.name)) for field in fields(value)}
    if isinstance(value, bytes | bytearray | memoryview):
        return "0x" + bytes(value).hex()
    if isinstance(value, Enum):
        return value.name
    if isinstance(value, Path):
        return str(value)
    if isinstance(value, Mapping):
        return {str(to_record(key)): to_record(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [to_record(item) for item in value]
    return value


def from_record(kind: type[Value], record: object) -> Value:
    """The inverse of to_record for a dataclass of ints, strings, bytes, enums, dataclasses, and tuples, lists, tables
    and options of these. Raises BadInput.
    """
    if not isinstance(record, Mapping):
        raise BadInput(f"{kind.__name__}: expected a table, found {type(record).__name__}")
    hints = _hints(kind)  # type: ignore[arg-type]  # mypy doubts that every class can be hashed
    names = {field.name for field in fields(kind)}  # type: ignore[arg-type]
    if names != set(record):
        raise BadInput(f"{kind.__name__}: expected the entries {sorted(names)}, found {sorted(map(str, record))}")
    return kind(**{name: _value(hints[name], record[name], f"{kind.__name__}.{name}") for name in names})


def hex_bytes(text: object, name: str, length: int | None = None) -> bytes:
    """Bytes from 0x-hex. Raises BadInput."""
    try:
        if isinstance(text, str) and text.startswith("0x"):
            data = bytes.fromhex(text[2:])
            if length is None or len(data) == length:
                return data
    except ValueError:
        pass
    expected = "0x-hex" if length is None else f"0x-hex of {length} bytes"
    raise BadInput(f"{name}: expected {expected}, found {str(text)[:80]!r}")


@cache
def _hints(kind: Any) -> dict[str, Any]:
    return get_type_hints(kind)


def _value(hint: Any, record: object, name: str) -> Any:
    kind = getattr(hint, "__supertype__", hint)  # NewType
    if is_dataclass(kind):
        return from_record(kind, record)  # type: ignore[arg-type]
    if kind is bytes:
        return hex_bytes(record, name)
    if kind is bool and isinstance(record, bool):
        return record
    if kind in (int, str) and isinstance(record, kind) and not isinstance(record, bool):
        return record
    if get_origin(kind) is not None:
        return _compound(kind, record, name)
    if isinstance(kind, type) and issubclass(kind, Enum) and isinstance(record, str) and record in kind.__members__:
        return kind[record]
    raise BadInput(f"{name}: expected {getattr(kind, '__name__', kind)}, found {str(record)[:60]!r}")


def _compound(kind: Any, record: object, name: str) -> Any:
    """Of tuple[X, ...], list[X], dict[K, X] and X | None."""
    origin, parts = get_origin(kind), get_args(kind)
    if origin in (UnionType, Union):
        (some,) = (part for part in parts if part is not type(None))
        return None if record is None else _value(some, record, name)
    if origin in (tuple, list) and isinstance(record, list):
        return origin(_value(parts[0], item, name) for item in record)
    if origin is dict and isinstance(record, Mapping):
        return {_key(parts[0], key, name): _value(parts[1], item, name) for key, item in record.items()}
    raise BadInput(f"{name}: expected {kind}, found {str(record)[:60]!r}")


def _key(hint: Any, text: str, name: str) -> Any:
    """A table's key: JSON has only text there."""
    if getattr(hint, "__supertype__", hint) is not int:
        return _value(hint, text, name)
    try:
        return int(text)
    except ValueError:
        raise BadInput(f"{name}: expected a number, found {text[:60]!r}") from None
