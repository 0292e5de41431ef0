"""The miner's own machine: its disk is full, its clock is wrong, somebody else uses its key, it is started twice."""

from __future__ import annotations

import pytest
from injections import HOUR, disk_full, nonce_stolen, skewed, started_twice
from report import Account
from ward import Step, Ward

pytestmark = [pytest.mark.storm, pytest.mark.timeout(1500)]

STEPS = (Step.STARTED, Step.REVEAL, Step.OPEN, Step.COLLECT)
SECONDS = 12.0


def test_miner__disk_full__goes_on_when_there_is_room(ward: Ward, account: Account) -> None:
    """At each step; what could not be written is not taken for written."""
    account.check(ward.live([disk_full(step, size, SECONDS) for step in STEPS for size in (0, 40_000)]))


def test_miner__clock_wrong_key_shared_or_started_twice__loses_nothing(ward: Ward, account: Account) -> None:
    """Deadlines are the chain's; a stolen nonce is repaired; a second daemon refuses, and the first goes on."""
    account.check(
        ward.live(
            [
                *[skewed(hours * HOUR) for hours in (-24, -1, 1, 24)],
                *[nonce_stolen(step, SECONDS) for step in (Step.BORN, *STEPS)],
                *[started_twice(step) for step in (Step.COMMITTED, *STEPS)],
            ],
            together=14,
        )
    )
