"""What a miner may forget, by property: nothing that still has to be opened, shown, reclaimed or served."""

from __future__ import annotations

from dataclasses import replace
from itertools import count

import pytest
from dlbc.core.retention import KEEP_SECONDS, Holding, Release, ends_of, plan, why_files_stay, why_pins_stay
from dlbc.core.types import Locator, Phase, TaskId, Timestamp
from fakes.world import World
from hypothesis import given
from hypothesis import strategies as st

pytestmark = pytest.mark.unit

NOW = 10 * KEEP_SECONDS
OVER = Holding(
    key="a",
    task_id=TaskId(1),
    round=0,
    file_bytes=100,
    pin_bytes=50,
    pins=frozenset({Locator(b"a" * 32)}),
    is_known=True,
    is_working=False,
    phase=Phase.SETTLED,
    may_reclaim=False,
    has_won=False,
    ended_at=Timestamp(NOW - KEEP_SECONDS),
)
LOCATORS = [Locator(bytes([number]) * 32) for number in range(6)]

holding = st.builds(
    Holding,
    key=st.just(""),
    task_id=st.integers(1, 4).map(TaskId),
    round=st.integers(0, 2),
    file_bytes=st.integers(0, 1000),
    pin_bytes=st.integers(0, 1000),
    pins=st.frozensets(st.sampled_from(LOCATORS), max_size=3),
    is_known=st.booleans() | st.just(True),
    is_working=st.booleans() | st.just(False),
    phase=st.sampled_from(Phase) | st.just(Phase.SETTLED),
    may_reclaim=st.booleans() | st.just(False),
    has_won=st.booleans() | st.just(False),
    ended_at=st.integers(0, NOW + 10).map(Timestamp),
)


def keyed(drawn: list[Holding]) -> list[Holding]:
    numbers = count()
    return [replace(each, key=str(next(numbers))) for each in drawn]


holdings = st.lists(holding, max_size=8).map(keyed)
quotas = st.none() | st.integers(0, 5000)


@given(holdings, quotas, st.integers(0, 2 * KEEP_SECONDS))
def test_plan__any_holdings__nothing_goes_that_a_rule_keeps(drawn: list[Holding], quota: int | None, keep: int) -> None:
    """F1 to F6, restated from the facts and not through the functions under test."""
    for release in plan(drawn, NOW, keep_seconds=keep, quota_bytes=quota):
        gone = release.holding
        assert gone.is_known, "F1"
        assert not gone.is_working, "F2"
        assert gone.phase in (Phase.SETTLED, Phase.ABORTED, Phase.VOID, Phase.CANCELLED), "F3"
        assert not gone.may_reclaim, "F4"
        if release.pins:
            assert not gone.has_won, "F5"
            assert gone.ended_at + keep <= NOW, "F6"


@given(holdings, quotas)
def test_plan__any_holdings__bytes_that_another_needs_stay_pinned(drawn: list[Holding], quota: int | None) -> None:
    """F7: after all releases, every holding that was not released still has all its pins."""
    releases = plan(drawn, NOW, quota_bytes=quota)
    gone: set[Locator] = set().union(*(release.pins for release in releases))
    released = {release.holding.key for release in releases if release.pins}
    may = {each.key for each in drawn if not why_pins_stay(each, NOW)}
    for each in drawn:
        if each.key not in may:
            assert not gone & each.pins
            assert each.key not in released


@given(holdings)
def test_plan__no_quota__everything_goes_that_may(drawn: list[Holding]) -> None:
    """`dlbc disk --free` leaves nothing behind that no rule keeps."""
    releases = {release.holding.key: release for release in plan(drawn, NOW)}
    kept = set[Locator]().union(*(each.pins for each in drawn if why_pins_stay(each, NOW)))
    for each in drawn:
        release = releases.get(each.key, Release(each, files=False, pins=frozenset()))
        assert release.files == (each.file_bytes > 0 and not why_files_stay(each))
        assert release.pins == (frozenset() if why_pins_stay(each, NOW) else each.pins - kept)


@given(holdings, st.integers(0, 5000))
def test_plan__a_quota__the_last_release_was_needed(drawn: list[Holding], quota: int) -> None:
    """A miner under its quota keeps everything, and nobody frees more than it must."""
    used = sum(each.file_bytes + each.pin_bytes for each in drawn)
    releases = plan(drawn, NOW, quota_bytes=quota)
    before_last = sum(
        release.file_bytes
        + (release.holding.pin_bytes if release.holding.pins and not why_pins_stay(release.holding, NOW) else 0)
        for release in releases[:-1]
    )
    assert not releases or used - before_last > quota


@given(holdings, quotas)
def test_plan__asked_twice__says_the_same(drawn: list[Holding], quota: int | None) -> None:
    """What `dlbc disk` shows is what `--free` does; the order in which files are found does not matter."""
    assert plan(drawn, NOW, quota_bytes=quota) == plan(drawn[::-1], NOW, quota_bytes=quota)


@pytest.mark.parametrize(
    ("change", "files", "pins"),
    [
        ({}, "", ""),
        ({"is_known": False}, "no task of this market", "no task of this market"),
        ({"phase": Phase.CHALLENGE}, "the task is in Challenge", "the task is in Challenge"),
        ({"may_reclaim": True}, "its deposit is not back", "its deposit is not back"),
        ({"is_working": True}, "the miner is not done with it", "the miner is not done with it"),
        ({"has_won": True}, "", "it won: others fetch it"),
        ({"ended_at": NOW - KEEP_SECONDS + 1}, "", "its windows ended too recently"),
    ],
)
def test_why_it_stays__one_rule_at_a_time__is_said(change: dict[str, object], files: str, pins: str) -> None:
    """People see why their disk is full."""
    changed = replace(OVER, **change)  # type: ignore[arg-type]
    assert (files, pins) == (why_files_stay(changed), why_pins_stay(changed, NOW))


def test_ends_of__a_task_played_to_its_end__is_not_before_any_window(world: World) -> None:
    """Whatever windows a round had, they are over by then."""
    task_id = world.post()
    world.play(task_id, world.miner())
    task, facts = world.onlooker.task(task_id), world.onlooker.round(task_id, 0)
    found = ends_of(task, facts, finality_gap=0, vote_seconds=10)
    assert found >= max(facts.train_end, facts.reveal_end, facts.nominate_end, facts.challenge_end, facts.demand_end)


@pytest.fixture
def world(tmp_path_factory: pytest.TempPathFactory) -> World:
    return World(tmp_path_factory.mktemp("world"))
