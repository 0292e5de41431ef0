"""What a market came to: profit of every strategy, by compute and by capital, and what happened how often."""

from __future__ import annotations

import numpy as np

from economy_parts.books import Account
from economy_parts.market import SPAMMER, Market
from economy_parts.population import Miner, Poster, Voter, pick, third_of
from economy_parts.setting import ETHER

Figures = dict[str, float | int | None]


def figures(market: Market) -> dict[str, object]:
    """Everything that a report says of a market, in ether."""
    return {
        "miners": miners(market),
        "requesters": requesters(market),
        "auditors": auditors(market),
        "spammer_ether": round(market.books.wallets[SPAMMER] / ETHER, 4),
        "counts": dict(sorted(market.counts.items())),
        "tasks": market.tasks_posted,
        "bounties_ether": round(market.bounties_wei / ETHER, 1),
        "false_settled_share": ratio(market.counts["settled, false"], market.tasks_posted),
        "caught_share": caught(market),
    }


def caught(market: Market) -> float | None:
    """Of the over-claims that led (those with friends among the auditors too), the share that was struck."""
    led = market.counts["over_claimer led"] + market.counts["ring led"]
    settled = market.counts["settled for over_claimer"] + market.counts["settled for ring"]
    return ratio(led - settled, led)


def miners(market: Market) -> dict[str, Figures]:
    kinds = market.kinds.tolist()
    groups: dict[str, list[Account]] = {}
    for number, (kind, third) in enumerate(zip(kinds, third_of(market.speeds), strict=True)):
        name = Miner(kind).name.lower()
        if kind == Miner.HONEST:
            groups.setdefault(f"{name}, {third}", []).append(("miner", number))
        groups.setdefault(name, []).append(("miner", number))
    return {name: _miner(market, group) for name, group in sorted(groups.items())}


def _miner(market: Market, group: list[Account]) -> Figures:
    books, generations = market.books, market.size.generations
    profits = np.array([books.wallets[account] / ETHER for account in group]) / generations
    compute = -books.earned(group, "compute") / ETHER / generations / len(group)
    deposit = market.rules.deposit(market.bounties_wei) / market.tasks_posted / ETHER
    mean = float(profits.mean())
    return {
        "agents": len(group),
        "profit_ether": round(mean, 5),
        "standard_error": round(float(profits.std() / max(1, len(group) - 1) ** 0.5), 5),
        "compute_ether": round(compute, 5),
        "profit_per_compute": ratio(mean, compute),
        "profit_per_deposit": ratio(mean, deposit),
        "in_profit": round(float((profits > 0).mean()), 3),
    }


def requesters(market: Market) -> dict[str, Figures]:
    found = {}
    posted = pick(market.random, _posters(), market.size.tasks).tolist()
    for poster in Poster:
        account = ("requester", poster)
        tasks = posted.count(int(poster)) * market.size.generations
        if tasks:
            wallets = (account, ("accomplice", poster)) if poster is Poster.OWN_CONTEST else (account,)
            spent = -market.books.profit(*wallets) / ETHER / tasks
            found[poster.name.lower()] = {
                "tasks": tasks,
                "cost_ether_a_task": round(spent, 5),
                "cost_share_of_bounty": ratio(spent, market.bounties_wei / market.tasks_posted / ETHER),
            }
    return found


def _posters() -> dict[Poster, float]:
    from economy_parts.population import POSTERS

    return POSTERS


def auditors(market: Market) -> dict[str, Figures]:
    found = {}
    for voter in Voter:
        numbers = [number for number, kind in enumerate(market.voters) if kind == voter]
        if not numbers:
            continue
        stake = sum(market.stakes[number] for number in numbers) / ETHER
        accounts: list[Account] = [("auditor", number) for number in numbers]
        left = sum(market.court.auditors[account].active_wei for account in accounts)
        profit = (market.books.profit(*accounts) + left) / ETHER
        found[voter.name.lower()] = {
            "agents": len(numbers),
            "stake_ether": round(stake, 1),
            "profit_per_staked_ether_a_round": ratio(profit / market.size.generations, stake),
            "profit_per_staked_ether": ratio(profit, stake),
            "from_votes": ratio(market.books.earned(accounts, "vote") / ETHER, stake),
            "from_dividends": ratio(market.books.earned(accounts, "dividend") / ETHER, stake),
            "thirds_of_filers": ratio(market.books.earned(accounts, "filer's third") / ETHER, stake),
            "locks_lost": ratio(market.books.earned(accounts, "lock lost") / ETHER, stake),
            "audits": ratio(market.books.earned(accounts, "audit") / ETHER, stake),
        }
    return found


def ratio(part: float, whole: float) -> float | None:
    return round(part / whole, 5) if whole else None
