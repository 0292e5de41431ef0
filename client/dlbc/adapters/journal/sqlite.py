"""A role's own memory in one SQLite file: durable before `put` returns, one writer per folder."""

from __future__ import annotations

import fcntl
import json
import os
import sqlite3
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from types import TracebackType
from typing import IO, Any

from dlbc.core.errors import BadInput, Refused

SCHEMA_VERSION = 1
FILE_NAME = "journal.sqlite"
_LOCK_NAME = "journal.lock"
_SCHEMA = """
CREATE TABLE record (
  position INTEGER PRIMARY KEY AUTOINCREMENT,
  kind TEXT NOT NULL,
  key TEXT NOT NULL,
  value TEXT NOT NULL,
  UNIQUE (kind, key)
)
"""


class SqliteJournal:
    """ports.Journal in `folder`/journal.sqlite (WAL, synchronous=FULL, mode 600).

    The chain is the truth: a damaged journal may be deleted, the secrets come back from the wallet. Raises Refused when
    another process has it open for writing, BadInput when the file is damaged or newer than this client.
    """

    def __init__(self, folder: Path, *, read_only: bool = False) -> None:
        self.file = folder / FILE_NAME
        self._lock: IO[str] | None = None
        if read_only:
            if not self.file.is_file():
                raise Refused(f"there is no journal in {folder} yet")
        else:
            folder.mkdir(parents=True, exist_ok=True, mode=0o700)
            self._lock = _lock(folder)
        try:
            with self._translated():
                self._connection = self._connect(read_only=read_only)
        except BaseException:
            self._unlock()
            raise

    def __enter__(self) -> SqliteJournal:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self.close()

    def put(self, kind: str, key: str, record: Mapping[str, Any]) -> None:
        value = json.dumps(dict(record), sort_keys=True, allow_nan=False)
        with self._translated():
            self._connection.execute(
                "INSERT INTO record (kind, key, value) VALUES (?, ?, ?)"
                " ON CONFLICT (kind, key) DO UPDATE SET value = excluded.value",
                (kind, key, value),
            )

    def get(self, kind: str, key: str) -> dict[str, Any] | None:
        with self._translated():
            found = self._connection.execute(
                "SELECT value FROM record WHERE kind = ? AND key = ?", (kind, key)
            ).fetchone()
            return None if found is None else dict(json.loads(found[0]))

    def all(self, kind: str) -> list[tuple[str, dict[str, Any]]]:
        with self._translated():
            rows = self._connection.execute(
                "SELECT key, value FROM record WHERE kind = ? ORDER BY position", (kind,)
            ).fetchall()
            return [(key, dict(json.loads(value))) for key, value in rows]

    def delete(self, kind: str, key: str) -> None:
        with self._translated():
            self._connection.execute("DELETE FROM record WHERE kind = ? AND key = ?", (kind, key))

    def close(self) -> None:
        self._connection.close()
        self._unlock()

    def _connect(self, *, read_only: bool) -> sqlite3.Connection:
        if read_only:
            connection = sqlite3.connect(f"{self.file.absolute().as_uri()}?mode=ro", uri=True, isolation_level=None)
        else:
            os.close(os.open(self.file, os.O_RDWR | os.O_CREAT, 0o600))
            connection = sqlite3.connect(self.file, isolation_level=None)
        try:
            if not read_only:
                connection.execute("PRAGMA journal_mode = WAL")
                connection.execute("PRAGMA synchronous = FULL")
            (verdict,) = connection.execute("PRAGMA quick_check(1)").fetchone()
            if verdict != "ok":
                raise sqlite3.DatabaseError(verdict.splitlines()[-1])
            (version,) = connection.execute("PRAGMA user_version").fetchone()
            if version > SCHEMA_VERSION:
                raise BadInput(
                    f"{self.file} was written by a newer dlbc (schema {version}, known is {SCHEMA_VERSION}): update"
                )
            if version == 0 and not read_only:
                connection.execute("BEGIN IMMEDIATE")
                connection.execute(_SCHEMA)
                connection.execute(f"PRAGMA user_version = {SCHEMA_VERSION}")
                connection.execute("COMMIT")
        except BaseException:
            connection.close()
            raise
        return connection

    @contextmanager
    def _translated(self) -> Iterator[None]:
        try:
            yield
        except sqlite3.OperationalError as error:
            raise Refused(f"the journal {self.file} can't be used: {error}; nothing was recorded") from error
        except (sqlite3.DatabaseError, ValueError) as error:
            if isinstance(error, sqlite3.ProgrammingError):
                raise
            raise BadInput(
                f"the journal {self.file} is damaged ({error}); it may be deleted: the chain knows what happened and"
                " the secrets come back from the wallet"
            ) from error

    def _unlock(self) -> None:
        if self._lock is not None:
            self._lock.close()
            self._lock = None


def is_locked(folder: Path) -> bool:
    """A process has the journal in this folder open for writing."""
    try:
        with (folder / _LOCK_NAME).open("r") as stream:
            fcntl.flock(stream, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except BlockingIOError:
        return True
    except OSError:
        return False
    return False


def _lock(folder: Path) -> IO[str]:
    """The operating system frees the lock when the process ends, however it ends."""
    stream = (folder / _LOCK_NAME).open("a+")
    try:
        fcntl.flock(stream, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError as error:
        stream.seek(0)
        owner = stream.read(20).strip() or "unknown"
        stream.close()
        raise Refused(
            f"another process (id {owner}) already works in {folder}: stop it, or use another home folder (DLBC_HOME)"
        ) from error
    stream.truncate(0)
    stream.write(str(os.getpid()))
    stream.flush()
    return stream
