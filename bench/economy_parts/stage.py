"""The stage that attacks are played on: one task, its honest people, and an attacker with a share of the stake."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from dlbc.core.types import Verdict

from economy_parts.books import Account, Books
from economy_parts.contest import Round
from economy_parts.court import Court
from economy_parts.setting import HOUR, Rules, World, capital_cost

ATTACKER = "attacker"
REQUESTER = "requester"
LEADER = "honest leader"
RUNNER_UP = "runner-up"
OTHERS = tuple(f"miner {number}" for number in range(3, 11))
MINERS = (LEADER, RUNNER_UP, *OTHERS)


@dataclass(slots=True)
class Played:
    """What an attack came to. Money in wei; the attacker's books hold everything it paid and got."""

    profit_wei: int
    gain_wei: int  # what it won; the rest is what it cost
    harm_wei: int  # what everybody else has less than without the attack, compute included
    delay_seconds: int
    result: str
    details: dict[str, float | int | str] = field(default_factory=dict)


class Stage:
    """Books, a pool with `share` of its stake in the attacker's hands, and honest auditors of whom some vote."""

    def __init__(self, rules: Rules, world: World, gas: Mapping[str, int], share: float = 0.0) -> None:
        self.rules, self.world = rules, world
        self.books = Books(dict(gas), world.gas_price_wei)
        self.court = Court(self.books, rules)
        own = int(world.stake_wei * share)
        each = (world.stake_wei - own) // world.auditors
        self.honest = [f"auditor {number}" for number in range(world.auditors)]
        for name in self.honest:
            self.court.stake(name, each)
        if own:
            self.court.stake(ATTACKER, own)
        self.staked_wei = own
        self.tasks = 0

    def post(self, requester: Account = REQUESTER, bounty_wei: int | None = None) -> Round:
        self.tasks += 1
        bounty = self.world.bounty_wei if bounty_wei is None else bounty_wei
        return Round(self.tasks, self.books, self.court, self.rules, requester, bounty)

    def train(self, *miners: Account) -> None:
        for miner in miners:
            self.books.spend(miner, self.world.node_hour_wei * self.rules.train_seconds // HOUR, "compute")

    def honest_field(self, round_: Round, *miners: Account) -> None:
        """They train, commit, reveal; the first is the best."""
        self.train(*miners)
        for place, miner in enumerate(miners):
            round_.commit(miner)
            round_.reveal(miner, 0.9 - place / 100, True)

    def audited(self) -> list[Account]:
        """Honest auditors that vote, which look before."""
        voters = self.honest[: round(self.world.turnout * len(self.honest))]
        for voter in voters:
            self.books.spend(voter, self.world.audit_wei, "audit")
        return list(voters)

    def ballots(self, truth: Verdict, lie: Verdict | None) -> dict[Account, Verdict]:
        """The honest vote what is true; the attacker's stake, if it votes, what it likes."""
        ballots: dict[Account, Verdict] = dict.fromkeys(self.audited(), truth)
        if lie is not None and self.staked_wei:
            ballots[ATTACKER] = lie
        return ballots

    def capital(self, account: Account, wei: int, seconds: int) -> None:
        self.books.spend(account, capital_cost(self.world, wei, seconds), "capital")

    def ended(
        self, others_before_wei: int, delay: int, result: str, attackers: tuple[Account, ...] = (ATTACKER,)
    ) -> Played:
        """Closes. A prize is a gain unless an attacker has put it up."""
        profit, others = self.close(attackers)
        won = 0 if self.books.earned(attackers, "bounty") else self.books.earned(attackers, "prize")
        gains = ("share of the bond", "vote", "filer's third")
        gain = won + sum(self.books.earned(attackers, why) for why in gains)
        return Played(profit, gain, others_before_wei - others, delay, result)

    def close(self, attackers: tuple[Account, ...] = (ATTACKER,)) -> tuple[int, int]:
        """Stakes and dividends are paid out. Returns (profit of the attackers, of everybody else)."""
        court = self.court
        court.share()
        for account in list(court.auditors):
            court.claim_dividends(account)
        for account in list(court.auditors):
            court.unstake(account)
        self.books.check()
        profit = self.books.profit(*attackers)
        everybody = (REQUESTER, *MINERS, *self.honest)
        return profit, self.books.profit(*(name for name in everybody if name not in attackers))


def undisturbed(rules: Rules, world: World, gas: Mapping[str, int]) -> int:
    """What everybody has together after a round without an attack; the requester's bounty is what it paid."""
    stage = Stage(rules, world, gas)
    round_ = stage.post()
    stage.honest_field(round_, *MINERS)
    round_.release()
    stage.books.gas(LEADER, "open")
    round_.settle()
    return stage.close()[1]
