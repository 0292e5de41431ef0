"""From facts to the next action: one row a situation."""

from __future__ import annotations

from dataclasses import replace

import pytest
from dlbc.core.decide import (
    Candidate,
    Do,
    Facts,
    MinerFacts,
    decide_keeper,
    decide_miner,
    decide_requester,
    order_candidates,
    refuse_candidate,
)
from dlbc.core.phases import phase_of
from dlbc.core.types import (
    ZERO_ADDRESS,
    ZERO_HASH,
    Address,
    Entry,
    Outcome,
    Phase,
    PhaseInfo,
    RankedTask,
    Round,
    Task,
    TaskId,
    Timestamp,
    Wei,
)
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
ROUND = Round(Timestamp(100), Timestamp(0), Timestamp(0), Timestamp(0), 1, ZERO_ADDRESS, 0, 0, 100, 1, 10, 1, ZERO_HASH)


def facts(phase: Phase, *, due: bool = False, now: int = 150, gap: int = 0, outcome: Outcome = Outcome.NONE) -> Facts:
    """A task in this phase, nobody leading."""
    return Facts(
        Timestamp(now), PhaseInfo(phase, due, Timestamp(200)), replace(TASK, outcome=outcome), ROUND, finality_gap=gap
    )


def mine(entry: Entry, *, ready: bool = False, gave_up: str = "", credit: int = 0, leader: Entry = NONE) -> MinerFacts:
    """This miner's view of round 0."""
    return MinerFacts(ME, 0, entry, leader, ready, gave_up, Wei(credit))


@pytest.mark.parametrize(
    ("phase", "due", "expected"),
    [
        (Phase.TRAINING, False, Do.WAIT),
        (Phase.TRAINING, True, Do.ADVANCE),
        (Phase.CHALLENGE, True, Do.ADVANCE),
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
        (facts(Phase.SETTLED, outcome=Outcome.SETTLED), 50, Do.WITHDRAW),
        (facts(Phase.SETTLED, outcome=Outcome.SETTLED), 0, Do.FINISH),
        (facts(Phase.CANCELLED, outcome=Outcome.CANCELLED), 0, Do.FINISH),
    ],
)
def test_requester__situation__next_step(situation: Facts, credit: int, expected: Do) -> None:
    """The requester releases as early as finality allows, advances what is due, and withdraws at the end."""
    assert decide_requester(situation, Wei(credit)).do is expected


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
    )
    info = phase_of(task, round_, now, 0)
    decision = decide_miner(
        Facts(Timestamp(now), info, task, round_, 0), MinerFacts(ME, 0, entry, REVEALED, ready, "", Wei(credit))
    )
    allowed = {
        Do.TRAIN: {Phase.TRAINING},
        Do.COMMIT: {Phase.TRAINING},
        Do.REVEAL: {Phase.REVEALING},
        Do.OPEN: {Phase.OPENING},
        Do.NOMINATE: {Phase.NOMINATING},
    }
    assert info.phase in allowed.get(decision.do, set(Phase))
    assert decision.do is not Do.ADVANCE or info.due
    assert not (info.phase.is_cold and decision.do in (Do.WAIT, Do.ADVANCE))


def candidate(task_id: int, *, rank: int = 100, difficulty: int = 10, seconds: int = 10, end: int = 1000) -> Candidate:
    """A task in Training."""
    row = RankedTask(TaskId(task_id), rank, Wei(1000), difficulty, Timestamp(0), Timestamp(end), 0)
    return Candidate(row, Wei(100), seconds)


def test_order_candidates__same_hardware_cost__follows_the_rank() -> None:
    """Where this machine needs what the difficulty says, the market's order stands; ties go to the older task."""
    tasks = [candidate(3, rank=50), candidate(2, rank=100), candidate(1, rank=100)]
    assert [found.ranked.task_id for found in order_candidates(tasks)] == [1, 2, 3]


def test_order_candidates__cheap_for_this_machine__comes_first() -> None:
    """A task that this hardware does much faster than its difficulty says is worth more to it."""
    tasks = [candidate(1, rank=100, seconds=1000), candidate(2, rank=50, seconds=10)]
    assert [found.ranked.task_id for found in order_candidates(tasks)] == [2, 1]


@pytest.mark.parametrize(
    ("balance", "now", "sentence"),
    [
        (200, 0, ""),
        (104, 0, "deposit and gas need 105 wei, the account holds 104 wei"),
        (200, 995, "training needs about 10 s here, more than is left"),
        (200, 1200, "training needs about 10 s here, more than is left"),
    ],
)
def test_refuse_candidate__money_and_time__says_what_is_missing(balance: int, now: int, sentence: str) -> None:
    """A task that can't be finished or paid for is refused before any work, with the numbers."""
    found = refuse_candidate(candidate(1), now=Timestamp(now), balance_wei=balance, gas_reserve_wei=5)
    assert found == sentence
