"""Named checks: all are listed, and what could not be asked is no finding."""

from __future__ import annotations

import pytest
from dlbc.core.errors import ChainUnreachable, StorageUnreachable, Unavailable
from dlbc.core.report import Check, Checks

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


@pytest.mark.parametrize("error", [ChainUnreachable("down"), StorageUnreachable("down")])
def test_attempt__our_own_node_down__is_raised(error: Exception) -> None:
    """A verifier that can't look must not say that it looked."""

    def fail() -> int:
        raise error

    with pytest.raises(type(error)):
        Checks().attempt("anything", "", fail)
