"""The checks of `dlbc doctor`: each measures one thing, has a deadline, and never hides another."""

from __future__ import annotations

import os
import platform
import queue
import shutil
import subprocess
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from importlib import metadata
from pathlib import Path

from dlbc.adapters import account_checkup
from dlbc.config import Config
from dlbc.core import checkup
from dlbc.core.checkup import Finding, State, ok, problem, warning
from dlbc.core.errors import DlbcError, Refused, Usage
from dlbc.core.types import Address, Wei
from dlbc.ports import Chain

LOCAL_CHAIN_ID = 31337
PACKAGES = ("torch", "numpy", "safetensors", "web3", "eth-account", "ipfshttpclient", "structlog", "prometheus-client")
_OPEN_TASKS = 32
_DRIVER = Path("/proc/driver/nvidia/version")


@dataclass(frozen=True, slots=True)
class Check:
    """One measurement. needs: the check that must have gone well before it."""

    name: str
    measure: Callable[[], Finding]
    needs: str = ""
    seconds: float = 15.0


def run(checks: Sequence[Check]) -> Iterator[Finding]:
    """The findings in order, each as soon as it is there; none takes longer than its deadline."""
    failed: set[str] = set()
    for check in checks:
        if check.needs in failed:
            failed.add(check.name)
            yield Finding(check.name, State.SKIPPED, f"not checked: see {check.needs}")
            continue
        finding = _within(check)
        if finding.state is State.PROBLEM:
            failed.add(check.name)
        yield finding


def _within(check: Check) -> Finding:
    """Runs in a thread of its own: a call that hangs is left behind."""
    answers: queue.SimpleQueue[Finding] = queue.SimpleQueue()

    def work() -> None:
        try:
            answers.put(check.measure())
        except DlbcError as error:
            answers.put(problem(check.name, "failed", str(error)))
        except Exception as error:  # noqa: BLE001  (one broken part must not hide the others)
            answers.put(problem(check.name, f"unexpected {type(error).__name__}", str(error)[:200] or "see above"))

    threading.Thread(target=work, name=check.name, daemon=True).start()
    try:
        return answers.get(timeout=check.seconds)
    except queue.Empty:
        return problem(check.name, f"no answer within {check.seconds:.0f} s", "try again; is something overloaded?")


def checks_of(config: Config) -> list[Check]:
    """Everything there is to check for a configuration."""
    return [
        Check("python", _python),
        Check("packages", _packages),
        Check("gpu", _gpu, seconds=60.0),
        Check("scoring", _scoring, seconds=60.0),
        Check("disk", lambda: _disk(config.home)),
        *_account_checks(config),
        Check("journal", lambda: _journals(config.home)),
        Check("time service", _time_service),
        *_chain_checks(config),
        *_ipfs_checks(config),
    ]


# ------------------------------------------------------------------ this machine


def _python() -> Finding:
    return ok("python", f"{platform.python_version()} on {platform.system()} {platform.machine()}")


def _packages() -> Finding:
    found, missing = [], []
    for name in PACKAGES:
        try:
            found.append(f"{name} {metadata.version(name)}")
        except metadata.PackageNotFoundError:
            missing.append(name)
    if missing:
        return problem("packages", f"missing: {', '.join(missing)}", "reinstall: `make setup`, or `pip install dlbc`")
    return ok("packages", ", ".join(found))


def _gpu() -> Finding:
    import torch

    devices = []
    if torch.cuda.is_available():
        for index in range(torch.cuda.device_count()):
            free, total = torch.cuda.mem_get_info(index)
            devices.append((torch.cuda.get_device_name(index), free, total))
    return checkup.judge_gpu(devices, str(torch.__version__), has_driver=_DRIVER.exists())


def _scoring() -> Finding:
    from dlbc.adapters.scoring import ConfinedScorer

    held = ConfinedScorer(stays=False).confinement()
    return checkup.judge_scoring(held.network, has_no_writes=held.has_no_writes, has_no_children=held.has_no_children)


def _disk(home: Path) -> Finding:
    place = home
    while not place.exists():
        place = place.parent
    if not os.access(place, os.W_OK):
        return problem("disk", f"{place} can't be written to", "set home to a folder of yours")
    return checkup.judge_disk(shutil.disk_usage(place).free, str(home))


def _time_service() -> Finding:
    program = shutil.which("timedatectl")
    if program is None:
        return checkup.judge_synchronised(None)
    answer = subprocess.run(
        [program, "show", "--property=NTPSynchronized", "--value"],
        capture_output=True,
        text=True,
        check=False,
        timeout=5,
    )
    return checkup.judge_synchronised(answer.stdout.strip() if answer.returncode == 0 else None)


# ------------------------------------------------------------------ the account


def _account_checks(config: Config) -> list[Check]:
    if config.signer_url is not None:
        chain_id = config.chain_id
        return [Check("signer", lambda: account_checkup.signer(config, chain_id), seconds=account_checkup.DEADLINE)]
    return [
        Check("keystore", lambda: account_checkup.keystore(config)),
        Check("password", lambda: account_checkup.password(config), seconds=account_checkup.DEADLINE),
    ]


def _journals(home: Path) -> Finding:
    from dlbc.adapters.journal.sqlite import FILE_NAME, SqliteJournal

    told = []
    for file in sorted(home.glob(f"*-0x*/{FILE_NAME}")):
        role = file.parent.name.split("-")[0]
        with SqliteJournal(file.parent, read_only=True) as kept:  # it checks the file
            records = kept.all("entry")
        broken = [key for key, record in records if not _is_entry(key, record)]
        if broken:
            todo = f"move {file} away: the chain knows what happened, the secrets come back from the wallet"
            return problem("journal", f"{len(broken)} of {len(records)} entries in {file} are malformed", todo)
        told.append(f"{role} {file.parent.name[-4:]}: {_counted(len(records), 'entry', 'entries')}")
    return ok("journal", "; ".join(told) or "none yet")


def _counted(count: int, one: str, many: str) -> str:
    return f"{count} {one if count == 1 else many}"


def _is_entry(key: str, record: dict[str, object]) -> bool:
    terms, _, index = key.partition("/")
    whole = all(isinstance(record.get(name), int) for name in ("task_id", "round")) and "stage" in record
    return whole and len(terms) == 64 and index == str(record["round"])


# ------------------------------------------------------------------ the chain


def _chain_checks(config: Config) -> list[Check]:
    def open_chain() -> Chain:
        from dlbc.adapters.chain.web3_chain import Web3Chain

        return Web3Chain(
            config.rpc_url,
            config.require_market(),
            config.lens,
            deployment_block=config.deployment_block,
            expected_chain_id=config.chain_id,
            timeout=5.0,
        )

    return [
        Check("rpc", lambda: _rpc(config)),
        Check("clock", lambda: _clock(config), "rpc"),
        Check("contracts", lambda: _contracts(config, open_chain()), "rpc"),
        Check("gas price", lambda: checkup.judge_gas(_gas_price(config), _deposits(open_chain())), "contracts"),
        Check("balance", lambda: _balance(config, open_chain()), "contracts"),
        Check("transactions", lambda: _transactions(config), "rpc"),
    ]


def _rpc(config: Config) -> Finding:
    from dlbc.adapters.chain.rpc import Rpc, RpcError

    rpc = Rpc(config.rpc_url, timeout=3.0)
    try:
        client = rpc.request("web3_clientVersion", [])
    except RpcError:
        client = "its name is not told"
    seconds = []
    for _ in range(3):
        began = time.perf_counter()
        rpc.quantity("eth_blockNumber", [])
        seconds.append(time.perf_counter() - began)
    return checkup.judge_rpc(sorted(seconds)[1], checked_text(client), config.shown_rpc_url)


def _clock(config: Config) -> Finding:
    from dlbc.adapters.chain.rpc import Rpc

    rpc = Rpc(config.rpc_url, timeout=5.0)
    block = rpc.record("eth_getBlockByNumber", ["latest", False]) or {}
    moment = rpc.as_quantity("eth_getBlockByNumber", block.get("timestamp"))
    return checkup.judge_clock(time.time(), moment, is_local=_is_local(config))


def _contracts(config: Config, chain: Chain) -> Finding:
    try:
        found = f"the market is on chain {chain.chain_id}, with {_counted(chain.task_count(), 'task', 'tasks')}"
    except Usage as error:
        return problem("contracts", "not there", str(error))
    if config.lens is None:
        return warning("contracts", found, "set lens: without it lists of tasks are slow")
    return ok("contracts", found)


def _balance(config: Config, chain: Chain) -> Finding:
    address, skipped = _account(config, "balance")
    if address is None:
        return skipped
    return checkup.judge_balance(chain.balance(address), _gas_price(config), _deposits(chain))


def _transactions(config: Config) -> Finding:
    from dlbc.adapters.chain.rpc import Rpc

    address, skipped = _account(config, "transactions")
    if address is None:
        return skipped
    rpc, method = Rpc(config.rpc_url, timeout=5.0), "eth_getTransactionCount"
    return checkup.judge_transactions(*(rpc.quantity(method, [address, at]) for at in ("latest", "pending")))


def _account(config: Config, name: str) -> tuple[Address | None, Finding]:
    """The account, and what is said where there is none."""
    try:
        return account_checkup.account_of(config), Finding(name, State.SKIPPED, "no account is named")
    except DlbcError:
        where = "signer" if config.signer_url is not None else "keystore"
        return None, Finding(name, State.SKIPPED, f"not checked: see {where}")


def _gas_price(config: Config) -> Wei:
    from dlbc.adapters.chain.rpc import Rpc, RpcError

    try:
        return Wei(Rpc(config.rpc_url, timeout=5.0).quantity("eth_gasPrice", []))
    except RpcError as error:
        raise Refused(f"the RPC endpoint does not tell the gas price ({error.message[:80]})") from error


def _deposits(chain: Chain) -> list[Wei]:
    return [chain.task(ranked.task_id).deposit_wei for ranked in chain.ranked_tasks()[:_OPEN_TASKS]]


def _is_local(config: Config) -> bool:
    return config.chain_id == LOCAL_CHAIN_ID


# ------------------------------------------------------------------ the IPFS node


def _ipfs_checks(config: Config) -> list[Check]:
    def version() -> Finding:
        from dlbc.adapters.storage.ipfs import IpfsStorage

        return ok("ipfs", f"Kubo {checked_text(IpfsStorage(config.ipfs_api).version())} at {config.ipfs_api}")

    def repository() -> Finding:
        from dlbc.adapters.storage.ipfs import IpfsStorage

        return checkup.judge_repository(*IpfsStorage(config.ipfs_api).repo())

    def peers() -> Finding:
        from dlbc.adapters.storage.ipfs import IpfsStorage

        return checkup.judge_peers(len(IpfsStorage(config.ipfs_api).peers()), is_local=_is_local(config))

    return [
        Check("ipfs", version, seconds=20.0),
        Check("ipfs repository", repository, "ipfs", seconds=60.0),
        Check("ipfs peers", peers, "ipfs", seconds=20.0),
    ]


def checked_text(text: object) -> str:
    """What a stranger calls itself, without what could steer a terminal."""
    return "".join(letter for letter in str(text)[:80] if letter.isprintable())
