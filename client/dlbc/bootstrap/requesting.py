"""The requester, by hand and as a daemon."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from dlbc import bootstrap
from dlbc.config import Config
from dlbc.core.types import Address, TaskId
from dlbc.ports import Chain, Channel

if TYPE_CHECKING:
    from dlbc.adapters.keys import AskPassword
    from dlbc.roles.loop import Report
    from dlbc.roles.requester import Requester
    from dlbc.roles.requesting import RequesterDaemon


def requester(config: Config, report: Report, ask: AskPassword | None = None) -> Requester:
    """The requester of the configured account. Its journal is opened only while it writes."""
    from contextlib import closing

    from dlbc.roles.requester import Requester

    account = bootstrap.keys(config, ask)
    folder = bootstrap.role_folder(config, "requester", account.address)
    market, pool = bootstrap.chain_and_pool(config, account, report)
    return Requester(
        chain=market,
        pool=pool,
        storage=bootstrap.storage(config),
        keys=account,
        data=bootstrap.FileData(),
        trainer=bootstrap.trainer(),
        open_journal=lambda: closing(bootstrap.journal(folder)),
        read_journal=lambda: bootstrap.reading_journal(folder),
        report=report,
    )


def requester_daemon(
    config: Config, tasks: frozenset[TaskId] | None, report: Report, ask: AskPassword | None = None
) -> RequesterDaemon:
    """A requester that nobody tends; it holds a journal of its own open until `journal.close()`.

    Not the one that `dlbc task post` writes: posting goes on while the daemon runs.
    """
    import time

    from dlbc.roles.attention import Attention
    from dlbc.roles.bond_watch import BondWatch
    from dlbc.roles.model_store import ModelStore
    from dlbc.roles.requesting import RequesterDaemon
    from dlbc.roles.telling import Outbox

    ways = channels(config)
    who = bootstrap.requester(config, report, ask)
    folder = requester_folder(config, who.keys.address)
    journal = bootstrap.journal(folder)
    store = ModelStore(
        open_models=lambda: bootstrap.models(config),
        storage=who.storage,
        journal=journal,
        folder=models_folder(config, who.chain),
        seconds=time.monotonic,
        report=report,
    )
    outbox = Outbox(journal, ways, time.monotonic, report)
    bonds = BondWatch(who.chain, who, who.storage, journal, folder / "files", report=report)
    attention = Attention(who.chain, time.monotonic)
    return RequesterDaemon(who, journal, outbox, store, bonds, attention, time.monotonic, time.time, report, tasks)


def requester_folder(config: Config, address: Address) -> Path:
    """Where the daemon of a requester's account keeps its journal, and copies of its tasks' files."""
    return bootstrap.role_folder(config, "requester", address) / "daemon"


def models_folder(config: Config, chain: Chain) -> Path:
    """Where the models of the configured market come to. Asks the chain for its id if the settings do not say it."""
    base = config.models_folder or config.home / "requester" / "models"
    return base / f"{chain.chain_id if config.chain_id is None else config.chain_id}-{chain.market[:10]}"


def channels(config: Config) -> list[Channel]:
    """The ways to tell the requester what happens. Raises Usage."""
    from dlbc.core.errors import Usage

    found: list[Channel] = []
    if config.notify_url is not None:
        from dlbc.adapters.notify import Webhook, read_secret

        secret = None if config.notify_secret_file is None else read_secret(config.notify_secret_file)
        found.append(Webhook(config.notify_url, secret))
    elif config.notify_secret_file is not None:
        raise Usage("notify_secret_file signs what is posted to notify_url, which is missing")
    if config.notify_command is not None:
        from dlbc.adapters.notify_command import Command, split_command

        found.append(Command(split_command(config.notify_command, "notify_command")))
    return found
