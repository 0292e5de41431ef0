"""A miner with several devices and tasks: what runs where, what it costs to wait, and what it remembers."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from dlbc.core.manifest import manifest_from_bytes
from dlbc.core.types import TaskId, Wei
from dlbc.roles.attention import LONGEST_REST
from dlbc.roles.choosing import SPEED, disk_needed
from dlbc.roles.disk import folder_bytes
from dlbc.roles.miner import RECEIVED, Miner
from dlbc.roles.miner_state import StateFile, read_state
from fakes.chain import FakeChain
from fakes.keys import account
from fakes.trainer import FakeTrainer
from fakes.world import World

pytestmark = pytest.mark.unit

ETHER = 10**18
READS = ("task", "round", "entry", "phase", "ranked_tasks", "task_posted", "commits_of", "balance", "credit")


@pytest.fixture
def world(tmp_path: Path) -> World:
    """Nothing has happened yet."""
    return World(tmp_path)


@dataclass
class Stopwatch:
    """Shows what the test says."""

    time: float = 0.0

    def __call__(self) -> float:
        return self.time


@dataclass
class Reads:
    """Counts what is asked of the chain, by method."""

    counts: dict[str, int] = field(default_factory=dict)

    def take(self) -> dict[str, int]:
        """What was counted since the last time."""
        taken, self.counts = self.counts, {}
        return taken


@pytest.fixture
def reads(monkeypatch: pytest.MonkeyPatch) -> Reads:
    """Of every fake chain."""
    found = Reads()

    def count(name: str) -> None:
        plain = getattr(FakeChain, name)

        def counted(self: FakeChain, *arguments: Any) -> Any:
            found.counts[name] = found.counts.get(name, 0) + 1
            return plain(self, *arguments)

        monkeypatch.setattr(FakeChain, name, counted)

    for name in READS:
        count(name)
    return found


def post(world: World, count: int) -> list[TaskId]:
    """So many tasks of the same kind."""
    requester, tasks = world.requester(), []
    for _ in range(count):
        requester.forget(requester.prepare(world.task_file, world.folder))
        tasks.append(requester.post(requester.prepare(world.task_file, world.folder))[0])
    return tasks


def with_stopwatch(miner: Miner) -> Stopwatch:
    """The miner's stopwatch, in the test's hand."""
    miner.seconds = Stopwatch()
    return miner.seconds


def trains(miner: Miner) -> dict[str, TaskId]:
    """What runs on which device."""
    return {entry.device: entry.task_id for entry in miner.entries.values() if entry.training.is_running}


def test_miner__two_devices__one_training_on_each_and_the_third_waits(world: World) -> None:
    """A device is never shared, and never idle while there is something to do."""
    post(world, 3)
    miner = world.miner(devices=("cuda:0", "cuda:1"), trainer=FakeTrainer(ticks=20))
    for _ in range(3):
        miner.tick()
    assert trains(miner) == {"cuda:0": 1, "cuda:1": 2}
    assert [(choice.task_id, choice.device) for choice in miner.state().queue] == [(3, "cuda:0")]


def test_miner__disk_for_one_task__begins_one_at_a_time(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    """Each of two tasks may take half of the disk, not both: where it is full no reveal can be journaled."""
    first, second = post(world, 2)
    manifest = manifest_from_bytes(world.network[world.onlooker.task_posted(first).terms.manifest])
    size = disk_needed(manifest) * 5 // 2

    def usage(folder: Path) -> SimpleNamespace:
        return SimpleNamespace(free=size - folder_bytes(folder))

    monkeypatch.setattr("dlbc.roles.choosing.disk_usage", usage)
    miner = world.miner(devices=("cuda:0", "cuda:1"), trainer=FakeTrainer(ticks=6))
    for _ in range(3):
        miner.tick()
    assert trains(miner) == {"cuda:0": first}
    (told,) = {keys["why"] for keys in world.heard("task_passed_over")}
    assert "too little disk" in told
    assert {keys["task_id"] for keys in world.heard("task_passed_over")} == {second}


def test_miner__a_group_of_devices__is_one_slot(world: World) -> None:
    """One task trains on both of its members, the next one on another group, and the third waits."""
    post(world, 3)
    groups = ("cuda:0+cuda:1", "cuda:2+cuda:3")
    miner = world.miner(devices=groups, trainer=FakeTrainer(ticks=20))
    for _ in range(3):
        miner.tick()
    assert trains(miner) == {groups[0]: 1, groups[1]: 2}
    assert [(choice.task_id, choice.device) for choice in miner.state().queue] == [(3, groups[0])]


def test_miner__four_tasks_on_two_devices__all_end_in_money(world: World) -> None:
    """Revealing and opening of one go on while others train."""
    tasks = post(world, 4)
    miner = world.miner(devices=("cuda:0", "cuda:1"), trainer=FakeTrainer(ticks=4))
    world.play(tuple(tasks), miner, most=200)
    assert len(world.onlooker.prizes_of(miner.keys.address)) == 4
    assert {entry.record["device"] for entry in miner.entries.values()} == {"cuda:0", "cuda:1"}


def test_miner__restarted_with_other_devices__goes_on_on_what_there_is(world: World) -> None:
    """A GPU that was taken out does not strand its task."""
    post(world, 2)
    miner = world.miner(devices=("cuda:0", "cuda:1"), trainer=FakeTrainer(ticks=20))
    miner.tick()
    miner.tick()
    again = world.miner(devices=("cpu",), trainer=FakeTrainer(ticks=20))
    again.tick()
    again.tick()
    assert set(trains(again)) == {"cpu"}
    assert len(again.entries) == 2


def test_miner__money_for_one_deposit__begins_one(world: World) -> None:
    """What a begun training will have to pay is not promised to another one."""
    post(world, 2)
    miner = world.miner(devices=("cuda:0", "cuda:1"), trainer=FakeTrainer(ticks=20))
    world.market.balances[account("miner").address] = ETHER * 15 // 100
    for _ in range(3):
        miner.tick()
    assert len(miner.entries) == 1
    assert "promised to better tasks" in world.heard("task_passed_over")[0]["why"]


def test_miner__limit_on_deposits__keeps_it(world: World) -> None:
    """--most-at-risk."""
    tasks = post(world, 2)
    miner = world.miner(most_at_risk_wei=ETHER * 15 // 100)
    for _ in range(8):
        miner.tick()
    assert [world.onlooker.round(task_id, 0).commits for task_id in tasks] == [1, 0]
    assert "would put 0.2 ether at risk, the limit is 0.15 ether" in world.heard("task_passed_over")[-1]["why"]


def test_miner__better_task_posted_while_it_trains__is_next(world: World) -> None:
    """The queue follows the market."""
    post(world, 2)
    miner = world.miner(trainer=FakeTrainer(ticks=20))
    with_stopwatch(miner)
    miner.tick()
    (third,) = post(world, 1)
    world.market.tasks[third] = replace(world.market.tasks[third], bounty_wei=Wei(5 * ETHER))
    miner.tick()
    assert [choice.task_id for choice in miner.state().queue] == [third, 2]
    assert trains(miner) == {"auto": 1}


def test_miner__nothing_happens__reads_nothing_of_its_entries(world: World, reads: Reads) -> None:
    """What waits for its moment costs no request; the moment, or a transaction, wakes it."""
    (task_id,) = post(world, 1)
    miner = world.miner()
    with_stopwatch(miner)
    world.play(task_id, miner, until=lambda: world.onlooker.round(task_id, 0).commits == 1)
    for _ in range(5):
        miner.tick()
    reads.take()
    assert miner.is_waiting
    for _ in range(10):
        miner.tick()
    assert reads.take() == {}
    world.market.move_to_end_of_phase(task_id)
    miner.tick()
    assert reads.take()["phase"] == 1
    world.requester().release(task_id)
    miner.tick()
    assert world.onlooker.round(task_id, 0).reveals == 1


def test_miner__node_hides_the_log__looks_for_itself_in_time(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    """A node that tells no news costs a minute, not the deposit."""
    (task_id,) = post(world, 1)
    miner = world.miner()
    stopwatch = with_stopwatch(miner)
    world.play(task_id, miner, until=lambda: world.onlooker.round(task_id, 0).commits == 1)
    for _ in range(5):
        miner.tick()
    news = miner.chain.news()
    quiet = replace(news, posted=frozenset(), touched=frozenset())
    monkeypatch.setattr(miner.chain, "news", lambda since: quiet)
    world.market.move_to_end_of_phase(task_id)
    world.requester().release(task_id)
    miner.tick()
    assert world.onlooker.round(task_id, 0).reveals == 0
    stopwatch.time += LONGEST_REST
    miner.tick()
    assert world.onlooker.round(task_id, 0).reveals == 1


def test_miner__starts_on_a_large_market__reads_its_own_tasks_only(world: World, reads: Reads) -> None:
    """A restart costs as much as it has entries."""
    tasks = post(world, 6)
    first = world.miner(tasks=frozenset(tasks[:1]))
    world.play(tasks[0], first, until=lambda: world.onlooker.round(tasks[0], 0).commits == 1)
    world.lose_disk("miner")
    reads.take()
    miner = world.miner(tasks=frozenset())
    miner.tick()
    counts = reads.take()
    assert [entry.task_id for entry in miner.entries.values()] == [tasks[0]]
    assert (counts["commits_of"], counts["task_posted"]) == (1, 1)
    assert counts["task"] <= 4


def test_miner__trained_and_fetched__remembers_its_speeds(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    """By model family and device, and the network's; what is remembered is used for the next estimate."""
    monkeypatch.setattr("dlbc.roles.choosing.LEAST_DOWNLOAD", 1)
    (task_id,) = post(world, 1)
    miner = world.miner(devices=("cuda:1",))
    world.play(task_id, miner, until=lambda: world.onlooker.round(task_id, 0).commits == 1)
    kept = dict(world.journal("miner").all(SPEED))
    assert set(kept) == {"mlp/cuda:1", "download"}
    assert kept["mlp/cuda:1"]["seconds"] == 1
    assert miner._chooser.speeds()["mlp", "cuda:1"] >= 10**12


def test_miner__paid__keeps_account_of_it(world: World) -> None:
    """What came home is in the journal, once for each transaction."""
    (task_id,) = post(world, 1)
    world.play(task_id, world.miner())
    kept = [record for _, record in world.journal("miner").all(RECEIVED)]
    assert sum(record["wei"] for record in kept) == ETHER - ETHER // 50 + ETHER // 10
    assert {record["task_id"] for record in kept} == {task_id}


def test_state_file__written_and_read__is_the_same(world: World, tmp_path: Path) -> None:
    """Another process sees what the daemon sees; the time alone does not make it write."""
    post(world, 2)
    miner = world.miner(trainer=FakeTrainer(ticks=20))
    with_stopwatch(miner)
    miner.publish = StateFile(tmp_path)
    miner.tick()
    miner.tick()
    found = read_state(tmp_path)
    assert found == miner.state()
    assert found is not None
    assert [(device.device, device.task_id, device.state) for device in found.devices] == [("auto", 1, "training")]
    written = (tmp_path / "state.json").stat().st_ino
    miner.publish(miner.state())
    assert (tmp_path / "state.json").stat().st_ino == written


@pytest.mark.parametrize("text", ["", "{", "[]", '{"version": 0}', '{"version": 1}', '{"version": 1, "devices": [1]}'])
def test_read_state__half_or_foreign_file__is_as_if_there_were_none(tmp_path: Path, text: str) -> None:
    """A status view never fails because of it."""
    (tmp_path / "state.json").write_text(text)
    assert read_state(tmp_path) is None
