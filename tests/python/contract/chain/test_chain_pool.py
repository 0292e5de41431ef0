"""Disputes, votes, refutations and demands on a real chain, through the ports, until everybody has left."""

from __future__ import annotations

import pytest
from dlbc.core import disputes, proofs
from dlbc.core.errors import ContractRefused
from dlbc.core.events import ClaimStruck
from dlbc.core.types import (
    ZERO_ADDRESS,
    Ground,
    Locator,
    Phase,
    Reason,
    Ruling,
    TaskId,
    Verdict,
    Vote,
    Wei,
)
from play import AUDITORS, DISPUTER, ETHER, FIRST_MINER, REQUESTER, Play, Work, account, secret

pytestmark = pytest.mark.contract

ANN, BOB, COY = AUDITORS
STAKE = 3 * ETHER
LOCK = STAKE * 500 // 10_000
BOND = DEPOSIT = ETHER // 10
FEE = ETHER // 50


def staked(play: Play, stakes: dict[int, int] | None = None) -> None:
    """Active stakes of all auditors, from now on."""
    for index, wei in (stakes or dict.fromkeys(AUDITORS, STAKE)).items():
        play.stake(index, wei)


def end(play: Play, task_id: TaskId) -> None:
    """Lets time run until the task is final."""
    while not (info := play.requester.phase(task_id)).phase.is_cold:
        play.anvil.move_to(info.ends_at)
        play.requester.advance(task_id)


def leave(play: Play, *others: int) -> None:
    """Everybody takes what is theirs; then neither contract holds more than dividends too small to share."""
    pool, miners = play.pool(DISPUTER), range(FIRST_MINER, FIRST_MINER + 3)
    pool.collect_fees()
    for index in AUDITORS:
        me = account(index).address
        if pool.dividend(me)[0]:
            play.pool(index).claim_dividends()
        play.pool(index).unstake(pool.stake_of(me).active_wei)
    play.anvil.move_to(pool.stake_of(account(COY).address).free_at)
    for index in AUDITORS:
        pool.finish_unstake(account(index).address)
    for index in {*AUDITORS, *miners, REQUESTER, DISPUTER, *others}:
        for where in (pool, play.requester):
            if where.credit(account(index).address):
                where.withdraw(account(index).address)
    active, dust = pool.totals()
    assert (active, dust < 20) == (0, True), dust
    assert pool.liabilities() == (dust, 0)
    assert pool.balance() == dust
    assert (play.requester.liabilities(), play.requester.market_balance()) == ((0, 0), 0)


def collect(play: Play, work: Work, attempt: int = 0) -> None:
    """Every auditor with a ballot in this vote collects it, sent by somebody else."""
    for ballot in play.pool(DISPUTER).ballots_revealed(work.case_id):
        if ballot.attempt == attempt:
            play.pool(DISPUTER).collect_vote(work.case_id, attempt, ballot.voter)


# ------------------------------------------------------------------ every ruling of a claim


def test_claim__falls__leader_pays_filers_and_voters(play: Play) -> None:
    """Two thirds say Falls or Unavailable: a third of the deposit to filers, the rest and the losing lock to voters."""
    staked(play)
    work = play.opened()
    play.dispute(work)
    pool, chain, task_id = play.pool(DISPUTER), play.requester, work.proof.task_id
    (filing,) = pool.filings(task_id)
    assert (filing.case_id, filing.subject, filing.filer, filing.grounds) == (
        *(work.case_id, work.proof.miner, account(DISPUTER).address),
        Ground.HASH,
    )
    assert chain.round(task_id, 0).vote is Vote.CLAIM
    play.vote(work.case_id, {ANN: Verdict.FALLS, BOB: Verdict.UNAVAILABLE, COY: Verdict.STANDS})
    assert chain.phase(task_id).due
    pool.resolve(task_id)

    assert (pool.case(work.case_id).ruling, pool.ruling(work.case_id, 0)) == (Ruling.FALLS, Ruling.FALLS)
    assert [ClaimStruck(task_id, 0, work.proof.miner, Reason.VOTED)] == chain.strikes(task_id, 0)
    tally, third = pool.tally(work.case_id, 0), DEPOSIT // 3
    assert (LOCK + DEPOSIT - third, 2 * LOCK) == (tally.pot_wei, tally.winners_wei)
    collect(play, work)
    pool.collect_bond(work.case_id, account(DISPUTER).address)
    share = (LOCK + DEPOSIT - third) // 2
    assert [pool.credit(account(index).address) for index in (ANN, BOB, COY, DISPUTER)] == [
        *(share, LOCK + DEPOSIT - third - share, 0),
        BOND + third,
    ]
    assert [pool.stake_of(account(index).address).active_wei for index in AUDITORS] == [STAKE, STAKE, STAKE - LOCK]
    end(play, task_id)
    assert chain.phase(task_id).phase is Phase.VOID
    assert (chain.credit(play.deployment.pool), chain.credit(account(REQUESTER).address)) == (FEE, ETHER - FEE + BOND)
    leave(play)


def test_claim__stands__filer_pays_leader_and_voters(play: Play) -> None:
    """Two thirds say Stands: half of the bond to the leader, half and the losing lock to voters; then it settles."""
    staked(play)
    work = play.opened()
    play.dispute(work)
    pool, task_id = play.pool(DISPUTER), work.proof.task_id
    play.vote(work.case_id, {ANN: Verdict.STANDS, BOB: Verdict.STANDS, COY: Verdict.FALLS})
    play.requester.advance(task_id)  # the keeper's call counts the vote

    assert pool.ruling(work.case_id, 0) is Ruling.STANDS
    assert pool.credit(work.proof.miner) == BOND // 2
    collect(play, work)
    assert [pool.credit(account(index).address) for index in (ANN, BOB)] == [(BOND // 2 + LOCK) // 2] * 2
    with pytest.raises(ContractRefused, match=f"{account(DISPUTER).address} has nothing to collect here"):
        pool.collect_bond(work.case_id, account(DISPUTER).address)
    play.requester.advance(task_id)
    assert play.requester.winner(task_id, 0).miner == work.proof.miner
    play.requester.reclaim(task_id, 0, work.proof.miner)
    leave(play)


def test_claim__split__everybody_gets_everything_back(play: Play) -> None:
    """As much for as against: locks and bonds go back, and the claim stands."""
    staked(play)
    work = play.opened()
    play.dispute(work)
    pool, task_id = play.pool(DISPUTER), work.proof.task_id
    play.vote(work.case_id, {ANN: Verdict.STANDS, BOB: Verdict.FALLS})
    pool.resolve(task_id)

    assert pool.ruling(work.case_id, 0) is Ruling.SPLIT
    collect(play, work)
    pool.collect_bond(work.case_id, account(DISPUTER).address)
    assert pool.credit(account(DISPUTER).address) == BOND
    assert [pool.stake_of(account(index).address).active_wei for index in AUDITORS] == [STAKE] * 3
    play.requester.advance(task_id)
    play.requester.reclaim(task_id, 0, work.proof.miner)
    leave(play)


def test_claim__no_quorum_twice__stands_and_costs_a_tenth(play: Play) -> None:
    """Too few ballots: the vote is repeated at double length with ballots of its own, then the claim stands."""
    staked(play, {ANN: 4 * ETHER, BOB: 4 * ETHER, COY: ETHER})
    work = play.opened()
    play.dispute(work)
    pool, task_id, vote_seconds = play.pool(DISPUTER), work.proof.task_id, play.deployment.params.vote_seconds
    first = pool.windows(work.case_id)
    play.vote(work.case_id, {COY: Verdict.FALLS})
    play.requester.advance(task_id)
    assert (pool.ruling(work.case_id, 0), pool.case(work.case_id).attempt) == (Ruling.REPEAT, 1)
    start, commit_end, reveal_end = pool.windows(work.case_id)
    assert (first[2] - first[0], commit_end - start, reveal_end - start) == (
        *(2 * vote_seconds, 2 * vote_seconds),
        4 * vote_seconds,
    )
    assert play.requester.phase(task_id).phase is Phase.VOTING_COMMIT
    play.vote(work.case_id, {COY: Verdict.FALLS})
    play.requester.advance(task_id)

    assert pool.ruling(work.case_id, 1) is Ruling.NO_QUORUM
    for attempt in (0, 1):
        collect(play, work, attempt)
    pool.collect_bond(work.case_id, account(DISPUTER).address)
    assert (
        pool.credit(work.proof.miner),
        pool.credit(account(DISPUTER).address),
    ) == (BOND // 10, BOND - BOND // 10)
    assert [row.ruling for row in pool.resolved(work.case_id)] == [Ruling.REPEAT, Ruling.NO_QUORUM]
    assert [ballot.attempt for ballot in pool.ballots_of(account(COY).address)] == [0, 1]
    play.requester.advance(task_id)
    play.requester.reclaim(task_id, 0, work.proof.miner)
    leave(play)


def test_claim__ballot_never_opened__is_everybodys_dividend(play: Play) -> None:
    """Who commits and does not reveal loses the lock to all stakes, in every ruling."""
    staked(play)
    work = play.opened()
    play.dispute(work)
    pool, task_id = play.pool(DISPUTER), work.proof.task_id
    for index, verdict in ((ANN, Verdict.STANDS), (BOB, Verdict.STANDS), (COY, Verdict.STANDS)):
        play.cast(work.case_id, index, verdict)
    for index in (ANN, BOB):
        play.show(work.case_id, index, Verdict.STANDS)
    play.anvil.move_to(pool.windows(work.case_id)[2])
    pool.resolve(task_id)

    assert pool.totals()[1] == LOCK
    with pytest.raises(ContractRefused) as caught:
        pool.collect_vote(work.case_id, 0, account(COY).address)
    assert caught.value.name == "Pool_NothingToCollect"
    collect(play, work)
    play.requester.advance(task_id)
    play.requester.reclaim(task_id, 0, work.proof.miner)
    leave(play)


# ------------------------------------------------------------------ the test set


def revealed(play: Play) -> Work:
    """A task whose only claim is revealed."""
    task_id = play.post().task_id
    assert task_id is not None
    work = play.work(task_id, FIRST_MINER, 350)
    play.commit(work)
    play.release(task_id)
    play.reveal(work)
    return work


def test_test_set__falls__task_is_aborted_and_voters_share_the_bond(play: Play) -> None:
    """The requester loses its bond: half to the committers, half to those who said so."""
    staked(play)
    work = revealed(play)
    pool, task_id = play.pool(DISPUTER), work.proof.task_id
    case_id = play.impeach(task_id)
    (filing,) = pool.filings()
    assert (filing.subject, filing.grounds, filing.samples) == (ZERO_ADDRESS, 0, ())
    play.vote(case_id, {ANN: Verdict.UNAVAILABLE, BOB: Verdict.FALLS, COY: Verdict.STANDS})
    play.requester.advance(task_id)

    assert (pool.ruling(case_id, 0), play.requester.phase(task_id).phase) == (Ruling.FALLS, Phase.ABORTED)
    for index in AUDITORS:
        pool.collect_vote(case_id, 0, account(index).address)
    pool.collect_bond(case_id, account(DISPUTER).address)
    assert [pool.credit(account(index).address) for index in (ANN, BOB)] == [(BOND // 2 + LOCK) // 2] * 2
    assert pool.credit(account(DISPUTER).address) == BOND
    play.requester.reclaim(task_id, 0, work.proof.miner)
    assert play.requester.credit(work.proof.miner) == DEPOSIT + BOND // 2
    leave(play)


def test_test_set__stands__requester_is_paid_and_the_round_goes_on(play: Play) -> None:
    """Half of the impeachment's bond to the requester; then the leader opens and wins as if nothing had been."""
    staked(play)
    work = revealed(play)
    pool, task_id = play.pool(DISPUTER), work.proof.task_id
    case_id = play.impeach(task_id)
    play.vote(case_id, {ANN: Verdict.STANDS, BOB: Verdict.STANDS})
    play.requester.advance(task_id)

    assert pool.credit(account(REQUESTER).address) == BOND // 2
    assert play.requester.phase(task_id).phase is Phase.OPENING
    play.open(work)
    play.settle(task_id)
    for index in (ANN, BOB):
        pool.collect_vote(case_id, 0, account(index).address)
    play.requester.reclaim(task_id, 0, work.proof.miner)
    leave(play)


# ------------------------------------------------------------------ refutations and demands


def test_refutation__score_of_a_wrong_prediction__strikes_at_once(play: Play) -> None:
    """One sample that is counted and wrong: a third of the deposit to whoever shows it, no vote, no bond."""
    staked(play)
    lie = 355
    work = play.opened(lies=[lie])
    task_id = work.proof.task_id
    play.pool(DISPUTER).refute(work.ref, lie, *work.shown(lie), play.label(lie))

    assert [strike.reason for strike in play.requester.strikes(task_id, 0)] == [Reason.REFUTED]
    assert play.requester.credit(account(DISPUTER).address) == DEPOSIT // 3
    assert play.requester.credit(play.deployment.pool) == DEPOSIT - DEPOSIT // 3
    end(play, task_id)
    leave(play)


def test_refutation__of_a_true_claim__is_refused(play: Play) -> None:
    """No leaf of an honest tree refutes it, with or without its label."""
    work = play.opened()
    pool = play.pool(DISPUTER)
    for label in (None, play.label(7)):
        with pytest.raises(ContractRefused) as caught:
            pool.refute(work.ref, 7, *work.shown(7), label)
        assert caught.value.name == "Claim_NoFault"
    with pytest.raises(ContractRefused) as caught:
        pool.refute(work.ref, 7, *work.shown(8), None)
    assert caught.value.name == "Claim_WrongPath"


def test_refutation__during_a_vote__returns_every_lock_and_bond(play: Play) -> None:
    """A strike without a ruling makes the vote moot: opened ballots, sealed ones and bonds all go back."""
    staked(play)
    lie = 355
    work = play.opened(lies=[lie])
    pool, task_id = play.pool(DISPUTER), work.proof.task_id
    play.dispute(work)
    play.cast(work.case_id, ANN, Verdict.STANDS)
    play.cast(work.case_id, BOB, Verdict.FALLS)
    play.show(work.case_id, ANN, Verdict.STANDS)
    pool.refute(work.ref, lie, *work.shown(lie), play.label(lie))

    pool.collect_vote(work.case_id, 0, account(ANN).address)
    (_, sealed) = pool.ballots_committed(work.case_id)
    pool.recover_vote(work.case_id, 0, account(BOB).address, sealed.ballot, sealed.lock_wei)
    pool.collect_bond(work.case_id, account(DISPUTER).address)
    assert [pool.stake_of(account(index).address).active_wei for index in AUDITORS] == [STAKE] * 3
    assert (pool.credit(account(DISPUTER).address), pool.dividend(account(ANN).address)[1]) == (BOND, 0)
    end(play, task_id)
    leave(play)


def test_demand__answered__pays_the_answerer_and_shows_the_leaf(play: Play) -> None:
    """The bond goes to whoever answers; what was shown is in the log, and can refute."""
    staked(play)
    lie = 355
    work = play.opened(lies=[lie])
    pool, bond = play.pool(DISPUTER), play.deployment.pool_params.demand_bond_wei
    task_id, miner = work.proof.task_id, work.proof.miner
    pool.demand(work.ref, lie, bond)
    assert pool.demander(task_id, 0, miner, lie) == account(DISPUTER).address
    assert [(lie, account(DISPUTER).address)] == [(row.index, row.demander) for row in pool.demands(task_id, 0)]
    with pytest.raises(ContractRefused) as caught:
        pool.demand(work.ref, lie, bond)
    assert caught.value.name == "Claim_AlreadyDemanded"
    play.pool(FIRST_MINER).answer(work.ref, lie, *work.shown(lie))

    (shown,) = pool.shown(task_id, 0)
    assert (shown.answerer, shown.index, (shown.leaf, shown.path)) == (miner, lie, work.shown(lie))
    assert (bond, None) == (pool.credit(miner), pool.demander(task_id, 0, miner, lie))
    pool.refute(work.ref, shown.index, shown.leaf, shown.path, play.label(lie))
    assert play.requester.round(task_id, 0).leader == ZERO_ADDRESS
    end(play, task_id)
    leave(play)


def test_demand__not_answered__strikes_and_returns_the_bond(play: Play) -> None:
    """A leader that withholds what was demanded loses its deposit; the demander gets its bond back."""
    staked(play)
    work = play.opened()
    pool, bond = play.pool(DISPUTER), play.deployment.pool_params.demand_bond_wei
    task_id, miner = work.proof.task_id, work.proof.miner
    pool.demand(work.ref, 0, bond)
    with pytest.raises(ContractRefused, match="can still be answered"):
        pool.close_demand(task_id, 0, miner, 0)
    play.anvil.move_to(play.requester.round(task_id, 0).demand_end)
    play.requester.advance(task_id)

    assert [strike.reason for strike in play.requester.strikes(task_id, 0)] == [Reason.WITHHELD]
    pool.close_demand(task_id, 0, miner, 0)
    assert bond == pool.credit(account(DISPUTER).address)
    end(play, task_id)
    leave(play)


# ------------------------------------------------------------------ stakes


def test_stake__earns_and_votes__only_once_it_is_active(play: Play) -> None:
    """Pending stake neither votes nor earns; what leaves is paid after the unbonding period."""
    pool, me = play.pool(ANN), account(ANN).address
    with pytest.raises(ContractRefused) as caught:
        pool.activate(me)
    assert caught.value.name == "Pool_NothingPending"
    pool.stake(Wei(STAKE))
    with pytest.raises(ContractRefused, match="this is possible from"):
        pool.activate(me)
    assert (pool.stake_of(me).pending_wei, pool.totals()) == (STAKE, (0, 0))
    play.anvil.move_to(pool.stake_of(me).ready_at)
    play.pool(DISPUTER).activate(me)
    now = play.requester.now()
    assert (pool.stake_at(me, now), pool.total_stake_at(now)) == (STAKE, STAKE)
    with pytest.raises(ContractRefused, match=r"4 ether is asked for, the stake is 3 ether"):
        pool.unstake(Wei(4 * ETHER))
    pool.unstake(Wei(ETHER))
    with pytest.raises(ContractRefused) as caught:
        pool.finish_unstake(me)
    assert caught.value.name == "Pool_NotReady"
    play.anvil.move_to(pool.stake_of(me).free_at)
    pool.finish_unstake(me)
    before = play.requester.balance(account(5).address)
    pool.withdraw_to(account(5).address)
    assert before + ETHER == play.requester.balance(account(5).address)


def test_dividends__of_a_settled_task__are_shared_by_stake(play: Play) -> None:
    """The fee comes to the pool when anybody collects it, and is split by active stake."""
    staked(play, {ANN: 3 * ETHER, BOB: ETHER})
    work = play.opened()
    play.settle(work.proof.task_id)
    play.pool(DISPUTER).collect_fees()
    dividends = [play.pool(index).dividend(account(index).address)[0] for index in (ANN, BOB)]
    assert dividends == [FEE * 3 // 4 - 1, FEE // 4 - 1]  # the index is rounded down; what is lost waits
    play.pool(ANN).claim_dividends()
    assert dividends[0] == play.pool(ANN).credit(account(ANN).address)
    with pytest.raises(ContractRefused) as caught:
        play.pool(ANN).claim_dividends()
    assert caught.value.name == "Pool_NothingAccrued"


# ------------------------------------------------------------------ what is refused, as one sentence


def test_dispute__wrong_in_every_way__is_told_apart(play: Play) -> None:
    """Bond, grounds, samples, a second filing, a phase: each has its own sentence, and costs nothing."""
    staked(play, {ANN: STAKE})
    work = play.opened()
    pool, task_id = play.pool(DISPUTER), work.proof.task_id
    evidence, bond = Locator(secret("evidence")), disputes.dispute_bond(ETHER)

    def refused(name: str, words: str, grounds: int, samples: tuple[int, ...] = (), wei: Wei = bond) -> None:
        with pytest.raises(ContractRefused) as caught:
            pool.dispute(task_id, grounds, evidence, samples, wei)
        assert (name, words in str(caught.value)) == (caught.value.name, True), str(caught.value)

    refused("Pool_WrongValue", "the bond is exactly 0.1 ether", Ground.HASH, wei=Wei(1))
    refused("Pool_WrongGrounds", "from 1 to 127", 0)
    refused("Pool_WrongGrounds", "the grounds are 128", 128)
    refused("Pool_WrongSamples", "1 samples are named, these grounds need none", Ground.HASH, (1,))
    refused("Pool_WrongSamples", "0 samples are named, these grounds need 1 to 8", Ground.SAMPLES)
    play.dispute(work)
    refused("Pool_AlreadyFiled", "has filed this case already", Ground.SCORE)
    with pytest.raises(ContractRefused) as caught:
        play.impeach(task_id)
    assert caught.value.name == "Market_WrongPhase"


def test_vote__wrong_in_every_way__is_told_apart(play: Play) -> None:
    """Too early, without weight, twice, another verdict or salt, too late, nothing to resolve: all are told apart."""
    staked(play, {ANN: STAKE})
    work = play.opened()
    pool, task_id, case_id = play.pool(ANN), work.proof.task_id, work.case_id
    with pytest.raises(ContractRefused, match="there is no dispute or impeachment 0x"):
        pool.commit_vote(case_id, secret("ballot"))
    play.dispute(work)
    with pytest.raises(ContractRefused, match=r"this is possible from \d+ to \d+; wait "):
        pool.commit_vote(case_id, secret("ballot"))
    play.cast(case_id, ANN, Verdict.STANDS)
    with pytest.raises(ContractRefused, match="has a ballot in this vote already"):
        pool.commit_vote(case_id, secret("ballot"))
    with pytest.raises(ContractRefused, match="can't vote here: its stake was 0 ether"):
        play.pool(COY).commit_vote(case_id, secret("ballot"))
    with pytest.raises(ContractRefused, match=r"it is \d+, this is possible from"):
        pool.resolve(task_id)
    (ballot,) = pool.ballots_committed(case_id)
    salt = secret("ballot", proofs.dispute_id(case_id, 0), ANN)
    play.anvil.move_to(pool.windows(case_id)[1])
    with pytest.raises(ContractRefused, match="it is too late for this vote"):
        play.pool(BOB).commit_vote(case_id, secret("ballot"))
    me = account(ANN).address
    for verdict, lock, given in (
        (Verdict.FALLS, LOCK, salt),
        (Verdict.STANDS, LOCK - 1, salt),
        (Verdict.STANDS, LOCK, bytes(32)),
    ):
        with pytest.raises(ContractRefused) as caught:
            pool.reveal_vote(case_id, me, verdict, Wei(lock), given)
        assert caught.value.name == "Pool_WrongBallot"
    assert ballot.lock_wei == LOCK
    with pytest.raises(ContractRefused, match="the verdict is 0"):
        pool.reveal_vote(case_id, me, Verdict.NONE, ballot.lock_wei, salt)
    play.pool(DISPUTER).reveal_vote(case_id, me, Verdict.STANDS, ballot.lock_wei, salt)
    assert proofs.opened_ballot(Verdict.STANDS, LOCK) == pool.ballot(case_id, 0, me)
    with pytest.raises(ContractRefused, match="has no ruling yet"):
        pool.collect_vote(case_id, 0, me)
