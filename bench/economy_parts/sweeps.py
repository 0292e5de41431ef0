"""Each parameter over its bound: what moves, what the default has to keep, and the least or most value that keeps it.

A row's figures come from attacks on one task and closed forms; `market_sweep` plays whole markets beside them.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from fractions import Fraction
from typing import Any

from economy_parts import task_attacks as tasks
from economy_parts import vote_attacks as votes
from economy_parts.attacks import ether
from economy_parts.census import figures
from economy_parts.market import Market, Size
from economy_parts.population import Habits
from economy_parts.setting import BPS, DAY, ETHER, GWEI, HOUR, YEAR, Rules, World
from economy_parts.task_attacks import Gas

AUDITS_PAID = 3
"""Full audits that the fee should pay for, on a task of a tenth of an ether."""
SMALL_BOUNTY_WEI = ETHER // 10
WATCHED = 0.75
"""Two people that each look every other time: the chance that a cheat is seen by one of them."""
VOTES_AT_ONCE = 12
"""Disputes to be decided within one hour: one in three of a thousand tasks that end over twelve hours is 28."""

Row = dict[str, Any]


@dataclass(frozen=True, slots=True)
class Sweep:
    """One parameter. `keeps`: whether a row is good enough by the criterion, which is said in words."""

    name: str
    default: Any
    bound: str
    values: Sequence[Any]
    changed: Callable[[Rules, Any], Rules]
    measure: Callable[[Rules, World, Gas], Row]
    criterion: str
    keeps: Callable[[Row], bool]


def run(sweep: Sweep, rules: Rules, world: World, gas: Gas) -> dict[str, Any]:
    rows = [{"value": told(value), **sweep.measure(sweep.changed(rules, value), world, gas)} for value in sweep.values]
    kept = [row["value"] for row in rows if sweep.keeps(row)]
    return {
        "default": told(sweep.default),
        "bound": sweep.bound,
        "criterion": sweep.criterion,
        "default_keeps": told(sweep.default) in kept,
        "values_that_keep": kept,
        "rows": rows,
    }


def told(value: Any) -> Any:
    return str(value) if isinstance(value, Fraction) else value


# ---------------------------------------------------------------- what is measured


def fee(rules: Rules, world: World, gas: Gas) -> Row:
    share = rules.fee_bps / BPS
    sustained = share * YEAR / DAY / (world.yield_ppm / 1e6)
    per_audit = world.audit_wei
    wash = tasks.wash_trade(rules, world, gas)
    return {
        "wash_trade_cost_ether": ether(-wash.profit_wei),
        "stake_sustained_per_daily_bounty": round(sustained, 1),
        "largest_bounty_secured_per_daily_bounty": round(sustained * votes.smallest_secured(rules, world), 2),
        "audits_paid_at_a_tenth_ether": round(SMALL_BOUNTY_WEI * share / per_audit, 1),
        "over_claim_deterred_from_chance": round(tasks.over_claim(rules, world, gas).deterrence, 4),
    }


def deposit(rules: Rules, world: World, gas: Gas) -> Row:
    struck = tasks.false_claim(rules, world, gas, True).details
    silent = tasks.silent_leader(rules, world, gas)
    return {
        "over_claim_deterred_from_chance": round(tasks.over_claim(rules, world, gas).deterrence, 4),
        "theft_deterred_from_chance": round(tasks.theft(rules, world, gas).stolen.deterrence, 4),
        "silent_leader_cost_per_hour_ether": ether(int(-silent.profit_wei * HOUR / silent.delay_seconds)),
        "filer_earns_ether": ether(int(struck["filer_wei"])),
        "voter_earns_net_ether": ether(int(struck["voter_net_wei"])),
        "filer_must_be_sure": _sure(rules, world),
        "smallest_bounty_that_pays_voters_ether": ether(votes.smallest_paying(rules, world, gas)),
        "honest_loss_by_crash_ether": ether(int(rules.deposit(world.bounty_wei) * world.lost_reveal)),
        "capital_of_a_round_ether": ether(
            rules.deposit(world.bounty_wei) * world.yield_ppm * rules.round_seconds() // (10**6 * YEAR)
        ),
    }


def _sure(rules: Rules, world: World) -> float:
    """How sure a filer must be: the bond against the third of the deposit."""
    bond, third = rules.dispute_bond(world.bounty_wei), rules.deposit(world.bounty_wei) // 3
    return round(bond / (bond + third), 4)


def bond(rules: Rules, world: World, gas: Gas) -> Row:
    unreleased = tasks.never_released(rules, world, gas)
    own = tasks.own_contest(rules, world, gas)
    unreachable = tasks.unreachable_score(rules, world, gas)
    return {
        "never_release_cost_ether": ether(-unreleased.profit_wei),
        "never_release_harm_per_cost": round(unreleased.harm_wei / -unreleased.profit_wei, 2),
        "own_contest_harm_per_cost": round(own.harm_wei / -own.profit_wei, 2),
        "unreachable_harm_per_cost": round(unreachable.harm_wei / -unreachable.profit_wei, 2),
    }


def royalty(rules: Rules, world: World, gas: Gas) -> Row:
    found = tasks.theft(rules, world, gas)
    return {
        "declaring_pays_from_chance": round(found.least_detection(), 4),
        "declared_ether": ether(found.declared_wei),
        "afresh_ether": ether(found.honest_wei),
        "author_earns_ether": ether(world.bounty_wei * rules.royalty_bps // BPS),
    }


def dispute(rules: Rules, world: World, gas: Gas) -> Row:
    return {
        "spam_cost_ether": ether(-votes.dispute_spam(rules, world, gas).profit_wei),
        "spam_cost_unheard_ether": ether(-votes.dispute_spam(rules, world, gas, False).profit_wei),
        "filer_must_be_sure": _sure(rules, world),
    }


def lock(rules: Rules, world: World, gas: Gas) -> Row:
    lazy = votes.lazy_vote
    falls = votes.LAZY["always falls"]
    ahead = lazy(rules, world, gas, falls, True) - lazy(rules, world, gas, None, True)
    behind = lazy(rules, world, gas, None, False) - lazy(rules, world, gas, falls, False)
    return {
        "votes_at_once": votes.votes_at_once(rules, world.turnout),
        "bribe_guarantee_share_of_stake": round(votes.smallest_secured(rules, world), 5),
        "settle_after_five_small_votes_from_share": votes.tied_up(rules, world, gas, 5, False).least_share,
        "strike_after_five_small_votes_from_share": votes.tied_up(rules, world, gas, 5, True).least_share,
        "looking_pays_from_share_of_wrong_disputes": round(ahead / (ahead + behind), 6) if ahead > 0 else 0.0,
        "two_thirds_take_from_the_others_ether": ether(votes.honest_claim_with_stake(rules, world, gas, 0.7).gain_wei),
        "one_mistake_costs_share_of_stake": rules.lock_bps / BPS,
    }


def shares(rules: Rules, world: World, gas: Gas) -> Row:
    """Quorum and majority: with how much stake, at which turnout of the honest."""
    found: Row = {}
    for turnout in (1.0, 0.8, 0.4, 0.2):
        at = replace(world, turnout=turnout)
        found[f"settle_false_at_{turnout:.1f}"] = votes.share_to_settle_a_false_claim(rules, at, gas)
        found[f"strike_honest_at_{turnout:.1f}"] = votes.share_to_strike_an_honest_claim(rules, at, gas)
    found["weaker_at_0.8"] = min(found["settle_false_at_0.8"], found["strike_honest_at_0.8"])
    found["votes_at_once"] = votes.votes_at_once(rules, world.turnout)
    return found


def demand(rules: Rules, world: World, gas: Gas) -> Row:
    return {
        "covers_gas_up_to_gwei": round(rules.demand_bond_wei / gas["answer"] / GWEI, 2),
        "ten_demands_cost_ether": ether(-tasks.demand_spam(rules, world, gas).profit_wei),
    }


def open_window(rules: Rules, world: World, gas: Gas) -> Row:
    silent, pair = tasks.silent_leader(rules, world, gas), tasks.displaced_pair(rules, world, gas)
    return {
        "silent_leader_delay_hours": silent.delay_seconds / HOUR,
        "silent_leader_cost_per_hour_ether": ether(int(-silent.profit_wei * HOUR / silent.delay_seconds)),
        "displaced_pair_delay_hours": pair.delay_seconds / HOUR,
        "displaced_pair_cost_per_hour_ether": ether(int(-pair.profit_wei * HOUR / pair.delay_seconds)),
    }


def challenge(rules: Rules, world: World, gas: Gas) -> Row:
    """Whether one auditor on two cores can look at all that are opened by a thousand tasks at once."""
    opened = 1_000 * rules.challenge_seconds / rules.round_seconds()
    audits = rules.challenge_seconds / world.audit_seconds
    slow = rules.challenge_seconds / HOUR
    return {
        "in_challenge_of_1000": round(opened, 1),
        "one_auditor_sees_share": round(min(1.0, audits / opened), 4),
        "of_audits_of_an_hour": round(min(1.0, slow / opened), 4),
        "audits_of_an_hour_that_fit": rules.challenge_seconds // HOUR,
        "sixty_auditors_of_an_hour_miss": round((1 - min(1.0, slow / opened)) ** world.auditors, 6),
        "round_hours": rules.round_seconds() / HOUR,
    }


def vote_window(rules: Rules, world: World, gas: Gas) -> Row:
    vote_hours = 2 * rules.market.vote_seconds / HOUR
    capacity = votes.votes_at_once(rules, world.turnout) / vote_hours * 24
    return {
        "disputes_a_day_that_can_be_decided": round(capacity, 1),
        "spam_delay_hours": votes.dispute_spam(rules, world, gas).delay_seconds / HOUR,
        "unheard_impeachment_delay_hours": votes.impeachment_spam(rules, world, gas, False).delay_seconds / HOUR,
        "audits_within_casting": rules.market.vote_seconds // world.audit_seconds,
    }


def waiting(rules: Rules, world: World, gas: Gas) -> Row:
    attack = votes.false_claim_with_stake(rules, world, gas, 0.34)
    idle = rules.activation_seconds + rules.unbonding_seconds
    return {
        "one_false_claim_with_a_third_ether": ether(attack.profit_wei),
        "idle_capital_per_staked_ether": round(idle / YEAR * world.yield_ppm / 1e6, 6),
        "stake_after_opening_votes": rules.activation_seconds < rules.challenge_seconds,
    }


def ageing(rules: Rules, world: World, gas: Gas) -> Row:
    aging = rules.market.aging_seconds
    return {
        "rank_gained_in_training_window": round(rules.train_seconds / aging, 4),
        "hours_until_half_the_pay_ranks_level": aging / HOUR,
    }


# ---------------------------------------------------------------- whole markets


MARKET_SWEEPS: dict[str, tuple[Sequence[int], Callable[[Rules, int], Rules]]] = {
    "fee_bps": ((0, 100, 200, 300, 500), lambda rules, value: _market(rules, fee_bps=value)),
    "deposit_bps": ((1_000, 2_000, 3_000, 5_000, 10_000), lambda rules, value: replace(rules, deposit_bps=value)),
    "royalty_bps": ((0, 500, 1_000, 2_000), lambda rules, value: replace(rules, royalty_bps=value)),
    "lock_bps": ((100, 500, 1_000, 2_000, 5_000), lambda rules, value: replace(rules, lock_bps=value)),
    "vote_seconds": (
        (600, 1_800, 7_200, 21_600),
        lambda rules, value: _market(rules, vote_seconds=value),
    ),
}


CROWDED = ("lock_bps", "vote_seconds")
"""What matters with many votes at once is also played on the large market."""


def market_sweep(
    name: str, rules: Rules, world: World, gas: Gas, size: Size, seeds: Sequence[int], habits: Habits
) -> list[Row]:
    values, changed = MARKET_SWEEPS[name]
    return [{"value": value, **market_row(changed(rules, value), world, gas, size, seeds, habits)} for value in values]


def market_row(rules: Rules, world: World, gas: Gas, size: Size, seeds: Sequence[int], habits: Habits) -> Row:
    """Means over seeds of what a market comes to."""
    rows = []
    for seed in seeds:
        market = Market(size, rules, world, dict(gas), seed, habits)
        market.run()
        found: Any = figures(market)
        rows.append(
            {
                "caught_share": found["caught_share"] or 0.0,
                "false_settled_share": found["false_settled_share"],
                **{
                    f"{kind}_profit_ether": found["miners"][kind]["profit_ether"]
                    for kind in ("honest", "builder", "thief", "over_claimer", "ring")
                },
                "honest_auditor_a_round": found["auditors"]["honest"]["profit_per_staked_ether_a_round"],
                "votes_without_quorum": market.counts["false claim, no_quorum"]
                + market.counts["honest claim, no_quorum"],
                "most_votes_at_once": market.counts["most votes at once"],
            }
        )
    return {key: round(sum(row[key] for row in rows) / len(rows), 5) for key in rows[0]}


def _market(rules: Rules, **changes: Any) -> Rules:
    return replace(rules, market=replace(rules.market, **changes))
