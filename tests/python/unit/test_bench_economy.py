"""The economy's books pay what the contracts pay, and attacks come to what can be calculated by hand."""

from __future__ import annotations

import json
import sys
from dataclasses import dataclass, fields, replace
from fractions import Fraction
from pathlib import Path
from random import Random
from typing import Any

import pytest
from dlbc.core import disputes, payouts
from dlbc.core.types import Outcome, Ruling, Tally, Verdict, Wei
from fakes.scene import TERMS, Scene
from hypothesis import given, settings
from hypothesis import strategies as st

pytestmark = pytest.mark.unit

ROOT = Path(__file__).resolve().parents[3]
sys.path.append(str(ROOT / "bench"))

from economy_parts import attacks, parameters, sweeps  # noqa: E402
from economy_parts import task_attacks as tasks  # noqa: E402
from economy_parts import vote_attacks as votes  # noqa: E402
from economy_parts.books import Books, Overdrawn  # noqa: E402
from economy_parts.contest import Round, Trial, decide  # noqa: E402
from economy_parts.court import POOL, Court, rule  # noqa: E402
from economy_parts.setting import ETHER, GWEI, Rules, World, load_gas, load_rules  # noqa: E402

RULES, GAS = load_rules(), load_gas()
WORLD = World()
VECTORS: dict[str, Any] = json.loads((ROOT / "tests" / "vectors" / "protocol.json").read_text())
AUDITORS = {"xen": 3 * ETHER + 1, "yan": 2 * ETHER, "zoe": ETHER - 7}
NO_GAS = dict.fromkeys(GAS, 0)


class Checked(Books):
    """Every single step has to keep every wei."""

    def lock(self, *step: Any) -> None:
        super().lock(*step)
        self.check()

    def credit(self, *step: Any) -> None:
        super().credit(*step)
        self.check()

    def shift(self, *step: Any) -> None:
        super().shift(*step)
        self.check()


# ---------------------------------------------------------------- agreement with the contracts


def test_rule__vectors__is_what_the_contracts_say() -> None:
    """At a third and a half the swept rule is the contracts' own."""
    rows = VECTORS["rulings"]
    for place, expected in enumerate(rows["ruling"]):
        named = ("committedWei", "standsWei", "fallsWei", "unavailableWei")
        tally = Tally(*(Wei(int(rows[name][place])) for name in named), Wei(0), Wei(0))
        rules = replace(RULES, lock_bps=int(rows["lockBps"][place]))
        found = rule(rules, tally, int(rows["snapshotWei"][place]), int(rows["attempt"][place]))
        assert int(expected) == int(found)


@given(st.lists(st.integers(0, 2**70), min_size=3, max_size=3), st.integers(0, 2**72), st.integers(1, 10_000))
def test_rule__any_ballots__is_the_clients(sums: list[int], snapshot: int, lock_bps: int) -> None:
    """The same as dlbc.core.disputes.rule, in the first vote and in the repeat."""
    tally = Tally(Wei(sum(sums)), *(Wei(part) for part in sums), Wei(0), Wei(0))
    for attempt in (0, 1):
        expected = disputes.rule(tally, snapshot, lock_bps, attempt)
        assert expected is rule(replace(RULES, lock_bps=lock_bps), tally, snapshot, attempt)


def test_settle__vectors__pays_what_the_contracts_pay() -> None:
    """Prize, fee and royalty of every vector, through a whole round on the books."""
    rows = VECTORS["settlements"]
    for place, bounty in enumerate(map(int, rows["bountyWei"])):
        market = replace(RULES.market, fee_bps=int(rows["feeBps"][place]))
        rules = replace(RULES, market=market, royalty_bps=int(rows["royaltyBps"][place]))
        round_ = _posted(rules, bounty)
        round_.commit("ann")
        round_.reveal("ann", 1.0, True)
        round_.settle("parent" if rows["hasParent"][place] else None)
        books = round_.books
        assert int(rows["paidWei"][place]) == books.flows["ann", "prize"]
        assert int(rows["feeWei"][place]) == round_.court.waiting_wei
        assert int(rows["royaltyWei"][place]) == books.flows["parent", "royalty"]


def test_abort__vectors__pays_what_the_contracts_pay() -> None:
    """Shares of the bond, and what the pool gets of it."""
    rows = VECTORS["abortions"]
    for place, bond in enumerate(map(int, rows["bondWei"])):
        if (commits := int(rows["commits"][place])) > 50 or bond > 2**90:
            continue
        round_ = _posted(exactly(RULES, bond), 10)
        for number in range(commits):
            round_.commit(number)
        round_.abort_unreleased()
        assert int(rows["restWei"][place]) == round_.court.waiting_wei
        for number in range(commits):
            assert int(rows["shareWei"][place]) == round_.books.flows[number, "share of the bond"]


def test_bonds_and_locks__vectors__are_the_contracts() -> None:
    """A dispute's bond, and what a ballot locks."""
    rows = VECTORS["shares"]
    for bounty, bond in zip(rows["bountyWei"], rows["bondWei"], strict=True):
        assert int(bond) == RULES.dispute_bond(int(bounty)) == disputes.dispute_bond(int(bounty))


@settings(max_examples=60, deadline=None)
@given(st.integers(0, 2**32))
def test_dispute__any_ballots__everybody_gets_what_the_pool_in_memory_pays(seed: int) -> None:
    """The pool in memory is held against the real contracts by contract tests; ours pays the same to the wei."""
    random = Random(seed)
    ballots = {
        name: verdict
        for name in AUDITORS
        if (verdict := random.choice([None, Verdict.STANDS, Verdict.FALLS, Verdict.UNAVAILABLE])) is not None
    }
    filers = ["eve", "fay"][: random.choice([1, 2])]
    has_runner_up = random.random() < 0.5
    expected = _in_memory(ballots, filers, has_runner_up)
    assert expected == _on_books(ballots, filers, has_runner_up)


def _in_memory(ballots: dict[str, Verdict], filers: list[str], has_runner_up: bool) -> dict[str, int]:
    scene = Scene()
    scene.stake(**AUDITORS)
    claims = {"ann": (2, 3), **({"bob": (4, 0)} if has_runner_up else {})}
    task_id, works = scene.challenged(**claims)
    for filer in filers:
        case_id = scene.dispute(task_id, filer)
    pool, chain = scene.pool("any"), scene.chain("any")
    attempt = 0
    scene.vote(task_id, case_id, **ballots)
    if pool.ruling(case_id, 0) is Ruling.REPEAT:
        for name in ballots:
            pool.collect_vote(case_id, 0, scene.who(name))
        scene.vote(task_id, case_id, **ballots)
        attempt = 1
    for name in ballots:
        pool.collect_vote(case_id, attempt, scene.who(name))
    if pool.ruling(case_id, attempt) is not Ruling.STANDS:
        for filer in filers:
            pool.collect_bond(case_id, scene.who(filer))
    if pool.ruling(case_id, attempt) is Ruling.FALLS:
        if has_runner_up:
            chain.nominate(task_id, works["bob"].keys.address)
            scene.end_phase(task_id)
            scene.open(works["bob"])
        scene.end_phase(task_id)
    chain.advance(task_id)
    assert chain.task(task_id).outcome in (Outcome.SETTLED, Outcome.VOID)
    for work in works.values():
        if not chain.entry(task_id, 0, work.keys.address).is_struck:
            chain.reclaim(task_id, 0, work.keys.address)
    names = ["requester", *claims, "eve", "fay", *AUDITORS]
    found = {
        name: chain.credit(scene.who(name)) + pool.credit(scene.who(name)) + pool.stake_of(scene.who(name)).active_wei
        for name in names
    }
    pool.collect_fees()
    accrued = {name: pool.dividend(scene.who(name))[0] for name in AUDITORS}
    return {**found, **{f"dividend of {name}": wei for name, wei in accrued.items()}}


def _on_books(ballots: dict[str, Verdict], filers: list[str], has_runner_up: bool) -> dict[str, int]:
    books = Checked(NO_GAS, 0)
    rules = exactly(replace(RULES, deposit_bps=1_000, lock_bps=2_000), TERMS.bond_wei)
    court = Court(books, rules)
    for name, wei in AUDITORS.items():
        court.stake(name, wei)
    round_ = Round(1, books, court, rules, "requester", TERMS.bounty_wei)
    claims = ["ann", *(["bob"] if has_runner_up else [])]
    for name in claims:
        round_.commit(name)
    for name in claims:
        round_.reveal(name, 5.0 if name == "ann" else 4.0, True)
    case = round_.dispute("ann", *filers)
    decide(Trial(round_, case, ballots))
    if round_.leader() is None:
        round_.void()
    else:
        round_.settle()
    paid = {"requester": TERMS.bounty_wei + TERMS.bond_wei, **dict.fromkeys(claims, round_.deposit_wei), **AUDITORS}
    paid |= dict.fromkeys(filers, case.bond_wei)
    names = ["requester", *claims, "eve", "fay", *AUDITORS]
    found = {name: books.wallets[name] + paid.get(name, 0) for name in names}
    found |= {name: found[name] + court.auditors[name].active_wei for name in AUDITORS}
    court.share()
    for name in AUDITORS:
        court._accrue(court.auditors[name])
    assert books.escrows[POOL] == court.held()
    return {**found, **{f"dividend of {name}": court.auditors[name].accrued_wei for name in AUDITORS}}


@dataclass(frozen=True, slots=True)
class ExactBond(Rules):
    """A requester's bond in wei, and not by basis points."""

    exact_wei: int = 0

    def bond(self, bounty_wei: int) -> int:
        return self.exact_wei


def exactly(rules: Rules, bond_wei: int) -> Rules:
    return ExactBond(**{part.name: getattr(rules, part.name) for part in fields(Rules)}, exact_wei=bond_wei)


def _posted(rules: Rules, bounty_wei: int) -> Round:
    books = Checked(NO_GAS, 0)
    return Round(1, books, Court(books, rules), rules, "requester", bounty_wei)


def test_books__more_asked_for_than_there_is__is_a_fault() -> None:
    """No escrow pays what it does not hold."""
    books = Books(NO_GAS, 0)
    books.lock("ann", ("market", 1), 5, "deposit")
    with pytest.raises(Overdrawn, match="6 wei asked for, 5 there"):
        books.credit(("market", 1), "ann", 6, "deposit")


def test_rules__as_deployed__are_the_local_networks() -> None:
    """Defaults come from the file that is deployed, and are those of docs/protocol.md."""
    assert (RULES.fee_bps, RULES.lock_bps, RULES.demand_bond_wei) == (200, 500, ETHER // 200)
    assert (RULES.quorum, RULES.majority) == (Fraction(1, 3), Fraction(1, 2))
    assert RULES.deposit(11) == 4  # 35 %, rounded up as the market's bound is


# ---------------------------------------------------------------- attacks that can be calculated by hand


def _gas(*calls: str) -> int:
    return sum(GAS[call] for call in calls) * GWEI


def test_silent_leader__default__costs_the_deposit_and_gas_and_two_windows() -> None:
    """P-51: the deposit goes to the pool; the round loses one opening and one nominating window."""
    played = tasks.silent_leader(RULES, WORLD, GAS)
    assert -(ETHER * 35 // 100) - _gas("commit", "reveal") == played.profit_wei
    assert 2 * RULES.open_seconds == played.delay_seconds


def test_over_claim__default__pays_below_three_chances_in_four() -> None:
    """Unseen it wins bounty less fee, seen it loses the deposit: the threshold is V / (V + L)."""
    found = tasks.over_claim(RULES, WORLD, GAS)
    won = ETHER - ETHER // 50 - _gas("commit", "reveal", "open", "settle", "reclaim")
    lost = ETHER * 35 // 100 + _gas("commit", "reveal", "open")
    assert (won, -lost) == (found.unseen_wei, found.caught_wei)
    assert won / (won + lost) == pytest.approx(found.deterrence)
    assert found.expected(found.deterrence) == pytest.approx(0, abs=1_000)


def test_own_contest__holding_stake__gets_its_share_of_the_fee_back() -> None:
    """P-44: it costs the fee, of which dividends return what the requester's stake is entitled to."""
    alone = tasks.wash_trade(RULES, WORLD, GAS)
    holding = tasks.wash_trade(RULES, WORLD, GAS, 0.3)
    fee = ETHER // 50
    assert fee * 3 // 10 == pytest.approx(holding.profit_wei - alone.profit_wei, abs=100)
    assert -alone.profit_wei > fee


def test_unreachable_score__default__costs_gas_and_capital_only() -> None:
    """P-20: a void round gives everything back, whatever others have spent."""
    played = tasks.unreachable_score(RULES, WORLD, GAS)
    capital = (ETHER + ETHER // 10) * 5 * RULES.round_seconds() // (100 * 365 * 86_400)
    assert -_gas("post", "release", "void") - capital == pytest.approx(played.profit_wei, abs=2)


@pytest.mark.parametrize(("share", "result"), [(0.33, "falls"), (0.495, "falls"), (0.5, "split"), (0.505, "stands")])
def test_false_claim__all_honest_vote__settles_from_a_half(share: float, result: str) -> None:
    """P-55: with a half the vote is split, and a split vote settles the claim; with less it falls."""
    world = replace(WORLD, turnout=1.0)
    played = votes.false_claim_with_stake(RULES, world, GAS, share)
    assert result == played.result
    assert (played.profit_wei > 0) == (result != "falls")


def test_honest_claim__all_honest_vote__struck_from_more_than_a_half() -> None:
    """P-54: a side wins with more than half of the revealed locks."""
    world = replace(WORLD, turnout=1.0)
    assert votes.share_to_strike_an_honest_claim(RULES, world, GAS) == 0.505
    assert votes.share_to_settle_a_false_claim(RULES, world, GAS) == 0.5


def test_dispute_spam__voted__costs_the_bond_of_which_the_leader_has_half() -> None:
    """P-55: half of a losing bond is the leader's, half the voters'; without voters a tenth is lost."""
    voted, unheard = votes.dispute_spam(RULES, WORLD, GAS), votes.dispute_spam(RULES, WORLD, GAS, False)
    gas = _gas("dispute", "collect bond")
    assert -(ETHER // 10) - gas == voted.profit_wei
    assert -(ETHER // 100) - gas == unheard.profit_wei
    assert tuple(played.delay_seconds // RULES.market.vote_seconds for played in (voted, unheard)) == (2, 6)


def test_bribe__all_vote__guarantees_half_of_all_locks() -> None:
    """Whoever is bought risks its lock; half of the votes have to be bought."""
    found = votes.bribe(RULES, replace(WORLD, turnout=1.0))
    assert WORLD.stake_wei // 2 * 500 // 10_000 == pytest.approx(found.guarantee_wei, abs=2)
    deposit = ETHER * 35 // 100
    assert found.pot_wei == pytest.approx((deposit - deposit // 3) // 2, abs=2)


@pytest.mark.parametrize(
    ("lock_bps", "turnout", "expected"), [(2_000, 1.0, 5), (2_000, 0.8, 4), (5_000, 1.0, 2), (500, 0.8, 18)]
)
def test_votes_at_once__locks_add_up__until_less_than_a_third_is_left(
    lock_bps: int, turnout: float, expected: int
) -> None:
    """0.8^4 = 0.41 and 0.8^5 = 0.328 of the stake are left; a third is the quorum."""
    assert votes.votes_at_once(replace(RULES, lock_bps=lock_bps), turnout) == expected


def test_theft__default__declaring_pays_if_one_in_twenty_is_found() -> None:
    """A royalty of 5 % against losing prize and deposit: 0.05 / (0.98 + 0.35)."""
    assert tasks.theft(RULES, WORLD, GAS).least_detection() == pytest.approx(0.05 / 1.33, abs=1e-4)


def test_lazy__ballot_unavailable__gives_up_a_tenth_of_its_lock_if_it_loses() -> None:
    """P-55: it shares the pot if the claim falls; if it stands, it pays more than looking would have cost."""
    unavailable = [votes.lazy_vote(RULES, WORLD, GAS, Verdict.UNAVAILABLE, is_false) for is_false in (True, False)]
    falls = [votes.lazy_vote(RULES, WORLD, GAS, Verdict.FALLS, is_false) for is_false in (True, False)]
    assert unavailable[0] == falls[0] > votes.lazy_vote(RULES, WORLD, GAS, None, True)
    lock = WORLD.stake_wei // WORLD.auditors * RULES.lock_bps // 10_000
    assert unavailable[1] - falls[1] == pytest.approx(lock * 9 // 10, rel=1e-2)
    assert unavailable[1] < votes.lazy_vote(RULES, WORLD, GAS, None, False)


def test_abandoned_bond__half__is_what_the_client_says() -> None:
    """never_released costs the bond, gas and capital, by the client's own function."""
    shares = payouts.abortion(ETHER // 10, 10)
    played = tasks.never_released(RULES, WORLD, GAS)
    assert shares.share_wei * 10 + shares.pool_wei == ETHER // 10 <= -played.profit_wei


def test_looking__for_a_third__pays_if_one_claim_in_two_hundred_is_false() -> None:
    """0.0005 against a third of 35 %; the runner-up and the requester need nine times fewer."""
    found = attacks.looking(RULES, WORLD, NO_GAS)
    assert list(found.values()) == [
        pytest.approx(share, abs=1e-5) for share in (0.0015 / 0.35, 0.0005 / (0.98 + 0.35 / 3), 0.0005 / (1 + 0.35 / 3))
    ]


def test_voters__smallest_bounty_that_pays_them__leaves_them_nothing() -> None:
    """Two thirds of the deposit among 48 that look and vote: just enough there, less than that below."""
    least = votes.smallest_paying(RULES, WORLD, GAS)
    for bounty, sign in ((least * 101 // 100, 1), (least * 99 // 100, -1)):
        struck = tasks.false_claim(RULES, replace(WORLD, bounty_wei=bounty), GAS, True).details
        assert int(struck["voter_net_wei"]) * sign > 0


# ---------------------------------------------------------------- parameters


def test_parameters__every_sweep__has_its_default_and_says_what_it_keeps() -> None:
    """Each default is among its values, so that its row can be read."""
    for sweep in parameters.all_of(RULES):
        assert sweep.default in sweep.values, sweep.name
        assert sweep.criterion
        assert sweep.changed(RULES, sweep.default) == RULES, sweep.name


def test_sweep__deposit__only_larger_ones_deter() -> None:
    """A default that misses its criterion is said to, with the values that keep it."""
    sweep = next(one for one in parameters.all_of(RULES) if one.name == "deposit_bps")
    found = sweeps.run(sweep, RULES, WORLD, GAS)
    assert found["default_keeps"]
    assert found["values_that_keep"] == [3_500, 5_000, 10_000]
    small = sweeps.run(replace(sweep, default=1_000), replace(RULES, deposit_bps=1_000), WORLD, GAS)
    assert not small["default_keeps"]
    chances = [row["over_claim_deterred_from_chance"] for row in found["rows"]]
    assert chances == sorted(chances, reverse=True)
