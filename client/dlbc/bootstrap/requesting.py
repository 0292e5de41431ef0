"""The requester."""

from __future__ import annotations

from typing import TYPE_CHECKING

from dlbc import bootstrap
from dlbc.config import Config

if TYPE_CHECKING:
    from dlbc.adapters.keys import AskPassword
    from dlbc.roles.loop import Report
    from dlbc.roles.requester import Requester


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
