"""What a miner frees on a market in memory: never what still counts, and it can go on after any crash."""

from __future__ import annotations

from pathlib import Path

import pytest
from dlbc.core.errors import Unavailable
from dlbc.core.retention import KEEP_SECONDS
from dlbc.core.types import Locator, Phase, TaskId
from dlbc.roles.disk import FREED, MinerDisk, Quota, folder_bytes
from dlbc.roles.entry_record import ENTRY
from fakes.keys import account
from fakes.storage import MemoryStorage
from fakes.world import World

pytestmark = pytest.mark.unit


@pytest.fixture
def world(tmp_path: Path) -> World:
    """Nothing has happened yet."""
    return World(tmp_path)


def storage_of(world: World, name: str) -> MemoryStorage:
    """A node that holds and pins what the network has."""
    storage = MemoryStorage(world.network)
    storage.pins, storage.held = set(world.network), set(world.network)
    return storage


def disk_of(world: World, name: str, storage: MemoryStorage | None = None) -> MinerDisk:
    return MinerDisk(
        chain=world.onlooker,
        storage=storage or storage_of(world, name),
        journal=world.journal(name),
        account=account(name).address,
        folder=world.folder / name,
        report=lambda event, **keys: world.events.append((name, event, keys)),
    )


def settled(world: World) -> TaskId:
    """A task that "good" won and "bad" lost; both have their money and are done."""
    task_id = world.post()
    world.play(task_id, world.miner("bad", noise=20.0), world.miner("good"))
    assert world.market.phase(task_id).phase is Phase.SETTLED
    return task_id


def test_free__a_loser_long_after_its_task__files_and_pins_go(world: World) -> None:
    """Nobody can ever need a model that was never opened; its published predictions stay."""
    settled(world)
    world.market.now += KEEP_SECONDS + 3600
    storage = storage_of(world, "bad")
    disk = disk_of(world, "bad", storage)
    (_, record), *_ = world.journal("bad").all(ENTRY)
    before = len(storage.pins)

    files, pins = disk.free(disk.plan())

    assert files > 0
    assert pins > 0
    assert folder_bytes(world.folder / "bad") == 0
    assert not any(storage.is_pinned(pin) for pin in disk._pins("x", record)[0])
    assert bytes.fromhex(record["claim"]["predictions"][2:]) in storage.pins
    assert before - len(storage.pins) == world.journal("bad").all(FREED)[0][1]["pins"]
    assert disk.plan() == []
    assert disk.used() == 0


def test_used__node_hangs__asks_it_a_few_times_only(world: World) -> None:
    """Each question takes seconds, and a miner that waits for hundreds of them misses its windows."""
    settled(world)
    (_, record), *_ = world.journal("good").all(ENTRY)
    for number in range(50):
        world.journal("good").put(ENTRY, f"{number:064x}/0", record | {"done": False})
    asked = []

    class Hanging(MemoryStorage):
        def fetch(self, locator: Locator, *, max_bytes: int, timeout: float = 60.0) -> bytes:
            asked.append(locator)
            raise Unavailable("no answer in time")

    disk = disk_of(world, "good", Hanging(world.network))
    assert disk.used() == folder_bytes(world.folder / "good")
    assert len(asked) <= 3
    disk.holdings()
    assert len(asked) <= 6


def test_free__a_winner__its_file_goes_and_its_pins_stay(world: World) -> None:
    """Buyers, successors and proofs of copying need what the ledger points at."""
    task_id = settled(world)
    world.market.now += 100 * KEEP_SECONDS
    storage = storage_of(world, "good")
    disk = disk_of(world, "good", storage)

    disk.free(disk.plan())

    assert folder_bytes(world.folder / "good") == 0
    assert storage.pins == set(world.network)
    world.models().pull(world.models().settled(task_id), world.folder / "pulled.safetensors")


def test_free__a_winner_whose_sealed_copy_is_not_pinned__the_file_stays(world: World) -> None:
    """It may be the last one there is (F8)."""
    settled(world)
    storage = storage_of(world, "good")
    storage.pins.clear()
    disk = disk_of(world, "good", storage)

    assert disk.free(disk.plan()) == (0, 0)
    assert folder_bytes(world.folder / "good") > 0


def test_plan__in_every_phase_of_a_task__nothing_of_it_goes(world: World) -> None:
    """Whenever it is asked, until the task is cold and the deposit home; years later, too, as far as it knows."""
    task_id = world.post()
    miner, asked = world.miner(), 0

    def nothing_goes() -> bool:
        nonlocal asked
        asked += 1
        is_over = world.market.phase(task_id).phase.is_cold and all(each.is_done for each in miner.entries.values())
        assert is_over or disk_of(world, "miner").plan(keep_seconds=0) == []
        return False

    world.play(task_id, miner, until=nothing_goes)

    assert asked > 5
    assert disk_of(world, "miner").plan(keep_seconds=0) != []


def test_free__soon_after_the_end__pins_stay_for_a_while(world: World) -> None:
    """A reorganised chain may open the task again."""
    settled(world)
    disk = disk_of(world, "bad")

    files, pins = disk.free(disk.plan())

    assert files > 0
    assert pins == 0


def test_free__the_journal_is_lost__files_of_cold_tasks_go_and_others_stay(world: World) -> None:
    """The chain is the truth: it says which folder belongs to a task that is over."""
    settled(world)
    world.journals.pop("bad")
    other = world.folder / "bad/task-7-00000000/round-0/model.safetensors"
    other.parent.mkdir(parents=True)
    other.write_bytes(b"of another market")
    disk = disk_of(world, "bad")

    files, pins = disk.free(disk.plan())

    assert files > 0
    assert pins == 0
    assert other.read_bytes() == b"of another market"
    assert folder_bytes(world.folder / "bad") == len(b"of another market")


def test_free__killed_after_some_pins__the_next_run_does_the_rest(world: World) -> None:
    """Every step may be repeated; the note comes last."""
    settled(world)
    world.market.now += KEEP_SECONDS + 3600
    storage = storage_of(world, "bad")
    disk = disk_of(world, "bad", storage)
    unpin, calls = storage.unpin, []

    def dies(locator: object) -> None:
        calls.append(locator)
        if len(calls) == 2:
            raise KeyboardInterrupt
        unpin(locator)  # type: ignore[arg-type]

    storage.unpin = dies  # type: ignore[method-assign, assignment]
    with pytest.raises(KeyboardInterrupt):
        disk.free(disk.plan())
    storage.unpin = unpin  # type: ignore[method-assign]
    again = disk_of(world, "bad", storage)
    again.free(again.plan())

    assert [key for key, _ in world.journal("bad").all(FREED)]
    assert again.plan() == []


def test_quota__over_it__the_daemon_frees_and_says_what_it_could_not(world: World) -> None:
    """Checked now and then, with one event while it stays too full."""
    settled(world)
    world.market.now += KEEP_SECONDS + 3600
    times, collected = [0.0], []
    quota = Quota(disk_of(world, "good"), 1, lambda: times[0], lambda: collected.append(1))

    quota.look()
    quota.look()
    times[0] += 601
    quota.look()

    assert len(world.heard("disk_freed", "good")) == 1
    assert len(world.heard("disk_over_quota", "good")) == 1
    assert collected == []


def test_quota__under_it__nothing_is_touched(world: World) -> None:
    """Old models cost nothing while there is room."""
    settled(world)
    world.market.now += KEEP_SECONDS + 3600
    disk = disk_of(world, "bad")
    used = disk.used()

    Quota(disk, used, lambda: 1.0, lambda: None).look()

    assert disk.used() == used
    assert world.heard("disk_freed") == []
