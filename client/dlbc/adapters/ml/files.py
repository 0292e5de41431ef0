"""Files that are either whole or absent: written beside their place, flushed, then renamed."""

from __future__ import annotations

import json
import os
import re
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from dlbc.core.errors import DlbcError

OS_ERROR = re.compile(r"\(os error (\d{1,4})\)")
"""How a library written in Rust tells what the system refused."""


@contextmanager
def replacing(path: Path) -> Iterator[Path]:
    """Yields a path to write to; on success that file takes the place of `path`, on failure nothing is left.

    Raises OSError for what the system refused (a full disk), whatever the writer made of it.
    """
    draft = path.with_name(f".{path.name}.{os.getpid()}.draft")
    try:
        yield draft
        with draft.open("rb") as written:
            os.fsync(written.fileno())
        draft.replace(path)
    except Exception as error:
        refused = OS_ERROR.search(str(error))
        if refused is None:
            raise
        raise OSError(int(refused[1]), os.strerror(int(refused[1]))) from error
    finally:
        draft.unlink(missing_ok=True)


def write_json(path: Path, value: Mapping[str, Any]) -> None:
    """Writes one JSON object by rename."""
    with replacing(path) as draft:
        draft.write_text(json.dumps(value, sort_keys=True))


def read_json(path: Path) -> dict[str, Any] | None:
    """The JSON object in a file of our own; None if there is none (yet)."""
    try:
        value = json.loads(path.read_bytes())
    except (FileNotFoundError, ValueError):
        return None
    return value if isinstance(value, dict) else None


def read_limited(path: Path, max_bytes: int, what: str, refuse: type[DlbcError]) -> bytes:
    """The bytes of a regular file of at most `max_bytes`; never reads more. Raises `refuse`."""
    try:
        if not path.is_file():
            raise refuse(f"{what}: expected a file at {path}, found none")
        with path.open("rb") as file:
            data = file.read(min(os.fstat(file.fileno()).st_size, max_bytes) + 1)
    except OSError as error:
        raise refuse(f"{what}: {path} can't be read ({error.strerror})") from error
    if len(data) > max_bytes:
        raise refuse(f"{what}: expected at most {max_bytes} bytes, found more")
    return data
