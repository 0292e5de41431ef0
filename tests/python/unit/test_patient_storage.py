"""IPFS for an errand that has to end."""

from __future__ import annotations

import pytest
from dlbc.adapters.storage.ipfs import IpfsStorage
from dlbc.adapters.storage.patient import PatientStorage
from dlbc.core.errors import Unavailable
from dlbc.core.types import Locator

pytestmark = pytest.mark.unit

NOWHERE = "/ip4/127.0.0.1/tcp/1/http"
LOCATOR = Locator(bytes(32))


def test_fetch__time_is_over__is_unavailable_without_asking() -> None:
    """Whoever serves a thousand parts just in time each is as good as nobody."""
    with pytest.raises(Unavailable, match="within the 0 s for everything"):
        PatientStorage(NOWHERE, 0.0).fetch(LOCATOR, max_bytes=10)


def test_fetch__time_is_left__gets_no_more_than_that(monkeypatch: pytest.MonkeyPatch) -> None:
    """The shorter of the two times."""
    given: list[float] = []

    def fetch(_: IpfsStorage, locator: Locator, *, max_bytes: int, timeout: float = 60.0) -> bytes:
        given.append(timeout)
        return b"x"

    monkeypatch.setattr(IpfsStorage, "fetch", fetch)
    patient = PatientStorage(NOWHERE, 30.0)
    assert patient.fetch(LOCATOR, max_bytes=10) == b"x"
    patient.fetch(LOCATOR, max_bytes=10, timeout=5.0)
    assert given[0] <= 30.0
    assert given[1] == 5.0
