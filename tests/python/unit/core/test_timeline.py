"""What is told of a round's history, and in which order."""

from __future__ import annotations

import pytest
from dlbc.adapters.chain import abi
from dlbc.core.events import TaskEvent
from dlbc.core.timeline import _WORDS, MOST_OF_A_KIND, of_round, timeline
from dlbc.core.types import ZERO_ADDRESS, Address, Hash32, TaskId, Timestamp, Verdict, Wei
from fakes.chain import FakeChain
from fakes.scene import ETHER, Scene

pytestmark = pytest.mark.unit


def told(scene: Scene, task_id: TaskId) -> list[tuple[str, str]]:
    """(phase, what) of every step of round 0."""
    chain = FakeChain(scene.market)
    events, _ = of_round(chain.history(task_id), 0)
    times = chain.block_times({event.block_number for event in events})
    steps = timeline(events, 0, chain.round(task_id, 0), times, chain.now())
    assert [step.at for step in steps] == sorted(step.at for step in steps)
    return [(step.phase, step.what) for step in steps]


def test_timeline__undisputed_task__phases_in_order() -> None:
    """Transactions begin phases, and so does time alone."""
    scene = Scene()
    task_id, _ = scene.challenged(best=(5, 0))
    scene.end_phase(task_id)
    scene.chain("onlooker").advance(task_id)
    assert told(scene, task_id) == [
        ("Training", "task posted"),
        ("", "sealed model committed"),
        ("Releasing", "commits close"),
        ("Revealing", "test set released"),
        ("", "claim revealed"),
        ("Opening", "reveals close"),
        ("Challenge", "model opened"),
        ("", "challenge ends"),
        ("Settled", "round settled, ledger block appended"),
    ]


def test_timeline__dispute__tells_votes_and_the_strike() -> None:
    """With the ruling, and with why the claim was struck."""
    scene = Scene()
    scene.stake(ann=10 * ETHER)
    task_id, _ = scene.challenged(liar=(5, 0), honest=(3, 0))
    scene.vote(task_id, scene.dispute(task_id, "disputer"), ann=Verdict.FALLS)
    steps = told(scene, task_id)
    assert steps.index(("", "claim disputed")) < steps.index(("", "sealed ballot cast"))
    assert ("", "ballot opened: falls") in steps
    assert ("Nominating", "claim struck: voted") in steps


def test_timeline__aborted_before_the_release__nothing_comes_after() -> None:
    """Windows that were never reached are not told."""
    scene = Scene()
    task_id = scene.post()
    scene.commit(task_id, "miner", 3)
    scene.end_phase(task_id)
    scene.end_phase(task_id)
    scene.chain("onlooker").advance(task_id)
    assert told(scene, task_id)[-1] == ("Aborted", "task aborted")


def test_of_round__very_many_commits__are_counted_beyond_some() -> None:
    """A stuffed task makes no page of a gigabyte."""
    commit = TaskEvent("TaskMarket", "ModelCommitted", 0, ZERO_ADDRESS, Wei(0), "", 1, Hash32(bytes(32)))
    kept, more = of_round([commit] * 10_000, 0)
    assert len(kept) == MOST_OF_A_KIND
    assert more == {"sealed model committed": 10_000 - MOST_OF_A_KIND}


def test_of_round__second_round__begins_with_the_first_one_s_settlement() -> None:
    """Events of other rounds are not this round's."""

    def event(name: str, index: int | None) -> TaskEvent:
        return TaskEvent("TaskMarket", name, index, Address("0x1"), Wei(0), "", 1, Hash32(bytes(32)))

    history = [event("TaskPosted", None), event("ModelCommitted", 0), event("RoundSettled", 0), event("ModelOpened", 1)]
    kept, _ = of_round(history, 1)
    assert [found.name for found in kept] == ["TaskPosted", "RoundSettled", "ModelOpened"]
    scene = Scene()
    facts = FakeChain(scene.market).round(scene.post(), 0)
    steps = timeline(kept, 1, facts, {1: Timestamp(5)}, Timestamp(9))
    assert ("Training", "round 0 settled") in [(step.phase, step.what) for step in steps]


def test_words__every_event_of_a_task__has_some() -> None:
    """An event that a contract gains is not left out in silence; the money flow tells the credits."""
    names = {
        name
        for contract in ("TaskMarket", "AuditorPool")
        for name, event in abi.load(contract).events.items()
        if {"taskId", "caseId"} & {str(item["name"]) for item in event.indexed}
    }
    assert names - {"Credited"} == set(_WORDS)
