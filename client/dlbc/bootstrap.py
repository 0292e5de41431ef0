"""The composition root: configuration becomes adapters, adapters become roles. Nothing else knows them all."""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING

from dlbc.config import Config, read_config
from dlbc.core.errors import Usage
from dlbc.ports import Clock, Journal, Keys, Storage

if TYPE_CHECKING:
    from dlbc.adapters.telemetry import EventLog

AskPassword = Callable[[str], str]


def load_config(flags: Mapping[str, str | None] | None = None) -> Config:
    """Settings of this process: flags, DLBC_* variables, dlbc.toml, defaults. Raises Usage."""
    return read_config(flags or {}, os.environ, Path.cwd(), Path.home())


def storage(config: Config) -> Storage:
    """The IPFS node of the configuration; it is not contacted yet."""
    from dlbc.adapters.storage.ipfs import IpfsStorage

    return IpfsStorage(config.ipfs_api)


def keys(config: Config, ask: AskPassword | None = None) -> Keys:
    """The decrypted account of the configuration. Raises Usage, NotFound, Refused, BadInput."""
    from dlbc.adapters.keys import keystore_path, open_keystore

    if config.account is None:
        raise Usage("no account was named: pass --account NAME (see `dlbc wallet list`) or set DLBC_ACCOUNT")
    return open_keystore(keystore_path(config.account, config.home), config.password_file, ask)


def journal(folder: Path, *, read_only: bool = False) -> Journal:
    """The journal in a role's folder. One process at a time may write; raises Refused for the second."""
    from dlbc.adapters.journal.sqlite import SqliteJournal

    return SqliteJournal(folder, read_only=read_only)


def clock() -> Clock:
    """The operating system's clock."""
    from dlbc.adapters.clock import SystemClock

    return SystemClock()


def event_log() -> EventLog:
    """Logs to stderr: lines on a terminal, JSON elsewhere."""
    from dlbc.adapters.telemetry import EventLog

    return EventLog()
