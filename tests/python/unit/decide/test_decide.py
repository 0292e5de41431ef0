"""From facts to the next action: one row a situation."""

from __future__ import annotations

from dataclasses import replace

import pytest
from dlbc.core.decide import (
    AuditorFacts,
    Ballot,
    CaseFacts,
    Do,
    Facts,
    MinerFacts,
    decide_auditor,
    decide_keeper,
    decide_miner,
    decide_requester,
)
from dlbc.core.phases import phase_of
from dlbc.core.types import (
    ZERO_ADDRESS,
    ZERO_HASH,
    Address,
    Case,
    Entry,
    Outcome,
    Phase,
    PhaseInfo,
    Round,
    Ruling,
    Task,
    TaskId,
    Timestamp,
    Verdict,
    Vote,
    Wei,
)
from fakes.chain import NO_ROUND
from hypothesis import given
from hypothesis import strategies as st

pytestmark = pytest.mark.unit

ME = Address("0x" + "11" * 20)
OTHER = Address("0x" + "22" * 20)
NONE = Entry(ZERO_HASH, 0, 0, False, False, False, False)
COMMITTED = replace(NONE, commit_seq=5, holds_deposit=True)
REVEALED = replace(COMMITTED, has_revealed=True, qualifies=True, total=90)
LOSER = replace(REVEALED, qualifies=False)
STRUCK = replace(REVEALED, is_struck=True, holds_deposit=False)
TASK = Task(
    requester=OTHER,
    round=0,
    rounds=1,
    outcome=Outcome.NONE,
    train_seconds=100,
    release_seconds=100,
    bounty_wei=Wei(1000),
    deposit_wei=Wei(100),
    reveal_seconds=100,
    open_seconds=100,
    bond_wei=Wei(100),
    challenge_seconds=100,
    min_score_ppm=0,
    min_gain_ppm=0,
    tolerance_ppm=0,
    royalty_bps=0,
    difficulty=1,
    posted_at=Timestamp(0),
    terms_hash=ZERO_HASH,
)
ROUND = replace(NO_ROUND, train_end=Timestamp(100), commits=1, samples=100, max_sample_score=1, classes=10, metric=1)
IMPEACHED = replace(ROUND, vote=Vote.TEST_SET)
DISPUTED = replace(ROUND, vote=Vote.CLAIM, leader=OTHER)


def facts(
    phase: Phase,
    *,
    due: bool = False,
    now: int = 150,
    gap: int = 0,
    outcome: Outcome = Outcome.NONE,
    round_: Round = ROUND,
) -> Facts:
    """A task in this phase, by default with nobody leading and nothing disputed."""
    return Facts(
        Timestamp(now), PhaseInfo(phase, due, Timestamp(200)), replace(TASK, outcome=outcome), round_, finality_gap=gap
    )


def mine(
    entry: Entry,
    *,
    ready: bool = False,
    gave_up: str = "",
    credit: int = 0,
    leader: Entry = NONE,
    demanded: bool = False,
    pool_credit: int = 0,
) -> MinerFacts:
    """This miner's view of round 0."""
    return MinerFacts(ME, 0, entry, leader, ready, gave_up, Wei(credit), demanded, Wei(pool_credit))


@pytest.mark.parametrize(
    ("phase", "due", "expected"),
    [
        (Phase.TRAINING, False, Do.WAIT),
        (Phase.TRAINING, True, Do.ADVANCE),
        (Phase.CHALLENGE, True, Do.ADVANCE),
        (Phase.VOTING_COMMIT, False, Do.WAIT),
        (Phase.VOTING_COMMIT, True, Do.ADVANCE),
        (Phase.VOTING_REVEAL, False, Do.WAIT),
        (Phase.VOTING_REVEAL, True, Do.ADVANCE),
        (Phase.SETTLED, False, Do.FINISH),
        (Phase.VOID, False, Do.FINISH),
    ],
)
def test_keeper__phase__advances_what_is_due(phase: Phase, due: bool, expected: Do) -> None:
    """Anyone may write what time has made due, and nothing else."""
    assert decide_keeper(PhaseInfo(phase, due, Timestamp(200))).do is expected


@pytest.mark.parametrize(
    ("situation", "credit", "expected"),
    [
        (facts(Phase.TRAINING), 0, Do.WAIT),
        (facts(Phase.TRAINING, due=True), 0, Do.ADVANCE),
        (facts(Phase.RELEASING), 0, Do.RELEASE),
        (facts(Phase.RELEASING, now=100), 0, Do.RELEASE),
        (facts(Phase.RELEASING, now=109, gap=10), 0, Do.WAIT),
        (facts(Phase.RELEASING, now=110, gap=10), 0, Do.RELEASE),
        (facts(Phase.RELEASING, due=True), 0, Do.ADVANCE),
        (facts(Phase.REVEALING), 0, Do.WAIT),
        (facts(Phase.OPENING), 50, Do.WAIT),
        (facts(Phase.CHALLENGE, due=True), 0, Do.ADVANCE),
        (facts(Phase.VOTING_COMMIT, round_=IMPEACHED), 50, Do.WAIT),
        (facts(Phase.VOTING_REVEAL, due=True, round_=IMPEACHED), 0, Do.ADVANCE),
        (facts(Phase.SETTLED, outcome=Outcome.SETTLED), 50, Do.WITHDRAW),
        (facts(Phase.SETTLED, outcome=Outcome.SETTLED), 0, Do.FINISH),
        (facts(Phase.CANCELLED, outcome=Outcome.CANCELLED), 0, Do.FINISH),
    ],
)
def test_requester__situation__next_step(situation: Facts, credit: int, expected: Do) -> None:
    """The requester releases as early as finality allows, advances what is due, and withdraws at the end."""
    assert decide_requester(situation, Wei(credit)).do is expected


def test_requester__pool_owes_money__withdraws_it_after_the_market_s() -> None:
    """Half of the bonds of an overruled impeachment wait in the pool (P-45)."""
    over = facts(Phase.SETTLED, outcome=Outcome.SETTLED)
    assert decide_requester(over, Wei(1), Wei(1)).do is Do.WITHDRAW
    assert decide_requester(over, Wei(0), Wei(1)).do is Do.WITHDRAW_FROM_POOL


@pytest.mark.parametrize(
    ("situation", "view", "expected"),
    [
        # before the commit
        (facts(Phase.TRAINING), mine(NONE), Do.TRAIN),
        (facts(Phase.TRAINING), mine(NONE, ready=True), Do.COMMIT),
        (facts(Phase.TRAINING), mine(NONE, gave_up="training failed"), Do.FINISH),
        (facts(Phase.TRAINING, due=True), mine(NONE, ready=True), Do.FINISH),
        (facts(Phase.RELEASING), mine(NONE, ready=True), Do.FINISH),
        (facts(Phase.CANCELLED, outcome=Outcome.CANCELLED), mine(NONE), Do.FINISH),
        # committed
        (facts(Phase.TRAINING), mine(COMMITTED, ready=True), Do.WAIT),
        (facts(Phase.RELEASING), mine(COMMITTED), Do.WAIT),
        (facts(Phase.RELEASING, due=True), mine(COMMITTED), Do.ADVANCE),
        (facts(Phase.REVEALING), mine(COMMITTED), Do.REVEAL),
        (facts(Phase.REVEALING), mine(COMMITTED, gave_up="labels differ"), Do.WAIT),
        (facts(Phase.REVEALING), mine(REVEALED), Do.WAIT),
        (facts(Phase.REVEALING), mine(LOSER), Do.WAIT),
        (facts(Phase.REVEALING, due=True), mine(LOSER), Do.ADVANCE),
        # after the reveal
        (facts(Phase.OPENING), mine(REVEALED), Do.WAIT),
        (facts(Phase.OPENING), mine(LOSER), Do.RECLAIM),
        (facts(Phase.OPENING), mine(replace(LOSER, holds_deposit=False)), Do.WAIT),
        (facts(Phase.OPENING, due=True), mine(REVEALED), Do.ADVANCE),
        (facts(Phase.CHALLENGE), mine(REVEALED), Do.WAIT),
        (facts(Phase.CHALLENGE), mine(LOSER), Do.RECLAIM),
        (facts(Phase.CHALLENGE, due=True), mine(REVEALED), Do.ADVANCE),
        (facts(Phase.NOMINATING), mine(REVEALED), Do.NOMINATE),
        (facts(Phase.NOMINATING), mine(STRUCK), Do.WAIT),
        (facts(Phase.NOMINATING), mine(LOSER), Do.RECLAIM),
        (facts(Phase.NOMINATING, due=True), mine(REVEALED), Do.ADVANCE),
        # votes
        (facts(Phase.VOTING_COMMIT, round_=DISPUTED), mine(REVEALED), Do.WAIT),
        (facts(Phase.VOTING_COMMIT, round_=DISPUTED), mine(LOSER), Do.RECLAIM),
        (facts(Phase.VOTING_COMMIT, round_=IMPEACHED), mine(REVEALED), Do.WAIT),
        (facts(Phase.VOTING_REVEAL, round_=IMPEACHED), mine(LOSER), Do.WAIT),
        (facts(Phase.VOTING_REVEAL, due=True, round_=DISPUTED), mine(REVEALED), Do.ADVANCE),
        # over
        (facts(Phase.SETTLED, outcome=Outcome.SETTLED), mine(REVEALED), Do.RECLAIM),
        (facts(Phase.SETTLED, outcome=Outcome.SETTLED), mine(COMMITTED), Do.FINISH),
        (facts(Phase.SETTLED, outcome=Outcome.SETTLED), mine(STRUCK), Do.FINISH),
        (facts(Phase.VOID, outcome=Outcome.VOID), mine(LOSER), Do.RECLAIM),
        (facts(Phase.ABORTED, outcome=Outcome.ABORTED), mine(COMMITTED), Do.RECLAIM),
        (
            facts(Phase.SETTLED, outcome=Outcome.SETTLED),
            mine(replace(REVEALED, holds_deposit=False), credit=9),
            Do.WITHDRAW,
        ),
        (
            facts(Phase.SETTLED, outcome=Outcome.SETTLED),
            mine(replace(REVEALED, holds_deposit=False), pool_credit=9),
            Do.WITHDRAW_FROM_POOL,
        ),
        (facts(Phase.SETTLED, outcome=Outcome.SETTLED), mine(replace(REVEALED, holds_deposit=False)), Do.FINISH),
    ],
)
def test_miner__situation__next_step(situation: Facts, view: MinerFacts, expected: Do) -> None:
    """Every situation an entry can be in has one next step."""
    assert decide_miner(situation, view).do is expected


def test_miner__it_leads_in_opening__opens() -> None:
    """Only the leader opens."""
    situation = facts(Phase.OPENING)
    leading = replace(situation, round=replace(ROUND, leader=ME))
    assert decide_miner(leading, mine(REVEALED)).do is Do.OPEN


@pytest.mark.parametrize(
    ("phase", "now", "demand_end", "leader", "expected"),
    [
        (Phase.OPENING, 150, 190, ME, Do.ANSWER),
        (Phase.OPENING, 150, 200, ME, Do.OPEN),
        (Phase.OPENING, 150, 150, ME, Do.OPEN),
        (Phase.CHALLENGE, 150, 300, ME, Do.ANSWER),
        (Phase.CHALLENGE, 150, 151, ME, Do.ANSWER),
        (Phase.CHALLENGE, 151, 151, ME, Do.WAIT),
        (Phase.VOTING_COMMIT, 150, 160, ME, Do.ANSWER),
        (Phase.VOTING_REVEAL, 150, 160, ME, Do.ANSWER),
        (Phase.CHALLENGE, 150, 300, OTHER, Do.WAIT),
    ],
)
def test_miner__demanded__answers_what_ends_first(
    phase: Phase, now: int, demand_end: int, leader: Address, expected: Do
) -> None:
    """M-7: the leader shows what is demanded while it counts, but opens first if that window ends first."""
    round_ = replace(ROUND, leader=leader, open_demands=1, demand_end=Timestamp(demand_end))
    decision = decide_miner(facts(phase, now=now, round_=round_), mine(REVEALED, demanded=True))
    assert decision.do is expected
    assert decision.do is not Do.ANSWER or decision.until == demand_end


@pytest.mark.parametrize(
    ("leader", "expected"),
    [
        (replace(REVEALED, total=80, commit_seq=1), Do.NOMINATE),
        (replace(REVEALED, total=90, commit_seq=6), Do.NOMINATE),
        (replace(REVEALED, total=90, commit_seq=4), Do.WAIT),
        (replace(REVEALED, total=91, commit_seq=9), Do.WAIT),
    ],
)
def test_miner__nominating_with_a_leader__only_a_better_claim(leader: Entry, expected: Do) -> None:
    """A nomination that the market would refuse is not sent: higher total first, then earlier commit."""
    situation = facts(Phase.NOMINATING)
    led = replace(situation, round=replace(ROUND, leader=OTHER))
    assert decide_miner(led, mine(REVEALED, leader=leader)).do is expected


def test_miner__earlier_round_of_a_running_task__is_settled() -> None:
    """An entry in a round before the current one reclaims, whatever the current round does."""
    situation = facts(Phase.TRAINING)
    later = replace(situation, task=replace(TASK, round=1, rounds=2))
    assert decide_miner(later, mine(REVEALED)).do is Do.RECLAIM


@given(
    now=st.integers(0, 1000),
    reveal_end=st.sampled_from([0, 250]),
    nominate_end=st.sampled_from([0, 400]),
    challenge_end=st.sampled_from([0, 500]),
    leader=st.sampled_from([ZERO_ADDRESS, ME, OTHER]),
    outcome=st.sampled_from(list(Outcome)),
    vote=st.sampled_from(list(Vote)),
    demanded=st.booleans(),
    demand_end=st.sampled_from([0, 450, 600]),
    entry=st.sampled_from([NONE, COMMITTED, REVEALED, LOSER, STRUCK]),
    ready=st.booleans(),
    credit=st.integers(0, 1),
)
def test_miner__any_facts__one_decision_and_no_step_outside_its_phase(
    now: int,
    reveal_end: int,
    nominate_end: int,
    challenge_end: int,
    leader: Address,
    outcome: Outcome,
    vote: Vote,
    demanded: bool,
    demand_end: int,
    entry: Entry,
    ready: bool,
    credit: int,
) -> None:
    """Whatever the chain says, there is a decision, and it is one the present phase allows."""
    task = replace(TASK, outcome=outcome)
    round_ = replace(
        ROUND,
        reveal_end=Timestamp(reveal_end),
        nominate_end=Timestamp(nominate_end),
        challenge_end=Timestamp(challenge_end),
        leader=leader,
        vote=vote,
        open_demands=int(demanded),
        demand_end=Timestamp(demand_end),
    )
    info = phase_of(task, round_, now, 0, 50)
    decision = decide_miner(
        Facts(Timestamp(now), info, task, round_, 0),
        MinerFacts(ME, 0, entry, REVEALED, ready, "", Wei(credit), demanded, Wei(credit)),
    )
    allowed = {
        Do.TRAIN: {Phase.TRAINING},
        Do.COMMIT: {Phase.TRAINING},
        Do.REVEAL: {Phase.REVEALING},
        Do.OPEN: {Phase.OPENING},
        Do.NOMINATE: {Phase.NOMINATING},
        Do.ANSWER: {Phase.OPENING, Phase.CHALLENGE, Phase.VOTING_COMMIT, Phase.VOTING_REVEAL},
    }
    assert info.phase in allowed.get(decision.do, set(Phase))
    assert decision.do is not Do.ADVANCE or info.due
    assert not (info.phase.is_cold and decision.do in (Do.WAIT, Do.ADVANCE))


# ------------------------------------------------------------------ auditor

CASE = Case(
    bond_wei=Wei(100),
    filers=1,
    vote_start=Timestamp(100),
    snapshot_at=Timestamp(50),
    attempt=0,
    ruling=Ruling.NONE,
    grounds=1,
    task_id=TaskId(1),
    round=0,
    subject=OTHER,
    filer_pot_wei=Wei(0),
    filers_left=0,
)
REPEATED = replace(CASE, attempt=1)
FALLEN = replace(CASE, ruling=Ruling.FALLS)
STOOD = replace(CASE, ruling=Ruling.STANDS)


def case_facts(now: int, case: Case = CASE, *, moot: bool = False, due: bool = False) -> CaseFacts:
    """A case whose vote runs in [100, 200) and [200, 300)."""
    return CaseFacts(Timestamp(now), case, (Timestamp(100), Timestamp(200), Timestamp(300)), moot, due)


def auditor(
    ballot: Ballot = Ballot.NONE,
    *,
    verdict: Verdict = Verdict.FALLS,
    lock: int = 5,
    first: Ballot = Ballot.NONE,
    salt: bool = True,
    filed: bool = False,
    accrued: int = 0,
    credit: int = 0,
) -> AuditorFacts:
    """One auditor's part in the case."""
    return AuditorFacts(verdict, Wei(lock), ballot, first, salt, filed, Wei(accrued), Wei(credit))


@pytest.mark.parametrize(
    ("situation", "view", "expected"),
    [
        (case_facts(99), auditor(), Do.WAIT),
        # committing
        (case_facts(100), auditor(), Do.COMMIT_VOTE),
        (case_facts(199), auditor(), Do.COMMIT_VOTE),
        (case_facts(100), auditor(verdict=Verdict.NONE), Do.WAIT),
        (case_facts(100), auditor(lock=0), Do.WAIT),
        (case_facts(100), auditor(Ballot.SEALED), Do.WAIT),
        # revealing
        (case_facts(200), auditor(), Do.WAIT),
        (case_facts(200), auditor(Ballot.SEALED), Do.REVEAL_VOTE),
        (case_facts(299), auditor(Ballot.SEALED, verdict=Verdict.NONE, lock=0), Do.REVEAL_VOTE),
        (case_facts(200), auditor(Ballot.SEALED, salt=False), Do.WAIT),
        (case_facts(200), auditor(Ballot.OPENED), Do.WAIT),
        # counting
        (case_facts(300, due=True), auditor(Ballot.OPENED), Do.ADVANCE),
        (case_facts(300), auditor(Ballot.OPENED), Do.WAIT),
        # the repeat
        (case_facts(100, REPEATED), auditor(first=Ballot.OPENED), Do.COLLECT_VOTE),
        (case_facts(100, REPEATED), auditor(first=Ballot.SEALED), Do.COMMIT_VOTE),
        (case_facts(200, REPEATED), auditor(Ballot.SEALED), Do.REVEAL_VOTE),
        # after the ruling
        (case_facts(400, FALLEN), auditor(Ballot.OPENED, filed=True), Do.COLLECT_VOTE),
        (case_facts(400, FALLEN), auditor(filed=True, accrued=1), Do.COLLECT_BOND),
        (case_facts(400, STOOD), auditor(filed=True), Do.FINISH),
        (case_facts(400, FALLEN), auditor(Ballot.SEALED), Do.FINISH),
        (case_facts(400, FALLEN), auditor(accrued=1, credit=1), Do.CLAIM_DIVIDENDS),
        (case_facts(400, FALLEN), auditor(credit=1), Do.WITHDRAW_FROM_POOL),
        (case_facts(400, FALLEN), auditor(), Do.FINISH),
        # struck without a ruling (P-58)
        (case_facts(150, moot=True), auditor(), Do.FINISH),
        (case_facts(150, moot=True), auditor(Ballot.SEALED, filed=True), Do.RECOVER_VOTE),
        (case_facts(250, moot=True), auditor(Ballot.OPENED), Do.COLLECT_VOTE),
        (case_facts(250, moot=True), auditor(filed=True), Do.COLLECT_BOND),
        (case_facts(250, REPEATED, moot=True), auditor(Ballot.SEALED, first=Ballot.SEALED), Do.RECOVER_VOTE),
    ],
)
def test_auditor__situation__next_step(situation: CaseFacts, view: AuditorFacts, expected: Do) -> None:
    """Every situation an auditor can be in has one next step."""
    assert decide_auditor(situation, view).do is expected


@given(
    now=st.integers(0, 400),
    case=st.sampled_from([CASE, REPEATED, FALLEN, STOOD]),
    moot=st.booleans(),
    due=st.booleans(),
    ballot=st.sampled_from(list(Ballot)),
    first=st.sampled_from(list(Ballot)),
    filed=st.booleans(),
    salt=st.booleans(),
    money=st.integers(0, 1),
    lock=st.integers(0, 1),
)
def test_auditor__any_facts__no_step_that_the_pool_refuses(
    now: int,
    case: Case,
    moot: bool,
    due: bool,
    ballot: Ballot,
    first: Ballot,
    filed: bool,
    salt: bool,
    money: int,
    lock: int,
) -> None:
    """Ballots are cast and opened in their windows only, and money is collected only where there is some."""
    moot = moot and case.ruling is Ruling.NONE
    view = auditor(ballot, lock=lock, first=first, salt=salt, filed=filed, accrued=money, credit=money)

    decision = decide_auditor(case_facts(now, case, moot=moot, due=due), view)

    is_over = moot or case.ruling is not Ruling.NONE
    allowed = {
        Do.COMMIT_VOTE: 100 <= now < 200 and ballot is Ballot.NONE and lock > 0,
        Do.REVEAL_VOTE: 200 <= now < 300 and ballot is Ballot.SEALED and salt,
        Do.ADVANCE: due and now >= 300 and not is_over,
        Do.COLLECT_VOTE: (is_over and ballot is Ballot.OPENED) or (case.attempt == 1 and first is Ballot.OPENED),
        Do.RECOVER_VOTE: moot and ballot is Ballot.SEALED,
        Do.COLLECT_BOND: is_over and filed and case.ruling is not Ruling.STANDS,
        Do.FINISH: is_over,
    }
    assert allowed.get(decision.do, True)
