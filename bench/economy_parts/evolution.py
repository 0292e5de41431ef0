"""Strategies that earn more grow (replicator dynamics): which of them are left when people imitate success?"""

from __future__ import annotations

import math
from collections.abc import Callable

from economy_parts import population as people
from economy_parts.market import Market, Size
from economy_parts.population import Habits, Miner
from economy_parts.setting import ETHER, Rules, World

RATE = 0.15
"""How fast: a strategy that earns a median node's compute more than the mean grows by this."""
LEAST = 0.002
"""Share of each strategy that tries it whatever it earns."""


def grown(shares: dict[Miner, float], profits: dict[Miner, float], unit: float) -> dict[Miner, float]:
    """Shares after one generation; profits and unit in the same money. They sum to one."""
    mean = sum(share * profits[kind] for kind, share in shares.items())
    raised = {
        kind: max(LEAST, share * math.exp(max(-1.0, min(1.0, RATE * (profits[kind] - mean) / unit))))
        for kind, share in shares.items()
    }
    total = sum(raised.values())
    return {kind: share / total for kind, share in raised.items()}


def evolve(
    size: Size,
    rules: Rules,
    world: World,
    gas: dict[str, int],
    seed: int,
    habits: Habits | None = None,
    report: Callable[[int], None] = lambda generation: None,
) -> dict[str, list[float]]:
    """Shares of the miners' strategies, generation by generation, and the share of tasks that settle falsely."""
    market = Market(size, rules, world, gas, seed, habits)
    shares = dict(people.MINERS)
    history: dict[str, list[float]] = {kind.name.lower(): [] for kind in shares}
    history["settled, false"] = []
    unit = people.compute_wei(rules, world.node_hour_wei, 1.0) / ETHER
    for generation in range(size.generations):
        market.kinds = people.pick(market.random, shares, size.miners)
        before = [market.books.wallets["miner", number] for number in range(size.miners)]
        false = market.counts["settled, false"]
        market.generation()
        earned: dict[Miner, list[float]] = {kind: [] for kind in shares}
        for number, kind in enumerate(market.kinds.tolist()):
            earned[Miner(kind)].append((market.books.wallets["miner", number] - before[number]) / ETHER)
        profits = {kind: sum(found) / max(1, len(found)) for kind, found in earned.items()}
        for kind, share in shares.items():
            history[kind.name.lower()].append(round(share, 4))
        history["settled, false"].append(round((market.counts["settled, false"] - false) / size.tasks, 4))
        shares = grown(shares, profits, unit)
        report(generation + 1)
    return history
