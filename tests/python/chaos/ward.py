"""Many lives of a miner on one network, each with its own account, task and fault; all go through the windows together.

A life: train, commit, reveal, open, collect. Whoever dies is started again at once, as a service manager would do. What
is asked of a life whatever happened to it: its deposit is back, its prize is paid, it committed once, its journal is
whole, and its log is made of events, without a traceback.
"""

from __future__ import annotations

import json
import multiprocessing
import os
import re
import resource
import sqlite3
import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from enum import IntEnum
from multiprocessing.connection import Connection
from multiprocessing.process import BaseProcess
from pathlib import Path
from typing import Any

import inside
from dlbc import bootstrap
from dlbc.adapters import keys
from dlbc.adapters.devnet import anvil
from dlbc.adapters.devnet.network import Network
from dlbc.adapters.journal.sqlite import SqliteJournal
from dlbc.core.errors import TryLater
from dlbc.core.task_file import parse_task_file
from dlbc.core.types import Address, Phase, TaskId
from relay import Relay
from report import Account

STEP_SECONDS = 400.0
IN_VAIN = 240.0
"""Seconds after which a fault that has met nobody ends."""
DEEPEST = 12
"""Blocks that a reorganisation replaces at most."""
ETHER = 10**18
RESTART_SECONDS = 1.0
"""As a service manager waits before it starts a daemon again."""
LARGEST_DEATHS = 40
FIRST_ACCOUNT = 1000
"""Of the mnemonic: accounts that nothing else on the network uses."""

NO_TASK = TaskId(0)
TASK = """
name = "{name}"
[data]
source = "digits"
seed = 1
[model]
family = "mlp"
hidden = [256, 128]
[training]
epochs = 3
batch = 128
learning_rate = 0.001
[money]
bounty = "1 ether"
deposit = "0.1 ether"
bond = "0.1 ether"
royalty = 0.05
[windows]
train = "1h"
release = "1h"
reveal = "1h"
open = "1h"
challenge = "1h"
[scoring]
min_score = 0.5
tolerance = 0.002
"""


class Step(IntEnum):
    """Where a life is; a fault begins at one of them."""

    BORN = 0
    STARTED = 1
    COMMITTED = 2
    REVEAL = 3
    REVEALED = 4
    OPEN = 5
    OPENED = 6
    COLLECT = 7
    FINISHED = 8


@dataclass
class Fault:
    """Something that goes wrong once in a life, at a step; `begin` and `end` are called around it."""

    kind: str
    name: str
    at: Step = Step.BORN
    trap: inside.Trap = field(default_factory=inside.Trap)
    """Inside the first process of this life."""
    words: tuple[str, ...] = ()
    """More of its command line."""
    settings: Mapping[str, str] = field(default_factory=dict)
    """Environment variables of its own."""
    begin: Callable[[Life], None] = lambda life: None
    end: Callable[[Life], None] = lambda life: None
    seconds: float = 0.0
    """How long it lasts at most; it ends earlier if the life is no longer held up by it."""
    costs: int = 0
    """Wei that it may cost in gas."""
    told: str = ""
    """A pattern that one line of the log has to match."""
    has_happened: Callable[[Life], bool] = lambda life: True
    """Whether it really reached its victim."""


@dataclass
class Life:
    """One miner's account on one task."""

    ward: Ward
    fault: Fault
    account: str
    address: Address
    folder: Path
    rpc: Relay
    ipfs: Relay
    task_id: TaskId = NO_TASK
    before: int = 0
    """Its balance, in wei."""
    deaths: int = 0
    codes: list[int] = field(default_factory=list)
    """Exit codes of the processes that ended."""
    recovered_in: float = 0.0
    """Seconds from the fault's end to the step's end."""
    process: BaseProcess | None = None
    _is_copied: Callable[[], None] = lambda: None
    _start_at: float = 0.0
    _faulty_until: float = 0.0
    _fault_ended: float = 0.0
    _is_unhindered: bool = False
    """A step was done in spite of the fault."""

    @property
    def log(self) -> Path:
        """All its processes' events."""
        return self.folder / "log"

    @property
    def points(self) -> Path:
        """The points its processes passed."""
        return self.folder / "points"

    @property
    def home(self) -> Path:
        """Its journal's folder."""
        return self.ward.network.home / f"miner-{self.address}"

    def start(self) -> None:
        """A process of its own; the fault's trap is only in the first."""
        self.process, self._is_copied = self.spawn(self.fault.trap if self.deaths == 0 else inside.Trap())

    def spawn(self, trap: inside.Trap) -> tuple[BaseProcess, Callable[[], None]]:
        """A process with this life's account and log; and what waits until all that it said is in the log."""
        ours, theirs = multiprocessing.Pipe(duplex=False)
        environment = {
            **{name: value for name, value in os.environ.items() if not name.startswith("DLBC_")},
            "DLBC_HOME": str(self.ward.network.home),
            "DLBC_RPC_URL": f"http://127.0.0.1:{self.rpc.port}",
            "DLBC_IPFS_API": f"/ip4/127.0.0.1/tcp/{self.ipfs.port}/http",
            "DLBC_ACCOUNT": self.account,
            "DLBC_TORCH_THREADS": "1",
            "OMP_NUM_THREADS": "1",
            **self.fault.settings,
        }
        words = ["miner", "run", "--device", "cpu", "--task", str(self.task_id), *self.fault.words]
        process = self.ward.context.Process(
            target=inside.run, args=(words, environment, self.points, theirs, self.folder / "out", trap)
        )
        process.start()
        theirs.close()
        reader = threading.Thread(target=self._copy, args=(ours,), daemon=True)
        reader.start()
        return process, lambda: reader.join(10)

    def _copy(self, ours: Connection) -> None:
        with self.log.open("ab") as log:
            while data := _read(ours):
                log.write(data)
                log.flush()
        ours.close()

    def attend(self) -> None:
        """Starts it again if it died; ends its fault in time."""
        process = self.process
        if process is not None and not process.is_alive():
            process.join()
            self._is_copied()
            self.process = None
            self.codes.append(int(process.exitcode or 0))
            if process.exitcode:
                self.deaths += 1
                assert self.deaths <= LARGEST_DEATHS, f"{self.name} keeps ending with {self.codes}: {self.last_words()}"
                self._start_at = time.monotonic() + RESTART_SECONDS
        if self.process is None and self._start_at and time.monotonic() > self._start_at:
            self._start_at = 0.0
            self.start()
        if self._is_fault_over():
            self._faulty_until = 0.0
            self._fault_ended = time.monotonic()
            self.fault.end(self)

    def _is_fault_over(self) -> bool:
        """Its time is up, and it has met its victim, or never will."""
        late = time.monotonic() - self._faulty_until
        return bool(self._faulty_until) and (late > IN_VAIN or (late > 0 and self.fault.has_happened(self)))

    def reach(self, step: Step) -> None:
        """Its fault begins, if this is where."""
        if step is self.fault.at:
            self.fault.begin(self)
            self._faulty_until = time.monotonic() + self.fault.seconds if self.fault.seconds else 0.0

    @property
    def is_finished(self) -> bool:
        """It has nothing left to do, and waits for other tasks."""
        if self.process is None or not (self.deaths or self.events("entry_finished")):
            return False
        with SqliteJournal(self.home, read_only=True) as kept:
            records = kept.all("entry")
        return bool(records) and all(record.get("done") for _, record in records)

    @property
    def is_home(self) -> bool:
        """It has finished, and nothing of its money is left in the market."""
        chain = self.ward.chain
        entry = chain.entry(self.task_id, 0, self.address)
        return self.is_finished and entry.has_revealed and not entry.holds_deposit and not chain.credit(self.address)

    def passed(self) -> None:
        """A step is done: how long after the fault's end?"""
        if self._faulty_until:
            self._is_unhindered = True
        if self._fault_ended and not self.recovered_in and not self._is_unhindered:
            self.recovered_in = time.monotonic() - self._fault_ended

    @property
    def name(self) -> str:
        """For messages."""
        return f"{self.fault.kind}: {self.fault.name}"

    def events(self, name: str) -> list[dict[str, Any]]:
        """What its processes logged under an event's name."""
        return [event for event in self.all_events() if event.get("event") == name]

    def says(self, pattern: str) -> bool:
        """A line of its log matches."""
        return self.log.exists() and re.search(pattern, self.log.read_text(errors="replace")) is not None

    def end(self) -> None:
        """SIGTERM; it has to end by itself, with code 0."""
        assert self.process is not None
        self.process.terminate()
        self.process.join(20)
        self.codes.append(-1 if self.process.exitcode is None else self.process.exitcode)
        self.process = None

    def last_words(self) -> str:
        """The log's end."""
        return self.log.read_text(errors="replace")[-900:] if self.log.exists() else ""

    def all_events(self) -> Iterator[dict[str, Any]]:
        """All that its processes logged."""
        for line in self.log.read_text(errors="replace").splitlines() if self.log.exists() else ():
            try:
                event = json.loads(line)
            except ValueError:
                continue
            if isinstance(event, dict):
                yield event

    def broken(self) -> list[str]:
        """What is not as it should be, now that it is over."""
        chain, found = self.ward.chain, []
        entry, round_ = chain.entry(self.task_id, 0, self.address), chain.round(self.task_id, 0)
        if chain.phase(self.task_id).phase is not Phase.SETTLED:
            found.append(f"its task is {chain.phase(self.task_id).phase.name}, not SETTLED")
        if entry.holds_deposit or chain.credit(self.address):
            found.append("money of its own is still in the market")
        if round_.commits != 1 or len(chain.commits(self.task_id, 0)) != 1:
            found.append(f"{round_.commits} commitments instead of one")
        if chain.winner(self.task_id, 0).miner != self.address:
            found.append("it did not win its task")
        earned = chain.balance(self.address) - self.before
        if earned < ETHER * 95 // 100 - self.fault.costs:
            found.append(f"it earned {earned / ETHER:.4f} ether of a bounty of 1 ether")
        text = self.log.read_text(errors="replace")
        if "Traceback" in text:
            found.append("a traceback is in its log")
        if self.codes[-1] != 0:
            found.append(f"it ended with code {self.codes[-1]}")
        if self.fault.told and not self.says(self.fault.told):
            found.append(f"no line of its log says {self.fault.told!r}")
        if not self.fault.has_happened(self):
            found.append("the fault did not reach it")
        return found + self._broken_journal()

    def _broken_journal(self) -> list[str]:
        with sqlite3.connect(f"file:{self.home / 'journal.sqlite'}?mode=ro", uri=True) as raw:
            (verdict,) = raw.execute("PRAGMA integrity_check").fetchone()
        raw.close()
        with SqliteJournal(self.home, read_only=True) as kept:
            entries = [record for _, record in kept.all("entry")]
        entries = [entry for entry in entries if entry["task_id"] == self.task_id or not entry.get("done")]
        wrong = [] if verdict == "ok" else [f"its journal is damaged: {verdict}"]
        if [(entry["task_id"], entry.get("done")) for entry in entries] != [(self.task_id, True)]:
            wrong.append(f"its journal has {len(entries)} entries, done: {[entry.get('done') for entry in entries]}")
        return wrong


def _read(connection: Connection) -> bytes:
    try:
        return os.read(connection.fileno(), 65_536)
    except OSError:
        return b""


Disturb = Callable[["list[Life]", Step], None]


class Ward:
    """One network, and the lives on it."""

    def __init__(self, network: Network, folder: Path) -> None:
        self.network, self.folder = network, folder
        self.chain, self.pool = bootstrap.chain_and_pool(network.config())
        self.context = multiprocessing.get_context("forkserver")
        self.context.set_forkserver_preload(inside.PRELOADED)
        self._requester = bootstrap.requester(network.config("requester"), lambda event, **keys: None)
        self._accounts = 0
        self.lives: list[Life] = []

    @property
    def chain_port(self) -> int:
        """Of the node itself, on loopback."""
        assert self.network.chain is not None
        return self.network.chain.port

    def live(self, faults: Sequence[Fault], *, together: int = 12, disturb: Disturb | None = None) -> list[Life]:
        """A life with each fault, so many at a time, through all windows; what is wrong with them is in `broken()`.

        `disturb` is called whenever all have done what a window is for, and must leave that so.
        """
        lives = []
        for first in range(0, len(faults), together):
            lives += self._wave(faults[first : first + together], disturb)
        self.lives += lives
        return lives

    def _wave(self, faults: Sequence[Fault], disturb: Disturb | None) -> list[Life]:
        def stage(step: Step, condition: Callable[[Life], object], what: str) -> None:
            self.until(lives, condition, what)
            for life in lives:
                life.reach(step)
            self.rest(lives, step)
            if disturb is not None:
                disturb(lives, step)
                self.until(lives, condition, what)

        def window(step: Step, end: Callable[[Life], int]) -> None:
            self.network.advance_time(to=max(end(life) for life in lives))
            self.bury()
            for life in lives:
                life.reach(step)

        with ExitStack() as stack:
            lives = [stack.enter_context(self._born(fault)) for fault in faults]
            self.bury()
            for life in lives:
                life.reach(Step.BORN)
                life.start()
            self.until(lives, lambda life: life.process and life.events("miner_started"), "the start")
            for life in lives:
                life.reach(Step.STARTED)
            stage(
                Step.COMMITTED,
                lambda life: self.chain.entry(life.task_id, 0, life.address).commit_seq,
                "the commitment",
            )
            window(Step.REVEAL, lambda life: int(self.round(life).train_end))
            for life in lives:
                self._release(life)
            self.bury()
            stage(Step.REVEALED, lambda life: self.round(life).reveals, "the reveal")
            window(Step.OPEN, lambda life: int(self.round(life).reveal_end))
            stage(Step.OPENED, lambda life: self.round(life).challenge_end, "the opening")
            window(Step.COLLECT, lambda life: int(self.round(life).challenge_end))
            stage(Step.FINISHED, lambda life: life.is_home, "the end")
            for life in lives:
                life.end()
            return lives

    def bury(self) -> None:
        """What was done so far is out of reach of a reorganisation."""
        anvil.rpc(self.network.rpc_url, "anvil_mine", hex(DEEPEST), "0x0")

    def _release(self, life: Life) -> None:
        deadline = time.monotonic() + STEP_SECONDS
        while True:
            try:
                self._requester.release(life.task_id)
                return
            except TryLater:
                assert time.monotonic() < deadline
                time.sleep(0.2)

    def rest(self, lives: Sequence[Life], step: Step) -> None:
        """While nothing is to be done, faults of this step run out, and the dead are back."""
        held = [life for life in lives if life.fault.at is step and life.fault.seconds]
        if held:
            self.until(held, lambda life: not life._faulty_until and life.process is not None, "the fault's end")

    @contextmanager
    def _born(self, fault: Fault) -> Iterator[Life]:
        self._accounts += 1
        account = f"life{self._accounts}"
        folder = self.folder / account
        folder.mkdir(parents=True)
        secret = keys.derive_key(anvil.MNEMONIC, FIRST_ACCOUNT + self._accounts)
        password = self.network.password_file.read_text().strip()
        _, address = keys.create_keystore(account, self.network.home, password, secret, quick=True)
        anvil.rpc(self.network.rpc_url, "anvil_setBalance", address, hex(100 * ETHER))
        assert self.network.ipfs is not None
        with Relay(self.chain_port) as rpc, Relay(self.network.ipfs.port) as ipfs:
            life = Life(self, fault, account, address, folder, rpc, ipfs)
            draft = self._requester.prepare(parse_task_file(TASK.format(name=account).encode()), self.folder)
            life.task_id = self._requester.post(draft)[0]
            life.before = self.chain.balance(address)
            try:
                yield life
            finally:
                if life.process is not None:
                    life.process.kill()
                    life.process.join()

    def until(self, lives: Sequence[Life], condition: Callable[[Life], object], what: str) -> None:
        """Attends to all until each meets the condition."""
        left, deadline = list(lives), time.monotonic() + STEP_SECONDS
        while left:
            for life in lives:
                life.attend()
            done = [life for life in left if condition(life)]
            for life in done:
                life.passed()
                left.remove(life)
            assert time.monotonic() < deadline, f"{what} did not come for {left[0].name}: {left[0].last_words()}"
            time.sleep(0.1)

    def round(self, life: Life) -> Any:
        """Of its task."""
        return self.chain.round(life.task_id, 0)


def limit_files(life: Life, size: int) -> None:
    """No file of this process may grow beyond `size` bytes; -1: as before."""
    assert life.process is not None
    assert life.process.pid is not None
    limit = resource.RLIM_INFINITY if size < 0 else size
    resource.prlimit(life.process.pid, resource.RLIMIT_FSIZE, (limit, resource.RLIM_INFINITY))


def drop(depth: int, account: Account) -> Disturb:
    """The last blocks become empty ones; the clock does not go back for good."""

    def disturb(lives: Sequence[Life], step: Step) -> None:
        network = lives[0].ward.network
        time = anvil.latest_time(network.rpc_url)
        assert any(_reorganised(network.rpc_url, depth) for _ in range(5))
        network.advance_time(to=time + depth)
        account.add("reorganisation", f"{depth} blocks when {step.name.lower()}")

    return disturb


def _reorganised(url: str, depth: int) -> bool:
    """False if another block came just before, so that the one that was looked at stayed."""
    top = anvil.rpc(url, "eth_blockNumber")
    before = anvil.rpc(url, "eth_getBlockByNumber", top, False)["hash"]
    anvil.rpc(url, "anvil_reorg", depth, [])
    return bool(before != anvil.rpc(url, "eth_getBlockByNumber", top, False)["hash"])
