"""Attacks on votes: with a share of the stake, with bribes, with spam, with sloth."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace

from dlbc.core.types import Ruling, Verdict

from economy_parts.contest import Round, Trial, decide
from economy_parts.court import rule, tally_of
from economy_parts.setting import BPS, ETHER, Rules, World
from economy_parts.stage import ATTACKER, LEADER, MINERS, REQUESTER, RUNNER_UP, Played, Stage, undisturbed
from economy_parts.task_attacks import Gas

STEPS = 200
"""Shares of the stake are searched in half percents."""


# ---------------------------------------------------------------- with a share of the stake


def false_claim_with_stake(rules: Rules, world: World, gas: Gas, share: float) -> Played:
    """The attacker's false claim is disputed; its own stake votes that it stands."""
    stage = Stage(rules, world, gas, share)
    round_ = stage.post()
    stage.honest_field(round_, *MINERS)
    round_.commit(ATTACKER)
    round_.release()
    round_.reveal(ATTACKER, 1.0, True)
    stage.books.gas(ATTACKER, "open")
    case = round_.dispute(ATTACKER, REQUESTER)
    decide(Trial(round_, case, stage.ballots(Verdict.FALLS, Verdict.STANDS)))
    if case.ruling is Ruling.FALLS:
        stage.books.gas(LEADER, "nominate", "open")
    return _settled(stage, round_, case.ruling)


def honest_claim_with_stake(rules: Rules, world: World, gas: Gas, share: float) -> Played:
    """The attacker, second in the contest, disputes the honest leader, and its own stake votes that it falls."""
    stage = Stage(rules, world, gas, share)
    round_ = stage.post()
    stage.honest_field(round_, *(miner for miner in MINERS if miner != RUNNER_UP))
    stage.train(ATTACKER)
    round_.commit(ATTACKER)
    round_.reveal(ATTACKER, 0.899, True)
    round_.release()
    stage.books.gas(LEADER, "open")
    case = round_.dispute(LEADER, ATTACKER)
    decide(Trial(round_, case, stage.ballots(Verdict.STANDS, Verdict.FALLS)))
    if case.ruling is Ruling.FALLS:
        stage.books.gas(ATTACKER, "nominate", "open")
    return _settled(stage, round_, case.ruling)


def impeachment_with_stake(rules: Rules, world: World, gas: Gas, share: float) -> Played:
    """An honest test set is impeached by somebody that wants the task to end."""
    stage = Stage(rules, world, gas, share)
    round_ = stage.post()
    stage.honest_field(round_, *MINERS)
    round_.release()
    case = round_.impeach(ATTACKER)
    decide(Trial(round_, case, stage.ballots(Verdict.STANDS, Verdict.FALLS)))
    if round_.outcome == "aborted":
        return _ended(stage, round_, case.ruling)
    stage.books.gas(LEADER, "open")
    return _settled(stage, round_, case.ruling)


def _settled(stage: Stage, round_: Round, ruling: Ruling) -> Played:
    round_.settle()
    return _ended(stage, round_, ruling)


def _ended(stage: Stage, round_: Round, ruling: Ruling) -> Played:
    stage.capital(ATTACKER, stage.staked_wei, stage.rules.round_seconds() + stage.rules.unbonding_seconds)
    before = undisturbed(stage.rules, stage.world, stage.books.prices)
    return stage.ended(before, round_.extra_seconds, ruling.name.lower())


def least_share(play: Callable[[float], bool]) -> float | None:
    """The smallest share of the stake, in half percents, from which on it works; None = with no share below 1."""
    low, high = 0, STEPS
    if not play((STEPS - 1) / STEPS):
        return None
    # INVARIANT: it fails at low (or low is 0) and works at high
    high = STEPS - 1
    while low < high:
        middle = (low + high) // 2
        if play(middle / STEPS):
            high = middle
        else:
            low = middle + 1
    return low / STEPS


def votes_at_once(rules: Rules, turnout: float) -> int:
    """How many votes the honest can hold at the same time with all of their stake before the next lacks a quorum."""
    left, votes = turnout, 0
    while left >= float(rules.quorum):
        left, votes = left * (1 - rules.lock_bps / BPS), votes + 1
    return votes


def share_to_settle_a_false_claim(rules: Rules, world: World, gas: Gas) -> float | None:
    def works(share: float) -> bool:
        return false_claim_with_stake(rules, world, gas, share).result != "falls"

    return least_share(works)


def share_to_strike_an_honest_claim(rules: Rules, world: World, gas: Gas) -> float | None:
    def works(share: float) -> bool:
        return honest_claim_with_stake(rules, world, gas, share).result == "falls"

    return least_share(works)


# ---------------------------------------------------------------- with bribes


@dataclass(frozen=True, slots=True)
class Bribe:
    """What it takes to buy a vote of others, for a false claim that is disputed."""

    guarantee_wei: int  # locks of those bought: to be promised, and paid only if it fails
    pot_wei: int  # what they would have got for the truth: to be paid in any case
    prize_wei: int


def bribe(rules: Rules, world: World) -> Bribe:
    """Of the stake that votes, what keeps the others from a majority has to be bought: then the claim settles."""
    voting = int(world.stake_wei * world.turnout)
    bought = voting - voting * rules.majority.numerator // rules.majority.denominator
    deposit = rules.deposit(world.bounty_wei)
    pot = (deposit - deposit // 3) * bought // voting
    return Bribe(bought * rules.lock_bps // BPS, pot, world.bounty_wei - world.bounty_wei * rules.fee_bps // BPS)


# ---------------------------------------------------------------- spam


def dispute_spam(rules: Rules, world: World, gas: Gas, is_voted: bool = True) -> Played:
    """An honest leader is disputed for nothing."""
    stage = Stage(rules, world, gas)
    round_ = stage.post()
    stage.honest_field(round_, *MINERS)
    round_.release()
    stage.books.gas(LEADER, "open")
    case = round_.dispute(LEADER, ATTACKER)
    decide(Trial(round_, case, stage.ballots(Verdict.STANDS, None) if is_voted else {}))
    return _settled(stage, round_, case.ruling)


def impeachment_spam(rules: Rules, world: World, gas: Gas, is_voted: bool = True) -> Played:
    if is_voted:
        return impeachment_with_stake(rules, world, gas, 0.0)
    return impeachment_with_stake(rules, replace(world, turnout=0.0), gas, 0.0)


@dataclass(frozen=True, slots=True)
class TiedUp:
    """Many small disputes first, the real vote while the locks of the honest are still out."""

    small_votes: int
    least_share: float | None
    cost_wei: int  # of the small disputes: gas and bonds, which are nearly nothing


def tied_up(rules: Rules, world: World, gas: Gas, small_votes: int, strike: bool = True) -> TiedUp:
    """The honest, whose turnout votes on everything at once, have (1 - lockBps)^k of their stake left for the last."""
    left = (1 - rules.lock_bps / BPS) ** small_votes

    def works(share: float) -> bool:
        return _ruled_with_locks(rules, world, share, left, strike)

    calls = ("post", "commit", "release", "reveal", "open", "dispute")
    rounds = 1 if strike else 2  # a vote without a quorum is repeated: its windows need small votes of their own
    cost = rounds * small_votes * sum(gas[call] for call in calls) * world.gas_price_wei
    return TiedUp(small_votes, least_share(works), cost)


def _ruled_with_locks(rules: Rules, world: World, share: float, left: float, strike: bool) -> bool:
    own = int(world.stake_wei * share) * rules.lock_bps // BPS
    honest = int((world.stake_wei - int(world.stake_wei * share)) * world.turnout * left) * rules.lock_bps // BPS
    stands, falls = (honest, own) if strike else (own, honest)
    ruling = rule(rules, tally_of(stands, falls), world.stake_wei, 1)
    return ruling is Ruling.FALLS if strike else ruling is not Ruling.FALLS


# ---------------------------------------------------------------- lazy ballots


LAZY = {
    "honest": None,
    "always falls": Verdict.FALLS,
    "always stands": Verdict.STANDS,
    "always unavailable": Verdict.UNAVAILABLE,
    "absent": Verdict.NONE,
}


def lazy_vote(rules: Rules, world: World, gas: Gas, verdict: Verdict | None, is_false: bool) -> int:
    """Profit of one auditor of the honest's size that votes so in one dispute; the others look. None = it looks too."""
    stage = Stage(rules, world, gas)
    round_ = stage.post()
    stage.honest_field(round_, *MINERS)
    defendant = LEADER
    if is_false:
        round_.commit(ATTACKER)
        round_.reveal(ATTACKER, 1.0, True)
        defendant = ATTACKER
    round_.release()
    stage.books.gas(defendant, "open")
    case = round_.dispute(defendant, REQUESTER)
    truth = Verdict.FALLS if is_false else Verdict.STANDS
    ballots = stage.ballots(truth, None)
    lazy = stage.honest[0]
    if verdict is Verdict.NONE:
        del ballots[lazy]
    elif verdict is not None:
        ballots[lazy] = verdict
    if verdict is not None:
        stage.books.credit_back(lazy, "audit")
    before = stage.court.auditors[lazy].active_wei
    decide(Trial(round_, case, ballots))
    round_.settle()
    stage.close()
    assert before
    return stage.books.profit(lazy)


def dilution(rules: Rules, world: World, gas: Gas, friends: int) -> int:
    """What is left of a filer's third when friends of the cheat file as well. Wei for the honest filer."""
    stage = Stage(rules, world, gas)
    round_ = stage.post()
    stage.honest_field(round_, *MINERS)
    round_.commit(ATTACKER)
    round_.release()
    round_.reveal(ATTACKER, 1.0, True)
    case = round_.dispute(ATTACKER, REQUESTER, *(f"friend {number}" for number in range(friends)))
    decide(Trial(round_, case, stage.ballots(Verdict.FALLS, None)))
    round_.settle()
    return stage.books.earned([REQUESTER], "filer's third")


def smallest_paying(rules: Rules, world: World, gas: Gas) -> int:
    """Bounty from which two thirds of a struck deposit pay everybody that votes for looking and for gas."""
    calls = ("commit vote", "reveal vote", "collect vote")
    each = world.audit_wei + sum(gas[call] for call in calls) * world.gas_price_wei
    voters = round(world.turnout * world.auditors)
    return voters * each * 3 * BPS // (2 * rules.deposit_bps)


def smallest_secured(rules: Rules, world: World) -> float:
    """Bounty, as a share of all active stake, whose vote costs more to buy than it is worth (bribe, worst case)."""
    big = replace(world, bounty_wei=ETHER)
    return bribe(rules, big).guarantee_wei / world.stake_wei
