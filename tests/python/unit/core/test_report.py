"""Named checks: all are listed, and what could not be asked is no finding."""

from __future__ import annotations

import pytest
from dlbc.core.errors import ChainUnreachable, LimitReached, StorageUnreachable, Unavailable
from dlbc.core.grounds import grounds_of, speaks_against_the_test_set
from dlbc.core.report import LIMITS, Check, Checks

pytestmark = pytest.mark.unit


def test_checks__nothing_checked__has_not_passed() -> None:
    """An empty verification proves nothing."""
    assert not Checks().passed


def test_checks__equal_and_that__record_expected_and_found() -> None:
    """Bytes are shown as hex; one failure fails the whole."""
    checks = Checks()
    assert checks.equal("hash", b"\x01", b"\x01")
    assert checks.passed
    assert not checks.that("size", False, "1", "2")
    assert checks.done == [Check("hash", True, "0x01", "0x01"), Check("size", False, "1", "2")]
    assert not checks.passed


def test_attempt__bytes_nobody_serves__is_a_failed_check() -> None:
    """What the claim promised to be there and is not counts against it."""
    checks = Checks()

    def fail() -> int:
        raise Unavailable("nobody served Qm")

    assert checks.attempt("sealed bytes", "Qm", fail) is None
    assert checks.done == [Check("sealed bytes", False, "Qm", "nobody served Qm")]


def test_attempt__this_machine_s_limits__fail_a_check_that_no_vote_follows_from() -> None:
    """A small machine must not make a claim fall."""
    checks = Checks()

    def fail() -> int:
        raise LimitReached("memory ran out")

    assert checks.attempt("score recomputed", "9 of 10", fail) is None
    assert checks.done == [Check(LIMITS, False, "score recomputed: 9 of 10", "memory ran out")]
    assert not grounds_of(checks.done)
    assert not speaks_against_the_test_set(checks.done)


@pytest.mark.parametrize("error", [ChainUnreachable("down"), StorageUnreachable("down")])
def test_attempt__our_own_node_down__is_raised(error: Exception) -> None:
    """A verifier that can't look must not say that it looked."""

    def fail() -> int:
        raise error

    with pytest.raises(type(error)):
        Checks().attempt("anything", "", fail)
