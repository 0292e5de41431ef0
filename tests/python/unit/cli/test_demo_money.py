"""The demo's books: what the rules say about every wei, and what differs from it."""

from __future__ import annotations

from dataclasses import replace

import pytest
from dlbc.cli.demo_money import (
    MARKET,
    POOL,
    BallotMoney,
    Movement,
    Prize,
    Story,
    active_of,
    are_dividends_right,
    ballots_of,
    differences,
    dividends_of,
    flows,
    movements,
    paid_by,
    received_by,
    ruling_of,
)
from dlbc.core.types import Ruling, Verdict
from hypothesis import assume, given
from hypothesis import strategies as st

pytestmark = pytest.mark.unit

ETHER = 10**18
PRIZE = Prize(bounty_wei=ETHER, bond_wei=ETHER // 10, deposit_wei=ETHER // 10)
STORY = Story(
    requester="requester",
    winner="miner1",
    overclaimer="miner2",
    flipper="miner3",
    filers=("auditor1",),
    refuter="auditor2",
    disputed=PRIZE,
    refuted=PRIZE,
    fee_bps=200,
    lock_bps=2000,
    stakes={"auditor1": 2 * ETHER, "auditor2": 3 * ETHER // 2, "auditor3": ETHER},
    verdicts={"auditor1": Verdict.FALLS, "auditor2": Verdict.FALLS, "auditor3": Verdict.STANDS},
    collected=("auditor2", "auditor3", "auditor1"),
    dividends={},
)
STORY = replace(STORY, dividends=dividends_of(STORY))
PEOPLE = ("requester", "miner1", "miner2", "miner3", "auditor1", "auditor2", "auditor3")
THIRD = ETHER // 10 // 3


def test_ballots__two_falls_and_a_stands__share_its_lock_and_two_thirds_of_the_deposit() -> None:
    """0.2 ether of the loser and two thirds of 0.1 ether go to 4 and 3 sevenths; the last one has the odd wei."""
    found = ballots_of(STORY)
    assert ruling_of(STORY) is Ruling.FALLS
    assert found["auditor3"] == BallotMoney(ETHER // 5, 0, 0)
    assert found["auditor2"] == BallotMoney(3 * ETHER // 10, 3 * ETHER // 10, 114285714285714285)
    assert found["auditor1"] == BallotMoney(2 * ETHER // 5, 2 * ETHER // 5, 152380952380952382)


def test_ballots__another_order_of_collecting__moves_only_the_remainder() -> None:
    """Who collects last gets the rounding, so both orders pay the same pot."""
    other = ballots_of(replace(STORY, collected=("auditor1", "auditor2", "auditor3")))
    for name, money in ballots_of(STORY).items():
        assert abs(other[name].share_wei - money.share_wei) <= 1
    assert sum(money.share_wei for money in other.values()) == ETHER // 5 + ETHER // 10 - ETHER // 10 // 3


def test_dividends__fees_and_a_refuted_deposit__are_shared_by_the_stake_that_is_left() -> None:
    """Two fees and two thirds of a deposit, over 2, 1.5 and 0.8 ether; at most a few wei wait on."""
    found = dividends_of(STORY)
    income = 2 * ETHER // 50 + ETHER // 10 - ETHER // 10 // 3
    assert 0 <= income - sum(found.values()) <= 3
    assert found["auditor1"] == income * 20 // 43
    assert found["auditor3"] == income * 8 // 43


def test_movements__whole_story__market_ends_empty_and_pool_with_dust() -> None:
    """What goes in comes out, but for what no stake divides; nobody gets what the rules give to somebody else."""
    found = flows(movements(STORY))
    gain = {name: received_by(found, name) - paid_by(found, name) for name in (*PEOPLE, MARKET, POOL)}
    assert gain[MARKET] == 0
    assert 0 <= gain[POOL] - sum(active_of(STORY).values()) <= 3
    assert sum(gain.values()) == 0
    assert gain["requester"] == -2 * ETHER
    assert gain["miner1"] == 2 * ETHER * 98 // 100
    assert gain["miner2"] == gain["miner3"] == -ETHER // 10
    shares = {name: ballot.share_wei for name, ballot in ballots_of(STORY).items()}
    dividends = dividends_of(STORY)
    assert gain["auditor1"] == -2 * ETHER + shares["auditor1"] + THIRD + dividends["auditor1"]
    assert gain["auditor2"] == -3 * ETHER // 2 + shares["auditor2"] + THIRD + dividends["auditor2"]
    assert gain["auditor3"] == -ETHER + dividends["auditor3"]


def test_movements__two_filers__both_get_their_bond_and_the_last_one_the_odd_wei() -> None:
    """What is for those who disputed is shared equally, whoever collects first."""
    found = flows(movements(replace(STORY, filers=("auditor3", "auditor1"), dividends={})))
    shares = ballots_of(STORY)["auditor1"].share_wei
    assert found["auditor3", POOL] == ETHER + ETHER // 10
    assert found[POOL, "auditor3"] == ETHER // 10 + THIRD // 2
    assert found[POOL, "auditor1"] == ETHER // 10 + THIRD - THIRD // 2 + shares


def test_dividends__taken_at_other_times__are_right_to_a_few_wei_and_no_further() -> None:
    """A daemon takes its part when it likes; more than its part is found out, and so is what nobody got."""
    exact = dividends_of(STORY)
    assert are_dividends_right(STORY)
    assert are_dividends_right(replace(STORY, dividends={**exact, "auditor1": exact["auditor1"] - 3}))
    for wrong in ({**exact, "auditor1": exact["auditor1"] + 1000}, {**exact, "auditor2": 0}, {}):
        assert not are_dividends_right(replace(STORY, dividends=wrong))


@given(
    stakes=st.tuples(*[st.integers(10**4, 10**19)] * 3),  # a lock is something, and an index step little
    deposit=st.integers(1, 10**24),
    lock_bps=st.integers(1, 10_000),
)
def test_movements__any_amounts__every_wei_is_in_one_place(
    stakes: tuple[int, int, int], deposit: int, lock_bps: int
) -> None:
    """Whatever the stakes and however the vote ends, no wei is made or lost on the way."""
    prize = replace(PRIZE, deposit_wei=deposit)
    story = replace(
        STORY,
        stakes=dict(zip(STORY.stakes, stakes, strict=True)),
        disputed=prize,
        refuted=prize,
        lock_bps=lock_bps,
    )
    assume(ruling_of(story) is Ruling.FALLS)
    story = replace(story, dividends=dividends_of(story))
    found = flows(movements(story))
    assert received_by(found, MARKET) == paid_by(found, MARKET)
    assert 0 <= received_by(found, POOL) - paid_by(found, POOL) - sum(active_of(story).values()) <= 6


def test_differences__one_wei_off__is_told_with_both_sums() -> None:
    """A sum that is not what the rules say, and a payment that no rule knows, are named."""
    expected = flows([Movement("a", MARKET, 5, "deposit"), Movement("a", MARKET, 2, "bond")])
    assert differences(expected, {("a", MARKET): 7}) == []
    assert differences(expected, {("a", MARKET): 6}) == ["a to market: expected 7 wei, found 6"]
    assert differences(expected, {("a", MARKET): 7, (POOL, "b"): 1}) == ["pool to b: expected 0 wei, found 1"]
