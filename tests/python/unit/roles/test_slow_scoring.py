"""A test set that takes for ever to fetch or to score delays its own claim, and nobody else's."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from dlbc.core.errors import TryLater
from dlbc.core.types import Locator, Phase
from dlbc.roles.errand import Errand, Room, StillRunning
from dlbc.roles.miner import Miner
from fakes.storage import MemoryStorage
from fakes.world import World

pytestmark = pytest.mark.unit

SECONDS = 20.0
"""A deadline, not a duration."""


class Dam:
    """Holds up whoever comes until it is opened."""

    def __init__(self) -> None:
        self.opened, self.reached = threading.Event(), threading.Event()

    def wait(self) -> None:
        self.reached.set()
        assert self.opened.wait(SECONDS)


@pytest.fixture
def dam() -> Iterator[Dam]:
    """Opened at the end, so that no thread is left."""
    dam = Dam()
    yield dam
    dam.opened.set()


@pytest.fixture
def world(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> World:
    """Nothing has happened yet; a tick waits for no slow scoring."""
    monkeypatch.setattr("dlbc.roles.entry_scoring.FIRST_WAIT", 0.2)
    return World(tmp_path)


def two_released(world: World) -> tuple[Miner, Any, Any]:
    """A miner with two entries, whose test sets are out."""
    requester = world.requester()
    first = world.post()
    requester.forget(requester.prepare(world.task_file, world.folder))
    second = requester.post(requester.prepare(world.task_file, world.folder))[0]
    miner = world.miner()
    committed = lambda: all(world.onlooker.round(task, 0).commits == 1 for task in (first, second))  # noqa: E731
    world.play((first, second), miner, until=committed)
    world.market.move_to_end_of_phase(first)
    for task in (first, second):
        requester.release(task)
    return miner, first, second


def tick_until(miner: Miner, world: World, revealed: Any) -> None:
    """Ticks until the task has a reveal, each after what is on its way for it; at most SECONDS."""
    deadline = time.monotonic() + SECONDS
    while world.onlooker.round(revealed, 0).reveals == 0:
        assert time.monotonic() < deadline
        miner.tick()
        errand = next(entry for entry in miner.entries.values() if entry.task_id == revealed).scoring._errand
        if errand is not None:
            errand._is_over.wait(SECONDS)


def dammed(miner: Miner, world: World, task_id: Any, dam: Dam, monkeypatch: pytest.MonkeyPatch) -> None:
    """Nobody serves this task's test set for now."""
    event, fetch = world.onlooker.released(task_id, 0), miner.storage.fetch
    assert event is not None

    def held_up(locator: Locator, **limits: Any) -> bytes:
        if locator == event.test_set.sealed_locator:
            dam.wait()
        return fetch(locator, **limits)

    monkeypatch.setattr(miner.storage, "fetch", held_up)


def test_miner__one_test_set_trickles__another_entry_reveals_meanwhile(
    world: World, dam: Dam, monkeypatch: pytest.MonkeyPatch
) -> None:
    """128 parts, each within its minute, are two hours: longer than another entry's window."""
    miner, slow, other = two_released(world)
    dammed(miner, world, slow, dam, monkeypatch)
    tick_until(miner, world, other)
    assert world.onlooker.round(slow, 0).reveals == 0
    dam.opened.set()
    tick_until(miner, world, slow)
    assert world.heard("zero_claimed") == []


def test_miner__scoring_takes_longer_than_the_window__its_deposit_is_saved(
    world: World, dam: Dam, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A model that is cheap to train may be held against 2^24 samples: then zero is claimed while there is time."""
    miner, slow, _ = two_released(world)
    monkeypatch.setattr(miner.trainer, "predict", lambda *_: dam.wait())
    miner.tick()
    ends_at, seconds = world.market.phase(slow).ends_at, world.onlooker.task(slow).reveal_seconds
    world.market.now = ends_at - seconds // 4
    miner.tick()
    assert world.onlooker.round(slow, 0).reveals == 0
    world.market.now = ends_at - seconds // 8
    miner.tick()
    assert world.onlooker.round(slow, 0).reveals == 1
    assert world.market.phase(slow).phase is Phase.REVEALING


def test_miner__test_set_that_no_window_is_long_enough_for__passes_the_task_over(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What training costs is in the terms, what scoring costs is not; a deposit should not depend on it."""
    world.post()
    monkeypatch.setattr("dlbc.roles.choosing.ASSUMED_DOWNLOAD", 100)
    world.miner().tick()
    (told,) = world.heard("task_passed_over")
    assert "scoring its test set takes about" in told["why"]


def test_miner__stopped_while_it_scores__fetches_nothing_more(
    world: World, dam: Dam, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What nobody waits for any more takes no bandwidth."""
    miner, slow, _ = two_released(world)
    dammed(miner, world, slow, dam, monkeypatch)
    miner.tick()
    entry = next(entry for entry in miner.entries.values() if entry.task_id == slow)
    errand = entry.scoring._errand
    assert errand is not None
    miner.stop()
    dam.opened.set()
    with pytest.raises(TryLater, match="nobody waits"):
        errand.result(SECONDS)


def test_errand__fails__raises_what_happened_to_whoever_asks() -> None:
    """Also what is no error of ours."""

    def explode(storage: Any) -> None:
        raise MemoryError("one terabyte")

    with pytest.raises(MemoryError, match="terabyte"):
        Errand("it is tried", MemoryStorage(), explode).result(SECONDS)


def test_errand__time_is_over__fetches_nothing_more() -> None:
    """A part that comes within its minute keeps no errand alive for ever."""
    with pytest.raises(TryLater, match="not served in time"):
        Errand("it is tried", MemoryStorage(), lambda storage: storage.fetch(Locator(b"x"), max_bytes=1), -1.0).result(
            SECONDS
        )


def test_room__test_sets_of_many_entries__are_not_in_memory_at_once() -> None:
    """Each fits into the machine, together they do not; a larger one than there is room for comes alone."""
    room = Room(100)
    with room.taken(60, 0.0):
        with pytest.raises(TryLater, match="fills the memory"), room.taken(60, 0.0):
            pass
        with room.taken(40, 0.0):
            pass
    with room.taken(1000, 0.0), pytest.raises(TryLater), room.taken(1, 0.0):
        pass
    with room.taken(60, 0.0):
        pass


def test_miner__test_set_waits_for_memory__claims_once_there_is_room(
    world: World, dam: Dam, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Two test sets that do not fit together are fetched one after the other."""
    miner, slow, other = two_released(world)
    miner._room._size = 1
    monkeypatch.setattr("dlbc.roles.entry_scoring.TURN_SECONDS", 0.1)
    dammed(miner, world, slow, dam, monkeypatch)
    miner.tick()
    assert dam.reached.wait(SECONDS)
    assert world.onlooker.round(other, 0).reveals == 0
    dam.opened.set()
    tick_until(miner, world, slow)
    tick_until(miner, world, other)


def test_errand__takes_long__says_that_it_goes_on(dam: Dam) -> None:
    """And has a result once it is there."""

    def work(storage: Any) -> int:
        dam.wait()
        return 7

    errand = Errand("it is tried", MemoryStorage(), work)
    with pytest.raises(StillRunning, match="it is tried; it goes on"):
        errand.result(0.0)
    dam.opened.set()
    assert errand.result(SECONDS) == 7
