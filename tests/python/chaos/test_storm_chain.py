"""The chain itself: the last blocks are replaced by empty ones, and gas becomes dear."""

from __future__ import annotations

import pytest
from injections import CEILING, gas_spike
from report import Account
from ward import DEEPEST, Fault, Step, Ward, drop

pytestmark = [pytest.mark.storm, pytest.mark.timeout(1500)]


@pytest.mark.parametrize("depth", [1, 2, 3, 5, 8, DEEPEST])
def test_miner__blocks_reorganised_away_at_each_phase__does_again_what_was_dropped(
    ward: Ward, account: Account, depth: int
) -> None:
    """Commitment, reveal, opening, and what came home: each dropped with the last blocks."""
    lives = ward.live([Fault("reorganised", who) for who in "ab"], disturb=drop(depth, account))
    account.check(lives, is_counted=False)


@pytest.mark.parametrize("step", [Step.STARTED, Step.REVEAL, Step.OPEN, Step.COLLECT])
def test_miner__gas_becomes_dear__pays_or_waits_as_its_owner_said(ward: Ward, account: Account, step: Step) -> None:
    """Whoever has no ceiling pays; whoever has one waits until it is below, and says so."""
    account.check(ward.live([gas_spike(step, ceiling) for ceiling in ("", CEILING)]))
