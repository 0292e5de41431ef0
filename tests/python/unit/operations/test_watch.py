"""A watched daemon: its ticks, events and entries become figures, and nothing of that can hurt it."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from dlbc.adapters.health import Health
from dlbc.adapters.metrics import Metrics
from dlbc.core.errors import ChainUnreachable, Refused
from dlbc.roles.watch import Counted, Watch
from fakes.world import World

pytestmark = pytest.mark.unit

ETHER = 10**18


class Stopwatch:
    """Time that a test moves."""

    def __init__(self) -> None:
        self.now = 1000.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def stopwatch() -> Stopwatch:
    return Stopwatch()


@pytest.fixture
def health(stopwatch: Stopwatch) -> Health:
    return Health(stopwatch)


@pytest.fixture
def metrics(health: Health) -> Metrics:
    return Metrics("miner", lambda: health.age)


def value(metrics: Metrics, name: str, **labels: str) -> float | None:
    return metrics.registry.get_sample_value(name, labels)


def raising(error: BaseException) -> Callable[[], bool]:
    def tick() -> bool:
        raise error

    return tick


def unheard(event: str, **keys: Any) -> None:
    """Nobody listens."""


def test_miner__a_whole_life__is_counted(world: World, health: Health, metrics: Metrics) -> None:
    """Entries by stage, deposits, progress, money and the time from release to reveal."""
    task_id = world.post()
    miner = world.miner()
    watch = Watch(miner.report, health, metrics)
    miner.report = watch.report
    watch.miner(miner)
    tick, locked = watch.tick(miner.tick), set()
    miner_like = _Ticking(miner, tick, lambda: locked.add(value(metrics, "dlbc_locked_wei")))

    world.play(task_id, miner_like)  # type: ignore[arg-type]

    assert locked == {0.0, ETHER / 10}
    assert value(metrics, "dlbc_entries", stage="revealed") is None
    assert value(metrics, "dlbc_money_arrived_wei_total") == pytest.approx(ETHER * 1.08)
    assert value(metrics, "dlbc_reveal_delay_seconds_count") == 1.0
    assert value(metrics, "dlbc_events_total", event="model_committed") == 1.0
    assert value(metrics, "dlbc_training_progress_ratio", task_id=str(task_id)) is None
    assert (value(metrics, "dlbc_ticks_total", result="ok") or 0) > 5
    assert b"dlbc_tick_age_seconds 0.0" in metrics.text()


class _Ticking:
    """A miner whose tick is watched."""

    def __init__(self, miner: Any, tick: Callable[[], bool], after: Callable[[], object]) -> None:
        self.entries, self._tick, self._after = miner.entries, tick, after

    def tick(self) -> bool:
        goes_on = self._tick()
        self._after()
        return goes_on


def test_heard__training__progress_is_shown_until_it_ends(metrics: Metrics) -> None:
    """A figure of a training that is over would never change again."""
    metrics.heard("training", {"task_id": 7, "state": "training", "epoch": 2, "epochs": 8})
    assert value(metrics, "dlbc_training_progress_ratio", task_id="7") == 0.25
    metrics.heard("training", {"task_id": 7, "state": "done", "epoch": 8, "epochs": 8})
    assert value(metrics, "dlbc_training_progress_ratio", task_id="7") is None


def test_tick__chain_does_not_answer__is_counted_and_raised(health: Health, metrics: Metrics) -> None:
    """The loop decides what to do about it."""
    watch = Watch(unheard, health, metrics)

    with pytest.raises(ChainUnreachable):
        watch.tick(raising(ChainUnreachable("nobody")))()

    assert value(metrics, "dlbc_ticks_total", result="ChainUnreachable") == 1.0


def test_health__ticks_fail_for_long__says_why(stopwatch: Stopwatch, health: Health) -> None:
    """503 and a reason; one good tick ends it."""
    watch = Watch(unheard, health)
    failing = watch.tick(raising(ChainUnreachable("nobody answers")))
    stopwatch.now += 299
    with pytest.raises(ChainUnreachable):
        failing()
    assert health.why_not == ""
    stopwatch.now += 2
    assert health.why_not == "no tick succeeded for 301 s: nobody answers"
    watch.tick(lambda: True)()
    assert health.why_not == ""
    stopwatch.now += 400
    assert health.why_not == "no tick succeeded for 400 s: the last one has not come back"


def test_after_tick__housekeeping_breaks__the_daemon_goes_on(health: Health) -> None:
    """A mistake of ours in a figure must not cost a deposit."""
    heard: list[tuple[str, dict[str, Any]]] = []
    watch = Watch(lambda event, **keys: heard.append((event, keys)), health)
    watch.after_tick(lambda: raising(ZeroDivisionError("a bug"))())
    watch.after_tick(lambda: raising(Refused("the disk is gone"))())

    assert watch.tick(lambda: True)() is True

    assert [keys["reason"] for _, keys in heard] == ["unexpected ZeroDivisionError: a bug", "the disk is gone"]


def test_counted__calls_and_properties__only_unreachable_ones_count() -> None:
    """Everything goes through unchanged."""

    class Port:
        chain_id = 5

        def balance(self, account: str, *, more: int = 0) -> int:
            if account == "nobody":
                raise ChainUnreachable("nobody")
            if account == "refused":
                raise Refused("no")
            return len(account) + more

    failed: list[int] = []
    counted = Counted(Port(), lambda: failed.append(1))

    assert (counted.chain_id, counted.balance("me", more=3)) == (5, 5)
    with pytest.raises(ChainUnreachable):
        counted.balance("nobody")
    with pytest.raises(Refused):
        counted.balance("refused")
    assert len(failed) == 1


@pytest.fixture
def world(tmp_path: Path) -> World:
    """Nothing has happened yet."""
    return World(tmp_path)
