"""The faults of the chaos suite; each is for one life."""

from __future__ import annotations

import threading
from collections.abc import Callable

from dlbc.adapters.chain.rpc import Rpc
from dlbc.adapters.chain.transactions import Sender
from dlbc.adapters.devnet import anvil
from inside import Trap
from nodes import Liar
from relay import Mode, Relay
from ward import ETHER, Fault, Life, Step, limit_files

HOUR = 3600.0
GWEI = 10**9
SPIKE = 1000 * GWEI
"""Twelve blocks later it is a fifth."""
CEILING = "60"
"""Gwei that a careful owner pays for one gas."""

LIES: dict[str, Callable[[Liar], None]] = {
    "no receipt, though it is mined": Liar.hide_receipts,
    "failed, though it succeeded": Liar.tell_failure,
    "mined, though it was thrown away": Liar.invent_receipt,
    "taken, though it was thrown away": Liar.swallow,
    "another chain's number": Liar.switch_chain,
    "blocks of the past": Liar.fall_behind,
}


def killed(point: str, *words: str) -> Fault:
    """SIGKILL at a point (inside.py) of its first process."""
    return Fault("SIGKILL", point, trap=Trap(die_at=point), words=words, has_happened=lambda life: -9 in life.codes)


def relayed(which: str, mode: Mode, at: Step, seconds: float) -> Fault:
    """A connection's trouble for some time; `which`: RPC or IPFS."""

    def relay(life: Life) -> Relay:
        return life.rpc if which == "RPC" else life.ipfs

    return Fault(
        kind=f"{which} {mode}",
        name=f"{seconds:.0f} s from {at.name.lower()}",
        at=at,
        begin=lambda life: relay(life).set(mode),
        end=lambda life: relay(life).set("pass"),
        seconds=seconds,
        has_happened=lambda life: relay(life).hit > 0,
        told="try_later" if mode == "down" else "",  # shorter than all tries of one request, the others may pass unseen
    )


def lying(lie: str, at: Step, seconds: float) -> Fault:
    """Its node tells one of LIES."""
    liars: list[Liar] = []

    def begin(life: Life) -> None:
        liars.append(Liar(life.ward.chain_port))
        liars[0].start()
        LIES[lie](liars[0])
        life.rpc.turn_to(liars[0].port)

    def end(life: Life) -> None:
        life.rpc.turn_to(life.ward.chain_port)
        liars[0].stop()

    return Fault(
        "RPC lies",
        f"{lie}, from {at.name.lower()}",
        at=at,
        begin=begin,
        end=end,
        seconds=seconds,
        has_happened=lambda life: liars[0].told > 0,
    )


def disk_full(at: Step, size: int, seconds: float) -> Fault:
    """No file may grow above `size` bytes."""
    return Fault(
        "disk full",
        f"no file above {size} bytes, from {at.name.lower()}",
        at=at,
        begin=lambda life: limit_files(life, size),
        end=lambda life: limit_files(life, -1),
        seconds=seconds,
        has_happened=lambda life: life.says(r"File too large|disk|full|can't be written|can't be used"),
    )


def skewed(seconds: float) -> Fault:
    """Its clock is wrong by this much, all the time."""
    return Fault("clock skew", f"{seconds / HOUR:+.0f} h", trap=Trap(skew_seconds=seconds))


def nonce_stolen(at: Step, seconds: float) -> Fault:
    """Another program sends from the same account, five times a second."""
    thieves: list[Thief] = []
    return Fault(
        "nonce stolen",
        f"for {seconds:.0f} s from {at.name.lower()}",
        at=at,
        begin=lambda life: thieves.append(Thief(life)),
        end=lambda life: thieves[0].stop(),
        seconds=seconds,
        has_happened=lambda life: thieves[0].sent > 0,
    )


def started_twice(at: Step) -> Fault:
    """The same command beside it has to end with code 1 and one sentence."""

    def begin(life: Life) -> None:
        process, is_copied = life.spawn(Trap())
        process.join(60)
        is_copied()
        assert process.exitcode == 1, process.exitcode

    return Fault("started twice", at.name.lower(), at=at, begin=begin, told="another process")


def gas_spike(at: Step, ceiling: str) -> Fault:
    """A base fee of SPIKE for everybody; it falls by an eighth with each block. `ceiling`: "" or gwei."""
    return Fault(
        "gas spike",
        f"{SPIKE // GWEI} gwei at {at.name.lower()}, {'ceiling ' + ceiling + ' gwei' if ceiling else 'no ceiling'}",
        at=at,
        begin=lambda life: anvil.rpc(life.ward.network.rpc_url, "anvil_setNextBlockBaseFeePerGas", hex(SPIKE)),
        settings={"DLBC_MAX_FEE_GWEI": ceiling} if ceiling else {},
        told="gwei" if ceiling else "",
        costs=ETHER,
    )


class Thief:
    """Sends nothing to itself from a life's account."""

    def __init__(self, life: Life) -> None:
        self.sent = 0
        network = life.ward.network
        self._sender = Sender(Rpc(network.rpc_url), anvil.CHAIN_ID, network.keys(life.account), 20.0)
        self._to = life.address
        self._is_over = threading.Event()
        self._thread = threading.Thread(target=self._run, daemon=True)
        self._thread.start()

    def _run(self) -> None:
        while not self._is_over.wait(0.2):
            try:
                self._sender.send("theft", self._to, b"", 0)
                self.sent += 1
            except Exception:
                continue

    def stop(self) -> None:
        """Ends it."""
        self._is_over.set()
        self._thread.join(30)
