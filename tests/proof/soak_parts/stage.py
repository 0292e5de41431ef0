"""The run itself: a local network, whole processes on it, somebody who kills them, and one loop that looks after all.

One thread: the system ends what the network starts with the thread that started it.
"""

from __future__ import annotations

import os
import random
import signal
import time
from collections import Counter, deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from dlbc import bootstrap
from dlbc.adapters import keys
from dlbc.adapters.devnet import anvil, network
from dlbc.adapters.devnet.network import Network
from dlbc.adapters.devnet.process import free_port, has_ended
from dlbc.core.types import TaskId

from soak_parts.actors import Auditor, Requester
from soak_parts.plan import MOST_AT_RISK_ETHER, PlannedTask, plan, windows_for
from soak_parts.programs import Command, Daemon, Program

LOOK_SECONDS = 0.1
SAMPLE_SECONDS = 5.0
CALM_SECONDS = 120.0
"""After the last kill, and the windows of a task: what is left to be done has to be done by then."""
STAKE = ("100", "ether")
AUDITOR, KEEPER = "auditor", "keeper"
REQUESTERS = ("requester", "requester2")
FIRST_SPARE_KEY = 10
"""Of the mnemonic: accounts that are funded and have no keystore yet."""
IPFS_WEIGHT = 0.5
"""The IPFS node is killed half as often as a daemon."""


@dataclass(frozen=True)
class Settings:
    """What one run is."""

    seconds: float
    tasks: int
    miners: int
    seed: int
    kill_seconds: float  # mean pause between two kills


@dataclass(frozen=True)
class Kill:
    """One SIGKILL."""

    at: float
    name: str
    command: str


@dataclass
class Outage:
    """Of the IPFS node."""

    began: float
    ended: float | None = None


@dataclass
class Stage:
    """Everything of one run."""

    settings: Settings
    net: Network
    folder: Path
    say: Callable[[str], None]
    kills: list[Kill] = field(default_factory=list)
    outages: list[Outage] = field(default_factory=list)
    samples: list[dict[str, Any]] = field(default_factory=list)
    phases: dict[int, str] = field(default_factory=dict)
    cold: set[int] = field(default_factory=set)
    complaints: list[str] = field(default_factory=list)
    miners: list[Daemon] = field(default_factory=list)
    requesters: list[Requester] = field(default_factory=list)

    def __post_init__(self) -> None:
        """Accounts, actors, and the balances they begin with."""
        self._zero = time.monotonic()
        self.relay = self.folder / "relay"
        self.relay.mkdir()
        self._add_accounts()
        self.chain, self.pool = bootstrap.chain_and_pool(self.net.config())
        names = [*REQUESTERS, *(f"miner{number}" for number in range(1, self.settings.miners + 1)), KEEPER, AUDITOR]
        self.accounts = {name: str(self.net.keys(name).address) for name in names}
        self.first_block = int(anvil.rpc(self.net.rpc_url, "eth_blockNumber"), 16) + 1
        self.before = self.balances()
        self.keeper = self._daemon("keeper", KEEPER, ["keeper", "run", "--relay", str(self.relay)])
        self.auditor = Auditor(AUDITOR, self._command)
        self._random = random.Random(self.settings.seed ^ 0x50AC)
        self._kill_at = self._sample_at = 0.0

    # ------------------------------------------------------------------ the run

    def play(self) -> None:
        """From the first posting to the last daemon's end."""
        self._prepare()
        self._zero = time.monotonic()
        self._kill_at = self._next_kill(0.0)
        self.clock_offset = self.chain.now() - self.now
        while self.now < self.settings.seconds:
            self._look(killing=True)
            self._tell()
        calm_from = self.now
        longest = CALM_SECONDS + windows_for(self.settings.seconds).total
        while not self._is_calm() and self.now < calm_from + longest:
            self._look(killing=False)
            self._tell()
        self.calm_seconds = round(self.now - calm_from, 1)
        self.ended_at = self.now
        self.last_ages = {daemon.name: daemon.tick_age() for daemon in self.daemons if daemon.is_alive}
        self._dismiss_all()

    def _prepare(self) -> None:
        """Stake, and the wait until it counts, which is the one moment in which the clock is moved."""
        for words in (["stake", *STAKE, "--yes"], ["activate"]):
            self.run_to_end(AUDITOR, ["auditor", *words])
            if words[0] == "stake":
                self.net.advance_time(seconds=self.pool.params().activation_seconds)
        settings = self.settings
        limit = ["--most-at-risk", f"{MOST_AT_RISK_ETHER} ether"]
        for number in range(1, settings.miners + 1):
            name = f"miner{number}"
            self.miners.append(self._daemon(name, name, ["miner", "run", "--device", "cpu", *limit]))
        planned = plan(settings.tasks, len(REQUESTERS), settings.seconds, settings.seed)
        for index, name in enumerate(REQUESTERS):
            own = deque(task for task in planned if task.requester == index)
            windows = windows_for(settings.seconds)
            self.requesters.append(Requester(name, own, windows, self.folder, self._command, self._daemon))

    def _look(self, *, killing: bool) -> None:
        began = time.monotonic()
        now = self.now
        self._look_at_ipfs()
        for daemon in (*self.miners, self.keeper):
            daemon.look(now)
        for requester in self.requesters:
            requester.look(now, self.cold.__contains__)
        self.auditor.look(now)
        if killing and now >= self._kill_at:
            self._kill_at = self._next_kill(now)
            self._kill_one()
        if now >= self._sample_at:
            self._sample_at = now + SAMPLE_SECONDS
            self._sample()
        time.sleep(max(0.0, LOOK_SECONDS - (time.monotonic() - began)))

    @property
    def now(self) -> float:
        """Seconds of the run."""
        return time.monotonic() - self._zero

    @property
    def daemons(self) -> list[Daemon]:
        """All that were ever started."""
        watches = [program for each in self.requesters for program in each.programs if isinstance(program, Daemon)]
        return [*self.miners, self.keeper, *watches]

    @property
    def programs(self) -> list[Program]:
        """Everything that was ever started."""
        commands = [program for each in self.requesters for program in each.programs if isinstance(program, Command)]
        return [*self.daemons, *commands, *self.auditor.programs]

    @property
    def posted(self) -> dict[int, PlannedTask]:
        """What was planned for each task of the market."""
        return {number: task for requester in self.requesters for number, task in requester.posted.items()}

    def balances(self) -> dict[str, int]:
        """Wei of every account now."""
        return {
            name: int(anvil.rpc(self.net.rpc_url, "eth_getBalance", address, "latest"), 16)
            for name, address in self.accounts.items()
        }

    def run_to_end(self, account: str, words: Sequence[str], accepted: tuple[int, ...] = (0,)) -> Command:
        """A command that nobody kills. What it ends with is a complaint unless it is accepted."""
        command = self._command(
            f"{account}-alone-{len(list(self.folder.glob('programs/*.err')))}", account, words, accepted
        )
        while not command.is_over:
            command.look(self.now)
            time.sleep(LOOK_SECONDS)
        self.complaints += command.complaints
        return command

    # ------------------------------------------------------------------ who is killed

    def _next_kill(self, now: float) -> float:
        return now + self._random.expovariate(1 / self.settings.kill_seconds)

    def _kill_one(self) -> None:
        candidates: list[tuple[str, Program | None]] = [(daemon.name, daemon) for daemon in (*self.miners, self.keeper)]
        candidates += [(requester.account, requester.victim()) for requester in self.requesters]
        candidates += [(AUDITOR, self.auditor.victim()), ("ipfs", None)]
        weights = [IPFS_WEIGHT if name == "ipfs" else 1.0 for name, _ in candidates]
        name, victim = self._random.choices(candidates, weights)[0]
        if name == "ipfs":
            self._kill_ipfs()
        elif victim is not None and victim.is_alive:
            self.kills.append(Kill(self.now, name, " ".join(victim.words[:2])))
            victim.kill()

    def _kill_ipfs(self) -> None:
        node = self.net.ipfs
        if node is not None and node.is_running:
            self.kills.append(Kill(self.now, "ipfs", "ipfs"))
            self.outages.append(Outage(self.now))
            os.kill(node.pid, signal.SIGKILL)

    def _look_at_ipfs(self) -> None:
        """Starts it again, on the port that everybody knows, as its service manager would."""
        if not self.outages or self.outages[-1].ended is not None or self.now < self.outages[-1].began + 1:
            return
        assert self.net.ipfs is not None
        if not has_ended(self.net.ipfs):
            return
        port = self.net.ipfs.port
        self.net = network.up(self.net.home, ipfs_port=port, dies_with_parent=True)
        self.outages[-1].ended = self.now

    # ------------------------------------------------------------------ how it goes

    def _sample(self) -> None:
        """How many tasks are in which phase; who opened a model; what everybody has in memory."""
        phases = self.chain.phases(TaskId(1), max(1, self.settings.tasks + 1))
        self.phases = {number: phase.phase.label for number, phase in enumerate(phases, 1)}
        self.cold = {number for number, phase in enumerate(phases, 1) if phase.phase.is_cold}
        for number, (_, round_) in enumerate(self.chain.tasks([TaskId(n) for n in self.phases]), 1):
            if round_.challenge_end:
                self.auditor.hear(number)
        for program in self.programs:
            if program.is_alive:
                program.note_memory()
        self.samples.append(
            {
                "at": round(self.now, 1),
                "phases": dict(Counter(self.phases.values())),
                "alive": sum(program.is_alive for program in self.programs),
                "load": round(os.getloadavg()[0], 2),
            }
        )

    def _is_calm(self) -> bool:
        """Everything is over, everybody is back, and nobody is owed anything."""
        if len(self.cold) < self.settings.tasks or not all(each.is_done for each in self.requesters):
            return False
        if not self.auditor.is_done or any(daemon.life.ready is None or not daemon.is_alive for daemon in self.miners):
            return False
        return not any(self.chain.credit(keys.Address(address)) for address in self.accounts.values())

    def _dismiss_all(self) -> None:
        """SIGTERM to all at once, as at the machine's end."""
        for daemon in self.daemons:
            daemon.dismiss(self.now)
        while not all(daemon.has_left or not daemon.lives for daemon in self.daemons):
            for daemon in self.daemons:
                daemon.look(self.now)
            time.sleep(LOOK_SECONDS)
        self.complaints += [
            f"{program.name} was still at work at the end" for program in self.programs if program.is_alive
        ]
        self.end()

    def end(self) -> None:
        """Whatever went wrong: nothing of this run stays."""
        for program in self.programs:
            if program.is_alive:
                program.kill()

    def _tell(self) -> None:
        cold, posted = len(self.cold), len(self.posted)
        self.say(
            f"{self.now:5.0f} s of {self.settings.seconds:.0f}: {posted} of {self.settings.tasks} tasks posted, "
            f"{cold} over, {len(self.kills)} kills"
        )

    # ------------------------------------------------------------------ what is started how

    def _add_accounts(self) -> None:
        password = self.net.password_file.read_text().strip()
        for index, name in enumerate((REQUESTERS[1], KEEPER), FIRST_SPARE_KEY):
            keys.create_keystore(name, self.net.home, password, keys.derive_key(anvil.MNEMONIC, index), quick=True)

    def _environment(self, account: str) -> dict[str, str]:
        clean = {name: value for name, value in os.environ.items() if not name.startswith("DLBC_")}
        own = {"HOME": str(self.net.home), "ACCOUNT": account, "TORCH_THREADS": "1", "RELAY_FOLDER": str(self.relay)}
        return clean | {f"DLBC_{name}": value for name, value in own.items()}

    def _daemon(self, name: str, account: str, words: Sequence[str]) -> Daemon:
        return Daemon(name, list(words), self._environment(account), self.folder / "programs", free_port())

    def _command(self, name: str, account: str, words: Sequence[str], accepted: tuple[int, ...]) -> Command:
        return Command(name, list(words), self._environment(account), self.folder / "programs", accepted)
