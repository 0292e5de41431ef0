"""Which assumptions drive the results: one changed at a time, everything else as assumed."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Any

from economy_parts.market import Size
from economy_parts.population import Habits
from economy_parts.setting import GWEI, Rules, World
from economy_parts.sweeps import market_row
from economy_parts.task_attacks import Gas

BY_HAND = Habits(competitors=0.25, requesters=0.25, auditors=0.02)
DAEMONS = Habits(competitors=0.9, requesters=0.9, auditors=0.3)

HABITS: dict[str, Habits] = {
    "as assumed": Habits(),
    "people look by hand": BY_HAND,
    "daemons look": DAEMONS,
    "only auditors look": Habits(competitors=0.0, requesters=0.0),
    "marks found half of the time": Habits(mark_found=0.5),
    "honest auditors err in 1 of 100": Habits(mistaken=0.01),
    "one in ten honest leaders disputed": Habits(spam=0.1),
    "speed matters little": Habits(skill=0.5),
    "speed matters much": Habits(skill=3.0),
    "opened models are worth less": Habits(transfer=1.5),
    "20 families of tasks": Habits(families=20),
    "2 % fail to reveal": Habits(lost_reveal=0.02),
}
WORLDS: dict[str, World] = {
    "gas at 20 gwei": World(gas_price_wei=20 * GWEI),
    "an audit costs ten times as much": World(audit_wei=10 * World().audit_wei),
    "compute costs three times as much": World(node_hour_wei=3 * World().node_hour_wei),
}
LITTLE_STAKE = "a tenth of the stake"


def rows(
    rules: Rules, gas: Gas, size: Size, seeds: Sequence[int], report: Callable[[str], None] = lambda name: None
) -> dict[str, Any]:
    found: dict[str, Any] = {}
    for name, habits in HABITS.items():
        report(name)
        found[name] = market_row(rules, World(), gas, size, seeds, habits)
    for name, world in WORLDS.items():
        report(name)
        found[name] = market_row(rules, world, gas, size, seeds, Habits())
    less = replace(size, stake_per_task=max(1, size.stake_per_task // 10))
    found[LITTLE_STAKE] = market_row(rules, World(), gas, less, seeds, Habits())
    return found


def watching(
    rules: Rules, gas: Gas, size: Size, seeds: Sequence[int], deposits: Sequence[int], habits: dict[str, Habits]
) -> list[dict[str, Any]]:
    """Over-claimers by how much is looked at and by deposit: what the closed form says, with agents."""
    return [
        {
            "habits": name,
            "deposit_bps": deposit,
            **market_row(replace(rules, deposit_bps=deposit), World(), gas, size, seeds, kind),
        }
        for name, kind in habits.items()
        for deposit in deposits
    ]
