"""Rulings are exact and symmetric, and every wei of locks, bonds and struck money goes to exactly one place."""

from __future__ import annotations

from dataclasses import replace
from fractions import Fraction

import pytest
from dlbc.core.disputes import (
    ALL_GROUNDS,
    accrued,
    ballot_lock,
    counts_for_participation,
    dispute_bond,
    dividend,
    filer_share,
    lost,
    rule,
    spoils,
    spread,
    vote_share,
    votes_since,
    windows,
    wins,
)
from dlbc.core.types import ZERO_ADDRESS, Case, Ruling, Tally, TaskId, Timestamp, Verdict, Wei
from hypothesis import given
from hypothesis import strategies as st

pytestmark = pytest.mark.unit

WEI = st.integers(0, 2**90)
LOCKS = st.lists(st.tuples(st.sampled_from(list(Verdict)), st.integers(1, 2**80)), max_size=12)
"""Ballots: verdict (NONE = never revealed) and lock."""
CASE = Case(
    Wei(10), 1, Timestamp(1_000), Timestamp(900), 0, Ruling.NONE, 1, TaskId(1), 0, ZERO_ADDRESS, Wei(0), 0
)  # fmt: skip


def tally_of(ballots: list[tuple[Verdict, int]]) -> Tally:
    """What the pool counts of these ballots."""
    sums = {verdict: sum(lock for found, lock in ballots if found is verdict) for verdict in Verdict}
    committed = sum(sums.values())
    return Tally(
        Wei(committed),
        Wei(sums[Verdict.STANDS]),
        Wei(sums[Verdict.FALLS]),
        Wei(sums[Verdict.UNAVAILABLE]),
        Wei(0),
        Wei(0),
    )


def revealed(stands: int, falls: int, unavailable: int = 0) -> Tally:
    """A tally without lost ballots."""
    ballots = [(Verdict.STANDS, stands), (Verdict.FALLS, falls), (Verdict.UNAVAILABLE, unavailable)]
    return tally_of([(verdict, lock) for verdict, lock in ballots if lock])


# ---------------------------------------------------------------- filing and casting


@pytest.mark.parametrize(("bounty", "bond"), [(1, 1), (10, 1), (11, 2), (10**18, 10**17)])
def test_dispute_bond__any_bounty__a_tenth_rounded_up(bounty: int, bond: int) -> None:
    """P-52: the bond is never below a tenth of the bounty."""
    assert dispute_bond(bounty) == bond


def test_grounds__all__seven_bits() -> None:
    """P-52 names seven grounds."""
    assert ALL_GROUNDS == 127


def test_windows__repeat__twice_as_long_from_its_own_start() -> None:
    """P-55: the repeated vote runs at double length."""
    assert windows(CASE, 50) == (1_000, 1_050, 1_100)
    assert windows(replace(CASE, attempt=1, vote_start=Timestamp(1_200)), 50) == (1_200, 1_300, 1_400)


@given(snapshot=WEI, active=WEI, bps=st.integers(1, 10_000))
def test_ballot_lock__any_stake__a_share_of_the_lesser(snapshot: int, active: int, bps: int) -> None:
    """P-54: weight is the snapshot's stake, capped by the present one; the lock never exceeds it."""
    lock = ballot_lock(snapshot, active, bps)

    assert lock == Fraction(min(snapshot, active) * bps, 10_000).__floor__()
    assert lock <= active


# ---------------------------------------------------------------- the ruling


@pytest.mark.parametrize(
    ("tally", "snapshot", "attempt", "expected"),
    [
        # quorum: revealed locks x 3 >= snapshot x 20 %
        (revealed(0, 0), 1_000, 0, Ruling.REPEAT),
        (revealed(0, 0), 1_000, 1, Ruling.NO_QUORUM),
        (revealed(66, 0), 1_000, 0, Ruling.REPEAT),
        (revealed(66, 0), 1_000, 1, Ruling.NO_QUORUM),
        (revealed(67, 0), 1_000, 0, Ruling.STANDS),
        (revealed(0, 67), 1_000, 1, Ruling.FALLS),
        (revealed(1, 0), 0, 0, Ruling.REPEAT),
        (revealed(1, 0), 0, 1, Ruling.NO_QUORUM),
        # more than half
        (revealed(100, 101), 1_000, 0, Ruling.FALLS),
        (revealed(100, 100), 1_000, 0, Ruling.SPLIT),
        (revealed(101, 100), 1_000, 0, Ruling.STANDS),
        # Unavailable counts as Falls
        (revealed(100, 51, 50), 1_000, 0, Ruling.FALLS),
        (revealed(100, 0, 101), 1_000, 0, Ruling.FALLS),
        (revealed(100, 0, 100), 1_000, 0, Ruling.SPLIT),
    ],
)
def test_rule__ballots__quorum_then_majority(tally: Tally, snapshot: int, attempt: int, expected: Ruling) -> None:
    """P-54, P-55: a third must speak, at the border inclusively, and more than half agree."""
    assert rule(tally, snapshot, 2_000, attempt) is expected


@given(stands=WEI, falls=WEI, snapshot=WEI, attempt=st.integers(0, 1))
def test_rule__sides_swapped__mirrored(stands: int, falls: int, snapshot: int, attempt: int) -> None:
    """Neither side is favoured: swapping the ballots swaps the ruling."""
    mirrored = {Ruling.STANDS: Ruling.FALLS, Ruling.FALLS: Ruling.STANDS}
    ruling = rule(revealed(stands, falls), snapshot, 2_000, attempt)

    assert rule(revealed(falls, stands), snapshot, 2_000, attempt) is mirrored.get(ruling, ruling)


@given(ballots=LOCKS, snapshot=WEI, bps=st.integers(1, 10_000), attempt=st.integers(0, 1))
def test_rule__any_ballots__as_fractions_say(
    ballots: list[tuple[Verdict, int]], snapshot: int, bps: int, attempt: int
) -> None:
    """The ruling is that of exact fractions; only opened ballots speak."""
    locks = {verdict: sum(lock for found, lock in ballots if found is verdict) for verdict in Verdict}
    spoken = locks[Verdict.STANDS] + locks[Verdict.FALLS] + locks[Verdict.UNAVAILABLE]
    has_quorum = spoken and snapshot and Fraction(spoken, 1) >= Fraction(snapshot * bps, 30_000)

    ruling = rule(tally_of(ballots), snapshot, bps, attempt)

    if not has_quorum:
        assert ruling is (Ruling.NO_QUORUM if attempt else Ruling.REPEAT)
    elif Fraction(locks[Verdict.STANDS], spoken) < Fraction(1, 2):
        assert ruling is Ruling.FALLS
    else:
        assert ruling is (Ruling.STANDS if Fraction(locks[Verdict.STANDS], spoken) > Fraction(1, 2) else Ruling.SPLIT)


@pytest.mark.parametrize(
    ("ruling", "winners", "losses"),
    [
        (Ruling.FALLS, {Verdict.FALLS, Verdict.UNAVAILABLE}, (109, 0, 0)),
        (Ruling.STANDS, {Verdict.STANDS}, (0, 109, 10)),
        (Ruling.SPLIT, set(), (0, 0, 0)),
        (Ruling.NO_QUORUM, set(), (0, 0, 0)),
        (Ruling.REPEAT, set(), (0, 0, 0)),
        (Ruling.NONE, set(), (0, 0, 0)),
    ],
)
def test_wins_and_lost__ruling__each_verdict(
    ruling: Ruling, winners: set[Verdict], losses: tuple[int, int, int]
) -> None:
    """P-54: a losing Unavailable gives up a tenth; without a majority nobody loses anything."""
    cast = (Verdict.STANDS, Verdict.FALLS, Verdict.UNAVAILABLE)

    assert {verdict for verdict in cast if wins(ruling, verdict)} == winners
    assert tuple(lost(ruling, verdict, 109) for verdict in cast) == losses


# ---------------------------------------------------------------- who gets what


@given(
    ballots=LOCKS,
    snapshot=WEI,
    attempt=st.integers(0, 1),
    bond=WEI,
    filers=st.integers(1, 9),
    struck=WEI,
    is_claim=st.booleans(),
)
def test_spoils__any_vote__every_wei_has_one_owner(
    ballots: list[tuple[Verdict, int]],
    snapshot: int,
    attempt: int,
    bond: int,
    filers: int,
    struck: int,
    is_claim: bool,
) -> None:
    """P-62: after everybody collected, in whatever order, what went in came out and nothing is left."""
    tally = tally_of(ballots)
    ruling = rule(tally, snapshot, 2_000, attempt)
    struck = struck if ruling is Ruling.FALLS else 0
    split = spoils(ruling, tally, bond_wei=bond, filers=filers, struck_wei=struck, is_claim=is_claim)

    paid = split.defendant_wei + split.dividend_wei
    pot, winners = split.voters_pot_wei, split.winners_wei
    for verdict, lock in ballots:
        if verdict is Verdict.NONE:
            continue
        if wins(ruling, verdict):
            share = vote_share(pot, winners, lock)
            assert 0 <= share <= pot
            paid, pot, winners = paid + share, pot - share, winners - lock
        gone = lost(ruling, verdict, lock)
        paid += lock - gone + (gone if verdict is Verdict.UNAVAILABLE else 0)  # a dividend
    left = split.filers_pot_wei
    for remaining in range(filers, 0, -1):
        share = filer_share(left, remaining)
        paid, left = paid + share + split.returned_wei, left - share

    assert paid == tally.committed_wei + bond * filers + struck
    assert (pot, winners, left) == (0, 0, 0)


def test_spoils__claim_falls__a_third_to_the_filers() -> None:
    """P-55: bonds back, a third of the deposit to the filers, two thirds and the losers' locks to the voters."""
    split = spoils(Ruling.FALLS, revealed(30, 60, 10), bond_wei=7, filers=2, struck_wei=100, is_claim=True)

    assert split == (67 + 30, 70, 33, 7, 0, 0)


def test_spoils__test_set_falls__all_to_the_voters() -> None:
    """P-45: bonds back, the voters share the pool's part of the requester's bond."""
    split = spoils(Ruling.FALLS, revealed(30, 70), bond_wei=7, filers=2, struck_wei=100, is_claim=False)

    assert split == (130, 70, 0, 7, 0, 0)


def test_spoils__claim_stands__half_of_the_bonds_to_the_leader() -> None:
    """P-55: the other half, with the remainder, and the losers' locks go to the voters; not Unavailable's."""
    tally = replace(revealed(70, 20, 10), committed_wei=Wei(105))
    split = spoils(Ruling.STANDS, tally, bond_wei=7, filers=3, struck_wei=0, is_claim=True)

    assert split == (11 + 20, 70, 0, 0, 10, 5)


@pytest.mark.parametrize(("is_claim", "returned", "defendant"), [(True, 90, 18), (False, 99, 0)])
def test_spoils__no_quorum_twice__a_tenth_of_a_claim_s_bonds(is_claim: bool, returned: int, defendant: int) -> None:
    """P-55: 10 % of each bond to the leader; an impeachment's bonds go back whole (P-45)."""
    split = spoils(Ruling.NO_QUORUM, revealed(1, 1), bond_wei=99, filers=2, struck_wei=0, is_claim=is_claim)

    assert split == (0, 0, 0, returned, defendant, 0)


@pytest.mark.parametrize("ruling", [Ruling.SPLIT, Ruling.REPEAT])
def test_spoils__nothing_decided__only_unopened_locks_are_lost(ruling: Ruling) -> None:
    """Locks of opened ballots and all bonds go back; those of unopened ones become dividends (P-54)."""
    tally = replace(revealed(10, 10), committed_wei=Wei(25))

    assert spoils(ruling, tally, bond_wei=7, filers=2, struck_wei=0, is_claim=True) == (0, 0, 0, 7, 0, 5)


# ---------------------------------------------------------------- dividends


@given(
    stakes=st.lists(st.integers(1, 2**60), min_size=1, max_size=6),
    fees=st.lists(st.integers(0, 2**60), min_size=1, max_size=6),
)
def test_spread__fees_one_after_another__stakes_never_earn_more(stakes: list[int], fees: list[int]) -> None:
    """P-62: what all stakes accrue at once, at the end, is covered by what left the waiting dividends."""
    waiting = index = shared = 0
    for fee in fees:
        step = spread(waiting + fee, sum(stakes))
        waiting += fee - step.shared_wei
        index, shared = index + step.gain, shared + step.shared_wei
        assert waiting >= 0

    earned = sum(accrued(stake, index) for stake in stakes)

    assert waiting + shared == sum(fees)
    assert shared - len(fees) - len(stakes) <= earned <= shared


def test_spread__nobody_is_active__everything_waits() -> None:
    """Dividends wait for the first stake."""
    assert spread(100, 0) == (0, 0)


@pytest.mark.parametrize(
    ("accrued_wei", "ballots", "votes", "paid"),
    [(100, 0, 0, 100), (100, 5, 0, 100), (100, 0, 3, 0), (100, 1, 3, 33), (100, 3, 3, 100), (100, 4, 3, 100)],
)
def test_dividend__participation__weighs_it(accrued_wei: int, ballots: int, votes: int, paid: int) -> None:
    """P-60: dividends are paid by votes revealed of those there were; the rest returns."""
    assert dividend(accrued_wei, ballots, votes) == (paid, accrued_wei - paid)


@given(accrued_wei=WEI, ballots=st.integers(0, 30), votes=st.integers(0, 30))
def test_dividend__any_participation__sums_to_what_accrued(accrued_wei: int, ballots: int, votes: int) -> None:
    """Nothing of a dividend is lost."""
    paid, returned = dividend(accrued_wei, ballots, votes)

    assert paid + returned == accrued_wei
    assert min(paid, returned) >= 0


def test_votes_since__moments__counts_the_later_ones() -> None:
    """A vote resolved at the very moment the count began is not counted."""
    assert [votes_since([10, 10, 20, 30], moment) for moment in (9, 10, 19, 20, 30)] == [4, 2, 2, 1, 0]


def test_counts_for_participation__longer_than_unbonding__not() -> None:
    """Nobody is held to a vote whose snapshot was before its stake."""
    assert counts_for_participation(150, 50, 100)
    assert not counts_for_participation(151, 50, 100)
