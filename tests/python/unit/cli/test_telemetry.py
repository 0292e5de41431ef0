"""Events: readable for people, JSON for programs, and never a secret."""

from __future__ import annotations

import io
import json
from datetime import UTC, datetime

import pytest
from dlbc.adapters.telemetry import EventLog
from dlbc.core.types import Phase

pytestmark = pytest.mark.unit


def noon() -> datetime:
    return datetime(2026, 1, 2, 12, 0, 0, tzinfo=UTC)


def log_to(stream: io.StringIO, *, terminal: bool) -> EventLog:
    return EventLog(stream, noon, terminal=terminal)


def test_event__elsewhere__one_json_object_a_line() -> None:
    """Time, event, keys; bytes as hex, phases by name."""
    stream = io.StringIO()

    log_to(stream, terminal=False)("model_committed", task_id=1, phase=Phase.TRAINING, tx_hash=b"\x01", note=None)

    assert json.loads(stream.getvalue()) == {
        "time": "2026-01-02T12:00:00.000+00:00",
        "event": "model_committed",
        "task_id": 1,
        "phase": "Training",
        "tx_hash": "0x01",
        "note": None,
    }


def test_event__on_a_terminal__a_line_for_people() -> None:
    """Words, then key=value; what strangers wrote can't steer the terminal."""
    stream = io.StringIO()

    log_to(stream, terminal=True)("task_skipped", task_id=2, reason="too big\x1b[2J", ok=True)

    assert stream.getvalue() == '12:00:00 task skipped  task_id=2 reason="too big�[2J" ok=true\n'


def test_event__on_a_terminal__moments_and_money_as_people_read_them() -> None:
    """Nobody reads unix seconds or wei."""
    stream = io.StringIO()

    log_to(stream, terminal=True)("paid", wei=108 * 10**16, ends_at=1_767_355_200, until=0)

    assert stream.getvalue() == "12:00:00 paid  wei=1.08ether ends_at=12:00:00 until=-\n"


def test_event__on_a_terminal__a_moment_that_no_calendar_has_is_a_number() -> None:
    """A chain's clock has 40 bits, a calendar 10,000 years."""
    stream = io.StringIO()

    log_to(stream, terminal=True)("phase", ends_at=2**40 - 1)

    assert stream.getvalue() == "12:00:00 phase  ends_at=1099511627775\n"


@pytest.mark.parametrize(
    "name",
    ["key", "test_key", "seal_key", "slot_keys", "salt", "password", "private_key", "seed", "signature", "mnemonic"],
)
@pytest.mark.parametrize("terminal", [True, False])
def test_event__a_secret_by_its_name__is_hidden(name: str, terminal: bool) -> None:
    """Keys and salts never reach a log, whoever calls it."""
    stream = io.StringIO()

    log_to(stream, terminal=terminal)("oops", **{name: b"\xab" * 32})

    assert "[hidden]" in stream.getvalue()
    assert "abab" not in stream.getvalue()


@pytest.mark.parametrize("name", ["seal_key_hash", "keystore", "model_hash", "monkey"])
def test_event__a_public_value_with_a_similar_name__is_shown(name: str) -> None:
    """Hashes of keys are public."""
    stream = io.StringIO()

    log_to(stream, terminal=False)("shown", **{name: b"\xab"})

    assert json.loads(stream.getvalue())[name] == "0xab"


def test_event__not_snake_case__is_a_mistake_of_ours() -> None:
    """Dashboards search for events by name."""
    with pytest.raises(AssertionError, match="snake_case"):
        log_to(io.StringIO(), terminal=True)("Not An Event")
