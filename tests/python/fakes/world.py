"""A whole market in memory with requesters and miners on it, and a way to break any of them at any step."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from dlbc.adapters.signatures import recover_signer
from dlbc.core.decide import Do
from dlbc.core.errors import DlbcError, TryLater
from dlbc.core.examination import Examination
from dlbc.core.task_file import TaskFile, parse_task_file
from dlbc.core.types import Address, Locator, TaskId, Wei
from dlbc.ports import Examinations, Examining, Keys
from dlbc.roles.attention import Attention
from dlbc.roles.auditing import AuditorDaemon, Limits
from dlbc.roles.auditor import Auditor
from dlbc.roles.bond_watch import BondWatch
from dlbc.roles.disputing import Disputer
from dlbc.roles.examination_queue import ExaminationQueue
from dlbc.roles.examining import Examiner
from dlbc.roles.loop import said_once
from dlbc.roles.miner import Miner, MinerOptions
from dlbc.roles.model_store import ModelStore
from dlbc.roles.models import Models
from dlbc.roles.refuting import Refuter
from dlbc.roles.requester import Requester
from dlbc.roles.requesting import RequesterDaemon
from dlbc.roles.stakes import Staker
from dlbc.roles.telling import Outbox
from dlbc.roles.voting import Voter
from fakes.chain import FakeChain, FakeMarket
from fakes.channel import Listener
from fakes.journal import MemoryJournal
from fakes.keys import account
from fakes.pool import FakePool, PoolState
from fakes.storage import MemoryStorage
from fakes.trainer import FakeData, FakeTrainer

TASK = """
name = "clusters"
[data]
source = "clusters"
[model]
family = "mlp"
[training]
epochs = 5
[money]
bounty = "1 ether"
deposit = "0.1 ether"
[windows]
train = "1h"
release = "1h"
reveal = "1h"
open = "1h"
challenge = "1h"
[scoring]
min_score = 0.5
"""


PATIENCE = 30.0
"""Seconds that a tick waits for what runs in a thread: everything happens in the order of the ticks."""


class Crash(BaseException):
    """The process is gone. Not an Exception: nothing in the client may catch it."""


@dataclass
class Steps:
    """Counts what a role does to the outside world, and ends it at one of those points."""

    crash_at: int | None = None
    taken: list[str] = field(default_factory=list)

    def take(self, name: str) -> None:
        """One more step. Raises Crash if it is the fatal one."""
        self.taken.append(name)
        if self.crash_at is not None and len(self.taken) == self.crash_at:
            self.crash_at = None
            raise Crash(f"step {len(self.taken)}: {name}")


class FaultyJournal(MemoryJournal):
    """A process may die right before or right after a write."""

    def __init__(self, whole: MemoryJournal, steps: Steps) -> None:
        self._records = whole._records
        self._steps = steps

    def put(self, kind: str, key: str, record: Mapping[str, Any]) -> None:
        self._steps.take(f"before journal {kind}")
        super().put(kind, key, record)
        self._steps.take(f"after journal {kind}")


class FaultyStorage(MemoryStorage):
    """A process may die right before or right after an upload."""

    def __init__(self, network: dict[Locator, bytes], steps: Steps) -> None:
        super().__init__(network)
        self._steps = steps

    def add(self, data: bytes) -> Locator:
        self._steps.take("before upload")
        locator = super().add(data)
        self._steps.take("after upload")
        return locator


@dataclass
class Stopwatch:
    """Time that goes on by a little whenever somebody looks."""

    now: float = 0.0
    step: float = 0.25

    def __call__(self) -> float:
        self.now += self.step
        return self.now


@dataclass
class InProcess:
    """ports.Examinations that takes one look more than it needs, and no process."""

    examiner: Examiner
    started: list[tuple[TaskId, bool]] = field(default_factory=list)

    def start(self, task_id: TaskId, *, test_set: bool) -> Examining:
        self.started.append((task_id, test_set))
        return OneLook(lambda: self.examiner.examine(task_id, test_set=test_set))


@dataclass
class OneLook:
    """ports.Examining: comes at the second look."""

    examine: Callable[[], Examination]
    looks: int = 0

    def poll(self) -> Examination | None:
        self.looks += 1
        if self.looks < 2:
            return None
        try:
            return self.examine()
        except DlbcError as error:
            raise TryLater(str(error)) from error

    def stop(self) -> None:
        self.looks = 0


@dataclass
class World:
    """Everything that outlives a process: the chain, the network of stored bytes, journals and disks."""

    folder: Path
    market: FakeMarket = field(default_factory=FakeMarket)
    network: dict[Locator, bytes] = field(default_factory=dict)
    journals: dict[str, MemoryJournal] = field(default_factory=dict)
    events: list[tuple[str, str, dict[str, Any]]] = field(default_factory=list)
    data: FakeData = field(default_factory=FakeData)
    pool_state: PoolState = field(init=False)

    def __post_init__(self) -> None:
        """The market's pool."""
        self.pool_state = PoolState(self.market)

    @property
    def task_file(self) -> TaskFile:
        """A task for linear models."""
        return parse_task_file(TASK)

    @property
    def onlooker(self) -> FakeChain:
        """The market as nobody in particular."""
        return FakeChain(self.market)

    @property
    def pool(self) -> FakePool:
        """The auditor pool as nobody in particular."""
        return FakePool(self.pool_state)

    def requester(self, name: str = "requester", *, steps: Steps | None = None, keys: Keys | None = None) -> Requester:
        """A requester process. Another one of the same name finds the same journal."""
        used, steps = keys or account(name), steps or Steps()
        chain = self._chain(used.address, steps)

        @contextmanager
        def open_journal() -> Iterator[MemoryJournal]:
            yield FaultyJournal(self.journal(name), steps)

        return Requester(
            chain=chain,
            pool=FaultyPool(self.pool_state, used.address, steps),
            storage=FaultyStorage(self.network, steps),
            keys=used,
            data=self.data,
            trainer=FakeTrainer(),
            open_journal=open_journal,
            read_journal=open_journal,
            report=self._report(name),
        )

    def requester_daemon(
        self,
        name: str = "requester",
        *,
        steps: Steps | None = None,
        keys: Keys | None = None,
        listener: Listener | None = None,
        tasks: frozenset[TaskId] | None = None,
        free_bytes: int = 1 << 40,
    ) -> RequesterDaemon:
        """A requester that nobody tends. Another one of the same name finds the same journals and the same disk."""
        steps, stopwatch = steps or Steps(), Stopwatch()
        requester, report = self.requester(name, steps=steps, keys=keys), said_once(self._report(name))
        journal, folder = FaultyJournal(self.journal(f"{name}-daemon"), steps), self.folder / f"{name}-daemon"
        store = ModelStore(
            open_models=self.models,
            storage=requester.storage,
            journal=journal,
            folder=folder / "models",
            seconds=stopwatch,
            report=report,
            free_bytes=lambda _: free_bytes,
            patience=PATIENCE,
        )
        channels = [] if listener is None else [listener.process(steps)]
        return RequesterDaemon(
            requester=requester,
            journal=journal,
            outbox=Outbox(journal, channels, stopwatch, report, PATIENCE),
            store=store,
            bonds=BondWatch(
                requester.chain,
                requester,
                requester.storage,
                journal,
                folder / "files",
                report=report,
                patience=PATIENCE,
            ),
            attention=Attention(requester.chain, stopwatch),
            seconds=stopwatch,
            wall=lambda: self.market.now,
            report=report,
            tasks=tasks,
        )

    def miner(
        self,
        name: str = "miner",
        *,
        noise: float = 0.0,
        steps: Steps | None = None,
        keys: Keys | None = None,
        trainer: FakeTrainer | None = None,
        **options: Any,
    ) -> Miner:
        """A miner process. Another one of the same name finds the same journal and the same disk."""
        used, steps = keys or account(name), steps or Steps()
        return Miner(
            chain=self._chain(used.address, steps),
            pool=FaultyPool(self.pool_state, used.address, steps),
            storage=FaultyStorage(self.network, steps),
            keys=used,
            trainer=trainer or FakeTrainer(noise),
            journal=FaultyJournal(self.journal(name), steps),
            folder=self.folder / name,
            options=MinerOptions(**options),
            report=self._report(name),
        )

    def auditor(self) -> Auditor:
        """An auditor with its own connection to the network."""
        return Auditor(self.onlooker, MemoryStorage(self.network), FakeTrainer(), recover_signer)

    def processes(self, name: str) -> tuple[FakeChain, FakePool]:
        """Market and pool as one account's process has them."""
        address, steps = account(name).address, Steps()
        return self._chain(address, steps), FaultyPool(self.pool_state, address, steps)

    def staker(self, name: str, *, steps: Steps | None = None) -> Staker:
        """An auditor's stake, as one process sees it."""
        address, steps = account(name).address, steps or Steps()
        return Staker(self._chain(address, steps), FaultyPool(self.pool_state, address, steps), self._report(name))

    def voter(self, name: str, *, steps: Steps | None = None, keys: Keys | None = None) -> Voter:
        """An auditor that votes. Another one of the same name finds the same journal."""
        used, steps = keys or account(name), steps or Steps()
        return Voter(
            self._chain(used.address, steps),
            FaultyPool(self.pool_state, used.address, steps),
            used,
            FaultyJournal(self.journal(name), steps),
            self._report(name),
        )

    def disputer(self, name: str, *, steps: Steps | None = None) -> Disputer:
        """Somebody that objects."""
        address, steps = account(name).address, steps or Steps()
        return Disputer(
            self._chain(address, steps),
            FaultyPool(self.pool_state, address, steps),
            FaultyStorage(self.network, steps),
            self.auditor(),
            self._report(name),
        )

    def refuter(self, name: str, *, steps: Steps | None = None) -> Refuter:
        """Somebody that refutes and demands."""
        address, steps = account(name).address, steps or Steps()
        return Refuter(
            self._chain(address, steps),
            FaultyPool(self.pool_state, address, steps),
            MemoryStorage(self.network),
            FakeTrainer(),
            self._report(name),
        )

    def examiner(self) -> Examiner:
        """Looks without an account."""
        return Examiner(self.auditor(), self.refuter("nobody"))

    def audit_daemon(
        self,
        name: str,
        *,
        steps: Steps | None = None,
        examinations: Examinations | None = None,
        tasks: frozenset[TaskId] | None = None,
        **limits: Any,
    ) -> AuditorDaemon:
        """An auditor that nobody tends. Another one of the same name finds the same journal."""
        steps = steps or Steps()
        voter, report = self.voter(name, steps=steps), said_once(self._report(name))
        return AuditorDaemon(
            chain=voter.chain,
            pool=voter.pool,
            queue=ExaminationQueue(voter.journal, examinations or InProcess(self.examiner()), report),
            voter=voter,
            disputer=self.disputer(name, steps=steps),
            refuter=self.refuter(name, steps=steps),
            staker=self.staker(name, steps=steps),
            report=report,
            limits=Limits(**limits),
            tasks=tasks,
        )

    def staked(self, *names: str, wei: int = 10 * 10**18) -> None:
        """These auditors have active stake."""
        for name in names:
            self.staker(name).stake(Wei(wei))
        self.market.now += self.pool_state.params.activation_seconds
        for name in names:
            self.staker(name).activate()

    def models(self) -> Models:
        """The settled models."""
        return Models(self.onlooker, MemoryStorage(self.network), FakeTrainer())

    def journal(self, name: str) -> MemoryJournal:
        """What a name remembers."""
        return self.journals.setdefault(name, MemoryJournal())

    def lose_disk(self, name: str) -> None:
        """Journal and files are gone."""
        self.journals.pop(name, None)
        folder = self.folder / name
        if folder.exists():
            folder.rename(self.folder / f"{name}-lost-{len(list(self.folder.iterdir()))}")

    def heard(self, event: str, name: str | None = None) -> list[dict[str, Any]]:
        """What was reported under an event's name."""
        return [keys for who, what, keys in self.events if what == event and name in (None, who)]

    def post(self) -> TaskId:
        """One task, posted by the requester."""
        requester = self.requester()
        return requester.post(requester.prepare(self.task_file, self.folder))[0]

    def play(
        self,
        tasks: TaskId | tuple[TaskId, ...],
        *miners: Miner,
        requester: Requester | None = None,
        auditors: tuple[AuditorDaemon, ...] = (),
        until: Callable[[], bool] = lambda: False,
        most: int = 80,
    ) -> None:
        """Everybody acts; when nobody has anything to do, time moves to the end of the window."""
        requester = requester or self.requester()
        tasks = tasks if isinstance(tasks, tuple) else (tasks,)
        for _ in range(most):
            before = len(self.market.transactions), len(self.events)
            decisions = [requester.step(task_id) for task_id in tasks]
            for miner in miners:
                miner.tick()
            for auditor in auditors:
                auditor.tick()
            if until():
                return
            is_over = all(decision.do is Do.FINISH for decision in decisions) and all(
                entry.is_done for miner in miners for entry in miner.entries.values()
            )
            is_over = is_over and not any(auditor.owed for auditor in auditors)
            if is_over:
                return
            waits = ("waiting", "phase", "training")
            quiet = all(what in waits for _, what, _ in self.events[before[1] :])
            quiet = quiet and not any(auditor.queue.is_busy for auditor in auditors)
            if before[0] == len(self.market.transactions) and quiet and not self._someone_trains(miners):
                warm = [task_id for task_id in tasks if not self.market.phase(task_id).phase.is_cold]
                if warm:
                    self.market.move_to_end_of_phase(min(warm, key=lambda task: self.market.phase(task).ends_at))
        raise AssertionError(f"the task did not come to an end in {most} steps: {self.events[-10:]}")

    def _someone_trains(self, miners: tuple[Miner, ...]) -> bool:
        return any(entry.training.is_running for miner in miners for entry in miner.entries.values())

    def _chain(self, address: Address, steps: Steps) -> FakeChain:
        return FaultyChain(self.market, address, steps)

    def _report(self, name: str) -> Callable[..., None]:
        def report(event: str, **keys: Any) -> None:
            self.events.append((name, event, keys))

        return report


class FaultyPool(FakePool):
    """The same for transactions to the pool."""

    def __init__(self, state: PoolState, account: Address, steps: Steps) -> None:
        super().__init__(state, account)
        self._steps = steps

    def _begin(self, call: str) -> Address:
        self._steps.take(f"before {call}")
        return super()._begin(call)

    def _end(self, call: str) -> Any:
        receipt = super()._end(call)
        self._steps.take(f"after {call}")
        return receipt


class FaultyChain(FakeChain):
    """A process may die right before a transaction leaves or right after it took effect."""

    def __init__(self, market: FakeMarket, account: Address, steps: Steps) -> None:
        super().__init__(market, account)
        self._steps = steps

    def _begin(self, call: str) -> Address:
        self._steps.take(f"before {call}")
        return super()._begin(call)

    def _end(self, call: str, task_id: TaskId | None = None) -> Any:
        receipt = super()._end(call, task_id)
        self._steps.take(f"after {call}")
        return receipt
