"""What the roles keep on disk, and who works with it."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from dlbc import bootstrap
from dlbc.config import Config
from dlbc.core.types import Address
from dlbc.ports import Journal


def role_folder(config: Config, role: str, address: Address) -> Path:
    """Where a role of this account keeps its journal and files."""
    return config.home / f"{role}-{address}"


def journal(folder: Path, *, read_only: bool = False) -> Journal:
    """The journal in a role's folder. One process at a time may write; raises Refused for the second."""
    from dlbc.adapters.journal.sqlite import SqliteJournal

    return SqliteJournal(folder, read_only=read_only)


@contextmanager
def reading_journal(folder: Path) -> Iterator[Journal | None]:
    """The journal in a role's folder, which another process may be writing; None if there is none."""
    found = bootstrap.journal_if_there(folder)
    try:
        yield found
    finally:
        if found is not None:
            found.close()


def journal_if_there(folder: Path) -> Journal | None:
    """To be read only; None if there is none."""
    from dlbc.core.errors import Refused

    try:
        return bootstrap.journal(folder, read_only=True)
    except Refused:
        return None


def is_at_work(folder: Path) -> bool:
    """A process works with the journal in this folder."""
    from dlbc.adapters.journal.sqlite import is_locked

    return is_locked(folder)
