"""Claims that their own predictions prove false, predictions that are hidden, and predictions that are demanded."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from disputed import ETHER, flip_one_prediction
from dlbc.core.cid import locator_of
from dlbc.core.errors import BadInput, ContractRefused, Refused
from dlbc.core.refutation import Demand, Refutation
from dlbc.core.scoring import PredictionTree, encode_predictions
from dlbc.core.types import Fault, Phase, Reason, TaskId
from dlbc.roles import entry_scoring
from dlbc.roles.collecting import collect_task
from fakes.keys import account
from fakes.world import Crash, Steps, World

pytestmark = pytest.mark.unit

LIAR = account("liar").address
SHARE = ETHER // 10 // 3


@pytest.fixture
def world(tmp_path: Path) -> World:
    """Nothing has happened yet."""
    return World(tmp_path)


def in_challenge(world: World, *miners: Any) -> TaskId:
    """A task whose leader has opened its model."""
    task_id = world.post()
    world.play(task_id, *miners, until=lambda: world.market.phase(task_id).phase is Phase.CHALLENGE)
    return task_id


def gain(world: World, name: str) -> int:
    """What an account has more than at the start."""
    return world.market.balances[account(name).address] - 10_000 * ETHER


def test_refute__one_flipped_prediction__strikes_and_pays_a_third(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    """One point for one wrong answer is enough; the deposit's third is credited at once."""
    flip_one_prediction(monkeypatch)
    task_id = in_challenge(world, world.miner("liar"))
    refuted = world.refuter("refuter").refute(task_id)
    (finding,) = refuted.findings
    assert isinstance(finding.result, Refutation)
    assert (finding.result.fault, finding.result.index) == (Fault.WRONG_SCORE, 3)
    assert (refuted.struck, refuted.earned_wei) == ((LIAR,), SHARE)
    assert world.onlooker.credit(account("refuter").address) == SHARE
    assert [event.reason for event in world.onlooker.strikes(task_id, 0)] == [Reason.REFUTED]


def test_refute__again__finds_nothing_left_to_strike(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    """A struck claim is not looked at again."""
    flip_one_prediction(monkeypatch)
    task_id = in_challenge(world, world.miner("liar"))
    world.refuter("refuter").refute(task_id)
    assert world.refuter("refuter").refute(task_id).findings == ()


def test_refute__right_after_the_reveal__needs_no_opened_model(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    """Any revealed qualifying claim can be refuted, and the honest miner then opens and wins."""
    task_id = world.post()
    liar, honest = world.miner("liar"), world.miner("honest", noise=5.0)
    world.play(task_id, liar, honest, until=lambda: world.onlooker.round(task_id, 0).commits == 2)
    world.market.move_to_end_of_phase(task_id)
    world.requester().release(task_id)
    with monkeypatch.context() as lying:
        flip_one_prediction(lying)
        liar.tick()
    honest.tick()
    assert world.market.phase(task_id).phase is Phase.REVEALING
    assert world.refuter("refuter").refute(task_id).struck == (LIAR,)
    world.play(task_id, liar, honest)
    assert world.onlooker.winner(task_id, 0).miner == account("honest").address
    assert world.auditor().audit(task_id).passed
    assert (gain(world, "liar"), gain(world, "honest")) == (-ETHER // 10, ETHER * 98 // 100)


def test_refute__honest_claims__strikes_none(world: World) -> None:
    """What honest miners publish is never refuted, however bad it is."""
    task_id = in_challenge(world, world.miner("good"), world.miner("bad", noise=20.0))
    refuted = world.refuter("refuter").refute(task_id)
    assert ([finding.result for finding in refuted.findings], refuted.struck) == ([None, None], ())


def test_refute__class_that_does_not_exist__needs_no_label(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    """A prediction out of range is the cheaper proof."""

    def absurd(predictions: Any, labels: Any) -> Any:
        predictions[5] = 10
        return np.ones(len(labels), np.int64)

    monkeypatch.setattr(entry_scoring, "top1_scores", absurd)
    task_id = in_challenge(world, world.miner("liar", noise=20.0))
    (finding,) = world.refuter("refuter").refute(task_id).findings
    assert isinstance(finding.result, Refutation)
    assert (finding.result.fault, finding.result.label) == (Fault.OUT_OF_RANGE, None)


def test_refute__total_that_is_not_the_sum__strikes(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    """A claimed total that the tree does not have."""
    monkeypatch.setattr(PredictionTree, "total", property(lambda tree: 40))
    task_id = in_challenge(world, world.miner("liar", noise=20.0))
    monkeypatch.undo()
    (finding,) = world.refuter("refuter").refute(task_id).findings
    assert isinstance(finding.result, Refutation)
    assert finding.result.fault is Fault.WRONG_SUM


def test_refute__somebody_was_faster__is_no_error(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    """The claim is struck; that somebody else got the third is only told."""
    flip_one_prediction(monkeypatch)
    task_id = in_challenge(world, world.miner("liar"))
    slow = world.refuter("slow")
    found = slow.find(task_id)
    world.refuter("fast").refute(task_id)
    monkeypatch.setattr(type(slow), "find", lambda self, task: found)
    assert (slow.refute(task_id).struck, world.heard("refused", "slow")[0]["task_id"]) == ((), task_id)


def test_refute__refused_for_another_reason__is_an_error(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    """Only a lost race is swallowed."""
    flip_one_prediction(monkeypatch)
    task_id = in_challenge(world, world.miner("liar"))
    refuter = world.refuter("refuter")

    def refuse(*_: Any) -> None:
        raise ContractRefused("no", name="Claim_WrongPath")

    monkeypatch.setattr(refuter.pool, "refute", refuse)
    with pytest.raises(ContractRefused):
        refuter.refute(task_id)


def test_refute__killed_before_or_after__strikes_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Run again, it finds the claim struck or strikes it."""
    flip_one_prediction(monkeypatch)
    for fatal in (1, 2):
        world = World(tmp_path / str(fatal))
        task_id = in_challenge(world, world.miner("liar"))
        with pytest.raises(Crash):
            world.refuter("refuter", steps=Steps(fatal)).refute(task_id)
        world.refuter("refuter").refute(task_id)
        assert world.onlooker.credit(account("refuter").address) == SHARE


def test_refute__before_the_release_or_after_the_end__refused(world: World) -> None:
    """There is nothing to hold against anything."""
    task_id = world.post()
    with pytest.raises(Refused, match="is in Training: claims can be refuted from their reveal"):
        world.refuter("refuter").refute(task_id)
    world.play(task_id, world.miner())
    with pytest.raises(Refused, match="is in Settled"):
        world.refuter("refuter").refute(task_id)


# ------------------------------------------------------------------ predictions of strangers


def hostile_files(count: int) -> dict[str, bytes]:
    """What a miner may publish in the place of its predictions."""
    honest = encode_predictions(np.zeros(count, np.int64), np.zeros(count, np.int64))
    return {
        "nothing": b"",
        "too long": honest + bytes(10**6),
        "cut": honest[:-1],
        "another magic": b"X" + honest[1:],
        "another count": honest[:8] + (count + 1).to_bytes(4, "little") + honest[12:],
        "all bits set": honest[:12] + b"\xff" * (len(honest) - 12),
        "json": b"[" * len(honest),
    }


@pytest.mark.parametrize("name", [*hostile_files(40), "lost", "lied about"])
def test_find__hostile_predictions__leads_to_a_demand_and_never_to_a_crash(world: World, name: str) -> None:
    """Files that are not the claimed predictions prove nothing, but a leaf can be demanded."""
    task_id = in_challenge(world, world.miner("liar"))
    (claim,) = world.onlooker.reveals(task_id, 0)
    locator = claim.claim.predictions
    if name == "lost":
        del world.network[locator]
    elif name == "lied about":
        world.network[locator] = b"something else"
    else:
        data = hostile_files(40)[name]
        world.market.revealed[task_id, 0] = [_publishing(claim, locator_of(data))]
        world.network[locator_of(data)] = data
    (finding,) = world.refuter("refuter").find(task_id)
    assert isinstance(finding.result, Demand)


def _publishing(claim: Any, locator: Any) -> Any:
    """The same claim with other predictions behind it; the fake chain's log is changed, not its state."""
    return replace(claim, claim=replace(claim.claim, predictions=locator))


# ------------------------------------------------------------------ demands


def test_find__time_is_over__has_looked_at_the_leader_first(world: World) -> None:
    """Whoever reveals a thousand claims beside its own must not take the time that the leader's takes."""
    task_id = in_challenge(world, world.miner("weaker", noise=20.0), world.miner("miner"))
    leader = world.onlooker.round(task_id, 0).leader
    looks = iter([False])
    refuter = replace(world.refuter("refuter"), is_late=lambda: next(looks, True))
    assert [finding.miner for finding in refuter.find(task_id)] == [leader] == [account("miner").address]


def test_demand__of_an_honest_leader__is_answered_by_its_daemon_and_the_bond_is_the_miner_s(world: World) -> None:
    """The miner shows the leaf by itself, takes the bond, and the task is settled as ever."""
    miner = world.miner()
    task_id = in_challenge(world, miner)
    refuter = world.refuter("asker")
    assert refuter.demand(task_id, 7).wei == 5 * 10**15
    assert "demanded already, by this account" in refuter.demand(task_id, 7).sentence
    miner.tick()
    (shown,) = world.pool.shown(task_id, 0)
    assert (shown.index, shown.answerer) == (7, account("miner").address)
    assert "was shown already" in refuter.demand(task_id, 7).sentence
    world.play(task_id, miner)
    assert gain(world, "miner") == ETHER * 98 // 100 + 5 * 10**15
    assert gain(world, "asker") == -5 * 10**15


def test_demand__miner_lost_its_predictions_and_its_disk__answers_from_its_model(world: World) -> None:
    """The published file may be gone; the sealed model and the wallet are enough."""
    miner = world.miner()
    task_id = in_challenge(world, miner)
    (claim,) = world.onlooker.reveals(task_id, 0)
    del world.network[claim.claim.predictions]
    world.refuter("asker").demand(task_id, 0)
    world.lose_disk("miner")
    world.miner().tick()
    assert [answer.index for answer in world.pool.shown(task_id, 0)] == [0]


def test_demand__a_flood__leaves_other_entries_their_turn(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    """A thousand demands cost their bonds; they must not hold up a reveal by a block each."""
    miner, time = world.miner(), [0.0]
    miner.seconds = lambda: time[0]
    task_id = in_challenge(world, miner)
    for index in range(6):
        world.refuter("asker").demand(task_id, index)
    answer = miner.pool.answer

    def slow(*arguments: Any) -> Any:
        time[0] += 12
        return answer(*arguments)

    monkeypatch.setattr(miner.pool, "answer", slow)
    for shown in (2, 4, 6):
        miner.tick()
        assert len(world.pool.shown(task_id, 0)) == shown


def test_demand__several__are_answered_in_one_go_and_once(world: World) -> None:
    """Every demanded leaf is shown, and a second look shows none again."""
    miner = world.miner()
    task_id = in_challenge(world, miner)
    for index in (0, 39, 5):
        world.refuter("asker").demand(task_id, index)
    miner.tick()
    miner.tick()
    assert [answer.index for answer in world.pool.shown(task_id, 0)] == [0, 5, 39]
    assert world.onlooker.round(task_id, 0).open_demands == 0


def test_demand__unanswered__strikes_the_leader_and_the_runner_up_wins(world: World) -> None:
    """A leader that hides is struck; the demander gets its bond back."""
    liar, honest = world.miner("liar"), world.miner("honest", noise=5.0)
    task_id = in_challenge(world, liar, honest)
    asker = world.refuter("asker")
    asker.demand(task_id, 1)
    world.play(task_id, honest)  # the liar is gone
    assert [event.reason for event in world.onlooker.strikes(task_id, 0)] == [Reason.WITHHELD]
    assert world.onlooker.winner(task_id, 0).miner == account("honest").address
    assert collect_task(asker.chain, asker.pool, task_id).wei == 5 * 10**15
    assert "nothing to do" in collect_task(asker.chain, asker.pool, task_id).sentence
    assert gain(world, "asker") == 0


def test_demand__answer_to_a_hidden_lie__refutes_it(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    """A miner that publishes other predictions than it claimed is asked, and its own answer proves it false."""
    flip_one_prediction(monkeypatch, 0)
    liar = world.miner("liar")
    task_id = in_challenge(world, liar)
    (claim,) = world.onlooker.reveals(task_id, 0)
    kept = world.network[claim.claim.predictions]
    del world.network[claim.claim.predictions]
    refuter = world.refuter("refuter")
    (finding,) = refuter.find(task_id)
    assert finding.result == Demand(0)
    refuter.demand(task_id, 0)
    world.network[claim.claim.predictions] = kept
    liar.tick()
    del world.network[claim.claim.predictions]
    assert refuter.refute(task_id).struck == (LIAR,)


def test_demand__killed_at_any_step__asks_once(tmp_path: Path) -> None:
    """Run again after a crash, it says that the leaf is demanded already."""
    for fatal in (1, 2):
        world = World(tmp_path / str(fatal))
        task_id = in_challenge(world, world.miner())
        with pytest.raises(Crash):
            world.refuter("asker", steps=Steps(fatal)).demand(task_id, 2)
        world.refuter("asker").demand(task_id, 2)
        assert gain(world, "asker") == -5 * 10**15


def test_demand__impossible__refused_with_the_reason(world: World) -> None:
    """Too early, of somebody that does not lead, of a sample that is not there, without the money."""
    early = world.post()
    with pytest.raises(Refused, match="is in Training: a prediction can be demanded only of the leader"):
        world.refuter("asker").demand(early, 0)
    world.play(
        early,
        world.miner("good"),
        world.miner("bad", noise=20.0),
        until=lambda: world.market.phase(early).phase is Phase.CHALLENGE,
    )
    asker = world.refuter("asker")
    with pytest.raises(Refused, match="does not lead"):
        asker.demand(early, 0, account("bad").address)
    with pytest.raises(BadInput, match="expected 0 to 39, found 40"):
        asker.demand(early, 40)
    world.market.balances[account("asker").address] = 1
    with pytest.raises(Refused, match="holds 1 wei"):
        asker.demand(early, 0)
