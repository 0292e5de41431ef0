"""An auditor's stake, from the account and back, with what it earned."""

from __future__ import annotations

from pathlib import Path

import pytest
from disputed import ETHER, disputed_lie, vote
from dlbc.core.errors import Refused, TryLater, Usage
from dlbc.core.types import Verdict, Wei
from dlbc.roles.stakes import Staker, stake_warning
from fakes.keys import account
from fakes.world import World

pytestmark = pytest.mark.unit

ME = account("auditor").address


@pytest.fixture
def world(tmp_path: Path) -> World:
    """Nothing has happened yet."""
    return World(tmp_path)


def sent(world: World) -> list[str]:
    """Transactions that took effect."""
    return [call for _, call in world.market.transactions]


def test_stake__from_account_to_account__waits_twice_and_comes_back_whole(world: World) -> None:
    """Pending, active, unbonding, home: each step says when the next one can be taken."""
    staker = world.staker("auditor")
    assert "after `dlbc auditor activate`, in 6 h" in staker.stake(Wei(ETHER)).sentence
    with pytest.raises(TryLater, match="in 6 h"):
        staker.activate()
    world.market.now += 6 * 3600
    assert staker.activate().wei == ETHER
    assert staker.unstake(Wei(ETHER)).sentence.endswith("in 1 d.")
    with pytest.raises(TryLater, match="in 1 d"):
        staker.finish()
    world.market.now += 86_400
    assert staker.finish().wei == ETHER
    assert world.market.balances[ME] == 10_000 * ETHER
    assert sent(world) == ["stake", "activate", "unstake", "finishUnstake", "withdraw"]


def test_stake__same_command_again__sends_nothing_and_says_what_is_there(world: World) -> None:
    """Running any of the commands twice moves no money twice, unless --more asks for it."""
    staker = world.staker("auditor")
    assert staker.activate().sentence == "Nothing is staked; begin with `dlbc auditor stake AMOUNT`."
    staker.stake(Wei(ETHER))
    assert staker.stake(Wei(ETHER)).receipts == ()
    assert staker.stake(Wei(ETHER), more=True).receipts
    world.market.now += 6 * 3600
    staker.activate()
    assert staker.activate().sentence == "Nothing is pending; 2 ether are active already."
    staker.unstake(Wei(ETHER))
    again = staker.unstake(Wei(ETHER))
    assert (again.receipts, "1 ether are on their way out already" in again.sentence) == ((), True)
    staker.unstake(Wei(ETHER), more=True)
    world.market.now += 86_400
    staker.finish()
    assert "nothing to do" in staker.finish().sentence
    assert world.market.balances[ME] == 10_000 * ETHER


def test_stake__a_transaction_is_on_its_way__sends_no_second_one(world: World) -> None:
    """It may be this very stake, sent before a crash."""
    world.market.waiting.append("stake")
    with pytest.raises(TryLater, match="may be this very call"):
        world.staker("auditor").stake(Wei(ETHER))
    assert sent(world) == []


def test_stake__more_than_there_is__refused_with_both_numbers(world: World) -> None:
    """Neither more than the account holds nor more than the stake."""
    staker = world.staker("auditor")
    with pytest.raises(Refused, match=r"staking sends 10001 ether, .* holds 10000 ether"):
        staker.stake(Wei(10_001 * ETHER))
    with pytest.raises(Refused, match="more than the stake: 0 ether active and 0 ether pending"):
        staker.unstake(Wei(1))
    assert sent(world) == []


def test_stake__not_agreed__nothing_is_sent(world: World) -> None:
    """The sentence that is asked says what can be lost, and no stops everything."""
    asked: list[str] = []

    def refuse(sentence: str) -> None:
        asked.append(sentence)
        raise Refused("no")

    staker = world.staker("auditor")
    careful = Staker(staker.chain, staker.pool, agree=refuse)
    with pytest.raises(Refused, match="no"):
        careful.stake(Wei(ETHER))
    assert sent(world) == []
    assert "Stake 1 ether? A part of it can be lost in every vote against the majority" in asked[0]


def test_stake__without_an_account__is_usage(world: World) -> None:
    """Nobody stakes by accident."""
    with pytest.raises(Usage, match="no account was named"):
        Staker(world.onlooker, world.pool).stake(Wei(ETHER))


def test_dividends__after_a_settled_task__are_the_fees(world: World) -> None:
    """The only auditor gets every fee; a second call finds nothing."""
    world.staked("auditor")
    world.play(world.post(), world.miner())
    fee = ETHER // 50
    staker = world.staker("auditor")
    assert fee - 1 <= staker.dividends().wei <= fee
    again = staker.dividends()
    assert ("No dividend" in again.sentence, again.receipts) == (True, ())
    assert world.onlooker.credit(world.pool.address) == 0


def test_dividends__votes_not_collected_yet__are_collected_first(tmp_path: Path) -> None:
    """A finished vote that is not collected would count as missed."""
    world, task_id = disputed_lie(tmp_path, "voter", "absent")
    voter = world.voter("voter")
    for _ in range(2):
        step = voter.step(task_id, Verdict.FALLS)
        world.market.now = step.again_at
    assert voter.step(task_id, None).what == "resolved"
    world.market.now += 86_400
    world.play(task_id, world.miner("honest"))
    missed, came = world.staker("absent").dividends(), world.staker("voter").dividends()
    assert "0 of 1 votes" not in came.sentence
    assert came.wei > missed.wei
    assert sent(world).count("collectVote") == 1
    assert vote(world, task_id, "voter", Verdict.FALLS).is_done


def test_warning__bounty_above_a_twentieth_of_the_stake__names_both(world: World) -> None:
    """P-57: at a twentieth there is no warning, a wei above there is one."""
    assert stake_warning(ETHER, 20 * ETHER) == ""
    assert "more than a twentieth of all active stake (20 ether)" in stake_warning(ETHER + 1, 20 * ETHER)
    task_id = world.post()
    world.miner().tick()
    assert [event["task_id"] for event in world.heard("warning", "miner")] == [task_id]
    requester = world.requester()
    assert requester.quote(requester.prepare(world.task_file, world.folder)).warning
