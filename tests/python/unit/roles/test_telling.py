"""Notices: on disk before they leave, sent until they arrive, one that is never taken holds up no other."""

from __future__ import annotations

import threading
from typing import Any

import pytest
from dlbc.core.errors import TryLater
from dlbc.core.types import Hash32, TaskId, Timestamp, Wei
from dlbc.roles.notices import Level, Notice, level_at, notice_id, risk_notice
from dlbc.roles.telling import LONGEST_PAUSE, NOTICE, Outbox
from fakes.channel import Listener, ListenerChannel
from fakes.journal import MemoryJournal
from fakes.world import PATIENCE, Stopwatch

pytestmark = pytest.mark.unit

ONE = TaskId(1)
MARKET: Any = "0x5FbDB2315678afecb367f032d93F642f64180aa3"


def document(number: int, kind: str = "settled") -> dict[str, Any]:
    return {"id": f"id {number}", "kind": kind, "taskId": number, "message": "…"}


def outbox(journal: MemoryJournal, *listeners: Listener, clock: Stopwatch | None = None, **more: Any) -> Outbox:
    """A process: each listener is a channel of its own."""
    channels = [ListenerChannel(listener, name=f"way {number}") for number, listener in enumerate(listeners)]
    found = Outbox(journal, channels, clock or Stopwatch(), patience=PATIENCE, **more)
    found.load()
    return found


def put(box: Outbox, *numbers: int) -> None:
    for number in numbers:
        box.put(f"id {number}", document(number))


def steps(box: Outbox, times: int = 5) -> None:
    for _ in range(times):
        box.step()


def test_outbox__notices__arrive_in_order_and_are_forgotten_but_for_their_ids() -> None:
    """What was told once is not told again, by no process."""
    journal, listener = MemoryJournal(), Listener()
    box = outbox(journal, listener)
    put(box, 1, 2, 3)
    steps(box)
    assert [notice["taskId"] for notice in listener.heard] == [1, 2, 3]
    assert not box.put("id 2", document(2))
    assert not outbox(journal, listener).put("id 3", document(3))
    assert [record for _, record in journal.all(NOTICE)] == [{"left": []}] * 3
    assert box.waiting == 0


def test_outbox__killed_before_it_sent__the_next_process_sends() -> None:
    """An outage of ours loses nothing."""
    journal, listener = MemoryJournal(), Listener()
    put(outbox(journal, listener), 1, 2)
    steps(outbox(journal, listener))
    assert [notice["taskId"] for notice in listener.heard] == [1, 2]


def test_outbox__nobody_listens__tries_again_with_growing_pauses() -> None:
    """An outage of theirs loses nothing, and is told once."""
    clock, listener, told = Stopwatch(step=0.0), Listener(deaf=12), []
    box = outbox(MemoryJournal(), listener, clock=clock, report=lambda event, **keys: told.append((event, keys)))
    put(box, 1)
    pauses = []
    while not listener.heard:
        left = listener.deaf
        box.step()
        pause = 0.0
        while listener.deaf == left and not listener.heard:
            clock.now += 0.5
            pause += 0.5
            box.step()
        pauses.append(pause)
    waits = [pause for pause in pauses if pause]
    assert waits == sorted(waits)
    assert max(waits) == LONGEST_PAUSE
    assert told[0] == ("notice_failed", {"channel": "way 0", "reason": "nobody listens"})
    assert told[-1][0] == "notices_flow"


def test_outbox__one_of_two_ways_fails__the_other_is_not_kept_waiting() -> None:
    """Nor does it hear twice; a new process knows which way is still open."""
    journal, one, two = MemoryJournal(), Listener(), Listener(deaf=1_000)
    box = outbox(journal, one, two)
    put(box, 1, 2)
    steps(box)
    assert len(one.heard) == 2
    assert two.heard == []
    two.deaf = 0
    steps(outbox(journal, one, two))
    assert len(one.heard) == len(two.heard) == 2


def test_outbox__one_notice_is_never_taken__the_others_pass_it() -> None:
    """A server that chokes on one document must hear of the next bond."""

    class Choosy(ListenerChannel):
        def send(self, notice_id: str, kind: str, body: bytes) -> None:
            if notice_id == "id 1":
                raise TryLater("400")
            super().send(notice_id, kind, body)

    listener = Listener()
    box = Outbox(MemoryJournal(), [Choosy(listener)], Stopwatch(step=10.0), patience=PATIENCE)
    box.load()
    put(box, 1, 2, 3)
    steps(box, 40)
    assert [notice["taskId"] for notice in listener.heard] == [2, 3]
    assert box.waiting == 1


def test_outbox__way_is_no_longer_wanted__its_notices_are_let_go() -> None:
    """Who takes --notify-url away does not want last month's notices when it comes back."""
    journal, listener = MemoryJournal(), Listener()
    put(outbox(journal, listener), 1)
    assert outbox(journal).waiting == 0
    box = outbox(journal, listener)
    steps(box)
    assert listener.heard == []


def test_outbox__channel_hangs__a_step_does_not() -> None:
    """It is asked again later; nothing else waits for it."""
    release, entered = threading.Event(), threading.Event()

    class Hanging(ListenerChannel):
        def send(self, notice_id: str, kind: str, body: bytes) -> None:
            entered.set()
            release.wait(PATIENCE)

    box = Outbox(MemoryJournal(), [Hanging(Listener())], Stopwatch())
    box.load()
    put(box, 1)
    box.step()
    assert entered.wait(PATIENCE)
    steps(box, 10)
    assert box.waiting == 1
    release.set()


def test_notice_id__same_facts__same_id_and_no_other() -> None:
    """Whoever hears it twice can see that; another market, round or subject is another notice."""
    terms, notice = Hash32(b"\x01" * 32), Notice("settled", 0, "a sentence")
    first = notice_id(1, MARKET, ONE, terms, notice)
    assert first == notice_id(1, MARKET, ONE, terms, Notice("settled", 0, "another sentence", told={"wei": 1}))
    others = [
        notice_id(2, MARKET, ONE, terms, notice),
        notice_id(1, MARKET, ONE, Hash32(b"\x02" * 32), notice),
        notice_id(1, MARKET, TaskId(2), terms, notice),
        notice_id(1, MARKET, ONE, terms, Notice("settled", 1, "")),
        notice_id(1, MARKET, ONE, terms, Notice("disputed", 0, "")),
        notice_id(1, MARKET, ONE, terms, Notice("settled", 0, "", about="0x1")),
    ]
    assert len({first, *others}) == 7


@pytest.mark.parametrize(("now", "level"), [(0, "soon"), (100, "soon"), (149, "soon"), (150, "now"), (250, "now")])
def test_level_at__half_of_the_release_window__is_the_border(now: int, level: str) -> None:
    """More than half of it left: soon."""
    assert level_at(now, 100, 200).label == level


def test_risk_notice__says_what_is_at_stake_and_why() -> None:
    """In a sentence, and for programs."""
    notice = risk_notice(0, Wei(10**17), Timestamp(100), Level.NOW, {"gas": "too little"}, Timestamp(160))
    assert notice.message == "The bond of 0.1 ether is at risk (now), the release ends in 1 min: too little."
    assert notice.told is not None
    assert notice.told["secondsLeft"] == 60


def test_outbox__half_a_surrogate_pair_in_a_nodes_words__arrives_and_holds_up_nothing() -> None:
    """UTF-8 has none: an error would end the daemon, and the next one as well, for the notice is on disk."""
    journal, listener = MemoryJournal(), Listener()
    journal.put(NOTICE, "id 1", {"left": ["way 0"], "document": document(1) | {"message": "why: \ud800"}})
    box = outbox(journal, listener)
    put(box, 2)
    steps(box)
    assert [notice["taskId"] for notice in listener.heard] == [1, 2]
    assert listener.heard[0]["message"] == "why: \ud800"
