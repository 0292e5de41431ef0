"""The tick loop: it ends when told to, waits longer while nothing answers, and never hides other errors."""

from __future__ import annotations

from typing import Any

import pytest
from dlbc.core.errors import ChainUnreachable, ContractRefused, DlbcError, NotFound, Refused, VerificationFailed
from dlbc.roles.loop import LONGEST_PAUSE, attend, run, said_once
from fakes.clock import FakeClock

pytestmark = pytest.mark.unit


def test_run__tick_says_enough__ends() -> None:
    """The loop sleeps between ticks and ends with the first False."""
    answers, clock = iter([True, True, False]), FakeClock()
    run(lambda: next(answers), clock, pause=2.0)
    assert clock.slept == [2.0, 2.0]


def test_run__nothing_answers__waits_twice_as_long_up_to_a_limit() -> None:
    """TryLater is told and retried with growing pauses; success resets them."""
    told: list[str] = []
    attempts = iter([True] * 8 + [False, None])
    clock = FakeClock()

    def tick() -> bool:
        fails = next(attempts)
        if fails is None:
            return False
        if fails:
            raise ChainUnreachable("nobody answers")
        return True

    run(tick, clock, report=lambda event, **keys: told.append(event), pause=1.0)
    assert clock.slept == [2.0, 4.0, 8.0, *[LONGEST_PAUSE] * 5, 1.0]
    assert told == ["try_later"] * 8


def test_run__another_error__is_not_swallowed() -> None:
    """What trying again can't mend ends the loop."""

    def tick() -> bool:
        raise Refused("no")

    with pytest.raises(Refused):
        run(tick, FakeClock())


def test_said_once__the_same_again__is_left_out_until_it_changes() -> None:
    """A role that waits says so once; another task or another reason is news."""
    told: list[tuple[str, Any]] = []
    report = said_once(lambda event, **keys: told.append((event, keys)))
    for why, task_id in (("a", 1), ("a", 1), ("a", 2), ("b", 1), ("a", 1)):
        report("waiting", task_id=task_id, why=why)
    assert [(keys["why"], keys["task_id"]) for _, keys in told] == [("a", 1), ("a", 2), ("b", 1), ("a", 1)]


def test_said_once__a_market_of_strangers__is_not_kept_in_memory(monkeypatch: pytest.MonkeyPatch) -> None:
    """A daemon runs for months, and posting tasks is cheap; what is said all the time is still said once."""
    monkeypatch.setattr("dlbc.roles.loop.REMEMBERED", 10)
    told: list[int] = []
    report = said_once(lambda event, **keys: told.append(keys["task_id"]))
    for task_id in range(100):
        report("task_passed_over", task_id=task_id)
        report("waiting", task_id=-1)
    assert told == [0, -1, *range(1, 100)]
    report("task_passed_over", task_id=0)
    assert told[-1] == 0


@pytest.mark.parametrize("error", [VerificationFailed("nonsense"), NotFound("not yet"), ContractRefused("no")])
def test_run__node_answers_nonsense_once__goes_on(error: DlbcError) -> None:
    """A lying or lagging node can't end a role that holds deposits."""
    answers = iter([error, None])

    def tick() -> bool:
        found = next(answers)
        if found is not None:
            raise found
        return False

    clock = FakeClock()
    run(tick, clock)
    assert clock.slept == [2.0]


def test_attend__one_of_two_fails__the_other_is_stepped_and_leaves() -> None:
    """A task whose test key is lost must not cost another one's bond."""
    told: list[int] = []
    items = [1, 2]

    def step(item: int) -> bool:
        if item == 1:
            raise Refused("the key is lost")
        return True

    assert attend(items, step, lambda event, **keys: told.append(keys["task_id"]))
    assert (items, told) == ([1], [1])
    with pytest.raises(Refused, match="the key is lost"):
        attend(items, step)
