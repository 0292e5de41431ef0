"""Votes and their money: bonds, windows, locks, the ruling, and who gets what (P-52 to P-60).

Every wei that enters a vote leaves it once: locks and bonds come back or are shared out, remainders go to whoever
collects last. Agrees with contracts/libraries/TallyLib.sol and AuditorPool.sol to the last wei
(tests/vectors/protocol.json).
"""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Sequence
from typing import NamedTuple

from dlbc.core.payouts import BPS
from dlbc.core.phases import vote_windows
from dlbc.core.types import Case, Ground, Ruling, Tally, Timestamp, Verdict, Wei

BOND_DIVISOR = 10
"""A dispute's or impeachment's bond is the round's bounty divided by this, rounded up."""
UNAVAILABLE_DIVISOR = 10
"""What a losing Unavailable gives up is its lock divided by this, rounded down."""
MAX_DISPUTED_SAMPLES = 8
ALL_GROUNDS = sum(Ground)
_INDEX_BITS = 64


# ---------------------------------------------------------------- filing and casting ballots


def dispute_bond(bounty_wei: int) -> Wei:
    """What each filer sends along."""
    return Wei(-(-bounty_wei // BOND_DIVISOR))


def windows(case: Case, vote_seconds: int) -> tuple[Timestamp, Timestamp, Timestamp]:
    """(start, end of committing, end of revealing) of the case's present attempt."""
    return vote_windows(case.vote_start, case.vote_start if case.attempt else 0, vote_seconds)


def ballot_lock(snapshot_wei: int, active_wei: int, lock_bps: int) -> Wei:
    """What a ballot risks: lockBps of its weight, the stake of the snapshot, capped by the present one (P-54)."""
    return Wei(min(snapshot_wei, active_wei) * lock_bps // BPS)


# ---------------------------------------------------------------- the ruling


def rule(tally: Tally, snapshot_wei: int, lock_bps: int, attempt: int) -> Ruling:
    """What the revealed ballots say: a third of the snapshot must speak, and more than half of that agree (P-54, P-55).

    snapshot_wei: active stake of all at the snapshot. Exact; nothing is rounded.
    """
    falls = tally.falls_wei + tally.unavailable_wei
    revealed = tally.stands_wei + falls
    if not revealed or not snapshot_wei or revealed * BPS * 3 < snapshot_wei * lock_bps:
        return Ruling.NO_QUORUM if attempt else Ruling.REPEAT
    if falls > tally.stands_wei:
        return Ruling.FALLS
    return Ruling.STANDS if tally.stands_wei > falls else Ruling.SPLIT


def wins(ruling: Ruling, verdict: Verdict) -> bool:
    """Whether a ballot gets a share of the pot."""
    if ruling is Ruling.FALLS:
        return verdict in (Verdict.FALLS, Verdict.UNAVAILABLE)
    return ruling is Ruling.STANDS and verdict is Verdict.STANDS


def lost(ruling: Ruling, verdict: Verdict, lock_wei: int) -> Wei:
    """What of its lock a ballot does not get back: all of it to the winners, or a tenth of an Unavailable to dividends.

    What one voter could not fetch, another could: the tenth is enough that saying it unseen does not pay
    (docs/economy.md).
    """
    if ruling is Ruling.FALLS:
        return Wei(lock_wei if verdict is Verdict.STANDS else 0)
    if ruling is not Ruling.STANDS or verdict is Verdict.STANDS:
        return Wei(0)
    return Wei(lock_wei // UNAVAILABLE_DIVISOR if verdict is Verdict.UNAVAILABLE else lock_wei)


# ---------------------------------------------------------------- who gets what


class Spoils(NamedTuple):
    """Where locks, bonds and the struck money of one vote go."""

    voters_pot_wei: Wei  # shared by the winning ballots, by lock, beside their own locks
    winners_wei: Wei  # locks of the winning ballots
    filers_pot_wei: Wei  # shared equally by the filers, beside their bonds
    returned_wei: Wei  # of each filer's bond
    defendant_wei: Wei  # to the leader; of an impeachment, to the requester
    dividend_wei: Wei  # locks that were never revealed, to all stakes


def spoils(ruling: Ruling, tally: Tally, *, bond_wei: int, filers: int, struck_wei: int, is_claim: bool) -> Spoils:
    """Splits what a vote decides about. A repeat decides nothing yet but the locks that were not revealed.

    struck_wei: what the market gave up when the claim or the test set fell: the leader's deposit, or the pool's part
    of the requester's bond; 0 otherwise.
    """
    dividend = tally.committed_wei - tally.stands_wei - tally.falls_wei - tally.unavailable_wei
    voters = winners = filers_pot = defendant = 0
    returned = bond_wei
    if ruling is Ruling.FALLS:
        filers_pot = struck_wei // 3 if is_claim else 0
        voters = tally.stands_wei + struck_wei - filers_pot
        winners = tally.falls_wei + tally.unavailable_wei
    elif ruling is Ruling.STANDS:
        bonds = bond_wei * filers
        defendant, returned = bonds // 2, 0
        voters = bonds - defendant + tally.falls_wei
        winners = tally.stands_wei
    elif ruling is Ruling.NO_QUORUM and is_claim:
        kept = bond_wei // 10
        defendant, returned = kept * filers, bond_wei - kept
    return Spoils(Wei(voters), Wei(winners), Wei(filers_pot), Wei(returned), Wei(defendant), Wei(dividend))


def vote_share(pot_wei: int, winners_wei: int, lock_wei: int) -> Wei:
    """A winner's share of what is left in the pot: by lock, and the last one takes the rest."""
    return Wei(pot_wei * lock_wei // winners_wei)


def filer_share(pot_wei: int, filers_left: int) -> Wei:
    """A filer's share of what is left for the filers: equal, and the last one takes the rest."""
    return Wei(pot_wei // filers_left)


# ---------------------------------------------------------------- dividends (P-60)


class Spread(NamedTuple):
    """What sharing out dividends changes."""

    gain: int  # of the index, wei per wei of stake in 2^-64
    shared_wei: Wei  # no longer waiting


def spread(waiting_wei: int, active_wei: int) -> Spread:
    """Shares waiting dividends out among active stakes; what does not divide waits on. Nothing if nobody is active."""
    if not active_wei:
        return Spread(0, Wei(0))
    gain = (waiting_wei << _INDEX_BITS) // active_wei
    # rounded up: two gains together can be worth a wei more to a stake than each alone
    return Spread(gain, Wei(-(-gain * active_wei >> _INDEX_BITS)))


def accrued(active_wei: int, gain: int) -> Wei:
    """What a stake earned while the index gained."""
    return Wei(active_wei * gain >> _INDEX_BITS)


def counts_for_participation(resolved_at: int, snapshot_at: int, unbonding_seconds: int) -> bool:
    """Whether a first vote counts: one that took longer than unbonding may have outlived stakes it was weighed by."""
    return resolved_at <= snapshot_at + unbonding_seconds


def votes_since(resolved_at: Sequence[int], counted_from: int) -> int:
    """First votes resolved after a moment; resolved_at rises."""
    return len(resolved_at) - bisect_right(resolved_at, counted_from)


class Dividend(NamedTuple):
    """What a claim of dividends pays."""

    paid_wei: Wei
    returned_wei: Wei  # waits for everybody again


def dividend(accrued_wei: int, ballots: int, votes: int) -> Dividend:
    """Weighs dividends by participation: ballots collected of the votes there were (P-60)."""
    paid = accrued_wei * min(ballots, votes) // votes if votes else accrued_wei
    return Dividend(Wei(paid), Wei(accrued_wei - paid))
