"""The nodes a miner relies on vanish, stall, are slow, tell lies, serve wrong bytes; each at each step of its life."""

from __future__ import annotations

import pytest
from injections import LIES, lying, relayed
from relay import Mode
from report import Account
from ward import Step, Ward

pytestmark = [pytest.mark.storm, pytest.mark.timeout(1500)]

MINUTE = 60.0
STEPS = (Step.STARTED, Step.COMMITTED, Step.REVEAL, Step.OPEN, Step.COLLECT)


def test_miner__rpc_down_stalling_or_slow__loses_nothing(ward: Ward, account: Account) -> None:
    """For a minute, at each step."""
    modes: tuple[Mode, ...] = ("down", "stall", "slow")
    account.check(ward.live([relayed("RPC", mode, step, MINUTE) for mode in modes for step in STEPS], together=15))


def test_miner__ipfs_down_stalling_slow_or_lying__loses_nothing(ward: Ward, account: Account) -> None:
    """Wrong bytes are never taken for right ones; what is missing is asked for again."""
    modes: tuple[Mode, ...] = ("down", "stall", "slow", "garble")
    steps = (Step.BORN, Step.REVEAL)  # data and model; the test set
    account.check(ward.live([relayed("IPFS", mode, step, MINUTE) for mode in modes for step in steps]))


def test_miner__node_lies_about_transactions_or_its_chain__loses_nothing(ward: Ward, account: Account) -> None:
    """At each step that sends something; for half a minute, and until the lie is told."""
    steps = (Step.BORN, Step.REVEAL, Step.OPEN, Step.COLLECT)
    account.check(ward.live([lying(lie, step, MINUTE / 2) for lie in LIES for step in steps]))
