"""The list of what was sent: written before it leaves, readable after any crash."""

from __future__ import annotations

from pathlib import Path

import pytest
from dlbc.adapters.chain.fees import Fees, affordable, is_left_behind, replacing
from dlbc.adapters.chain.flights import LOG_BYTES, Flight, SentLog
from dlbc.core.types import Address, Hash32

pytestmark = pytest.mark.unit

ME = Address("0x70997970C51812dc3A010C7d01b50e0d17dc79C8")


def flight(nonce: int, mark: int = 0, call: str = "commit") -> Flight:
    """A transaction of this nonce; only its name matters here."""
    return Flight(call, Hash32(bytes([mark]) * 32), b"", {"nonce": nonce})


def test_log__notes_of_another_process__are_read_newest_first(tmp_path: Path) -> None:
    """A replaced transaction and its replacement are both listed; used nonces are not."""
    first = SentLog(tmp_path / "sent", 7, ME)
    for nonce, mark in ((3, 1), (4, 2), (4, 3)):
        first.note(flight(nonce, mark))
    found = SentLog(tmp_path / "sent", 7, ME).since(4)
    assert found == {4: {Hash32(bytes([3]) * 32): "commit", Hash32(bytes([2]) * 32): "commit"}}
    assert list(found[4]) == [bytes([3]) * 32, bytes([2]) * 32]
    assert SentLog(tmp_path / "sent", 8, ME).since(0) == {}


def test_log__torn_or_foreign_lines__are_passed_over(tmp_path: Path) -> None:
    """A power cut in the middle of a line, or anything else that is there, stops nobody."""
    log = SentLog(tmp_path, 7, ME)
    log.note(flight(4, 1))
    file = next(tmp_path.iterdir())
    with file.open("ab") as stream:
        stream.write(b"\xff\xfe nonsense\n5 abcd commit\n99999999999 " + b"00" * 32 + b" post\n6 " + b"0" * 20)
    assert set(log.since(0)) == {4}
    assert file.stat().st_mode & 0o777 == 0o600


def test_log__grown_long__keeps_its_newest_half(tmp_path: Path) -> None:
    """A year of transactions does not fill the disk, and what may still be on its way is there."""
    log = SentLog(tmp_path, 7, ME)
    log.note(flight(0))
    line = len(next(tmp_path.iterdir()).read_bytes())
    file = next(tmp_path.iterdir())
    file.write_bytes(file.read_bytes() * (LOG_BYTES // line))
    log.note(flight(9, 1))
    assert file.stat().st_size <= LOG_BYTES // 2
    assert set(log.since(5)) == {9}


def test_log__no_folder__keeps_nothing(tmp_path: Path) -> None:
    """A command without a home, such as a deployment in a test, sends all the same."""
    log = SentLog(None, 7, ME)
    log.note(flight(0))
    assert log.since(0) == {}
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    ("asked", "ceiling", "expected"),
    [
        (Fees(100, 10), None, Fees(113, 12)),  # nodes ask for an eighth more, whatever the chain asks
        (Fees(300, 10), None, Fees(300, 12)),
        (Fees(300, 50), None, Fees(300, 50)),
        (Fees(300, 50), 200, Fees(200, 50)),
        (Fees(300, 400), 200, Fees(200, 200)),
        (Fees(300, 50), 112, None),
    ],
)
def test_replacing__what_waits__takes_an_eighth_more_within_the_ceiling(
    asked: Fees, ceiling: int | None, expected: Fees | None
) -> None:
    """The price of a replacement never exceeds what the owner allows; without room there is none."""
    assert replacing(Fees(100, 10), asked, ceiling) == expected


@pytest.mark.parametrize(
    ("wei", "expected"),
    [
        (7 * 210, Fees(210, 10, 100)),
        (7 * 209, Fees(209, 10, 100)),
        (7 * 113, Fees(113, 10, 100)),
        (7 * 113 - 1, None),
        (0, None),
    ],
)
def test_affordable__account_is_poor__offers_what_the_next_block_takes(wei: int, expected: Fees | None) -> None:
    """An eighth above the price of the latest block is the most that the next one can ask."""
    assert affordable(Fees(210, 10, 100), 7, wei) == expected


def test_left_behind__tip_or_price_too_low__is_seen() -> None:
    """A transaction can wait for either of its two prices."""
    assert [is_left_behind(Fees(100, 10), asked) for asked in (Fees(100, 10), Fees(101, 10), Fees(100, 11))] == [
        False,
        True,
        True,
    ]
