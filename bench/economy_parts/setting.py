"""What a run depends on: the protocol's parameters, and what we assume about the world outside of it."""

from __future__ import annotations

import json
import tomllib
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path

from dlbc.core.task_file import DEPOSIT_PERCENT
from dlbc.core.types import ZERO_ADDRESS, Params

ROOT = Path(__file__).resolve().parents[2]
ETHER = 10**18
GWEI = 10**9
BPS = 10_000
HOUR = 3_600
DAY = 24 * HOUR
YEAR = 365 * DAY


@dataclass(frozen=True, slots=True)
class Rules:
    """What a deployer or a requester chooses (docs/protocol.md, parameters), and what is fixed in the contracts."""

    market: Params
    activation_seconds: int
    unbonding_seconds: int
    lock_bps: int
    demand_bond_wei: int
    deposit_bps: int = 100 * DEPOSIT_PERCENT  # of the bounty
    bond_bps: int = 1_000
    royalty_bps: int = 500
    dispute_bps: int = 1_000  # fixed in the contracts; swept here all the same
    quorum: Fraction = Fraction(1, 3)  # fixed
    majority: Fraction = Fraction(1, 2)  # fixed; more than this has to agree
    train_seconds: int = 3 * HOUR
    release_seconds: int = 1 * HOUR
    reveal_seconds: int = 1 * HOUR
    open_seconds: int = 1 * HOUR
    challenge_seconds: int = 6 * HOUR

    @property
    def fee_bps(self) -> int:
        return self.market.fee_bps

    def round_seconds(self) -> int:
        """From posting to settlement when nothing goes wrong and everybody acts at the end of its window."""
        return (
            self.train_seconds
            + self.market.finality_gap
            + self.release_seconds
            + self.reveal_seconds
            + self.open_seconds
            + self.challenge_seconds
        )

    def deposit(self, bounty_wei: int) -> int:
        return -(-bounty_wei * self.deposit_bps // BPS)

    def bond(self, bounty_wei: int) -> int:
        return -(-bounty_wei * self.bond_bps // BPS)

    def dispute_bond(self, bounty_wei: int) -> int:
        """dlbc.core.disputes.dispute_bond at the fixed tenth."""
        return -(-bounty_wei * self.dispute_bps // BPS)


@dataclass(frozen=True, slots=True)
class World:
    """Assumptions, every one of them open to change: docs/economy.md says which results they drive."""

    bounty_wei: int = 1 * ETHER  # of the task that attacks are played on
    stake_wei: int = 300 * ETHER  # active, of all auditors
    auditors: int = 60
    gas_price_wei: int = 1 * GWEI
    node_hour_wei: int = ETHER // 100  # renting what trains: a node of eight GPUs
    audit_seconds: int = 15  # of two cores, for a cnn and 10,000 samples
    audit_wei: int = ETHER // 2_000  # one audit: machine, traffic, and somebody's attention
    yield_ppm: int = 50_000  # a year, of capital elsewhere
    turnout: float = 0.8  # share of the honest stake that votes
    lost_reveal: float = 0.005  # honest miners that fail between commit and reveal


def load_rules(path: Path | None = None) -> Rules:
    """The local network's parameters, as they are deployed."""
    with (path or ROOT / "deploy" / "params" / "31337.toml").open("rb") as file:
        found = tomllib.load(file)
    pool = found.pop("pool")
    return Rules(market=Params(**found, pool=ZERO_ADDRESS), **pool)


def load_gas(path: Path | None = None) -> dict[str, int]:
    """Gas of every call, as measured on the contracts (`make gas`)."""
    calls = json.loads((path or ROOT / "bench" / "results" / "gas.json").read_text())["calls"]
    return {name: call["gas"] for name, call in calls.items()}


def capital_cost(world: World, wei: int, seconds: int) -> int:
    """What it costs to have money locked instead of earning elsewhere."""
    return wei * world.yield_ppm * seconds // (1_000_000 * YEAR)
