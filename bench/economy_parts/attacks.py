"""The table of attacks: what each costs, what it wins, what it does to others, at given rules."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

from economy_parts import task_attacks as tasks
from economy_parts import vote_attacks as votes
from economy_parts.setting import BPS, ETHER, GWEI, HOUR, Rules, World
from economy_parts.stage import Played
from economy_parts.task_attacks import Gas, Odds

Attack = Callable[[Rules, World, Gas], Played]
SHARES = (0.05, 0.1, 0.2, 0.25, 0.3, 0.34, 0.4, 0.5, 0.6, 0.67, 0.7)
TURNOUTS = (1.0, 0.8, 0.6, 0.4, 0.3)
GAS_PRICES = (GWEI // 20, GWEI, 20 * GWEI)
BOUNTIES = (ETHER // 100, ETHER // 10, ETHER, 10 * ETHER, 100 * ETHER)
SMALL_VOTES = (0, 1, 2, 3, 4, 5, 10)

PLAYED: dict[str, Attack] = {
    "post a task, never release": tasks.never_released,
    "post with a score nobody reaches": tasks.unreachable_score,
    "win one's own contest": tasks.own_contest,
    "wash-trade one's own bounty": tasks.wash_trade,
    "wash-trade, holding 30 % of the stake": lambda rules, world, gas: tasks.wash_trade(rules, world, gas, 0.3),
    "wash-trade one wei": lambda rules, world, gas: tasks.wash_trade(rules, world, gas, 0.0, 1),
    "commit junk, reveal zero": tasks.junk_commit,
    "commit, never reveal": tasks.unrevealed_commit,
    "pay the leader to withhold its reveal": tasks.withheld_reveal,
    "lead and stay silent": tasks.silent_leader,
    "two entries, one model: displace oneself": tasks.displaced_pair,
    "demand ten public predictions": tasks.demand_spam,
    "dispute an honest leader": votes.dispute_spam,
    "the same, nobody votes": lambda rules, world, gas: votes.dispute_spam(rules, world, gas, False),
    "impeach an honest test set": votes.impeachment_spam,
    "the same, nobody comes": lambda rules, world, gas: votes.impeachment_spam(rules, world, gas, False),
    "over-claim, nobody looks": lambda rules, world, gas: tasks.false_claim(rules, world, gas, False),
    "over-claim, somebody looks": lambda rules, world, gas: tasks.false_claim(rules, world, gas, True),
}


def table(rules: Rules, world: World, gas: Gas) -> dict[str, Any]:
    """Everything about attacks at these rules, in ether, hours and shares."""
    return {
        "played": {name: row(attack(rules, world, gas)) for name, attack in PLAYED.items()},
        "over_claim": odds(tasks.over_claim(rules, world, gas), world),
        "looking_pays_from_share_false": looking(rules, world, gas),
        "theft": theft(rules, world, gas),
        "with_stake": with_stake(rules, world, gas),
        "least_share": least_shares(rules, world, gas),
        "bribe": bribe(rules, world),
        "small_votes_first": small_votes(rules, world, gas),
        "ballots": ballots(rules, world, gas),
        "filers_third_diluted": {
            str(friends): ether(votes.dilution(rules, world, gas, friends)) for friends in (0, 1, 3, 9)
        },
        "by_bounty": {f"{size / ETHER:g}": by_bounty(rules, replace(world, bounty_wei=size), gas) for size in BOUNTIES},
        "gas_price": {
            f"{price / GWEI:g} gwei": {
                name: ether(attack(rules, replace(world, gas_price_wei=price), gas).profit_wei)
                for name, attack in PLAYED.items()
            }
            for price in GAS_PRICES
        },
    }


def row(played: Played) -> dict[str, Any]:
    cost = played.gain_wei - played.profit_wei
    return {
        "cost_ether": ether(cost),
        "gain_ether": ether(played.gain_wei),
        "profit_ether": ether(played.profit_wei),
        "harm_ether": ether(played.harm_wei),
        "harm_per_cost": round(played.harm_wei / cost, 2) if cost > 0 and played.harm_wei > 0 else 0.0,
        "delay_hours": round(played.delay_seconds / HOUR, 2),
        "result": played.result,
    }


def odds(found: Odds, world: World) -> dict[str, Any]:
    return {
        "unseen_ether": ether(found.unseen_wei),
        "caught_ether": ether(found.caught_wei),
        "deterred_from_chance": round(found.deterrence, 4),
        "expected_ether": {
            f"{chance:.2f}": round(found.expected(chance) / ETHER, 4) for chance in (0.5, 0.75, 0.9, 0.95, 0.99)
        },
    }


def looking(rules: Rules, world: World, gas: Gas) -> dict[str, float]:
    """Which share of opened claims has to be false, so that one audit of each pays: for its third, prize or bounty."""
    third = rules.deposit(world.bounty_wei) // 3
    prize = world.bounty_wei - world.bounty_wei * rules.fee_bps // BPS
    filing = sum(gas[call] for call in ("dispute", "collect bond")) * world.gas_price_wei
    winning = sum(gas[call] for call in ("nominate", "open", "settle")) * world.gas_price_wei
    stakes = {
        "an auditor, for a third of the deposit": third - filing,
        "the runner-up, for the prize": prize + third - filing - winning,
        "the requester, for its bounty": world.bounty_wei + third - filing,
    }
    return {name: round(world.audit_wei / wei, 5) for name, wei in stakes.items()}


def theft(rules: Rules, world: World, gas: Gas) -> dict[str, Any]:
    found = tasks.theft(rules, world, gas)
    return {
        "afresh_ether": ether(found.honest_wei),
        "declared_ether": ether(found.declared_wei),
        "taken": odds(found.stolen, world),
        "scrubbed": odds(found.scrubbed, world),
        "declaring_pays_from_chance": round(found.least_detection(), 4),
    }


def with_stake(rules: Rules, world: World, gas: Gas) -> list[dict[str, Any]]:
    """One task, one vote: what a share of the stake does, at the world's turnout of the honest."""
    return [
        {
            "share": share,
            "false_claim": row(votes.false_claim_with_stake(rules, world, gas, share)),
            "strike_leader": row(votes.honest_claim_with_stake(rules, world, gas, share)),
            "impeach": row(votes.impeachment_with_stake(rules, world, gas, share)),
        }
        for share in SHARES
    ]


def least_shares(rules: Rules, world: World, gas: Gas) -> dict[str, dict[str, float | None]]:
    return {
        f"{turnout:.1f}": {
            "false_claim_settles": votes.share_to_settle_a_false_claim(rules, replace(world, turnout=turnout), gas),
            "honest_claim_struck": votes.share_to_strike_an_honest_claim(rules, replace(world, turnout=turnout), gas),
        }
        for turnout in TURNOUTS
    }


def by_bounty(rules: Rules, world: World, gas: Gas) -> dict[str, float]:
    """What a dispute that is right pays who files and who votes; above which chance of it cheating does not pay."""
    struck = tasks.false_claim(rules, world, gas, True).details
    filing = world.audit_wei + sum(gas[call] for call in ("dispute", "collect bond")) * world.gas_price_wei
    return {
        "filer_net_ether": ether(int(struck["filer_wei"]) - filing),
        "voter_net_ether": ether(int(struck["voter_net_wei"])),
        "over_claim_deterred_from_chance": round(tasks.over_claim(rules, world, gas).deterrence, 4),
        "share_of_stake": round(world.bounty_wei / world.stake_wei, 5),
    }


def bribe(rules: Rules, world: World) -> dict[str, Any]:
    found = votes.bribe(rules, world)
    return {
        "prize_ether": ether(found.prize_wei),
        "paid_if_it_works_ether": ether(found.pot_wei),
        "guaranteed_if_it_fails_ether": ether(found.guarantee_wei),
        "guarantee_share_of_stake": round(found.guarantee_wei / world.stake_wei, 4),
    }


def small_votes(rules: Rules, world: World, gas: Gas) -> dict[str, Any]:
    found: dict[str, Any] = {"votes_at_once": votes.votes_at_once(rules, world.turnout)}
    for count in SMALL_VOTES:
        strike = votes.tied_up(rules, world, gas, count, True)
        settle = votes.tied_up(rules, world, gas, count, False)
        found[str(count)] = {
            "strike_from_share": strike.least_share,
            "settle_from_share": settle.least_share,
            "gas_ether": ether(settle.cost_wei),
        }
    return found


def ballots(rules: Rules, world: World, gas: Gas) -> dict[str, Any]:
    """Each way to vote, in a dispute that is right and in one that is wrong; from which share of wrong ones it loses to
    looking."""
    profits = {
        name: [votes.lazy_vote(rules, world, gas, verdict, is_false) for is_false in (True, False)]
        for name, verdict in votes.LAZY.items()
    }
    right, wrong = profits["honest"]
    found: dict[str, Any] = {}
    for name, (falls, stands) in profits.items():
        ahead, behind = falls - right, wrong - stands
        found[name] = {
            "right_dispute_ether": ether(falls),
            "wrong_dispute_ether": ether(stands),
            "honest_pays_from_share_of_wrong": round(ahead / (ahead + behind), 6) if ahead > 0 and behind > 0 else None,
        }
    found["lock_ether"] = ether(world.stake_wei // world.auditors * rules.lock_bps // BPS)
    return found


def ether(wei: int) -> float:
    return round(wei / ETHER, 6)
