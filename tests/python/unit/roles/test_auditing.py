"""An auditor that nobody tends, on a market in memory: what it looks at, what it does, and what it never does."""

from __future__ import annotations

from pathlib import Path

import pytest
from disputed import ETHER, Liar, flip_one_prediction, opened_lie
from dlbc.core.errors import LimitReached, Unavailable
from dlbc.core.examination import Examination, Subject
from dlbc.core.report import LIMITS
from dlbc.core.types import Ground, Locator, Phase, Reason, Ruling, TaskId, Timestamp, Verdict, Wei
from dlbc.ports import Examining
from dlbc.roles.auditing import MONEY_SECONDS, AuditorDaemon
from dlbc.roles.examination_queue import AGAIN_SECONDS, ExaminationQueue
from fakes.journal import MemoryJournal
from fakes.keys import account
from fakes.storage import MemoryStorage
from fakes.world import Crash, InProcess, OneLook, Steps, World

pytestmark = pytest.mark.unit

STAKE = 10 * ETHER
LOCK = STAKE // 5
BOND = ETHER // 10
DEPOSIT = ETHER // 10
FEE = ETHER // 50
"""Of the settled task; it comes to auditors as dividends, less what is too small for a transaction."""


def gain(world: World, name: str) -> int:
    """What an account has more than at the start, stake included."""
    stake = world.pool.stake_of(account(name).address)
    there = stake.active_wei + stake.pending_wei + stake.unbonding_wei
    return world.market.balances[account(name).address] + there - 10_000 * ETHER


def in_challenge(world: World, *miners: object) -> TaskId:
    """A task whose leader has opened its model."""
    task_id = world.post()
    world.play(task_id, *miners, until=lambda: world.market.phase(task_id).phase is Phase.CHALLENGE)  # type: ignore[arg-type]
    return task_id


def look(auditor: AuditorDaemon, times: int = 4) -> None:
    """Some ticks in a row, without time."""
    for _ in range(times):
        auditor.tick()


def later(world: World, auditor: AuditorDaemon) -> None:
    """After the pause that follows bytes that nobody serves."""
    world.market.now += AGAIN_SECONDS
    look(auditor)


def test_daemon__honest_claim__is_examined_once_and_left_alone(tmp_path: Path) -> None:
    """Test set and claim are looked at; nothing is sent."""
    world = World(tmp_path)
    world.staked("one")
    task_id = world.post()
    auditor = world.audit_daemon("one")
    world.play(task_id, world.miner(), auditors=(auditor,))
    assert [(keys["about"], keys["verdict"]) for keys in world.heard("examined")] == [
        ("the test set", "stands"),
        (f"the claim of {account('miner').address}", "stands"),
    ]
    assert world.pool.filings() == []
    assert not auditor.owed


def test_daemon__fees_that_nobody_shared_out__come_home_within_the_hour(tmp_path: Path) -> None:
    """They wait in the market until some auditor collects them: two auditors share them by their stakes."""
    world = World(tmp_path)
    world.staked("one", "two")
    task_id = world.post()
    one, two = world.audit_daemon("one"), world.audit_daemon("two")
    world.play(task_id, world.miner(), auditors=(one, two))
    world.market.now += MONEY_SECONDS
    look(one)
    look(two)
    assert all(FEE // 2 - 1 <= gain(world, name) <= FEE // 2 for name in ("one", "two"))


def test_daemon__false_claim__is_disputed_and_voted_down_by_daemons_alone(tmp_path: Path) -> None:
    """Two auditors, nobody typing: one disputes, both vote, the liar is struck, and everything comes home."""
    world, task_id = opened_lie(tmp_path, "one", "two")
    one, two = world.audit_daemon("one"), world.audit_daemon("two")
    world.play(task_id, world.miner("honest"), auditors=(one, two))
    assert [event.reason for event in world.onlooker.strikes(task_id, 0)] == [Reason.VOTED]
    assert world.onlooker.winner(task_id, 0).miner == account("honest").address
    assert len(world.pool.filings(task_id)) == 1
    assert DEPOSIT <= gain(world, "one") + gain(world, "two") <= DEPOSIT + FEE
    assert not one.owed
    assert not two.owed


@pytest.mark.parametrize("fatal", range(1, 30))
def test_daemon__killed_at_any_step__does_each_thing_once(tmp_path: Path, fatal: int) -> None:
    """Before and after every record and every transaction."""
    world, task_id = opened_lie(tmp_path, "one", "two")
    steps = Steps(fatal)
    one, two = world.audit_daemon("one", steps=steps), world.audit_daemon("two")
    honest = world.miner("honest")
    try:
        world.play(task_id, honest, auditors=(one, two))
    except Crash:
        world.play(task_id, honest, auditors=(world.audit_daemon("one"), two))
    assert [event.reason for event in world.onlooker.strikes(task_id, 0)] == [Reason.VOTED]
    assert DEPOSIT <= gain(world, "one") + gain(world, "two") <= DEPOSIT + FEE
    filers = [filing.filer for filing in world.pool.filings(task_id)]
    assert len(filers) == len(set(filers))


def test_daemon__somebody_disputes_an_honest_claim__votes_that_it_stands(tmp_path: Path) -> None:
    """A mistaken dispute costs whoever filed it."""
    world = World(tmp_path)
    world.staked("one")
    miner = world.miner()
    task_id = in_challenge(world, miner)
    world.disputer("mistaken").dispute(task_id, Ground.SCORE)
    auditor = world.audit_daemon("one")
    world.play(task_id, miner, auditors=(auditor,))
    (filing,) = world.pool.filings(task_id)
    assert world.pool.case(filing.case_id).ruling is Ruling.STANDS
    assert BOND // 2 <= gain(world, "one") <= BOND // 2 + FEE
    assert world.onlooker.winner(task_id, 0).miner == account("miner").address


def test_daemon__started_while_ballots_are_cast__looks_and_votes(tmp_path: Path) -> None:
    """Its journal knows nothing; the vote has begun."""
    world, task_id = opened_lie(tmp_path, "one")
    world.disputer("disputer").dispute(task_id)
    world.market.move_to_end_of_phase(task_id)
    world.play(task_id, world.miner("honest"), auditors=(world.audit_daemon("one"),))
    (filing,) = world.pool.filings(task_id)
    assert world.pool.case(filing.case_id).ruling is Ruling.FALLS
    assert gain(world, "one") > 0


def test_daemon__claim_that_refutes_itself__is_struck_without_a_bond(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """One transaction and no vote; a third of the deposit comes home."""
    world = World(tmp_path)
    flip_one_prediction(monkeypatch)
    miner = world.miner("liar")
    task_id = in_challenge(world, miner)
    auditor = world.audit_daemon("one")
    world.play(task_id, auditors=(auditor,), until=lambda: world.market.phase(task_id).phase.is_cold)
    assert [event.reason for event in world.onlooker.strikes(task_id, 0)] == [Reason.REFUTED]
    assert world.pool.filings() == []


def test_daemon__predictions_withheld__demands_one_and_refutes_what_is_shown(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Whoever hides has to show, and what is shown proves the lie."""
    world = World(tmp_path)
    flip_one_prediction(monkeypatch, 0)
    liar = world.miner("liar")
    task_id = in_challenge(world, liar)
    (claim,) = world.onlooker.reveals(task_id, 0)
    kept = world.network.pop(claim.claim.predictions)
    auditor = world.audit_daemon("one", may_vote=False)
    look(auditor)
    assert [event.index for event in world.pool.demands(task_id, 0)] == [0]
    world.network[claim.claim.predictions] = kept
    liar.tick()
    del world.network[claim.claim.predictions]
    look(auditor, 6)
    assert [event.reason for event in world.onlooker.strikes(task_id, 0)] == [Reason.REFUTED]


def test_daemon__model_not_served__is_looked_for_twice_before_a_bond_is_paid(tmp_path: Path) -> None:
    """A node that is away for a moment is no false claim."""
    world = World(tmp_path)
    world.staked("one")
    task_id = in_challenge(world, world.miner())
    (opening,) = world.onlooker.openings(task_id, 0)
    (claim,) = world.onlooker.reveals(task_id, 0)
    sealed = claim.proof.sealed_model
    kept = world.network.pop(sealed)
    auditor = world.audit_daemon("one")
    look(auditor)
    assert world.pool.filings() == []
    later(world, auditor)
    (filing,) = world.pool.filings()
    assert filing.grounds == Ground.UNAVAILABLE
    world.network[sealed] = kept
    assert opening.miner == claim.proof.miner


def test_daemon__model_served_again__is_left_alone(tmp_path: Path) -> None:
    """The second look finds it."""
    world = World(tmp_path)
    task_id = in_challenge(world, world.miner())
    (claim,) = world.onlooker.reveals(task_id, 0)
    kept = world.network.pop(claim.proof.sealed_model)
    auditor = world.audit_daemon("one")
    look(auditor)
    world.network[claim.proof.sealed_model] = kept
    later(world, auditor)
    assert [keys["verdict"] for keys in world.heard("examined")] == ["unavailable", "stands"]
    assert world.pool.filings() == []


def test_daemon__test_set_is_gone__impeaches_votes_and_collects(tmp_path: Path) -> None:
    """The requester's fault: the task is aborted."""
    world = World(tmp_path)
    world.staked("one")
    task_id = world.post()
    miner, requester = world.miner(), world.requester()
    world.play(task_id, miner, until=lambda: world.onlooker.round(task_id, 0).commits == 1)
    world.market.move_to_end_of_phase(task_id)
    requester.release(task_id)
    released = world.onlooker.released(task_id, 0)
    assert released is not None
    del world.network[released.test_set.sealed_locator]
    auditor = world.audit_daemon("one")
    look(auditor)
    later(world, auditor)
    assert [filing.filer for filing in world.pool.filings(task_id)] == [account("one").address]
    world.market.now = world.onlooker.round(task_id, 0).reveal_end
    world.play(task_id, miner, auditors=(auditor,))
    assert world.market.phase(task_id).phase is Phase.ABORTED
    assert gain(world, "one") > 0
    assert not auditor.owed


def test_daemon__limit_of_what_may_be_at_risk__is_held_back_and_says_so(tmp_path: Path) -> None:
    """Neither bond nor lock beyond what its owner said; in one line, not in one a second."""
    world, task_id = opened_lie(tmp_path, "one")
    auditor = world.audit_daemon("one", most_at_risk_wei=BOND - 1)
    look(auditor)
    assert world.pool.filings() == []
    world.disputer("other").dispute(task_id)
    world.market.move_to_end_of_phase(task_id)
    look(auditor, 10)
    assert world.pool.ballots_of(account("one").address) == []
    assert [keys["why"].split(" on ")[0] for keys in world.heard("held_back")] == ["a dispute", "a ballot"]


def test_daemon__neither_disputes_nor_votes__when_told_so(tmp_path: Path) -> None:
    """It still looks and tells."""
    world, task_id = opened_lie(tmp_path, "one")
    auditor = world.audit_daemon("one", may_dispute=False, may_vote=False)
    look(auditor)
    world.disputer("other").dispute(task_id)
    world.market.move_to_end_of_phase(task_id)
    look(auditor)
    assert [keys["verdict"] for keys in world.heard("examined")] == ["falls"]
    assert [filing.filer for filing in world.pool.filings()] == [account("other").address]
    assert world.pool.ballots_of(account("one").address) == []


def test_daemon__no_money_for_the_bond__is_told_and_goes_on(tmp_path: Path) -> None:
    """One sentence; the vote of another task is not kept waiting."""
    world, task_id = opened_lie(tmp_path, "one")
    world.market.balances[account("one").address] = 0
    auditor = world.audit_daemon("one")
    look(auditor, 8)
    assert [keys["reason"] for keys in world.heard("refused", "one")] == [
        f"the bond is 0.1 ether, {account('one').address} holds 0 ether; nothing was sent"
    ]
    assert world.pool.filings(task_id) == []


def test_daemon__several_claims__begins_with_the_one_whose_time_ends_first(tmp_path: Path) -> None:
    """One at a time."""
    world = World(tmp_path)
    first = in_challenge(world, world.miner("a"))
    world.market.now += 60
    second = world.post()
    world.play((first, second), world.miner("b", tasks=(second,)), until=lambda: True)
    examinations = InProcess(world.examiner())
    auditor = world.audit_daemon("one", examinations=examinations)
    auditor.tick()
    assert examinations.started == [(first, False)]


def test_queue__sham_tasks_that_end_sooner__wait_for_the_claim_that_is_worth_a_lie(tmp_path: Path) -> None:
    """Whoever serves the models of penny tasks slowly keeps auditors busy with those at most."""
    world = World(tmp_path)
    examinations = InProcess(world.examiner())
    queue = ExaminationQueue(MemoryJournal(), examinations)
    task_id = in_challenge(world, world.miner())
    worthy = Subject(task_id, 0, account("miner").address)
    for number in range(5):
        queue.want(Subject(TaskId(90 + number), 0, worthy.account), Timestamp(50 + number), Wei(1))
    queue.want(worthy, Timestamp(10_000), Wei(ETHER))
    queue.step(Timestamp(1))
    assert examinations.started == [(task_id, False)]


def test_daemon__node_does_not_take_the_evidence__disputes_the_next_time(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """An IPFS node's bad moment must not leave a false claim alone."""
    world, task_id = opened_lie(tmp_path, "one")
    failures, add = iter([True]), MemoryStorage.add

    def moody(self: MemoryStorage, data: bytes) -> Locator:
        if next(failures, False):
            raise Unavailable("the node did not take the bytes: no space left on device")
        return add(self, data)

    monkeypatch.setattr(MemoryStorage, "add", moody)
    look(world.audit_daemon("one"), 8)
    assert [filing.filer for filing in world.pool.filings(task_id)] == [account("one").address]


def test_daemon__liar_and_an_auditor_without_stake__dispute_is_filed_all_the_same(tmp_path: Path) -> None:
    """A bond needs no stake."""
    world = World(tmp_path)
    liar = world.miner("liar", trainer=Liar(noise=20.0))
    task_id = in_challenge(world, liar)
    auditor = world.audit_daemon("one")
    look(auditor)
    assert [filing.filer for filing in world.pool.filings(task_id)] == [account("one").address]


class Breaking(InProcess):
    """Examinations that end by their limits so many times."""

    breaks = 2

    def start(self, task_id: TaskId, *, test_set: bool) -> Examining:
        running = super().start(task_id, test_set=test_set)
        if len(self.started) > self.breaks:
            return running

        def broken() -> Examination:
            raise LimitReached("it took longer than 60 s and was ended")

        return AsItIs(broken)


class AsItIs(OneLook):
    """Its errors come as they are."""

    def poll(self) -> Examination | None:
        self.looks += 1
        return None if self.looks < 2 else self.examine()


@pytest.mark.parametrize(("breaks", "verdict"), [(1, "falls"), (2, "none")])
def test_daemon__examination_breaks_its_limits__is_given_up_the_second_time(
    tmp_path: Path, breaks: int, verdict: str
) -> None:
    """Neither an endless retry nor a guess: no dispute, no ballot, and the operator is told."""
    world, task_id = opened_lie(tmp_path, "one")
    examinations = Breaking(world.examiner())
    examinations.breaks = breaks
    auditor = world.audit_daemon("one", examinations=examinations)
    look(auditor)
    assert world.heard("examined", "one") == []
    later(world, auditor)
    (told,) = world.heard("examined", "one")
    assert (told["verdict"], told["failed"] == LIMITS) == (verdict, verdict == "none")
    later(world, auditor)
    assert len(examinations.started) == 2
    assert len(world.pool.filings(task_id)) == (verdict == "falls")


def test_daemon__restarted_after_its_limits_were_broken__looks_again(tmp_path: Path) -> None:
    """Perhaps with more memory."""
    world, task_id = opened_lie(tmp_path, "one")
    auditor = world.audit_daemon("one", examinations=Breaking(world.examiner()))
    look(auditor)
    later(world, auditor)
    assert world.pool.filings(task_id) == []
    look(world.audit_daemon("one"))
    assert len(world.pool.filings(task_id)) == 1


def test_examiner__test_set_is_gone__still_says_what_the_claim_is(tmp_path: Path) -> None:
    """What refutes by predictions needs the test set; the rest of the examination does not."""
    world, task_id = opened_lie(tmp_path)
    released = world.onlooker.released(task_id, 0)
    (claim,) = [event for event in world.onlooker.reveals(task_id, 0) if event.proof.miner == account("liar").address]
    assert released is not None
    world.network[released.test_set.sealed_locator] = b"nothing of use"
    assert world.examiner().examine(task_id).verdict is Verdict.NONE
    world.network[claim.proof.sealed_model] = b"nothing of use"
    assert world.examiner().examine(task_id).verdict is Verdict.UNAVAILABLE
    del world.network[world.onlooker.task_posted(task_id).terms.manifest]
    assert world.examiner().examine(task_id).verdict is Verdict.NONE
