"""What the demo tells while it runs."""

from __future__ import annotations

import io
import time
from typing import Any

import pytest
from dlbc.cli import demo_view
from dlbc.cli.demo_view import LiveView, PlainView, phrase
from rich.console import Console

pytestmark = pytest.mark.unit

EVENTS: list[dict[str, Any]] = [
    {"event": "test_set_sealed", "samples": 359},
    {"event": "task_posted", "task_id": 1},
    {"event": "task_chosen", "task_id": 1},
    {"event": "training_started", "task_id": 1, "epochs": 30},
    {"event": "model_sealed", "task_id": 1, "validation_ppm": 972_000},
    {"event": "model_committed", "task_id": 1},
    {"event": "test_set_released", "task_id": 1},
    {"event": "claim_built", "task_id": 1, "total": 347, "samples": 359},
    {"event": "claim_revealed", "task_id": 1},
    {"event": "model_opened", "task_id": 1},
    {"event": "task_advanced", "task_id": 1},
    {"event": "deposit_reclaimed", "task_id": 1},
    {"event": "money_arrived", "task_id": 1, "wei": 108 * 10**16, "block": 7},
    {"event": "gave_up", "task_id": 1, "why": "training failed"},
    {"event": "staked", "wei": 2 * 10**18},
    {"event": "stake_activated", "wei": 2 * 10**18},
    {"event": "audited", "task_id": 1, "failed": "score recomputed"},
    {"event": "claim_disputed", "task_id": 1},
    {"event": "vote_committed", "task_id": 1},
    {"event": "vote_revealed", "task_id": 1},
    {"event": "collected", "task_id": 1},
    {"event": "bond_collected", "task_id": 1},
    {"event": "claim_nominated", "task_id": 1},
    {"event": "claim_refuted", "task_id": 1, "index": 7, "gas": 154_737},
    {"event": "dividend_claimed", "accrued_wei": 5},
    {"event": "unstake_begun", "wei": 5},
    {"event": "auditor_started"},
    {"event": "miner_started"},
    {"event": "requester_started"},
    {"event": "model_stored", "task_id": 1},
    {"event": "examination_started", "task_id": 1, "about": "the test set"},
    {"event": "examined", "task_id": 1, "about": "the claim of miner2", "verdict": "falls", "failed": "score"},
    {"event": "vote_collected", "task_id": 1},
    {"event": "books_differ", "what": "a to b: expected 1 wei, found 2"},
]


@pytest.mark.parametrize("event", EVENTS, ids=lambda event: event["event"])
def test_phrase__every_step__is_told_in_words(event: dict[str, Any]) -> None:
    """Each step of a task's life has a sentence with its numbers."""
    told = phrase(event)
    assert told
    if event["event"] == "money_arrived":
        assert told == "received 1.08 ether in block 7"


def test_phrase__money_and_audits__tell_what_is_known() -> None:
    """A withdrawal whose block is not logged is told without; a passing audit is not told as a failing one."""
    assert phrase({"event": "money_arrived", "task_id": 1, "wei": 10**18}) == "received 1 ether"
    assert phrase({"event": "audited", "task_id": 1, "failed": ""}) == "audit of task 1: passes"


def test_phrase__what_repeats__is_not_told() -> None:
    """Waiting and progress are no news."""
    assert phrase({"event": "waiting", "task_id": 1}) == ""
    assert phrase({"event": "training", "task_id": 1}) == ""


def test_plain_view__hostile_text__can_not_steer_the_terminal(capsys: pytest.CaptureFixture[str]) -> None:
    """What a manifest or a node says is shown without control characters, on stderr."""
    with PlainView(time.monotonic()) as view:
        view.stage("posting")
        view.event("miner1", {"event": "gave_up", "task_id": 1, "why": "\x1b[2Jboo"})
        view.event("miner1", {"event": "waiting"})
    lines = capsys.readouterr().err.splitlines()
    assert len(lines) == 2
    assert "\x1b" not in lines[1]
    assert lines[1].endswith("miner1: task 1: �[2Jboo")


def test_live_view__training__shows_a_row_and_a_bar(monkeypatch: pytest.MonkeyPatch) -> None:
    """One row an actor; while it trains, a bar; markup in texts of strangers stays text."""
    screen = io.StringIO()
    console = Console(file=screen, width=80, force_terminal=True)
    monkeypatch.setattr(demo_view.render, "console", lambda err: console)
    with LiveView(time.monotonic()) as view:
        view.stage("three miners train")
        view.event("miner1", {"event": "training_started", "task_id": 1, "epochs": 30})
        view.event("miner1", {"event": "training", "task_id": 1, "epoch": 10, "epochs": 30})
        view.event("miner2", {"event": "gave_up", "task_id": 1, "why": "[red]why[/red]"})
    shown = screen.getvalue()
    assert "three miners train" in shown
    assert "trains for task 1, 30 epochs" in shown
    assert "[red]why[/red]" in shown
    assert "━" in shown
