"""One keeper keeps a whole market moving, with few requests and whatever goes wrong with single tasks."""

from __future__ import annotations

import itertools
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from dlbc.core.errors import ChainUnreachable, ContractRefused, Refused
from dlbc.core.turns import SPREAD_SECONDS, delay, draw_lot, spread_to_advance
from dlbc.core.types import Phase, PhaseInfo, TaskId
from dlbc.ports import Chain
from dlbc.roles.keeping import MarketKeeper
from dlbc.roles.loop import Report, unheard
from dlbc.roles.relaying import Relay
from dlbc.roles.tour import PAGE, PAGES
from fakes.chain import FakeChain
from fakes.keys import account
from fakes.world import World

pytestmark = pytest.mark.unit


@pytest.fixture
def world(tmp_path: Path) -> World:
    """Nothing has happened yet."""
    return World(tmp_path)


class CountingChain(FakeChain):
    """Counts the requests for phases, and fails where a test says."""

    def __init__(self, world: World) -> None:
        super().__init__(world.market, account("keeper").address)
        self.asked: list[int] = []
        self.error: Exception | None = None
        self.bad: set[TaskId] = set()

    def phases(self, first: TaskId, count: int) -> list[PhaseInfo]:
        self.asked.append(first)
        return super().phases(first, count)

    def advance(self, task_id: TaskId) -> Any:
        if self.error is not None and task_id in self.bad:
            raise self.error
        return super().advance(task_id)


def keeper(chain: Chain, report: Report = unheard, tasks: frozenset[TaskId] | None = None) -> MarketKeeper:
    return MarketKeeper(chain, report, tasks)


def many(world: World, count: int) -> None:
    """Copies of one posted task: what is asked for many is what matters."""
    first = world.post()
    for number in range(2, count + 1):
        world.market.tasks[number] = world.market.tasks[first]
        world.market.rounds[number, 0] = world.market.rounds[first, 0]
        world.market.locked += world.market.tasks[first].bounty_wei + world.market.tasks[first].bond_wei


class Stopwatch:
    """Shows as many seconds as a test says."""

    def __init__(self) -> None:
        self.shown = 0.0

    def __call__(self) -> float:
        return self.shown


class SlowChain(CountingChain):
    """Every transaction waits for a block."""

    def __init__(self, world: World, watch: Stopwatch) -> None:
        super().__init__(world)
        self.watch = watch

    def advance(self, task_id: TaskId) -> Any:
        self.watch.shown += 12
        return super().advance(task_id)


def test_market_keeper__many_tasks_end_together__reveals_are_relayed_in_between(world: World, tmp_path: Path) -> None:
    """Whoever posts a thousand tasks that end at once must not make a keeper miss a reveal window."""
    watch = Stopwatch()
    chain = SlowChain(world, watch)
    turns: list[float] = []

    class Turns(Relay):
        def tick(self) -> None:
            turns.append(watch.shown)

    many(world, 12)
    world.market.move_to_end_of_phase(1)
    mine = MarketKeeper(chain, relay=Turns(chain, tmp_path), seconds=watch)
    for _ in range(7):
        mine.tick()
    assert turns[0] == 0
    assert max(after - before for before, after in itertools.pairwise(turns)) <= 2 * 12 + 12
    assert all(phase.phase is Phase.VOID for phase in chain.phases(TaskId(1), 12))


def test_market_keeper__several_tasks_due__advances_each_once(world: World) -> None:
    """Nobody committed: all tasks end void, whatever their number, and nothing is left to do."""
    chain = CountingChain(world)
    mine = keeper(chain)
    assert mine.tick()
    many(world, 3)
    assert mine.tick()
    world.market.move_to_end_of_phase(1)
    for _ in range(3):
        assert mine.tick()
    assert [call for who, call in world.market.transactions if who == account("keeper").address] == ["advance"] * 3
    assert all(world.market.phase(number).phase is Phase.VOID for number in (1, 2, 3))


def test_market_keeper__nothing_due__asks_once_a_tick(world: World) -> None:
    """A hundred tasks cost one request."""
    many(world, PAGE - 1)
    chain = CountingChain(world)
    mine = keeper(chain)
    for _ in range(10):
        mine.tick()
    assert len(chain.asked) == 10


def test_market_keeper__thousands_of_old_tasks__costs_a_bounded_number_of_requests(world: World) -> None:
    """All are seen after some ticks; after that, only pages with open tasks, the last one and one old one are."""
    many(world, 40 * PAGE + 7)
    world.market.move_to_end_of_phase(1)
    chain = CountingChain(world)
    mine = keeper(chain)
    for _ in range(10):
        before = len(chain.asked)
        mine.tick()
        assert len(chain.asked) - before <= 2 * PAGES + 1
    assert world.market.open_tasks == 0
    chain.asked.clear()
    mine.tick()
    assert len(chain.asked) <= 2


def test_market_keeper__a_reorganisation_brings_a_task_back__it_is_found_again(world: World) -> None:
    """Pages where everything is over are still looked at now and then."""
    many(world, 3 * PAGE)
    before = dict(world.market.tasks)
    world.market.move_to_end_of_phase(1)
    mine = keeper(CountingChain(world))
    for _ in range(4):
        mine.tick()
    assert world.market.open_tasks == 0
    world.market.tasks[5] = before[5]
    world.market.locked += before[5].bounty_wei + before[5].bond_wei
    for _ in range(5):
        mine.tick()
    assert world.market.open_tasks == 0


@pytest.mark.parametrize(
    ("error", "event"),
    [
        (ContractRefused("somebody was faster"), "refused"),
        (Refused("needs ether"), "failed"),
        (ChainUnreachable("gone"), "failed"),
    ],
)
def test_market_keeper__one_task_fails__the_others_go_on(world: World, error: Exception, event: str) -> None:
    """What fails rests longer and longer, and is tried again."""
    many(world, 2)
    told: list[tuple[str, Any]] = []
    chain = CountingChain(world)
    chain.error, chain.bad = error, {TaskId(1)}
    mine = keeper(chain, lambda what, **keys: told.append((what, keys["task_id"])))
    world.market.move_to_end_of_phase(1)
    for _ in range(40):
        assert mine.tick()
    assert world.market.phase(2).phase is Phase.VOID
    assert 3 < told.count((event, TaskId(1))) < 10
    chain.error = None
    for _ in range(70):
        mine.tick()
    assert world.market.phase(1).phase is Phase.VOID


def test_market_keeper__chosen_tasks__leaves_others_alone_and_ends(world: World) -> None:
    """--task: False once they are over."""
    many(world, 2)
    mine = keeper(CountingChain(world), tasks=frozenset({TaskId(2)}))
    assert mine.tick()
    world.market.move_to_end_of_phase(2)
    assert mine.tick()
    assert not mine.tick()
    assert world.market.phase(1).due


def test_market_keeper__others_on_a_chain_with_long_windows__one_of_them_pays(world: World) -> None:
    """Each has its own moment in the five minutes after a window's end, and who comes later finds it done."""
    many(world, 3)
    world.market.params = replace(world.market.params, min_window=6 * 3600)
    world.market.move_to_end_of_phase(1)
    keepers = [MarketKeeper(FakeChain(world.market, account(f"keeper {number}").address)) for number in range(3)]
    left = [world.market.open_tasks]
    for _ in range(SPREAD_SECONDS + 1):
        for one in keepers:
            one.tick()
        left.append(world.market.open_tasks)
        world.market.now += 1
    assert left[-1] == 0
    assert len(set(left)) > 2, "not all in one moment"
    assert [call for _, call in world.market.transactions].count("advance") == 3


def test_spread__short_windows__nobody_waits() -> None:
    """On a local network what is due is written at once."""
    assert [spread_to_advance(seconds) for seconds in (1, 80, 6 * 3600)] == [0, 10, SPREAD_SECONDS]
    lots = [draw_lot(account("keeper").address, task) for task in range(100)]
    assert lots == [draw_lot(account("keeper").address, task) for task in range(100)]
    assert min(lots) < 2**28 < 2**31 < max(lots) < 2**32
    assert {delay(10, lot) for lot in lots} == set(range(10))
