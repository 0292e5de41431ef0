"""The local network: Anvil, an embedded Kubo node and the contracts, with everything it knows in one folder.

home/dlbc.toml              how the other commands find it
home/keys/                  accounts of Anvil's well-known mnemonic, and devnet.password
home/devnet/network.json    processes by id and start time, addresses of the contracts
home/devnet/chain.json      the chain's state;  home/devnet/ipfs/  the node's repository;  *.log
home/deployments/           the record of the contracts, for `dlbc deploy --verify`
"""

from __future__ import annotations

import dataclasses
import fcntl
import json
import os
import secrets
import shutil
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Any

from dlbc.adapters import keys
from dlbc.adapters.devnet import anvil
from dlbc.adapters.devnet.process import Process, free_port, has_ended, last_words, start, stop, wait_until
from dlbc.adapters.storage.ipfs import IpfsStorage
from dlbc.config import FILE_NAME, Config
from dlbc.core.errors import BadInput, ChainUnreachable, NotFound, Refused, StorageUnreachable, TryLater
from dlbc.core.types import Address
from dlbc.ports import Progress, silent

ACCOUNTS = (
    *("deployer", "requester", "miner1", "miner2", "miner3", "auditor"),
    *("auditor1", "auditor2", "auditor3", "disputer"),
)
"""Keystores, in the order of the mnemonic's accounts."""

_FIRST_LINE = "# Written by `dlbc devnet up`; changes are lost at the next start."
_START_SECONDS = 30.0
_WHAT = "starting the local network"
_STEPS = 4


@dataclass(frozen=True, slots=True)
class Network:
    """What is known of a local network."""

    home: Path
    chain: Process | None = None
    ipfs: Process | None = None
    swarm_port: int = 0
    market: Address | None = None
    registry: Address | None = None
    pool: Address | None = None
    lens: Address | None = None
    deployment_block: int = 0

    @property
    def rpc_url(self) -> str:
        return f"http://127.0.0.1:{self.chain.port if self.chain else 0}"

    @property
    def ipfs_api(self) -> str:
        return f"/ip4/127.0.0.1/tcp/{self.ipfs.port if self.ipfs else 0}/http"

    @property
    def config_file(self) -> Path:
        return self.home / FILE_NAME

    @property
    def password_file(self) -> Path:
        return self.home / keys.KEY_FOLDER / "devnet.password"

    def config(self, account: str | None = None) -> Config:
        """Settings of a client of this network that acts as `account` (a name of ACCOUNTS)."""
        return Config(
            home=self.home,
            rpc_url=self.rpc_url,
            ipfs_api=self.ipfs_api,
            market=self.market,
            lens=self.lens,
            chain_id=anvil.CHAIN_ID,
            deployment_block=self.deployment_block,
            account=account,
            password_file=self.password_file,
            file=self.config_file,
        )

    def keys(self, account: str) -> keys.KeystoreKeys:
        """The decrypted keystore of a name of ACCOUNTS."""
        return keys.open_keystore(keys.keystore_path(account, self.home), self.password_file)

    def advance_time(self, *, seconds: int | None = None, to: int | None = None) -> int:
        """Moves the chain's clock forward, by `seconds` or `to` a moment; returns the latest block's timestamp."""
        return anvil.advance_time(self.rpc_url, seconds=seconds, to=to)


@dataclass(frozen=True, slots=True)
class Status:
    """What runs where; None = does not answer."""

    network: Network
    chain_is_running: bool
    ipfs_is_running: bool
    block: int | None
    block_time: int | None
    has_contracts: bool
    ipfs_version: str | None
    peers: int | None

    @property
    def is_up(self) -> bool:
        return self.block is not None and self.ipfs_version is not None and self.has_contracts


def up(
    home: Path,
    *,
    rpc_port: int = 0,
    ipfs_port: int = 0,
    fresh: bool = False,
    dies_with_parent: bool = False,
    environment: dict[str, str] | None = None,
    progress: Progress = silent,
) -> Network:
    """Starts what does not run, deploys what is not deployed, writes the configuration; again and again if need be.

    Ports of 0 = those of the last time if they are free, else any. `fresh` wipes the chain, the IPFS node and what the
    well-known accounts noted of them first. Raises Refused, TryLater, ChainUnreachable, StorageUnreachable.
    """
    with _alone(home):
        _refuse_foreign_config(home)
        if fresh:
            _stop_all(_load(home))
            _wipe(home)
        network = _load(home)
        progress(_WHAT, 0, _STEPS)
        network = _with_accounts(network)
        progress(_WHAT, 1, _STEPS)
        network = _with_chain(
            network, rpc_port, dict(os.environ) if environment is None else environment, dies_with_parent
        )
        progress(_WHAT, 2, _STEPS)
        network = _with_ipfs(network, ipfs_port, dies_with_parent)
        progress(_WHAT, 3, _STEPS)
        network = _with_contracts(network)
        _write_config(network)
        progress(_WHAT, _STEPS, _STEPS)
        return network


def down(home: Path) -> list[str]:
    """Stops the processes, the chain last; returns the names of those that ran. The state stays."""
    with _alone(home):
        return _stop_all(_load(home))


def status(home: Path) -> Status:
    """Asks the processes themselves. Changes nothing."""
    network = _load(home)
    block, block_time, has_contracts, version, peers = None, None, False, None, None
    chain_is_running = network.chain is not None and network.chain.is_running
    ipfs_is_running = network.ipfs is not None and network.ipfs.is_running
    if chain_is_running and _chain_answers(network):
        block = int(anvil.rpc(network.rpc_url, "eth_blockNumber"), 16)
        block_time = anvil.latest_time(network.rpc_url)
        has_contracts = _has_contracts(network)
    if ipfs_is_running:
        storage = IpfsStorage(network.ipfs_api)
        try:
            version, peers = storage.version(), len(storage.peers())
        except TryLater:
            version, peers = None, None
    return Status(network, chain_is_running, ipfs_is_running, block, block_time, has_contracts, version, peers)


class LocalNetwork:
    """`with LocalNetwork(home) as network:` a network that goes with this process, for tests and the demo.

    To be entered in the main thread: the processes end with the thread that started them.
    """

    def __init__(self, home: Path, *, fresh: bool = False, progress: Progress = silent) -> None:
        self._home = home
        self._fresh = fresh
        self._progress = progress

    def __enter__(self) -> Network:
        try:
            return up(self._home, fresh=self._fresh, dies_with_parent=True, progress=self._progress)
        except BaseException:
            down(self._home)
            raise

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        down(self._home)


# ------------------------------------------------------------------ one step each; every step finds what is there


def _with_accounts(network: Network) -> Network:
    folder = network.home / keys.KEY_FOLDER
    if not network.password_file.exists():
        if any((folder / f"{name}.json").exists() for name in ACCOUNTS):
            raise Refused(
                f"{folder} has accounts of a local network but {network.password_file.name} is gone; remove"
                f" {', '.join(name + '.json' for name in ACCOUNTS)} there, or use another home folder"
            )
        keys.write_new(network.password_file, secrets.token_urlsafe(18) + "\n")
    password = network.password_file.read_text().strip()
    for index, name in enumerate(ACCOUNTS):
        if not (folder / f"{name}.json").exists():
            keys.create_keystore(name, network.home, password, keys.derive_key(anvil.MNEMONIC, index), quick=True)
    return network


def _with_chain(network: Network, wanted_port: int, environment: dict[str, str], dies_with_parent: bool) -> Network:
    if network.chain is not None and network.chain.is_running:
        if _chain_answers(network) and wanted_port in (0, network.chain.port):
            return network
        stop(network.chain)
    folder = _folder(network.home)
    saved = anvil.saved_time(folder)
    binary = anvil.find_anvil(environment, Path.cwd())
    shutil.rmtree(folder / anvil.CACHE, ignore_errors=True)

    def attempt(network: Network) -> Network:
        port = _port(wanted_port, network.chain)
        command = anvil.anvil_command(binary, port, folder)
        process = start("chain", command, port, folder / "chain.log", dies_with_parent=dies_with_parent)
        network = _save(dataclasses.replace(network, chain=process))
        _await(lambda: _chain_answers(network), process, folder / "chain.log")
        return network

    network = _again(attempt, network)
    anvil.repair_time(network.rpc_url, saved)
    return network


def _with_ipfs(network: Network, wanted_port: int, dies_with_parent: bool) -> Network:
    if network.ipfs is not None and network.ipfs.is_running:
        if _ipfs_answers(network) and wanted_port in (0, network.ipfs.port):
            return network
        stop(network.ipfs)
    folder = _folder(network.home)

    def attempt(network: Network) -> Network:
        port, swarm_port = _port(wanted_port, network.ipfs), free_port(network.swarm_port)
        command: list[str | Path] = [sys.executable, "-m", "dlbc.adapters.devnet.kubo", "--repo", folder / "ipfs"]
        command += ["--port", str(port), "--swarm-port", str(swarm_port)]
        process = start("ipfs", command, port, folder / "ipfs.log", dies_with_parent=dies_with_parent)
        network = _save(dataclasses.replace(network, ipfs=process, swarm_port=swarm_port))
        _await(lambda: _ipfs_answers(network), process, folder / "ipfs.log")
        return network

    return _again(attempt, network)


def _with_contracts(network: Network) -> Network:
    if _has_contracts(network):
        return network
    from dlbc.adapters.chain import record
    from dlbc.adapters.chain.deploy import deploy_contracts, load_params

    deployment = deploy_contracts(network.rpc_url, network.keys("deployer"), *load_params(anvil.CHAIN_ID))
    record.write(deployment, record.record_file(anvil.CHAIN_ID, network.home))
    return _save(
        dataclasses.replace(
            network,
            market=deployment.market,
            registry=deployment.registry,
            pool=deployment.pool,
            lens=deployment.lens,
            deployment_block=deployment.block_number,
        )
    )


def _write_config(network: Network) -> None:
    lines = [
        _FIRST_LINE,
        f'rpc_url = "{network.rpc_url}"',
        f'ipfs_api = "{network.ipfs_api}"',
        f'market = "{network.market}"',
        f'lens = "{network.lens}"',
        f"chain_id = {anvil.CHAIN_ID}",
        f"deployment_block = {network.deployment_block}",
        f'password_file = "{network.password_file.relative_to(network.home)}"',
    ]
    _write(network.config_file, "\n".join(lines) + "\n")


def _refuse_foreign_config(home: Path) -> None:
    file = home / FILE_NAME
    if file.exists() and not file.read_text(errors="replace").startswith(_FIRST_LINE):
        raise Refused(f"{file} was written by somebody else and is left alone; use another home folder (--home DIR)")


# ------------------------------------------------------------------ what is remembered


def _folder(home: Path) -> Path:
    return home / "devnet"


def _load(home: Path) -> Network:
    file = _folder(home) / "network.json"
    if not file.exists():
        return Network(home)
    try:
        known = json.loads(file.read_bytes())
        chain, ipfs = (Process(**known[name]) if known[name] else None for name in ("chain", "ipfs"))
        return Network(**{**known, "home": home, "chain": chain, "ipfs": ipfs})
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise BadInput(
            f"{file} is damaged ({type(error).__name__}: {error}); end the processes that use {_folder(home)} by hand,"
            " then remove it"
        ) from error


def _save(network: Network) -> Network:
    known: dict[str, Any] = dataclasses.asdict(network)
    del known["home"]
    _write(_folder(network.home) / "network.json", json.dumps(known, indent=2) + "\n")
    return network


def _write(file: Path, text: str) -> None:
    """Whole or not at all."""
    file.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
    draft = file.with_name(f".{file.name}.draft")
    with draft.open("w") as stream:
        stream.write(text)
        stream.flush()
        os.fsync(stream.fileno())
    draft.replace(file)


def _wipe(home: Path) -> None:
    """The network, and what its accounts noted of a chain that is gone. Keys stay: they are the same every time."""
    for name in ACCOUNTS:
        try:
            address = keys.keystore_address(keys.keystore_path(name, home))
        except NotFound:
            continue
        for role in ("requester", "miner", "auditor"):
            shutil.rmtree(home / f"{role}-{address}", ignore_errors=True)
    for left in _folder(home).iterdir() if _folder(home).exists() else ():
        if left.is_dir():
            shutil.rmtree(left)
        elif left.name != _LOCK_NAME:
            left.unlink()


_LOCK_NAME = "lock"


@contextmanager
def _alone(home: Path) -> Iterator[None]:
    """One `up` or `down` at a time."""
    folder = _folder(home)
    folder.mkdir(parents=True, exist_ok=True, mode=0o700)
    with (folder / _LOCK_NAME).open("w") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as error:
            raise TryLater(f"another command is starting or stopping the local network in {home}") from error
        yield


# ------------------------------------------------------------------ processes


def _stop_all(network: Network) -> list[str]:
    return [process.name for process in (network.ipfs, network.chain) if process is not None and stop(process)]


def _again(attempt: Callable[[Network], Network], network: Network) -> Network:
    """Once more on other ports: between finding a free one and using it somebody may have come first."""
    try:
        return attempt(network)
    except Refused:
        return attempt(dataclasses.replace(network, swarm_port=0))


def _port(wanted: int, last: Process | None) -> int:
    port = free_port(wanted or (last.port if last else 0))
    if wanted and port != wanted:
        raise Refused(f"port {wanted} of 127.0.0.1 is in use; name another one")
    return port


def _await(answers: Callable[[], bool], process: Process, log: Path) -> None:
    if not wait_until(lambda: has_ended(process) or answers(), _START_SECONDS) or has_ended(process):
        stop(process)
        raise Refused(f"the {process.name} process of the local network did not start: {last_words(log)} (see {log})")


def _chain_answers(network: Network) -> bool:
    try:
        return int(anvil.rpc(network.rpc_url, "eth_chainId"), 16) == anvil.CHAIN_ID
    except ChainUnreachable:
        return False


def _ipfs_answers(network: Network) -> bool:
    try:
        return bool(IpfsStorage(network.ipfs_api).version())
    except (StorageUnreachable, TryLater):
        return False


def _has_contracts(network: Network) -> bool:
    addresses = (network.market, network.registry, network.pool, network.lens)
    return all(
        address is not None and anvil.rpc(network.rpc_url, "eth_getCode", address, "latest") != "0x"
        for address in addresses
    )
