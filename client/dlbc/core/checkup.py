"""What `dlbc doctor` makes of what it measured. Pure: numbers in, findings with what to do out."""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum
from pathlib import Path

from dlbc.core.types import Address, Wei
from dlbc.core.units import format_amount, format_duration

GB = 10**9
LOW_DISK_BYTES = 20 * GB
NO_DISK_BYTES = 2 * GB
SLOW_RPC_SECONDS = 0.5
CLOCK_AHEAD_SECONDS = 30
CLOCK_BEHIND_SECONDS = 180
"""A quiet chain mines a block only now and then; public ones every few seconds."""
ENTRY_GAS = 500_000
"""Of a commit, a reveal, an opening, a reclaim and a withdrawal: 465,305 in bench/results/gas.json."""
PUBLIC_MODE = 0o077


class State(Enum):
    """How bad it is."""

    OK = "ok"
    WARNING = "warning"
    PROBLEM = "problem"
    SKIPPED = "skipped"


@dataclass(frozen=True, slots=True)
class Finding:
    """One check."""

    name: str
    state: State
    found: str
    todo: str = ""


def ok(name: str, found: str) -> Finding:
    """Nothing to do."""
    return Finding(name, State.OK, found)


def warning(name: str, found: str, todo: str) -> Finding:
    """It works, but may not for long, or not well."""
    return Finding(name, State.WARNING, found, todo)


def problem(name: str, found: str, todo: str) -> Finding:
    """It does not work."""
    return Finding(name, State.PROBLEM, found, todo)


def judge_disk(free: int, place: str) -> Finding:
    """Free bytes where the home folder is."""
    found = f"{free / GB:.1f} GB free in {place}"
    if free < NO_DISK_BYTES:
        return problem("disk", found, "make room (`dlbc disk --free`), or set home to another disk")
    if free < LOW_DISK_BYTES:
        return warning("disk", found, "make room, or set disk_quota_gb; see `dlbc disk`")
    return ok("disk", found)


def judge_clock(system: float, block: int, *, is_local: bool) -> Finding:
    """The system's time against that of the chain's latest block, in seconds."""
    ahead = int(system) - block  # of the chain
    if abs(ahead) < 2:
        found = "the same as the chain's latest block"
    else:
        found = f"{format_duration(abs(ahead))} {'after' if ahead > 0 else 'before'} the chain's latest block"
    if is_local:  # its time is moved by hand
        return ok("clock", f"{found} (a local chain)")
    if ahead < -CLOCK_AHEAD_SECONDS:
        return problem("clock", found, "set this machine's clock (NTP): deadlines are the chain's")
    if ahead > CLOCK_BEHIND_SECONDS:
        return warning("clock", found, "is the node in sync? is this machine's clock right (NTP)?")
    return ok("clock", found)


def judge_synchronised(answer: str | None) -> Finding:
    """Whether the operating system says that its clock follows a reference; None: it does not say."""
    if answer == "yes":
        return ok("time service", "the system clock is synchronised")
    if answer == "no":
        return warning(
            "time service", "the system clock is not synchronised", "turn on NTP: `timedatectl set-ntp true`"
        )
    return Finding("time service", State.SKIPPED, "this system does not say whether its clock is synchronised")


def judge_rpc(seconds: float, client: str, url: str) -> Finding:
    """How long the endpoint takes for a small request."""
    found = f"{url} answers in {1000 * seconds:.0f} ms ({client[:40]})"
    if seconds > SLOW_RPC_SECONDS:
        return warning("rpc", found, "use a nearer endpoint: a reveal takes about ten requests")
    return ok("rpc", found)


def judge_gas(price: Wei, deposits: list[Wei]) -> Finding:
    """The gas of one entry against what is at stake."""
    cost = Wei(ENTRY_GAS * price)
    found = f"{price / 10**9:.3g} gwei; an entry costs about {format_amount(cost)}"
    if deposits and cost > max(deposits):
        return warning("gas price", found, "an entry costs more than any open task's deposit; wait, or mine elsewhere")
    return ok("gas price", found)


def judge_balance(balance: Wei, price: Wei, deposits: list[Wei]) -> Finding:
    """Whether the account can enter tasks. deposits: of the open tasks."""
    cost = ENTRY_GAS * price
    found = format_amount(balance)
    if balance < cost:
        return problem(
            "balance", found, f"send ether to the account: the gas of one entry is {format_amount(Wei(cost))}"
        )
    if deposits and balance < min(deposits) + cost:
        needed = format_amount(Wei(min(deposits) + cost))
        return warning("balance", found, f"too little for any open task: the cheapest needs {needed} with its gas")
    affordable = sum(1 for deposit in deposits if balance >= deposit + cost)
    return ok("balance", f"{found}; enough for {affordable} of {len(deposits)} open tasks, one at a time")


def judge_gpu(devices: list[tuple[str, int, int]], torch: str, *, has_driver: bool) -> Finding:
    """devices: (name, free bytes, all bytes) as torch sees them."""
    if devices:
        told = ", ".join(f"{name} with {free / GB:.0f} of {total / GB:.0f} GB free" for name, free, total in devices)
        return ok("gpu", f"{told} (torch {torch})")
    if has_driver:
        todo = "install a CUDA build of torch that fits the driver (see `nvidia-smi`)"
        return problem("gpu", f"a driver is there, but torch {torch} sees no GPU", todo)
    return warning("gpu", f"none; training uses the CPU (torch {torch})", "fine for small models only")


def judge_scoring(network: tuple[str, ...], *, has_no_writes: bool, has_no_children: bool) -> Finding:
    """What keeps the process that runs strangers' models from the network, from files and from other programs."""
    held = [*(["no files"] if has_no_writes else []), *(["no other programs"] if has_no_children else [])]
    if network:
        return ok("scoring", ", ".join([f"no network ({' and '.join(network)})", *held]))
    todo = "audits work, within limits of memory and time; to confine them too, run them on Linux"
    return warning("scoring", ", ".join(["the network can't be taken away here", *held]), todo)


def judge_peers(peers: int, *, is_local: bool) -> Finding:
    """Whether others can fetch what this node has."""
    found = f"{peers} connected"
    if peers == 0 and not is_local:
        return warning("ipfs peers", found, "nobody can fetch your models: check the node's network")
    return ok("ipfs peers", found)


def judge_repository(used: int, limit: int) -> Finding:
    """Bytes of the IPFS node's repository, and where its own garbage collection starts (0: not told)."""
    found = f"{used / GB:.2f} GB" + (f" of {limit / GB:.0f} GB" if limit else "")
    if limit and used > limit * 9 // 10:
        return warning("ipfs repository", found, "`dlbc disk --free`, `ipfs repo gc`, or raise Datastore.StorageMax")
    return ok("ipfs repository", found)


def judge_secret_file(name: str, mode: int, file: Path, what: str = "") -> Finding:
    """A file that only its owner may read."""
    found = f"{what}{file} (mode {mode & 0o777:03o})"
    if mode & PUBLIC_MODE:
        return problem(name, f"{found} may be read by others", f"chmod 600 {file}")
    return ok(name, found)


def judge_signer(
    url: str, accounts: list[Address], named: Address | None, told: int | None, chain: int | None
) -> Finding:
    """accounts: the signer's. named: the configured one. told, chain: the chain id as the signer and we have it."""
    if named is not None and named not in accounts:
        todo = f"import {named} there, or name one of its own with --account"
        return problem("signer", f"{url} has {len(accounts)} accounts, and not {named}", todo)
    if named is None and len(accounts) != 1:
        todo = "name one by its address with --account or DLBC_ACCOUNT"
        return problem("signer", f"{url} has {len(accounts)} accounts", todo)
    if told is not None and chain is not None and told != chain:
        return problem("signer", f"{url} signs for chain {told}, expected is chain {chain}", "start it for that chain")
    on = f", for chain {told}" if told is not None else ""
    return ok("signer", f"{named or accounts[0]} at {url}{on}")


def judge_transactions(mined: int, known: int) -> Finding:
    """How many transactions of the account are mined, and mined or waiting."""
    waiting = known - mined
    if waiting <= 0:
        return ok("transactions", "none is on its way")
    todo = "whoever sends next with this key finishes them first; are fees above max_fee_gwei?"
    return warning("transactions", f"{waiting} sent and not mined yet", todo)
