"""The composition root: configuration becomes adapters, adapters become roles. Nothing else knows them all."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

from dlbc.config import Config, read_config
from dlbc.core.errors import Usage
from dlbc.core.types import Address, TaskId
from dlbc.ports import Chain, Clock, Dataset, Journal, Keys, Payout, Pool, Progress, Storage, Trainer, silent

if TYPE_CHECKING:
    from dlbc.adapters.chain.web3_chain import Web3Chain
    from dlbc.adapters.devnet.network import LocalNetwork, Network, Status
    from dlbc.adapters.signer import SignerKeys
    from dlbc.adapters.telemetry import EventLog
    from dlbc.core.checkup import Finding
    from dlbc.roles.auditor import Auditor
    from dlbc.roles.claiming import Owner
    from dlbc.roles.detecting import Detector
    from dlbc.roles.disk import MinerDisk
    from dlbc.roles.disputing import Disputer
    from dlbc.roles.keeper import Keeper
    from dlbc.roles.keeping import MarketKeeper
    from dlbc.roles.loop import Report
    from dlbc.roles.miner import Miner, MinerOptions
    from dlbc.roles.models import Models
    from dlbc.roles.outcome import Agree
    from dlbc.roles.refuting import Refuter
    from dlbc.roles.relaying import Outbox
    from dlbc.roles.requester import Requester
    from dlbc.roles.stakes import Staker
    from dlbc.roles.voting import Voter
    from dlbc.roles.watch import Watch

AskPassword = Callable[[str], str]
LOCAL_CHAIN_ID = 31337
NO_ACCOUNT = "no account was named: pass --account NAME (see `dlbc wallet list`) or set DLBC_ACCOUNT"
WAITING_PAUSE = 1.0
"""Seconds between two looks while nothing is to be done: one request each."""


def load_config(flags: Mapping[str, str | None] | None = None) -> Config:
    """Settings of this process: flags, DLBC_* variables, dlbc.toml, defaults. Raises Usage."""
    return read_config(flags or {}, os.environ, Path.cwd(), Path.home())


def storage(config: Config) -> Storage:
    """The IPFS node of the configuration; it is not contacted yet."""
    from dlbc.adapters.storage.ipfs import IpfsStorage

    return IpfsStorage(config.ipfs_api)


def keys(config: Config, ask: AskPassword | None = None) -> Keys:
    """The decrypted account of the configuration. Raises Usage, NotFound, Refused, BadInput."""
    if config.signer_url is not None:
        signer = _signer(config)
        signer.check()
        return signer
    from dlbc.adapters.keys import keystore_path, open_keystore

    if config.account is None:
        raise Usage(NO_ACCOUNT)
    stored = None
    if config.keyring:
        from dlbc.adapters.keyring_store import stored_password

        stored = stored_password
    return open_keystore(keystore_path(config.account, config.home), config.password_file, ask, stored)


def _signer(config: Config) -> SignerKeys:
    """Not checked yet."""
    from dlbc.adapters.signer import SignerKeys

    assert config.signer_url is not None, "only asked for with a signer"
    return SignerKeys(config.signer_url, config.account)


def keep_password(config: Config, ask: AskPassword | None) -> str:
    """Puts the configured keystore's password into the system's keyring, once it opens it; the account's name there."""
    from dlbc.adapters.keyring_store import store_password
    from dlbc.adapters.keys import keystore_password, keystore_path, password_name

    if config.account is None:
        raise Usage(NO_ACCOUNT)
    file = keystore_path(config.account, config.home)
    name = password_name(file)
    store_password(name, keystore_password(file, config.password_file, ask))
    return name


def forget_password(config: Config) -> bool:
    """Takes the configured keystore's password out of the system's keyring; False if it was not there."""
    from dlbc.adapters import keyring_store
    from dlbc.adapters.keys import keystore_path, password_name

    if config.account is None:
        raise Usage(NO_ACCOUNT)
    return keyring_store.forget_password(password_name(keystore_path(config.account, config.home)))


def accounts(config: Config) -> list[tuple[str, Address]]:
    """(name, address) of every keystore in the home folder, and of the signer's accounts."""
    from dlbc.adapters.keys import list_keystores

    found = list_keystores(config.home)
    if config.signer_url is not None:
        found += [("(signer)", address) for address in _signer(config).accounts()]
    return found


def create_account(
    config: Config, name: str, private_key: bytes | None, ask: AskPassword | None
) -> tuple[Path, Address]:
    """Writes a keystore under the configured password file's password, else one that is asked for."""
    from dlbc.adapters.keys import create_keystore, new_password

    return create_keystore(name, config.home, new_password(name, config.password_file, ask), private_key)


def private_key(text: str) -> bytes:
    """From hex digits. Raises BadInput without repeating them."""
    from dlbc.adapters.keys import parse_private_key

    return parse_private_key(text)


def private_key_of(file: Path, config: Config, ask: AskPassword | None) -> bytes:
    """From a file of hex digits, or a keystore."""
    from dlbc.adapters.keys import read_private_key

    return read_private_key(file, config.password_file, ask)


def account_address(config: Config, ask: AskPassword | None = None) -> Address:
    """The configured account's address; the key is decrypted only if the file does not name it."""
    from dlbc.adapters.keys import keystore_address, keystore_path
    from dlbc.core.errors import BadInput

    if config.signer_url is not None:
        return _signer(config).address
    if config.account is None:
        raise Usage(NO_ACCOUNT)
    try:
        return keystore_address(keystore_path(config.account, config.home))
    except BadInput:
        return keys(config, ask).address


def chain(config: Config, account: Keys | None = None, report: Report | None = None) -> Chain:
    """The market of the configuration, as `account` sees it (None: read only). Raises Usage without a market."""
    return _web3_chain(config, account, report)


def chain_and_pool(config: Config, account: Keys | None = None, report: Report | None = None) -> tuple[Chain, Pool]:
    """The market and its auditor pool, over one connection and with one queue of transactions."""
    from dlbc.adapters.chain.web3_pool import Web3Pool

    found = _web3_chain(config, account, report)
    return found, Web3Pool(found)


def _web3_chain(config: Config, account: Keys | None, report: Report | None) -> Web3Chain:
    from dlbc.adapters.chain.transactions import Sending, unheard
    from dlbc.adapters.chain.web3_chain import Web3Chain

    return Web3Chain(
        config.rpc_url,
        config.require_market(),
        config.lens,
        account,
        deployment_block=config.deployment_block,
        expected_chain_id=config.chain_id,
        sending=Sending(config.max_fee, report or unheard),
        payout=None if config.payout is None else Payout(config.payout, config.payout_reserve),
    )


def trainer() -> Trainer:
    """torch and safetensors; neither is imported before it is needed."""
    from dlbc.adapters.ml.trainer import TorchTrainer

    return TorchTrainer()


def check_strategy(name: str) -> None:
    """Raises Usage for a training strategy that can't be meant; it is imported by the training process only."""
    from dlbc.adapters.ml.trainer import check_strategy

    check_strategy(name)


class FileData:
    """ports.DataSource: built-in data sets and .npz files."""

    def load(self, source: str, folder: Path, seed: int) -> tuple[Dataset, Dataset]:
        """(training, test) samples. Raises BadInput."""
        from dlbc.adapters.ml.datasets import load_data

        data = load_data(str(folder / source) if source.endswith(".npz") else source, seed=seed)
        return data.train, data.test

    def pack(self, data: Dataset) -> bytes:
        """One safetensors file."""
        from dlbc.adapters.ml.shards import encode_dataset

        return encode_dataset(data)


def role_folder(config: Config, role: str, address: Address) -> Path:
    """Where a role of this account keeps its journal and files."""
    return config.home / f"{role}-{address}"


def pause(chain: Chain) -> float:
    """Seconds between two looks at the chain: short on a local network, where blocks are fast."""
    return 0.5 if chain.chain_id == LOCAL_CHAIN_ID else 2.0


def requester(config: Config, report: Report, ask: AskPassword | None = None) -> Requester:
    """The requester of the configured account. Its journal is opened only while it writes."""
    from contextlib import closing

    from dlbc.roles.requester import Requester

    account = keys(config, ask)
    folder = role_folder(config, "requester", account.address)
    market, pool = chain_and_pool(config, account, report)
    return Requester(
        chain=market,
        pool=pool,
        storage=storage(config),
        keys=account,
        data=FileData(),
        trainer=trainer(),
        open_journal=lambda: closing(journal(folder)),
        report=report,
    )


def miner(config: Config, options: MinerOptions, report: Report, ask: AskPassword | None = None) -> Miner:
    """The miner of the configured account; it holds its journal open, so there is one per account and machine."""
    from dlbc.roles.miner import Miner
    from dlbc.roles.miner_state import StateFile

    account = keys(config, ask)
    folder = role_folder(config, "miner", account.address)
    market, pool = chain_and_pool(config, account, report)
    return Miner(
        chain=market,
        pool=pool,
        storage=storage(config),
        keys=account,
        trainer=trainer(),
        journal=journal(folder),
        folder=folder / "work",
        options=options,
        report=report,
        outbox=_outbox(config, report),
        publish=StateFile(folder),
    )


def miner_disk(config: Config, address: Address, kept: Journal, report: Report) -> MinerDisk:
    """What the miner of this account keeps; its journal is the caller's to open, and to close."""
    from dlbc.roles.disk import MinerDisk

    folder = role_folder(config, "miner", address) / "work"
    return MinerDisk(chain(config), storage(config), kept, address, folder, report=report)


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


@contextmanager
def watch(config: Config, role: str) -> Iterator[Watch]:
    """Watches a daemon; with a metrics port, its figures are served as long as it runs. Raises Refused."""
    import time

    from dlbc.adapters.health import Health, HealthServer
    from dlbc.roles.loop import said_once
    from dlbc.roles.watch import Watch

    health, logged = Health(time.monotonic), said_once(event_log())
    if not config.metrics_port:
        yield Watch(logged, health)
        return
    from dlbc.adapters.metrics import Metrics

    metrics = Metrics(role, lambda: health.age)
    with HealthServer(config.metrics_port, health, metrics.text, metrics.content_type):
        yield Watch(logged, health, metrics)


def checkup(config: Config) -> tuple[int, Iterator[Finding]]:
    """(number of checks, their findings as they come) of this machine under this configuration."""
    from dlbc.adapters.checkup import checks_of, run

    checks = checks_of(config)
    return len(checks), run(checks)


def _outbox(config: Config, report: Report) -> Outbox | None:
    from dlbc.roles.relaying import Outbox, relay_folder

    return None if config.relay_folder is None else Outbox(relay_folder(config.relay_folder), report)


def devices() -> tuple[str, ...]:
    """Every GPU of this machine that torch can use, else the processor. torch is asked in a process of its own."""
    import subprocess
    import sys

    if not any((*Path("/dev").glob("nvidia[0-9]*"), *Path("/dev").glob("kfd"))):
        return ("cpu",)
    asked = [sys.executable, "-c", "import torch; print(torch.cuda.device_count())"]
    try:
        answer = subprocess.run(asked, capture_output=True, text=True, timeout=120, check=True)
        count = int(answer.stdout)
    except (OSError, subprocess.SubprocessError, ValueError):
        count = 0
    return tuple(f"cuda:{number}" for number in range(count)) or ("cpu",)


def memory_bytes() -> int:
    """Memory of this machine."""
    return os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")


def keeper(config: Config, report: Report, ask: AskPassword | None = None) -> Keeper:
    """A keeper that advances tasks if an account is configured, and only looks if none is."""
    from dlbc.roles.keeper import Keeper

    has_account = config.account is not None or config.signer_url is not None
    return Keeper(chain(config, keys(config, ask) if has_account else None, report), report)


def market_keeper(
    config: Config, tasks: frozenset[TaskId] | None, report: Report, ask: AskPassword | None = None
) -> MarketKeeper:
    """A keeper for all tasks of the market, or the chosen ones, that also sends what is left in the relay folder."""
    from dlbc.roles.keeping import MarketKeeper
    from dlbc.roles.relaying import Relay, relay_folder

    market = chain(config, keys(config, ask), report)
    relay = None
    if config.relay_folder is not None:
        relay = Relay(market, relay_folder(config.relay_folder), report)
    return MarketKeeper(market, report, tasks, relay)


def auditor(config: Config, progress: Progress = silent, align_limit: int | None = None) -> Auditor:
    """An auditor: needs no account, no lens, no journal."""
    from dlbc.adapters.signatures import recover_signer
    from dlbc.roles.auditor import Auditor
    from dlbc.roles.copies import ALIGN_LIMIT

    limit = ALIGN_LIMIT if align_limit is None else align_limit
    return Auditor(chain(config), storage(config), trainer(), recover_signer, progress=progress, align_limit=limit)


def staker(config: Config, report: Report, agree: Agree, ask: AskPassword | None = None) -> Staker:
    """The stake of the configured account; needs no journal."""
    from dlbc.roles.stakes import Staker

    market, pool = chain_and_pool(config, keys(config, ask), report)
    return Staker(market, pool, report, agree)


def disputer(
    config: Config, report: Report, agree: Agree, ask: AskPassword | None = None, progress: Progress = silent
) -> Disputer:
    """Files disputes and impeachments as the configured account; needs no journal."""
    from dlbc.roles.disputing import Disputer

    market, pool = chain_and_pool(config, keys(config, ask), report)
    return Disputer(market, pool, storage(config), auditor(config, progress), report, agree)


def voter(config: Config, report: Report, agree: Agree, ask: AskPassword | None = None) -> Voter:
    """The ballots of the configured account; it holds its journal open until `journal.close()`."""
    from dlbc.roles.voting import Voter

    account = keys(config, ask)
    market, pool = chain_and_pool(config, account, report)
    return Voter(market, pool, account, journal(role_folder(config, "auditor", account.address)), report, agree)


def refuter(
    config: Config, report: Report, agree: Agree, ask: AskPassword | None = None, progress: Progress = silent
) -> Refuter:
    """Refutes claims and demands predictions as the configured account; needs no journal."""
    from dlbc.roles.refuting import Refuter

    market, pool = chain_and_pool(config, keys(config, ask), report)
    return Refuter(market, pool, storage(config), trainer(), report, agree, progress)


def models(config: Config) -> Models:
    """The settled models of the configured market; needs no account."""
    from dlbc.roles.models import Models

    return Models(chain(config), storage(config), trainer())


def detector(config: Config, progress: Progress = silent) -> Detector:
    """Looks for registered marks in model files; needs no account."""
    from dlbc.adapters.weight_file import read_weights
    from dlbc.roles.copies import ORIGINAL_SECONDS, CopySearch
    from dlbc.roles.detecting import Detector
    from dlbc.roles.models import Models

    market = chain(config)
    return Detector(
        CopySearch(market, Models(market, storage(config), trainer(), ORIGINAL_SECONDS), progress), read_weights
    )


def owner(
    config: Config, report: Report, agree: Agree, ask: AskPassword | None = None, progress: Progress = silent
) -> Owner:
    """The configured account as the owner of a model. Needs no journal; a miner's is read if there is one."""
    from dlbc.adapters.weight_file import read_weights
    from dlbc.roles.claiming import Owner
    from dlbc.roles.copies import CopySearch
    from dlbc.roles.models import Models
    from dlbc.roles.recovery import Memory, Wallet

    account = keys(config, ask)
    market = chain(config, account, report)
    found = Models(market, storage(config), trainer())
    wallet = Wallet(market, account, Memory(_journal_of(role_folder(config, "miner", account.address))))
    return Owner(market, account, wallet, found, CopySearch(market, found, progress), read_weights, report, agree)


@contextmanager
def reading_journal(folder: Path) -> Iterator[Journal | None]:
    """The journal in a role's folder, which another process may be writing; None if there is none."""
    found = _journal_of(folder)
    try:
        yield found
    finally:
        if found is not None:
            found.close()


def is_at_work(folder: Path) -> bool:
    """A process works with the journal in this folder."""
    from dlbc.adapters.journal.sqlite import is_locked

    return is_locked(folder)


def _journal_of(folder: Path) -> Journal | None:
    """To be read only; None if there is none."""
    from dlbc.core.errors import Refused

    try:
        return journal(folder, read_only=True)
    except Refused:
        return None


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


def devnet_up(
    home: Path, *, rpc_port: int = 0, ipfs_port: int = 0, fresh: bool = False, progress: Progress = silent
) -> Network:
    """Starts the local network of a home folder, or what is missing of it."""
    from dlbc.adapters.devnet import network

    return network.up(home, rpc_port=rpc_port, ipfs_port=ipfs_port, fresh=fresh, progress=progress)


def devnet_down(home: Path) -> list[str]:
    """Stops the local network of a home folder; the names of the processes that ran."""
    from dlbc.adapters.devnet import network

    return network.down(home)


def devnet_status(home: Path) -> Status:
    """What runs of the local network of a home folder."""
    from dlbc.adapters.devnet import network

    return network.status(home)


def local_network(home: Path, *, fresh: bool = False, progress: Progress = silent) -> LocalNetwork:
    """A context manager: a local network that goes with this process, for the demo and for tests."""
    from dlbc.adapters.devnet.network import LocalNetwork

    return LocalNetwork(home, fresh=fresh, progress=progress)
