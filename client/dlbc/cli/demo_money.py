"""Where every wei of the demo's dispute goes, and why: what the rules say, to be held against the chain's books."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass

from dlbc.core.disputes import (
    Spoils,
    accrued,
    ballot_lock,
    dispute_bond,
    dividend,
    filer_share,
    lost,
    rule,
    spoils,
    spread,
    vote_share,
    wins,
)
from dlbc.core.payouts import Settlement, refutation, settlement
from dlbc.core.types import Ruling, Tally, Verdict, Wei

MARKET, POOL = "market", "pool"
ROUNDED_WEI = 50
"""Of one auditor's dividends: a wei for each time that fees are shared out or dividends taken."""
Flows = Mapping[tuple[str, str], int]
"""Wei by (from, to)."""


@dataclass(frozen=True, slots=True)
class Movement:
    """Ether that goes from one account or contract to another, and the sentence that says why."""

    source: str
    target: str
    wei: int
    why: str


@dataclass(frozen=True, slots=True)
class Prize:
    """What a task of the story is worth."""

    bounty_wei: int
    bond_wei: int  # of the requester
    deposit_wei: int


@dataclass(frozen=True, slots=True)
class Story:
    """What was agreed and what people did; everything about the money follows from it.

    disputed: its leader is voted down. refuted: one of its claims is. Both are then won by `winner`.
    """

    requester: str
    winner: str
    overclaimer: str
    flipper: str
    filers: tuple[str, ...]  # of the dispute
    refuter: str
    disputed: Prize
    refuted: Prize
    fee_bps: int
    lock_bps: int
    stakes: Mapping[str, int]
    verdicts: Mapping[str, Verdict]
    collected: tuple[str, ...]  # voters, in the order in which they collected
    dividends: Mapping[str, int]  # what each auditor took, all in all


@dataclass(frozen=True, slots=True)
class BallotMoney:
    """What one ballot risked and brought."""

    lock_wei: int
    returned_wei: int
    share_wei: int


def ruling_of(story: Story) -> Ruling:
    """What the ballots say."""
    return rule(_tally(story), sum(story.stakes.values()), story.lock_bps, 0)


def ballots_of(story: Story) -> dict[str, BallotMoney]:
    """Locks and shares of the pot; of the rounding, the last collector takes the rest."""
    ruling, locks = ruling_of(story), _locks(story)
    pot, winners = _spoils(story).voters_pot_wei, _spoils(story).winners_wei
    found = {}
    for voter in story.collected:
        lock, verdict, share = locks[voter], story.verdicts[voter], Wei(0)
        if wins(ruling, verdict):
            share = vote_share(pot, winners, lock)
            pot, winners = Wei(pot - share), Wei(winners - lock)
        found[voter] = BallotMoney(lock, lock - lost(ruling, verdict, lock), share)
    return found


def active_of(story: Story) -> dict[str, int]:
    """The stakes that are left after the vote."""
    ballots = ballots_of(story)
    return {name: stake - ballots[name].lock_wei + ballots[name].returned_wei for name, stake in story.stakes.items()}


def dividends_of(story: Story) -> dict[str, int]:
    """Fees and what is left of the refuted deposit, shared by the stake left after the vote, if all of it is shared at
    once. Who takes part in every vote loses nothing of it; a wei that does not divide waits on.
    """
    active = active_of(story)
    gain = spread(income_of(story), sum(active.values())).gain
    return {name: int(dividend(accrued(wei, gain), 0, 0).paid_wei) for name, wei in active.items()}


def are_dividends_right(story: Story) -> bool:
    """Every auditor took its part, but for the few wei that each sharing and each taking rounds down. Which daemon
    shares out and takes when is its own affair; and no wei is shared twice.
    """
    expected = dividends_of(story)
    found = {name: story.dividends.get(name, 0) for name in story.stakes}
    near = all(abs(found[name] - wei) <= ROUNDED_WEI for name, wei in expected.items())
    return near and 0 <= income_of(story) - sum(found.values()) <= len(found) * ROUNDED_WEI


def income_of(story: Story) -> int:
    """What all auditors share."""
    return sum(_pool_income(story))


def movements(story: Story) -> list[Movement]:
    """Every payment of the story in the order of who pays, each with its reason."""
    return [*_into_the_market(story), *_out_of_the_market(story), *_into_the_pool(story), *_out_of_the_pool(story)]


def flows(found: Iterable[Movement]) -> Counter[tuple[str, str]]:
    """Wei by (from, to)."""
    total: Counter[tuple[str, str]] = Counter()
    for movement in found:
        total[movement.source, movement.target] += movement.wei
    return total


def paid_by(found: Flows, name: str) -> int:
    """What somebody paid, or what left a contract."""
    return sum(wei for (source, _), wei in found.items() if source == name)


def received_by(found: Flows, name: str) -> int:
    """What arrived."""
    return sum(wei for (_, target), wei in found.items() if target == name)


def differences(expected: Flows, found: Flows) -> list[str]:
    """One sentence for every pair whose sum is another one than the rules say."""
    pairs = [(pair, expected.get(pair, 0), found.get(pair, 0)) for pair in sorted({*expected, *found})]
    return [
        f"{source} to {target}: expected {right} wei, found {wrong}"
        for (source, target), right, wrong in pairs
        if right != wrong
    ]


# ------------------------------------------------------------------ who pays whom


def _into_the_market(story: Story) -> Iterator[Movement]:
    for prize, name in _prizes(story):
        yield Movement(story.requester, MARKET, prize.bounty_wei + prize.bond_wei, f"bounty and bond of {name}")
        yield Movement(story.winner, MARKET, prize.deposit_wei, f"deposit of {name}")
    yield Movement(story.overclaimer, MARKET, story.disputed.deposit_wei, "deposit of task 1; lost in the vote")
    yield Movement(story.flipper, MARKET, story.refuted.deposit_wei, "deposit of task 2; lost when refuted")


def _out_of_the_market(story: Story) -> Iterator[Movement]:
    for prize, name in _prizes(story):
        shares = _settlement(story, prize)
        yield Movement(MARKET, story.winner, shares.paid_wei, f"bounty of {name}, less the fee")
        yield Movement(MARKET, story.winner, prize.deposit_wei, f"deposit of {name}")
        yield Movement(MARKET, POOL, shares.fee_wei, f"fee of {name}, for all auditors")
        yield Movement(MARKET, story.requester, prize.bond_wei, f"bond of {name}: it released in time")
    yield Movement(MARKET, POOL, story.disputed.deposit_wei, f"{story.overclaimer}'s deposit, struck by a vote")
    struck = refutation(story.refuted.deposit_wei)
    yield Movement(MARKET, story.refuter, struck.refuter_wei, f"a third of {story.flipper}'s deposit: refuter")
    yield Movement(MARKET, POOL, struck.pool_wei, "the rest of it, for all auditors")


def _into_the_pool(story: Story) -> Iterator[Movement]:
    for auditor, stake in story.stakes.items():
        yield Movement(auditor, POOL, stake, "stake")
    for filer in story.filers:
        yield Movement(filer, POOL, dispute_bond(story.disputed.bounty_wei), "bond of its dispute")


def _out_of_the_pool(story: Story) -> Iterator[Movement]:
    split, left = _spoils(story), len(story.filers)
    pot = split.filers_pot_wei
    for filer in story.filers:
        yield Movement(POOL, filer, dispute_bond(story.disputed.bounty_wei), "bond of its dispute: the claim fell")
        third = filer_share(pot, left)
        pot, left = Wei(pot - third), left - 1
        yield Movement(POOL, filer, third, f"of a third of {story.overclaimer}'s deposit: filer")
    ballots = ballots_of(story)
    for auditor in story.stakes:
        ballot = ballots[auditor]
        if ballot.share_wei:
            why = f"share by lock of slashed locks and two thirds of {story.overclaimer}'s deposit"
            yield Movement(POOL, auditor, ballot.share_wei, why)
        if story.dividends.get(auditor):
            yield Movement(POOL, auditor, story.dividends[auditor], "dividends, by stake")


# ------------------------------------------------------------------ the rules at work


def _prizes(story: Story) -> tuple[tuple[Prize, str], ...]:
    return (story.disputed, "task 1"), (story.refuted, "task 2")


def _settlement(story: Story, prize: Prize) -> Settlement:
    return settlement(prize.bounty_wei, story.fee_bps, 0, has_parent=False)


def _pool_income(story: Story) -> list[int]:
    fees = [int(_settlement(story, prize).fee_wei) for prize, _ in _prizes(story)]
    return [*fees, int(refutation(story.refuted.deposit_wei).pool_wei)]


def _locks(story: Story) -> dict[str, Wei]:
    return {voter: ballot_lock(stake, stake, story.lock_bps) for voter, stake in story.stakes.items()}


def _tally(story: Story) -> Tally:
    locks = _locks(story)

    def locked(*verdicts: Verdict) -> Wei:
        return Wei(sum(locks[voter] for voter, verdict in story.verdicts.items() if verdict in verdicts))

    return Tally(
        committed_wei=Wei(sum(locks.values())),
        stands_wei=locked(Verdict.STANDS),
        falls_wei=locked(Verdict.FALLS),
        unavailable_wei=locked(Verdict.UNAVAILABLE),
        pot_wei=Wei(0),
        winners_wei=Wei(0),
    )


def _spoils(story: Story) -> Spoils:
    return spoils(
        ruling_of(story),
        _tally(story),
        bond_wei=dispute_bond(story.disputed.bounty_wei),
        filers=len(story.filers),
        struck_wei=story.disputed.deposit_wei,
        is_claim=True,
    )
