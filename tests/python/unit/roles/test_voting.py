"""Auditors vote on a market in memory: every ruling, every way to be late, and the disk lost at any time."""

from __future__ import annotations

from pathlib import Path

import pytest
from disputed import ETHER, Liar, cast, disputed_lie, flip_one_prediction, opened_lie, vote
from dlbc.core.errors import ContractRefused, Refused
from dlbc.core.types import Ground, Phase, Ruling, TaskId, Verdict
from dlbc.roles.collecting import collect_task
from fakes.keys import MoodyKeys, account
from fakes.world import Crash, Steps, World

pytestmark = pytest.mark.unit

STAKE = 10 * ETHER
LOCK = STAKE // 5
DEPOSIT = ETHER // 10


def active(world: World, name: str) -> int:
    """An auditor's active stake."""
    return world.pool.stake_of(account(name).address).active_wei


def gain(world: World, name: str) -> int:
    """What an account has more than at the start, without its stake."""
    return world.market.balances[account(name).address] - 10_000 * ETHER


def ruling(world: World, task_id: TaskId) -> Ruling:
    """Of the task's one case."""
    (filing,) = {filing.case_id for filing in world.pool.filings(task_id)}
    return world.pool.case(filing).ruling


def test_vote__false_claim__falls_and_everybody_gets_what_the_rules_say(tmp_path: Path) -> None:
    """The liar's deposit pays the disputer a third and the voters two; who voted for it loses its lock."""
    world, task_id = disputed_lie(tmp_path, "one", "two", "three")
    cast(world, task_id, one=Verdict.FALLS, two=Verdict.FALLS, three=Verdict.STANDS)
    assert ruling(world, task_id) is Ruling.FALLS
    for name in ("one", "two", "three"):
        assert vote(world, task_id, name, Verdict.FALLS).what == "finished"
    assert vote(world, task_id, "disputer", Verdict.FALLS).what == "finished"
    pot = LOCK + DEPOSIT - DEPOSIT // 3
    assert (gain(world, "one") + STAKE, gain(world, "two") + STAKE) == (pot // 2, pot - pot // 2)
    assert (active(world, "one"), active(world, "two"), active(world, "three")) == (STAKE, STAKE, STAKE - LOCK)
    assert gain(world, "disputer") == DEPOSIT // 3
    assert world.onlooker.entry(task_id, 0, account("liar").address).is_struck


def test_vote__honest_claim__stands_and_the_miner_gets_half_of_the_bond(tmp_path: Path) -> None:
    """A dispute that the majority rejects costs the disputer its bond: half to the miner, half to the voters."""
    world = World(tmp_path)
    world.staked("one", "two")
    task_id = world.post()
    miner = world.miner()
    world.play(task_id, miner, until=lambda: world.market.phase(task_id).phase is Phase.CHALLENGE)
    world.disputer("disputer").dispute(task_id, Ground.SCORE)
    world.market.move_to_end_of_phase(task_id)
    cast(world, task_id, one=Verdict.STANDS, two=Verdict.STANDS)
    world.play(task_id, miner)
    bond = ETHER // 10
    assert world.onlooker.winner(task_id, 0).miner == account("miner").address
    assert (gain(world, "miner"), gain(world, "disputer")) == (ETHER * 98 // 100 + bond // 2, -bond)
    assert [event["source"] for event in world.heard("money_arrived", "miner")] == ["pool", "market"]


def test_vote__after_the_claim_fell__the_runner_up_opens_and_wins(tmp_path: Path) -> None:
    """The honest miner nominates itself when the liar is struck, opens, waits, and is paid."""
    world = World(tmp_path)
    world.staked("one")
    task_id = world.post()
    liar, honest = world.miner("liar", trainer=Liar(noise=20.0)), world.miner("honest", noise=5.0)
    world.play(task_id, liar, honest, until=lambda: world.market.phase(task_id).phase is Phase.CHALLENGE)
    assert world.onlooker.round(task_id, 0).leader == account("liar").address
    world.disputer("disputer").dispute(task_id)
    world.market.move_to_end_of_phase(task_id)
    liar.tick()
    honest.tick()
    cast(world, task_id, one=Verdict.FALLS)
    world.play(task_id, liar, honest)
    assert world.onlooker.winner(task_id, 0).miner == account("honest").address
    assert (gain(world, "honest"), gain(world, "liar")) == (ETHER * 98 // 100, -DEPOSIT)
    assert world.auditor().audit(task_id).passed


def test_vote__nobody_opens_a_ballot__repeats_at_double_length_and_then_stands(tmp_path: Path) -> None:
    """Without a quorum the vote is held twice; then the claim stands, and a tenth of the bond is the leader's."""
    world, task_id = disputed_lie(tmp_path, "one")
    for length in (1, 2):
        start = world.market.now
        world.market.move_to_end_of_phase(task_id)
        assert world.market.now - start == length * world.market.params.vote_seconds
        world.market.move_to_end_of_phase(task_id)
        assert world.voter("one").step(task_id, None).what == "resolved"
    assert ruling(world, task_id) is Ruling.NO_QUORUM
    assert vote(world, task_id, "disputer", Verdict.FALLS).is_done
    assert gain(world, "disputer") == -ETHER // 100


def test_vote__repeated__the_lock_of_the_first_ballot_weighs_again(tmp_path: Path) -> None:
    """A third of the stake is a quorum; less is none, and then the first ballot's lock goes back before the second."""
    world = World(tmp_path)
    world.staked("small", wei=ETHER)
    world.staked("large", wei=9 * ETHER)
    task_id = world.post()
    liar = world.miner("liar", trainer=Liar(noise=20.0))
    world.play(task_id, liar, until=lambda: world.market.phase(task_id).phase is Phase.CHALLENGE)
    world.disputer("disputer").dispute(task_id)
    world.market.move_to_end_of_phase(task_id)
    cast(world, task_id, small=Verdict.FALLS)
    voter = world.voter("small")
    assert voter.step(task_id, Verdict.FALLS).what == "collected"
    assert voter.step(task_id, Verdict.FALLS).lock_wei == ETHER // 5


def test_vote__unopened_ballot__is_lost_and_said_so(tmp_path: Path) -> None:
    """Who does not open its ballot loses the lock to everybody's dividends."""
    world, task_id = disputed_lie(tmp_path, "one", "late")
    world.voter("late").step(task_id, Verdict.FALLS)
    cast(world, task_id, one=Verdict.FALLS)
    step = world.voter("late").step(task_id, Verdict.FALLS)
    assert step.is_done
    assert "2 ether are lost with a ballot that was not opened in time" in step.sentence
    told = collect_task(*world.processes("late"), task_id).sentence
    assert told.endswith("nothing to do. The ballot of 2 ether is lost: it was not opened in time.")
    assert active(world, "late") == STAKE - LOCK


def test_collect__bond_of_a_dispute_that_waits_and_then_failed__says_where_it_is(tmp_path: Path) -> None:
    """Nobody should have to guess why nothing arrives."""
    world = World(tmp_path)
    world.staked("one")
    task_id = world.post()
    world.play(task_id, world.miner(), until=lambda: world.market.phase(task_id).phase is Phase.CHALLENGE)
    world.disputer("disputer").dispute(task_id, Ground.SCORE)
    told = collect_task(*world.processes("disputer"), task_id).sentence
    assert told.endswith("nothing to do. The bond of 0.1 ether waits for the vote on the dispute.")
    world.market.move_to_end_of_phase(task_id)
    cast(world, task_id, one=Verdict.STANDS)
    told = collect_task(*world.processes("disputer"), task_id).sentence
    assert told.endswith("The bond of 0.1 ether is lost: the auditors did not agree with the dispute.")


def test_vote__other_verdict_the_second_time__refused_and_nothing_sent(tmp_path: Path) -> None:
    """A cast ballot can't be changed; running the same command again says that it is cast."""
    world, task_id = disputed_lie(tmp_path, "one")
    assert world.voter("one").step(task_id, Verdict.FALLS).receipts
    again = world.voter("one").step(task_id, Verdict.FALLS)
    assert (again.what, again.receipts) == ("committed", ())
    with pytest.raises(Refused, match="says 'falls' already"):
        world.voter("one").step(task_id, Verdict.STANDS)


def test_vote__no_stake_at_the_snapshot__is_told_why(tmp_path: Path) -> None:
    """Who stakes after the opening has no weight, and learns both numbers."""
    world, task_id = disputed_lie(tmp_path)
    step = world.voter("newcomer").step(task_id, Verdict.FALLS)
    assert (step.what, step.is_done, step.receipts) == ("powerless", True, ())
    assert "0 ether were active when weights were fixed" in step.sentence


def test_vote__before_it_begins_or_without_a_verdict__says_what_is_missing(tmp_path: Path) -> None:
    """While more may be filed nobody votes; while ballots are cast one has to say how."""
    world, task_id = opened_lie(tmp_path, "one")
    assert world.voter("one").step(task_id, None).what == "powerless"
    world.disputer("disputer").dispute(task_id)
    assert world.voter("one").step(task_id, Verdict.FALLS).what == "waits"
    world.market.move_to_end_of_phase(task_id)
    assert world.voter("one").step(task_id, None).what == "asked"
    world.market.move_to_end_of_phase(task_id)
    assert world.voter("one").step(task_id, Verdict.FALLS).what == "missed"


def test_vote__claim_refuted_meanwhile__gives_every_lock_back(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A refutation ends the vote: sealed and opened ballots and the bond go back (P-58)."""
    world = World(tmp_path)
    world.staked("sealed", "opened")
    task_id = world.post()
    flip_one_prediction(monkeypatch)
    world.play(task_id, world.miner("liar"), until=lambda: world.market.phase(task_id).phase is Phase.CHALLENGE)
    world.disputer("disputer").dispute(task_id)
    world.market.move_to_end_of_phase(task_id)
    for name in ("sealed", "opened"):
        world.voter(name).step(task_id, Verdict.FALLS)
    world.market.move_to_end_of_phase(task_id)
    world.voter("opened").step(task_id, Verdict.FALLS)
    assert world.refuter("refuter").refute(task_id).struck == (account("liar").address,)
    for name in ("sealed", "opened", "disputer"):
        assert vote(world, task_id, name, Verdict.FALLS).is_done
    assert (active(world, "sealed"), active(world, "opened"), gain(world, "disputer")) == (STAKE, STAKE, 0)


def test_vote__somebody_counted_it_first__goes_on(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Losing the race to advance is no error."""
    world, task_id = disputed_lie(tmp_path, "one")
    for _ in range(2):
        world.voter("one").step(task_id, Verdict.FALLS)
        world.market.move_to_end_of_phase(task_id)
    voter = world.voter("one")

    def slow(_: TaskId) -> None:
        raise ContractRefused("nothing is due", name="Market_NothingDue")

    monkeypatch.setattr(voter.chain, "advance", slow)
    step = voter.step(task_id, None)
    assert (step.what, step.receipts) == ("resolved", ())


def test_vote__killed_between_any_two_steps__votes_once_and_gets_everything(tmp_path: Path) -> None:
    """However it is killed, started again there is one ballot, opened, collected and paid."""
    whole, task_id = disputed_lie(tmp_path / "whole", "one")
    steps = Steps()
    vote(whole, task_id, "one", Verdict.FALLS, steps)
    names = steps.taken
    wanted = {"after journal ballot", "after commitVote", "after revealVote", "after advance", "after collectVote"}
    assert wanted | {"after withdraw"} <= set(names)
    for lost in (False, True):
        for fatal in range(1, len(names) + 1):
            world, task_id = disputed_lie(tmp_path / f"{lost}{fatal}", "one")
            with pytest.raises(Crash):
                vote(world, task_id, "one", Verdict.FALLS, Steps(fatal))
            if lost:
                world.lose_disk("one")
            vote(world, task_id, "one", Verdict.FALLS)
            where = f"killed at step {fatal} ({names[fatal - 1]}), disk lost: {lost}"
            done = [call for sender, call in world.market.transactions if sender == account("one").address]
            counts = [done.count(call) for call in ("commitVote", "revealVote", "advance", "collectVote", "withdraw")]
            assert counts == [1] * 5, where
            voters = DEPOSIT - DEPOSIT // 3
            assert (active(world, "one"), gain(world, "one")) == (STAKE, voters - STAKE), where


def test_vote__wallet_that_signs_differently__works_from_its_journal_only(tmp_path: Path) -> None:
    """A random salt kept in the journal opens the ballot; without the journal nothing does, and that is said."""
    world, task_id = disputed_lie(tmp_path, "one")
    keys = MoodyKeys(account("one"))
    world.voter("one", keys=keys).step(task_id, Verdict.UNAVAILABLE)
    world.market.move_to_end_of_phase(task_id)
    journal = world.journals.pop("one")
    with pytest.raises(Refused, match="does not open with this wallet's salt"):
        world.voter("one", keys=keys).step(task_id, None)
    world.journals["one"] = journal
    assert world.voter("one", keys=keys).step(task_id, None).what == "revealed"


def test_vote__journal_of_another_chain__falls_back_to_the_wallet(tmp_path: Path) -> None:
    """A salt that does not open the ballot is no reason to give up."""
    world, task_id = disputed_lie(tmp_path, "one")
    world.voter("one").step(task_id, Verdict.FALLS)
    ((key, record),) = world.journal("one").all("ballot")
    world.journal("one").put("ballot", key, record | {"salt": "0x" + "11" * 32})
    world.market.move_to_end_of_phase(task_id)
    assert world.voter("one").step(task_id, None).verdict is Verdict.FALLS


def test_journal__of_a_voter__is_never_reported(tmp_path: Path) -> None:
    """Salts stay between the wallet and the journal."""
    world, task_id = disputed_lie(tmp_path, "one")
    vote(world, task_id, "one", Verdict.FALLS)
    ((_, record),) = world.journal("one").all("ballot")
    assert record["salt"] not in str(world.events)
