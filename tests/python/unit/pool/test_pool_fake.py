"""The pool in memory obeys the rules of disputes to the wei; the contract tests hold it against the real one."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import suppress
from dataclasses import replace
from random import Random
from typing import Any

import pytest
from dlbc.core.errors import ContractRefused
from dlbc.core.types import (
    ZERO_HASH,
    Fault,
    Ground,
    Hash32,
    Locator,
    Outcome,
    Phase,
    PredictionLeaf,
    Reason,
    Ruling,
    TaskId,
    Verdict,
    Vote,
    Wei,
)
from fakes.chain import FakeChain
from fakes.pool import FakePool
from fakes.scene import ETHER, LABELS, TERMS, Scene, Work
from hypothesis import given, settings
from hypothesis import strategies as st

pytestmark = pytest.mark.unit

BOND = -(-TERMS.bounty_wei // 10)
DEPOSIT = TERMS.deposit_wei
STANDS, FALLS, UNAVAILABLE = Verdict.STANDS, Verdict.FALLS, Verdict.UNAVAILABLE
LOCK = ETHER * 2_000 // 10_000
"""Of a ballot that one ether stands behind."""


@pytest.fixture
def scene() -> Scene:
    """A market with three auditors of one ether each."""
    found = Scene()
    found.stake(xen=ETHER, yan=ETHER, zoe=ETHER)
    return found


def refused(name: str, action: Callable[[], object]) -> None:
    """The contract refuses this with that custom error."""
    with pytest.raises(ContractRefused) as caught:
        action()
    assert caught.value.name == name


# ---------------------------------------------------------------- stakes


def test_stake__before_activation__neither_votes_nor_earns() -> None:
    """P-56: pending stake becomes active once its time has come, by anyone's call."""
    scene = Scene()
    pool = scene.pool("xen")
    pool.stake(Wei(ETHER))

    refused("Pool_NotReady", lambda: pool.activate(scene.who("xen")))
    assert pool.totals() == (0, 0)
    scene.pass_time(scene.state.params.activation_seconds)
    scene.pool("yan").activate(scene.who("xen"))

    assert (pool.stake_of(scene.who("xen")).active_wei, pool.totals()) == (ETHER, (ETHER, 0))
    assert pool.stake_at(scene.who("xen"), replace_time(scene, -1)) == 0
    assert pool.stake_at(scene.who("xen"), replace_time(scene, 0)) == ETHER
    refused("Pool_NothingPending", lambda: pool.activate(scene.who("xen")))


def replace_time(scene: Scene, change: int) -> Any:
    """Now, give or take."""
    return scene.market.now + change


def test_stake__added_to_a_ready_one__activates_that_first(scene: Scene) -> None:
    """Adding stake does not send stake that is ready back to waiting."""
    pool = scene.pool("new")
    pool.stake(Wei(7))
    scene.pass_time(scene.state.params.activation_seconds)
    pool.stake(Wei(5))

    found = pool.stake_of(scene.who("new"))
    assert (found.active_wei, found.pending_wei) == (7, 5)


def test_unstake__pending_before_active__paid_after_unbonding(scene: Scene) -> None:
    """P-56: what leaves neither earns nor votes, and is paid when the unbonding period is over."""
    pool, who = scene.pool("xen"), scene.who("xen")
    pool.stake(Wei(10))
    pool.unstake(Wei(ETHER // 2 + 10))

    found = pool.stake_of(who)
    assert (found.pending_wei, found.active_wei, found.unbonding_wei) == (0, ETHER // 2, ETHER // 2 + 10)
    refused("Pool_NotReady", lambda: pool.finish_unstake(who))
    refused("Pool_TooLittleStake", lambda: pool.unstake(Wei(ETHER)))
    scene.pass_time(scene.state.params.unbonding_seconds)
    pool.finish_unstake(who)
    assert pool.credit(who) == ETHER // 2 + 10
    refused("Pool_NothingUnbonding", lambda: pool.finish_unstake(who))


# ---------------------------------------------------------------- disputes


def test_dispute__falls__leader_struck_and_its_deposit_shared(scene: Scene) -> None:
    """P-55: bonds back, a third to the filers, the rest and the losers' locks to the voters, and the fee on a void."""
    task_id, works = scene.challenged(ann=(2, 3))
    case_id = scene.dispute(task_id, "eve")
    assert case_id == scene.dispute(task_id, "fay", grounds=2)
    scene.vote(task_id, case_id, xen=FALLS, yan=UNAVAILABLE, zoe=STANDS)

    pool, chain = scene.pool("any"), scene.chain("any")
    assert pool.ruling(case_id, 0) is Ruling.FALLS
    assert pool.case(case_id).grounds == 3
    assert [strike.reason for strike in chain.strikes(task_id, 0)] == [Reason.VOTED]
    assert chain.entry(task_id, 0, works["ann"].keys.address).is_struck
    for name in ("eve", "fay"):
        pool.collect_bond(case_id, scene.who(name))
    for name in ("xen", "yan", "zoe"):
        pool.collect_vote(case_id, 0, scene.who(name))
    filers = [pool.credit(scene.who(name)) for name in ("eve", "fay")]
    voters = [pool.credit(scene.who(name)) for name in ("xen", "yan", "zoe")]
    third = DEPOSIT // 3
    assert (sum(filers), filers[0]) == (2 * BOND + third, BOND + third // 2)
    assert sum(voters) == DEPOSIT - third + LOCK
    assert (voters[2], abs(voters[0] - voters[1]) <= 1) == (0, True)
    assert [pool.stake_of(scene.who(name)).active_wei for name in ("xen", "yan", "zoe")] == [ETHER, ETHER, ETHER - LOCK]

    scene.end_phase(task_id)
    before = chain.credit(scene.who("requester"))
    chain.advance(task_id)
    fee = TERMS.bounty_wei * 200 // 10_000
    assert chain.task(task_id).outcome is Outcome.VOID
    assert chain.credit(scene.who("requester")) - before == TERMS.bounty_wei + TERMS.bond_wei - fee


def test_dispute__stands__half_of_the_bonds_to_the_leader_then_settled(scene: Scene) -> None:
    """P-55: the claim is final; the other half and the losers' lock go to who said so."""
    task_id, works = scene.challenged(ann=(5, 0))
    case_id = scene.dispute(task_id, "eve")
    scene.vote(task_id, case_id, xen=STANDS, yan=STANDS, zoe=FALLS)

    pool, chain = scene.pool("any"), scene.chain("any")
    assert pool.credit(works["ann"].keys.address) == BOND // 2
    for name in ("xen", "yan", "zoe"):
        pool.collect_vote(case_id, 0, scene.who(name))
    assert pool.credit(scene.who("xen")) + pool.credit(scene.who("yan")) == BOND - BOND // 2 + LOCK
    refused("Pool_NothingToCollect", lambda: pool.collect_bond(case_id, scene.who("eve")))
    assert chain.phase(task_id).due
    chain.advance(task_id)
    assert chain.task(task_id).outcome is Outcome.SETTLED


def test_dispute__split__everything_goes_back(scene: Scene) -> None:
    """P-54: with as much for as against the claim stands and nobody is slashed."""
    task_id, _ = scene.challenged(ann=(5, 0))
    case_id = scene.dispute(task_id, "eve")
    scene.vote(task_id, case_id, xen=STANDS, yan=FALLS)

    pool = scene.pool("any")
    for name in ("xen", "yan"):
        pool.collect_vote(case_id, 0, scene.who(name))
        assert (pool.stake_of(scene.who(name)).active_wei, pool.credit(scene.who(name))) == (ETHER, 0)
    pool.collect_bond(case_id, scene.who("eve"))
    assert pool.credit(scene.who("eve")) == BOND
    assert pool.ruling(case_id, 0) is Ruling.SPLIT


def test_dispute__no_quorum_twice__repeated_once_then_a_tenth_to_the_leader(scene: Scene) -> None:
    """P-55: the repeat runs at double length and takes new ballots; then the claim stands."""
    task_id, works = scene.challenged(ann=(5, 0))
    case_id = scene.dispute(task_id, "eve")
    scene.vote(task_id, case_id)
    pool = scene.pool("any")
    assert (pool.ruling(case_id, 0), pool.ruling(case_id, 1)) == (Ruling.REPEAT, Ruling.NONE)
    start, commit_end, reveal_end = pool.windows(case_id)
    assert (start, commit_end - start, reveal_end - start) == (scene.market.now, 3_600, 7_200)
    scene.vote(task_id, case_id)

    assert pool.ruling(case_id, 1) is Ruling.NO_QUORUM
    pool.collect_bond(case_id, scene.who("eve"))
    assert pool.credit(scene.who("eve")) == BOND - BOND // 10
    assert pool.credit(works["ann"].keys.address) == BOND // 10


def test_dispute__first_vote_without_quorum__its_locks_weigh_in_the_repeat(scene: Scene) -> None:
    """A ballot of the first vote is collected at once; the repeat has an id, and so ballots, of its own."""
    scene.stake(tiny=100)
    task_id, _ = scene.challenged(ann=(5, 0))
    case_id = scene.dispute(task_id, "eve")
    scene.vote(task_id, case_id, tiny=FALLS)

    pool, tiny = scene.pool("tiny"), scene.who("tiny")
    assert pool.lock_for(case_id, tiny) == 16
    pool.collect_vote(case_id, 0, tiny)
    assert pool.lock_for(case_id, tiny) == 20
    assert (pool.stake_of(tiny).ballots, pool.dividend(tiny)[2]) == (0, 0)  # without a quorum it counts for nobody
    scene.cast(case_id, "tiny", FALLS)
    refused("Pool_AlreadyVoted", lambda: scene.cast(case_id, "tiny", STANDS))


def test_dispute__ballot_never_opened__lost_to_all_stakes(scene: Scene) -> None:
    """P-54: unrevealed locks are shared out; whoever forgot has nothing to collect."""
    task_id, _ = scene.challenged(ann=(5, 0))
    case_id = scene.dispute(task_id, "eve")
    scene.end_phase(task_id)
    for name in ("xen", "yan", "zoe"):
        scene.cast(case_id, name, STANDS)
    scene.end_phase(task_id)
    scene.show(case_id, "xen", STANDS)
    scene.end_phase(task_id)
    scene.chain("any").advance(task_id)

    pool = scene.pool("any")
    assert pool.totals()[1] == 2 * LOCK
    refused("Pool_NothingToCollect", lambda: pool.collect_vote(case_id, 0, scene.who("yan")))
    pool.collect_fees()
    assert pool.dividend(scene.who("xen"))[0] > 0


def test_dispute__stake_came_after_the_opening__no_weight(scene: Scene) -> None:
    """P-54: weights are the stakes when the leader opened, capped by what is active now."""
    late = scene.pool("late")
    late.stake(Wei(ETHER))
    scene.pass_time(scene.state.params.activation_seconds)
    task_id, _ = scene.challenged(ann=(5, 0))
    late.activate(scene.who("late"))
    scene.pass_time(1)
    case_id = scene.dispute(task_id, "eve")
    scene.pool("xen").unstake(Wei(ETHER // 2))
    scene.end_phase(task_id)

    assert late.lock_for(case_id, scene.who("late")) == LOCK  # activated in the very second of the opening
    assert late.lock_for(case_id, scene.who("xen")) == LOCK // 2
    refused("Pool_NoWeight", lambda: scene.cast(case_id, "nobody", STANDS))


@pytest.mark.parametrize(
    ("grounds", "samples", "wei", "error"),
    [
        (0, (), BOND, "Pool_WrongGrounds"),
        (128, (), BOND, "Pool_WrongGrounds"),
        (1, (0,), BOND, "Pool_WrongSamples"),
        (Ground.SAMPLES, (), BOND, "Pool_WrongSamples"),
        (Ground.SAMPLES, (0,) * 9, BOND, "Pool_WrongSamples"),
        (1, (), BOND - 1, "Pool_WrongValue"),
    ],
)
def test_dispute__malformed__refused_without_a_trace(
    scene: Scene, grounds: int, samples: tuple[int, ...], wei: int, error: str
) -> None:
    """A refused dispute calls no vote and takes no money."""
    task_id, _ = scene.challenged(ann=(5, 0))
    pool, before = scene.pool("eve"), scene.ether

    refused(error, lambda: pool.dispute(task_id, grounds, Locator(ZERO_HASH), samples, Wei(wei)))
    assert FakeChain(scene.market).round(task_id, 0).vote is Vote.NONE
    assert (scene.ether, pool.filings()) == (before, [])


def test_ballots__outside_their_windows_or_wrong__refused(scene: Scene) -> None:
    """P-54: commit, then reveal; exactly the ballot that was cast opens it."""
    task_id, _ = scene.challenged(ann=(5, 0))
    case_id = scene.dispute(task_id, "eve")
    refused("Pool_AlreadyFiled", lambda: scene.dispute(task_id, "eve"))
    refused("Pool_NotInWindow", lambda: scene.cast(case_id, "xen", STANDS))
    refused("Pool_UnknownCase", lambda: scene.pool("xen").commit_vote(ZERO_HASH, ZERO_HASH))
    scene.end_phase(task_id)
    refused("Market_WrongPhase", lambda: scene.dispute(task_id, "fay"))
    refused("Pool_EmptyBallot", lambda: scene.pool("xen").commit_vote(case_id, ZERO_HASH))
    scene.cast(case_id, "xen", STANDS)
    refused("Pool_NotInWindow", lambda: scene.show(case_id, "xen", STANDS))
    scene.end_phase(task_id)
    refused("Pool_WrongBallot", lambda: scene.show(case_id, "xen", FALLS))
    refused("Pool_WrongVerdict", lambda: scene.show(case_id, "xen", Verdict.NONE))
    scene.show(case_id, "xen", STANDS)
    refused("Pool_WrongBallot", lambda: scene.show(case_id, "xen", STANDS))
    refused("Pool_NotInWindow", lambda: scene.pool("any").resolve(task_id))
    refused("Pool_NotResolved", lambda: scene.pool("any").collect_vote(case_id, 0, scene.who("xen")))
    refused("Pool_NotResolved", lambda: scene.pool("any").collect_bond(case_id, scene.who("eve")))


# ---------------------------------------------------------------- impeachments


def test_impeach__upheld__aborted_and_the_voters_share_the_pool_s_half(scene: Scene) -> None:
    """P-45, P-21: committers share half of the requester's bond, the winning voters the rest."""
    task_id, works = scene.revealing(ann=(5, 0), bob=(4, 0))
    case_id = scene.impeach(task_id, "eve")
    scene.vote(task_id, case_id, xen=UNAVAILABLE, yan=FALLS)

    pool, chain = scene.pool("any"), scene.chain("any")
    share = TERMS.bond_wei // 2 // 2
    assert chain.task(task_id).outcome is Outcome.ABORTED
    for work in works.values():
        chain.reclaim(task_id, 0, work.keys.address)
        assert chain.credit(work.keys.address) == DEPOSIT + share
    for name in ("xen", "yan"):
        pool.collect_vote(case_id, 0, scene.who(name))
    pool.collect_bond(case_id, scene.who("eve"))
    assert pool.credit(scene.who("xen")) + pool.credit(scene.who("yan")) == TERMS.bond_wei - 2 * share
    assert pool.credit(scene.who("eve")) == BOND


def test_impeach__overruled__half_of_the_bond_to_the_requester_then_opening(scene: Scene) -> None:
    """P-45: Opening begins at the verdict, and deposits of losers wait until then."""
    task_id, works = scene.revealing(ann=(5, 0))
    chain, pool = scene.chain("any"), scene.pool("any")
    case_id = scene.impeach(task_id, "eve")
    scene.vote(task_id, case_id, xen=STANDS, yan=STANDS)

    assert pool.credit(scene.who("requester")) == BOND // 2
    info = chain.phase(task_id)
    assert (info.phase, info.ends_at) == (Phase.OPENING, scene.market.now + TERMS.open_seconds)
    scene.open(works["ann"])


def test_impeach__leader_refuted_meanwhile__the_vote_goes_on_and_nominating_follows(scene: Scene) -> None:
    """P-58 is about the claim's vote only: a strike of the leader leaves an impeachment alone."""
    task_id, works = scene.revealing(ann=(2, 3), bob=(4, 0))
    case_id = scene.impeach(task_id, "eve")
    refute(scene, works["ann"], "eve", 2)
    scene.vote(task_id, case_id, xen=STANDS, yan=STANDS)

    info = scene.chain("any").phase(task_id)
    assert (info.phase, info.due) == (Phase.NOMINATING, False)
    scene.chain("bob").nominate(task_id, works["bob"].keys.address)


# ---------------------------------------------------------------- refutations and demands


def refute(scene: Scene, work: Work, name: str, index: int) -> None:
    """With the label's proof."""
    scene.pool(name).refute(work.ref, index, work.leaf(index), work.path(index), scene.label(index))


def test_refute__wrong_score__a_third_to_the_refuter_and_the_vote_is_moot(scene: Scene) -> None:
    """M-6, P-58: the strike ends the running vote; every lock and bond goes back, opened or not."""
    task_id, works = scene.challenged(ann=(2, 3), bob=(4, 0))
    case_id = scene.dispute(task_id, "eve")
    scene.end_phase(task_id)
    for name in ("xen", "yan"):
        scene.cast(case_id, name, FALLS)
    scene.end_phase(task_id)
    scene.show(case_id, "xen", FALLS)
    refused("Pool_NotResolved", lambda: recover(scene, case_id, "yan"))
    refute(scene, works["ann"], "ref", 2)

    pool, chain = scene.pool("any"), scene.chain("any")
    assert chain.credit(scene.who("ref")) == DEPOSIT // 3
    assert chain.phase(task_id).phase is Phase.NOMINATING
    refused("Pool_NothingDisputed", lambda: pool.resolve(task_id))
    pool.collect_vote(case_id, 0, scene.who("xen"))
    recover(scene, case_id, "yan")
    pool.collect_bond(case_id, scene.who("eve"))
    for name in ("xen", "yan"):
        found = pool.stake_of(scene.who(name))
        assert (found.active_wei, found.ballots) == (ETHER, 0)
    assert pool.credit(scene.who("eve")) == BOND
    refused("Market_NotStrikable", lambda: refute(scene, works["ann"], "ref", 2))


def recover(scene: Scene, case_id: Hash32, name: str) -> None:
    """A Falls ballot that was never opened."""
    pool = scene.pool("any")
    pool.recover_vote(case_id, 0, scene.who(name), scene.ballot_of(case_id, 0, name, FALLS), Wei(LOCK))


def test_refute__honest_claim_or_broken_proof__refused(scene: Scene) -> None:
    """Only what the claim itself committed to proves anything."""
    _, works = scene.revealing(ann=(4, 0), bob=(2, 1))
    honest, liar, pool = works["ann"], works["bob"], scene.pool("ref")
    label = scene.label(2)
    leaf, path = liar.leaf(2), liar.path(2)

    refused("Claim_NoFault", lambda: refute(scene, honest, "ref", 4))
    refused("Claim_NoFault", lambda: pool.refute(liar.ref, 2, leaf, path, None))
    refused("Claim_WrongPathLength", lambda: pool.refute(liar.ref, 2, leaf, path[1:], label))
    refused("Claim_IndexOutOfRange", lambda: pool.refute(liar.ref, 8, leaf, path, label))
    refused("Claim_WrongPath", lambda: pool.refute(liar.ref, 3, leaf, path, label))
    refused("Claim_WrongLabelPath", lambda: pool.refute(liar.ref, 2, leaf, path, replace(label, label=3)))
    refused("Claim_WrongPathLength", lambda: pool.refute(liar.ref, 2, leaf, path, replace(label, path=())))
    other = replace(label, test_set=replace(label.test_set, classes=6))
    refused("Market_WrongTestSet", lambda: pool.refute(liar.ref, 2, leaf, path, other))
    refused("Claim_WrongTop", lambda: pool.refute(replace(liar.ref, h_top=ZERO_HASH), 2, leaf, path, label))
    mixed = replace(liar.ref, claim=honest.claim)
    refused("Claim_NotRevealed", lambda: pool.refute(mixed, 2, leaf, path, label))
    assert scene.state.refute(scene.who("ref"), liar.ref, 2, leaf, path, label) is Fault.WRONG_SCORE


def test_demand__answered__the_bond_is_the_answerer_s_and_settlement_waits(scene: Scene) -> None:
    """M-7, P-58: the challenge does not end before the answer."""
    task_id, works = scene.challenged(ann=(5, 0))
    work, bond = works["ann"], scene.state.params.demand_bond_wei
    scene.pass_time(TERMS.challenge_seconds - 10)
    scene.pool("dan").demand(work.ref, 3, bond)
    refused("Claim_AlreadyDemanded", lambda: scene.pool("eve").demand(work.ref, 3, bond))
    refused("Claim_IndexOutOfRange", lambda: scene.pool("eve").demand(work.ref, 5, bond))
    refused("Pool_WrongValue", lambda: scene.pool("eve").demand(work.ref, 4, Wei(bond - 1)))
    scene.pass_time(10)

    chain, pool = scene.chain("any"), scene.pool("ann")
    assert (chain.phase(task_id).phase, chain.phase(task_id).due) == (Phase.CHALLENGE, False)
    refused("Market_WrongPhase", lambda: scene.pool("eve").demand(work.ref, 4, bond))
    refused("Market_WrongPhase", lambda: scene.dispute(task_id, "eve"))
    refused("Claim_StillOpen", lambda: pool.close_demand(task_id, 0, work.keys.address, 3))
    refused("Claim_NotDemanded", lambda: pool.answer(work.ref, 4, work.leaf(4), work.path(4)))
    refused("Claim_WrongPath", lambda: pool.answer(work.ref, 3, PredictionLeaf(0, 1), work.path(3)))
    pool.answer(work.ref, 3, work.leaf(3), work.path(3))

    assert pool.credit(scene.who("ann")) == bond
    assert [answer.leaf for answer in pool.shown(task_id, 0)] == [work.leaf(3)]
    assert not chain.phase(task_id).due  # what was shown can still be refuted
    scene.end_phase(task_id)
    chain.advance(task_id)
    assert chain.task(task_id).outcome is Outcome.SETTLED


def test_demand__not_answered__struck_and_the_bond_goes_back(scene: Scene) -> None:
    """M-7: whoever withholds a leaf of its own tree is struck, even while its opening still runs."""
    task_id, works = scene.revealing(ann=(5, 0), bob=(4, 0))
    scene.end_phase(task_id)
    work, bond = works["ann"], scene.state.params.demand_bond_wei
    scene.pool("dan").demand(work.ref, 0, bond)
    refused("Market_NotLeader", lambda: scene.pool("dan").demand(works["bob"].ref, 0, bond))
    scene.open(work)
    scene.pass_time(TERMS.open_seconds)
    refused("Market_WrongPhase", lambda: scene.pool("ann").answer(work.ref, 0, work.leaf(0), work.path(0)))
    scene.chain("any").advance(task_id)

    pool = scene.pool("any")
    assert [strike.reason for strike in scene.chain("any").strikes(task_id, 0)] == [Reason.WITHHELD]
    pool.close_demand(task_id, 0, work.keys.address, 0)
    assert pool.credit(scene.who("dan")) == bond
    assert scene.chain("any").credit(scene.state.address) == DEPOSIT
    assert scene.chain("any").round(task_id, 0).open_demands == 0


# ---------------------------------------------------------------- dividends


def test_dividends__fees_of_a_settled_task__shared_by_stake_and_participation(scene: Scene) -> None:
    """P-60: fees are pulled and shared per staked wei; who missed a vote it could take part in gets less."""
    # until then a vote might have been weighed before these stakes were there
    scene.pass_time(scene.state.params.unbonding_seconds)
    task_id, _ = scene.challenged(ann=(5, 0))
    case_id = scene.dispute(task_id, "eve")
    scene.vote(task_id, case_id, xen=STANDS, yan=STANDS)
    scene.chain("any").advance(task_id)
    pool, fee = scene.pool("any"), TERMS.bounty_wei * 200 // 10_000
    for name in ("xen", "yan"):
        pool.collect_vote(case_id, 0, scene.who(name))
    pool.collect_fees()

    assert [pool.dividend(scene.who(name)) for name in ("xen", "zoe")] == [(fee // 3, 1, 1), (fee // 3, 0, 1)]
    before = pool.credit(scene.who("xen"))
    scene.pool("xen").claim_dividends()
    scene.pool("zoe").claim_dividends()
    assert pool.credit(scene.who("xen")) - before == fee // 3
    assert pool.credit(scene.who("zoe")) == 0
    assert pool.totals()[1] >= fee // 3
    refused("Pool_NothingAccrued", lambda: scene.pool("zoe").claim_dividends())


def test_withdraw__of_the_pool_by_anyone__counts_as_fees(scene: Scene) -> None:
    """Whoever makes the market pay the pool only does what collectFees does."""
    task_id, _ = scene.challenged(ann=(5, 0))
    scene.end_phase(task_id)
    scene.chain("any").advance(task_id)
    fee = scene.chain("any").credit(scene.state.address)
    scene.chain("any").withdraw(scene.state.address)

    assert scene.pool("any").totals()[1] == fee
    assert scene.pool("any").balance() == 3 * ETHER + fee


# ---------------------------------------------------------------- random play

VOTING = (Phase.VOTING_COMMIT, Phase.VOTING_REVEAL)
NAMES = ("xen", "yan", "zoe", "eve", "ann", "bob")


class Play:
    """Anything that anybody may try, in any order."""

    def __init__(self, chance: Random) -> None:
        self.chance = chance
        self.scene = Scene()
        self.works: list[Work] = []
        self.verdicts: dict[tuple[Hash32, int, str], Verdict] = {}
        for name in (*NAMES, "requester"):
            self.scene.pool(name)
        self.ether = self.scene.ether
        self.scene.stake(xen=2 * ETHER, yan=3 * ETHER + 7)

    def step(self) -> None:
        """One try; the contracts may refuse it."""
        moves = (self.task, self.task, self.task, self.vote, self.vote, self.vote, self.file, self.stakes, self.collect,
                 self.claim, self.wait)  # fmt: skip
        with suppress(ContractRefused):
            self.chance.choice(moves)()
        self.check()

    def check(self) -> None:
        """P-62: all ether is somewhere, and what is promised is there."""
        assert self.scene.ether == self.ether, "money conserved"
        state = self.scene.state
        stakes = sum(
            stake.active_wei + stake.pending_wei + stake.unbonding_wei + stake.accrued_wei
            for stake in state.stakes.values()
        )
        assert state.active == sum(stake.active_wei for stake in state.stakes.values()), "total of stakes"
        assert state.locked >= stakes + state.waiting + state.shared, "promises are covered"
        assert min(state.waiting, state.shared, state.locked, self.scene.market.locked) >= 0

    @property
    def warm(self) -> list[TaskId]:
        """Tasks that still run."""
        tasks = self.scene.market.tasks.items()
        return [TaskId(number) for number, task in tasks if task.outcome is Outcome.NONE]

    def task(self) -> None:
        """A new task with claims, or the next step of one."""
        scene, chance = self.scene, self.chance
        if not self.warm:
            claims = {name: (chance.randint(1, 5), 0) for name in ("ann", "bob")}
            claims["ann"] = (claims["ann"][0], chance.randint(0, 5 - claims["ann"][0]))
            _, works = scene.revealing(**claims)
            self.works.extend(works.values())
            return
        task_id = chance.choice(self.warm)
        info = scene.market.phase(task_id)
        leader = scene.chain("eve").round(task_id, 0).leader
        mine = [work for work in self.works if (work.proof.task_id, work.keys.address) == (task_id, leader)]
        if info.due:
            scene.chain("eve").advance(task_id)
        elif info.phase is Phase.OPENING and mine and chance.random() < 0.9:
            scene.open(mine[0])
        elif info.phase is Phase.NOMINATING:
            scene.chain("eve").nominate(task_id, scene.who(chance.choice(("ann", "bob"))))
        elif info.phase in VOTING and chance.random() < 0.8:
            self.vote()
            scene.end_phase(task_id)
        elif chance.random() < 0.5:
            self.file()
        else:
            scene.end_phase(task_id)

    def file(self) -> None:
        """A dispute or an impeachment."""
        if self.warm:
            what = self.chance.choice((self.scene.dispute, self.scene.impeach))
            what(self.chance.choice(self.warm), self.chance.choice(NAMES))

    def vote(self) -> None:
        """Every stake's ballot, cast or opened, but for some that forget."""
        for case_id, case in self.scene.state.cases.items():
            for name in NAMES[:3]:
                if self.chance.random() < 0.2:
                    continue
                verdict = self.verdicts.get((case_id, case.attempt, name)) or self.chance.choice((STANDS, FALLS, FALLS))
                try:
                    if (case_id, case.attempt, name) in self.verdicts:
                        self.scene.show(case_id, name, verdict)
                    else:
                        self.scene.cast(case_id, name, verdict)
                        self.verdicts[case_id, case.attempt, name] = verdict
                except ContractRefused:
                    continue

    def stakes(self) -> None:
        """In and out."""
        name = self.chance.choice(NAMES)
        pool, who = self.scene.pool(name), self.scene.who(name)
        amount = Wei(self.chance.randint(1, ETHER))
        moves: list[Callable[[], object]] = [
            lambda: pool.stake(amount),
            lambda: pool.unstake(amount),
            lambda: pool.activate(who),
            lambda: pool.finish_unstake(who),
            pool.collect_fees,
            pool.claim_dividends,
        ]
        self.chance.choice(moves)()

    def collect(self) -> None:
        """Whatever can be collected of any case."""
        for case_id in list(self.scene.state.cases):
            self.collect_case(case_id)

    def claim(self) -> None:
        """A refutation, a demand or an answer."""
        if not self.works:
            return
        work, index = self.chance.choice(self.works), self.chance.randrange(len(LABELS))
        pool = self.scene.pool(self.chance.choice(NAMES))
        moves: list[Callable[[], object]] = [
            lambda: pool.refute(work.ref, index, work.leaf(index), work.path(index), self.scene.label(index)),
            lambda: pool.demand(work.ref, index, self.scene.state.params.demand_bond_wei),
            lambda: self.answer(pool, work),
            lambda: self.answer(pool, work),
        ]
        self.chance.choice(moves)()

    def answer(self, pool: FakePool, work: Work) -> None:
        """Every open demand of this claim."""
        for index in range(len(LABELS)):
            if pool.demander(work.proof.task_id, 0, work.keys.address, index):
                pool.answer(work.ref, index, work.leaf(index), work.path(index))

    def wait(self) -> None:
        """A while."""
        self.scene.pass_time(self.chance.choice((1, 500, 5_000, 90_000)))

    def collect_case(self, case_id: Hash32) -> None:
        """Everything of one case that anybody may collect."""
        pool = self.scene.pool("eve")
        for name in NAMES:
            who = self.scene.who(name)
            calls: list[Callable[[], object]] = [lambda w=who: pool.collect_bond(case_id, w)]  # type: ignore[misc]
            for attempt in (0, 1):
                calls.append(lambda a=attempt, w=who: pool.collect_vote(case_id, a, w))  # type: ignore[misc]
                calls.append(lambda a=attempt, n=name: self.recover(case_id, a, n))  # type: ignore[misc]
            for call in calls:
                try:
                    call()
                except ContractRefused:
                    continue

    def recover(self, case_id: Hash32, attempt: int, name: str) -> None:
        """A ballot of a moot vote."""
        for found in self.scene.pool(name).ballots_of(self.scene.who(name)):
            if (found.case_id, found.attempt) == (case_id, attempt):
                self.scene.pool("eve").recover_vote(case_id, attempt, found.voter, found.ballot, found.lock_wei)

    def finish(self) -> None:
        """Time passes until every task is over; then everybody takes everything."""
        scene = self.scene
        while self.warm:
            for task_id in self.warm:
                scene.end_phase(task_id)
                scene.chain("eve").advance(task_id) if scene.market.phase(task_id).due else None
        for case_id in scene.state.cases:
            self.collect_case(case_id)
        for task_id, round_, miner, index in list(scene.state.demands):
            scene.state.close_demand(
                TaskId(task_id), round_, scene.who("ann" if miner == scene.who("ann") else "bob"), index
            )
        for task_id, round_, miner in list(scene.market.entries):
            if scene.market.entries[task_id, round_, miner].holds_deposit:
                FakeChain(scene.market, scene.who("eve")).reclaim(TaskId(task_id), round_, miner)  # type: ignore[arg-type]
        scene.pool("eve").collect_fees()
        for name in NAMES:
            pool, who = scene.pool(name), scene.who(name)
            if pool.dividend(who)[0]:
                pool.claim_dividends()
            stake = pool.stake_of(who)
            if stake.active_wei + stake.pending_wei:
                pool.unstake(Wei(stake.active_wei + stake.pending_wei))
        scene.pass_time(scene.state.params.unbonding_seconds)
        for name in (*NAMES, "requester"):
            pool, who = scene.pool(name), scene.who(name)
            if pool.stake_of(who).unbonding_wei:
                pool.finish_unstake(who)
            for port in (pool, scene.chain(name)):
                if port.credit(who):
                    port.withdraw(who)


@given(seed=st.integers(0, 2**32 - 1))
@settings(max_examples=25, deadline=None)
def test_pool__random_play__every_wei_comes_home(seed: int) -> None:
    """P-62: whatever happens, nothing is stuck: only dividends that nobody may have stay, for the next auditor."""
    play = Play(Random(seed))
    for _ in range(60):
        play.step()
    play.finish()
    play.check()

    state, market = play.scene.state, play.scene.market
    assert market.locked == 0, "the market holds nothing"
    assert market.credits.keys() <= {state.address}
    assert state.locked == state.waiting + state.shared, "the pool holds dividends only"
    assert not state.credits
