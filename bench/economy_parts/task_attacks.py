"""Attacks on tasks: by requesters, by miners. Each is played on exact books and returns what it came to."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace

from dlbc.core.types import Ruling, Verdict

from economy_parts.contest import Round, Trial, decide
from economy_parts.setting import HOUR, Rules, World
from economy_parts.stage import ATTACKER, LEADER, MINERS, OTHERS, REQUESTER, RUNNER_UP, Played, Stage, undisturbed

ACCOMPLICE = "accomplice"
RING = (ATTACKER, ACCOMPLICE)
Gas = Mapping[str, int]
Act = Callable[[Stage, Round], object]


# ---------------------------------------------------------------- requesters


def never_released(rules: Rules, world: World, gas: Gas) -> Played:
    """A task whose test set never comes: everybody trains for half of the bond."""
    stage = Stage(rules, world, gas)
    round_ = stage.post(ATTACKER)
    stage.honest_field(round_, *MINERS)
    round_.abort_unreleased()
    _capital(stage, round_)
    return stage.ended(0, rules.release_seconds, round_.outcome)


def unreachable_score(rules: Rules, world: World, gas: Gas, labels_wei: int = 0) -> Played:
    """A minimum score that nobody reaches, or labels made up: void, everything goes back to the requester.

    It keeps the predictions of every miner for its samples; labels_wei is what these are worth to it.
    """
    stage = Stage(rules, world, gas)
    round_ = stage.post(ATTACKER)
    stage.train(*MINERS)
    for miner in MINERS:
        round_.commit(miner)
    round_.release()
    for miner in MINERS:
        round_.reveal(miner, 0.9, qualifies=False)
    round_.void()
    _capital(stage, round_)
    played = stage.ended(0, 0, round_.outcome)
    return replace(played, profit_wei=played.profit_wei + labels_wei, gain_wei=labels_wei)


def own_contest(rules: Rules, world: World, gas: Gas, share: float = 0.0) -> Played:
    """The requester tells an accomplice the test set, which wins: bounties go round, the fee does not."""
    stage = Stage(rules, world, gas, share)
    round_ = stage.post(ATTACKER)
    stage.honest_field(round_, *MINERS)
    _win_without_work(stage, round_)
    return stage.ended(0, 0, round_.outcome, RING)


def wash_trade(rules: Rules, world: World, gas: Gas, share: float = 0.0, bounty_wei: int | None = None) -> Played:
    """A block of the ledger made by one's own task and one's own miner, before anybody else commits."""
    stage = Stage(rules, world, gas, share)
    round_ = stage.post(ATTACKER, bounty_wei)
    _win_without_work(stage, round_)
    return stage.ended(0, 0, round_.outcome, RING)


def _win_without_work(stage: Stage, round_: Round) -> None:
    round_.commit(ACCOMPLICE)
    round_.release()
    round_.reveal(ACCOMPLICE, 1.0, True)
    stage.books.gas(ACCOMPLICE, "open")
    round_.settle()
    _capital(stage, round_)


def _capital(stage: Stage, round_: Round) -> None:
    """Of a requester that attacks: bounty and bond are locked until the end."""
    stage.capital(ATTACKER, round_.bounty_wei + round_.bond_wei, stage.rules.round_seconds())


# ---------------------------------------------------------------- miners that only disturb


def junk_commit(rules: Rules, world: World, gas: Gas) -> Played:
    """A commit without a model that reveals zero: its deposit comes back."""

    def play(stage: Stage, round_: Round) -> None:
        round_.commit(ATTACKER)
        round_.reveal(ATTACKER, 0.0, False)
        stage.capital(ATTACKER, round_.deposit_wei, rules.round_seconds())

    return _disturbed(rules, world, gas, play)


def unrevealed_commit(rules: Rules, world: World, gas: Gas) -> Played:
    """A commit that is never revealed, by a griefer or by a miner that somebody paid to stay away."""
    return _disturbed(rules, world, gas, lambda stage, round_: round_.commit(ATTACKER))


def silent_leader(rules: Rules, world: World, gas: Gas) -> Played:
    """Claims everything and does not open."""

    def play(stage: Stage, round_: Round) -> None:
        round_.commit(ATTACKER)
        round_.reveal(ATTACKER, 1.0, True)
        round_.strike_silent(ATTACKER)
        stage.books.gas(LEADER, "nominate")

    return _disturbed(rules, world, gas, play)


def displaced_pair(rules: Rules, world: World, gas: Gas) -> Played:
    """Two entries with one model, the earlier commit revealed last: the leader is displaced, a window is lost."""

    def play(stage: Stage, round_: Round) -> None:
        round_.commit(ACCOMPLICE)
        round_.commit(ATTACKER)
        round_.reveal(ATTACKER, 1.0, True)
        round_.reveal(ACCOMPLICE, 0.0, False)
        round_.displace(ATTACKER)
        stage.books.gas(LEADER, "nominate")

    return _disturbed(rules, world, gas, play, RING)


def withheld_reveal(rules: Rules, world: World, gas: Gas) -> Played:
    """The runner-up pays the leader not to reveal: at least its deposit and what it would have won."""
    stage = Stage(rules, world, gas)
    round_ = stage.post()
    stage.honest_field(round_, LEADER, *OTHERS)
    stage.train(RUNNER_UP)
    round_.commit(RUNNER_UP)
    round_.reveal(RUNNER_UP, 0.89, True)
    leader = round_.entries[LEADER]
    leader.qualifies = leader.has_revealed = False
    round_.release()
    stage.books.gas(RUNNER_UP, "open")
    round_.settle()
    prize = stage.books.earned([RUNNER_UP], "prize")
    price = prize + round_.deposit_wei
    stage.books.spend(RUNNER_UP, price, "bribe")
    profit, others = stage.close((RUNNER_UP,))
    harm = undisturbed(rules, world, gas) - others - price
    return Played(profit, prize, harm, 0, round_.outcome, {"bribe_wei": price})


def demand_spam(rules: Rules, world: World, gas: Gas, demands: int = 10) -> Played:
    """Asks the leader for predictions that are public already; whoever shows them takes the bonds."""

    def play(stage: Stage, round_: Round) -> None:
        for number in range(demands):
            stage.books.lock(ATTACKER, ("pool", -1 - number), rules.demand_bond_wei, "demand bond")
            stage.books.gas(ATTACKER, "demand")
            stage.books.gas(LEADER, "answer")
            stage.books.credit(("pool", -1 - number), LEADER, rules.demand_bond_wei, "demand bond")
        round_.extra_seconds += min(rules.open_seconds, rules.market.vote_seconds) * 2

    return _disturbed(rules, world, gas, play)


def _disturbed(
    rules: Rules,
    world: World,
    gas: Gas,
    play: Act,
    attackers: tuple[str, ...] = (ATTACKER,),
) -> Played:
    """An honest round in which the attacker does something, and the honest leader wins all the same."""
    stage = Stage(rules, world, gas)
    round_ = stage.post()
    stage.honest_field(round_, *MINERS)
    round_.release()
    play(stage, round_)
    stage.books.gas(LEADER, "open")
    round_.settle()
    return stage.ended(undisturbed(rules, world, gas), round_.extra_seconds, round_.outcome, attackers)


# ---------------------------------------------------------------- false claims


@dataclass(frozen=True, slots=True)
class Odds:
    """A cheat that pays unless it is found: what it wins, what it loses, and how surely it must be found."""

    unseen_wei: int
    caught_wei: int  # negative

    @property
    def deterrence(self) -> float:
        """The least chance of being caught at which cheating does not pay."""
        return self.unseen_wei / (self.unseen_wei - self.caught_wei)

    def expected(self, caught: float) -> float:
        return (1 - caught) * self.unseen_wei + caught * self.caught_wei


def over_claim(rules: Rules, world: World, gas: Gas) -> Odds:
    """No training; the predictions are the labels. Seen, the claim is disputed and voted down."""
    return Odds(false_claim(rules, world, gas, False).profit_wei, false_claim(rules, world, gas, True).profit_wei)


def false_claim(rules: Rules, world: World, gas: Gas, is_seen: bool, spent_wei: int = 0) -> Played:
    """Seen, the requester disputes it and the auditors find that it falls."""
    stage = Stage(rules, world, gas)
    round_ = stage.post()
    stage.honest_field(round_, *MINERS)
    round_.commit(ATTACKER)
    if spent_wei:
        stage.books.spend(ATTACKER, spent_wei, "compute")
    round_.release()
    round_.reveal(ATTACKER, 1.0, True)
    stage.books.gas(ATTACKER, "open")
    details: dict[str, float | int | str] = {}
    if is_seen:
        stage.books.spend(REQUESTER, world.audit_wei, "audit")
        case = round_.dispute(ATTACKER, REQUESTER)
        decide(Trial(round_, case, stage.ballots(Verdict.FALLS, None)))
        assert case.ruling is Ruling.FALLS
        voters = stage.honest[: round(world.turnout * len(stage.honest))]
        details = {
            "filer_wei": stage.books.earned([REQUESTER], "filer's third"),
            "voter_wei": stage.books.earned(voters, "vote") // len(voters),
            "voter_net_wei": stage.books.profit(voters[0]) + stage.court.auditors[voters[0]].active_wei,
        }
        stage.books.gas(LEADER, "nominate", "open")
    round_.settle()
    played = stage.ended(undisturbed(rules, world, gas), round_.extra_seconds, round_.outcome)
    return replace(played, details=details)


# ---------------------------------------------------------------- thieves


@dataclass(frozen=True, slots=True)
class Theft:
    """Going on from somebody's opened model: taken, taken and scrubbed, or declared; against training afresh."""

    honest_wei: int  # profit if it wins
    declared_wei: int
    stolen: Odds
    scrubbed: Odds

    def least_detection(self) -> float:
        """The chance of being caught from which on declaring pays more than taking."""
        gain = self.stolen.unseen_wei - self.declared_wei
        return gain / (self.stolen.unseen_wei - self.stolen.caught_wei)


def theft(rules: Rules, world: World, gas: Gas, tuning: float = 0.2, removal: float = 0.8) -> Theft:
    """tuning: work to beat others from an opened model, as a share of training afresh. removal: E_remove / E_scratch,
    the cheapest that bench/results/watermark.json found (0.8 to 1.0)."""
    afresh = world.node_hour_wei * rules.train_seconds // HOUR
    work = {name: int(afresh * part) for name, part in (("tuned", tuning), ("scrubbed", removal))}
    stolen = Odds(
        false_claim(rules, world, gas, False, work["tuned"]).profit_wei,
        false_claim(rules, world, gas, True, work["tuned"]).profit_wei,
    )
    scrubbed = Odds(
        false_claim(rules, world, gas, False, work["scrubbed"]).profit_wei,
        false_claim(rules, world, gas, True, work["scrubbed"]).profit_wei,
    )
    honest = false_claim(rules, world, gas, False, afresh).profit_wei
    return Theft(honest, _declared(rules, world, gas, work["tuned"]), stolen, scrubbed)


def _declared(rules: Rules, world: World, gas: Gas, spent_wei: int) -> int:
    stage = Stage(rules, world, gas)
    round_ = stage.post()
    round_.commit(ATTACKER)
    stage.books.spend(ATTACKER, spent_wei, "compute")
    round_.release()
    round_.reveal(ATTACKER, 1.0, True)
    stage.books.gas(ATTACKER, "open")
    round_.settle(parent=LEADER)
    return stage.close()[0]
