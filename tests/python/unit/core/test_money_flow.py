"""The money of a task, however it ends: every wei is taken in once, and credited once or still due."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import pytest
from dlbc.core import proofs
from dlbc.core.money_flow import MoneyFlow
from dlbc.core.types import TaskId, Verdict, Wei
from dlbc.roles.reporting import money_of
from fakes.chain import FakeChain
from fakes.scene import ETHER, TERMS, Scene

pytestmark = pytest.mark.unit


def flow_of(scene: Scene, task_id: TaskId) -> MoneyFlow:
    """As a report reads it."""
    chain = FakeChain(scene.market)
    return money_of(chain, task_id, chain.history(task_id))


def posted(scene: Scene) -> TaskId:
    """Nobody committed yet."""
    return scene.post()


def cancelled(scene: Scene) -> TaskId:
    """Taken back."""
    task_id = scene.post()
    scene.chain("requester").cancel(task_id)
    return task_id


def void(scene: Scene) -> TaskId:
    """Nobody committed in time."""
    task_id = scene.post()
    scene.end_phase(task_id)
    scene.chain("onlooker").advance(task_id)
    return task_id


def aborted(scene: Scene) -> TaskId:
    """Never released; one of three has its deposit and share back, the bond has a remainder."""
    task_id = scene.post()
    for name in ("one", "two", "three"):
        scene.commit(task_id, name, 3)
    scene.end_phase(task_id)
    scene.end_phase(task_id)
    scene.chain("onlooker").advance(task_id)
    scene.chain("onlooker").reclaim(task_id, 0, scene.who("two"))
    return task_id


def settled(scene: Scene) -> TaskId:
    """One claim won, one lost, one was never revealed; nobody took a deposit back."""
    task_id = scene.post()
    works = [scene.commit(task_id, name, right) for name, right in (("best", 5), ("worse", 3))]
    scene.commit(task_id, "silent", 2)
    scene.release(task_id)
    for work in works:
        scene.reveal(work)
    scene.end_phase(task_id)
    scene.open(works[0])
    scene.end_phase(task_id)
    scene.chain("onlooker").advance(task_id)
    return task_id


def all_back(scene: Scene) -> TaskId:
    """The same, and nothing is due any more."""
    task_id = settled(scene)
    for name in ("best", "worse"):
        scene.chain("onlooker").reclaim(task_id, 0, scene.who(name))
    return task_id


def silent_leader(scene: Scene) -> TaskId:
    """The leader never opened."""
    task_id, _ = scene.revealing(best=(5, 0), worse=(3, 0))
    scene.end_phase(task_id)
    scene.end_phase(task_id)
    scene.chain("onlooker").advance(task_id)
    return task_id


def refuted(scene: Scene) -> TaskId:
    """The leader's own predictions prove it false."""
    task_id, works = scene.revealing(liar=(3, 2), honest=(3, 0))
    liar = works["liar"]
    scene.pool("refuter").refute(liar.ref, 3, liar.leaf(3), liar.path(3), scene.label(3))
    return task_id


def voted_down(scene: Scene) -> TaskId:
    """Struck by a vote; the disputer and a voter have collected."""
    scene.stake(ann=10 * ETHER, bob=10 * ETHER)
    task_id, _ = scene.challenged(liar=(5, 0), honest=(3, 0))
    case_id = scene.dispute(task_id, "disputer")
    scene.vote(task_id, case_id, ann=Verdict.FALLS, bob=Verdict.FALLS)
    scene.pool("disputer").collect_bond(case_id, scene.who("disputer"))
    scene.pool("ann").collect_vote(case_id, 0, scene.who("ann"))
    return task_id


def upheld(scene: Scene) -> TaskId:
    """A dispute that failed: the leader has a part of the bond, and is paid."""
    scene.stake(ann=10 * ETHER)
    task_id, _ = scene.challenged(honest=(5, 0))
    scene.vote(task_id, scene.dispute(task_id, "disputer"), ann=Verdict.STANDS)
    scene.chain("onlooker").advance(task_id)
    return task_id


def demanded(scene: Scene) -> TaskId:
    """A prediction was demanded and shown."""
    task_id, works = scene.challenged(honest=(5, 0))
    work = works["honest"]
    scene.pool("asker").demand(work.ref, 1, scene.state.params.demand_bond_wei)
    scene.pool("honest").answer(work.ref, 1, work.leaf(1), work.path(1))
    return task_id


ENDINGS: list[Callable[[Scene], TaskId]] = [
    posted,
    cancelled,
    void,
    aborted,
    settled,
    all_back,
    silent_leader,
    refuted,
    voted_down,
    upheld,
    demanded,
]


@pytest.mark.parametrize("play", ENDINGS, ids=lambda play: play.__name__)
def test_money_flow__however_a_task_ends__every_wei_has_one_place(play: Callable[[Scene], TaskId]) -> None:
    """What the market holds for the only task is what its log and its facts say, each on its own."""
    scene = Scene()
    flow = flow_of(scene, play(scene))
    assert FakeChain(scene.market).liabilities()[0] == flow.held_wei == flow.due_wei
    assert flow.agrees
    assert "credited" not in {transfer.what for transfer in (*flow.market, *flow.pool)}


def named(flow: MoneyFlow) -> dict[str, int]:
    """Sums by what they are for."""
    sums: dict[str, int] = {}
    for transfer in (*flow.market, *flow.pool):
        sums[transfer.what] = sums.get(transfer.what, 0) + transfer.wei
    return sums


def test_money_flow__settled_with_a_silent_miner__names_each_share() -> None:
    """The pool's one credit is told apart: the fee, and the deposit that was never revealed."""
    scene = Scene()
    fee = TERMS.bounty_wei * 200 // 10_000
    assert named(flow_of(scene, settled(scene))) == {
        "bounty": TERMS.bounty_wei,
        "requester's bond": TERMS.bond_wei,
        "miner's deposit": 3 * TERMS.deposit_wei,
        "requester's bond back": TERMS.bond_wei,
        "prize": TERMS.bounty_wei - fee,
        "fee": fee,
        "deposits never revealed": TERMS.deposit_wei,
    }


def test_money_flow__first_of_two_rounds_settled__the_rest_is_still_due() -> None:
    """The bond goes back with the last round only; a round's bounty, the bond and a deposit are held."""
    scene = Scene()
    commitment = proofs.test_commitment(scene.test_set()[0])
    terms = replace(TERMS, bond_wei=Wei(ETHER))
    task_id = scene.chain("requester").post(terms, [commitment, commitment]).task_id
    assert task_id is not None
    work = scene.commit(task_id, "miner", 5)
    scene.release(task_id)
    scene.reveal(work)
    scene.end_phase(task_id)
    scene.open(work)
    scene.end_phase(task_id)
    scene.chain("onlooker").advance(task_id)
    flow = flow_of(scene, task_id)
    assert TERMS.bounty_wei + ETHER + TERMS.deposit_wei == flow.due_wei == flow.held_wei
    assert named(flow)["bounty"] == 2 * TERMS.bounty_wei
    assert "requester's bond back" not in named(flow)


def test_money_flow__replaced_commit__counts_its_deposit_once() -> None:
    """A replacement pays nothing."""
    scene = Scene()
    task_id = scene.post()
    scene.commit(task_id, "miner", 3)
    chain, terms_hash = scene.chain("miner"), scene.market.tasks[task_id].terms_hash
    chain.commit(task_id, 0, terms_hash, terms_hash, TERMS.manifest, Wei(0))
    flow = flow_of(scene, task_id)
    assert named(flow)["miner's deposit"] == TERMS.deposit_wei
    assert flow.agrees


def test_money_flow__log_with_a_wei_too_many__does_not_agree() -> None:
    """A node that shows another credit than the rules give is found out."""
    scene = Scene()
    task_id = all_back(scene)
    events = scene.market.happened[task_id]
    index = next(number for number, event in enumerate(events) if event.name == "Credited")
    events[index] = replace(events[index], wei=Wei(events[index].wei + 1))
    assert not flow_of(scene, task_id).agrees


def test_money_flow__dispute_that_won__names_what_the_pool_paid() -> None:
    """Bonds of disputes are the pool's, not the market's."""
    scene = Scene()
    flow = flow_of(scene, voted_down(scene))
    assert {transfer.what for transfer in flow.pool} == {
        "bond of a dispute",
        "bond back, with a share if it won",
        "share of a vote",
    }
    assert named(flow)["struck deposit"] == TERMS.deposit_wei
