"""The miner, and the disk that it fills."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

from dlbc import bootstrap
from dlbc.config import Config
from dlbc.core.types import Address
from dlbc.ports import Journal

if TYPE_CHECKING:
    from dlbc.adapters.keys import AskPassword
    from dlbc.roles.disk import MinerDisk
    from dlbc.roles.loop import Report
    from dlbc.roles.miner import Miner, MinerOptions
    from dlbc.roles.relaying import Outbox


def miner(config: Config, options: MinerOptions, report: Report, ask: AskPassword | None = None) -> Miner:
    """The miner of the configured account; it holds its journal open, so there is one per account and machine."""
    from dlbc.roles.miner import Miner
    from dlbc.roles.miner_state import StateFile

    account = bootstrap.keys(config, ask)
    folder = bootstrap.role_folder(config, "miner", account.address)
    market, pool = bootstrap.chain_and_pool(config, account, report)
    return Miner(
        chain=market,
        pool=pool,
        storage=bootstrap.storage(config),
        keys=account,
        trainer=bootstrap.trainer(),
        journal=bootstrap.journal(folder),
        folder=folder / "work",
        options=options,
        report=report,
        outbox=_outbox(config, report),
        publish=StateFile(folder),
    )


def miner_disk(config: Config, address: Address, kept: Journal, report: Report) -> MinerDisk:
    """What the miner of this account keeps; its journal is the caller's to open, and to close."""
    from dlbc.roles.disk import MinerDisk

    folder = bootstrap.role_folder(config, "miner", address) / "work"
    return MinerDisk(bootstrap.chain(config), bootstrap.storage(config), kept, address, folder, report=report)


def quota(config: Config, miner: Miner, report: Report) -> Callable[[], None]:
    """Keeps a running miner under disk_quota_gb: to be called after every tick. Does nothing without a quota."""
    import threading
    import time

    from dlbc.core.errors import DlbcError
    from dlbc.roles.disk import MinerDisk, Quota

    if not config.disk_quota_gb:
        return lambda: None

    def collect() -> None:
        try:
            miner.storage.collect()
        except DlbcError as error:
            report("failed", do="collect garbage", reason=str(error))

    def start_collecting() -> None:  # minutes on a large repository, and entries have deadlines
        threading.Thread(target=collect, name="garbage", daemon=True).start()

    disk = MinerDisk(miner.chain, miner.storage, miner.journal, miner.keys.address, miner.folder, report=report)
    return Quota(disk, config.disk_quota_gb * 10**9, time.monotonic, start_collecting).look


def _outbox(config: Config, report: Report) -> Outbox | None:
    from dlbc.roles.relaying import Outbox, relay_folder

    return None if config.relay_folder is None else Outbox(relay_folder(config.relay_folder), report)
