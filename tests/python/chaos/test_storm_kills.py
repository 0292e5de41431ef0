"""SIGKILL at every point where a miner's process has just written, sent or stored something, or is about to."""

from __future__ import annotations

import pytest
from injections import killed
from report import Account
from ward import Fault, Ward

pytestmark = [pytest.mark.storm, pytest.mark.timeout(1500)]

LOOKS = range(1, 6)


def test_miner__killed_at_each_point_of_its_life__loses_nothing(ward: Ward, account: Account) -> None:
    """Before and after each journal record, each transaction, each broadcast, each file stored."""
    (whole,) = ward.live([Fault("none", "no fault")])
    assert whole.broken() == []
    points = [point for point in whole.points.read_text().splitlines() if "look at training" not in point]
    assert len(points) > 40
    account.check(ward.live([killed(point) for point in points]))


def test_miner__killed_while_it_trains__goes_on_and_loses_nothing(ward: Ward, account: Account) -> None:
    """At several moments of a training that takes a while."""
    account.check(ward.live([killed(f"after look at training #{number}", "--epochs", "400") for number in LOOKS]))
