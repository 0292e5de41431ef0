"""One fault of each kind, all at once; `make chaos` runs the whole suite."""

from __future__ import annotations

import pytest
from injections import HOUR, disk_full, killed, lying, nonce_stolen, relayed, skewed, started_twice
from report import Account
from ward import DEEPEST, Fault, Step, Ward, drop

pytestmark = [pytest.mark.chaos, pytest.mark.timeout(600)]

SHORT = 6.0


def test_miner__one_fault_of_each_kind__loses_nothing(ward: Ward, account: Account) -> None:
    """Each hits another miner, at another step."""
    faults = [
        killed("after broadcast commit #1"),
        killed("after transaction withdraw #1"),
        relayed("RPC", "down", Step.REVEAL, SHORT),
        relayed("IPFS", "garble", Step.BORN, SHORT),
        relayed("IPFS", "down", Step.REVEAL, SHORT),
        lying("failed, though it succeeded", Step.BORN, SHORT),
        lying("mined, though it was thrown away", Step.OPEN, SHORT),
        disk_full(Step.COLLECT, 40_000, SHORT),
        skewed(24 * HOUR),
        nonce_stolen(Step.REVEAL, SHORT),
        started_twice(Step.COMMITTED),
    ]
    account.check(ward.live(faults, together=len(faults)))


def test_miner__reorganised_twelve_blocks_deep_after_each_step__does_it_again(ward: Ward, account: Account) -> None:
    """Also what ended its entry."""
    lives = ward.live([Fault("reorganised", "sample")], disturb=drop(DEEPEST, account))
    account.check(lives, is_counted=False)
