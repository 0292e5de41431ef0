"""The phase follows from facts and the clock; the windows below are those of the protocol's table."""

from __future__ import annotations

from dataclasses import replace

import pytest
from dlbc.core.phases import duration, opening_window, phase_of, release_window, vote_windows, what_next
from dlbc.core.types import (
    ZERO_ADDRESS,
    ZERO_HASH,
    Address,
    Outcome,
    Phase,
    PhaseInfo,
    Round,
    Task,
    Timestamp,
    Vote,
    Wei,
)
from fakes.chain import NO_ROUND
from hypothesis import given
from hypothesis import strategies as st

pytestmark = pytest.mark.unit

LEADER = Address("0xf39Fd6e51aad88F6F4ce6aB8827279cffFb92266")
GAP = 60
VOTE = 1_000
TRAIN_END = Timestamp(10_000)
RELEASE_END = TRAIN_END + GAP + 300
REVEAL_END = Timestamp(20_000)
NOMINATE_END = Timestamp(20_400)
CHALLENGE_END = Timestamp(30_000)
TASK = Task(
    requester=LEADER,
    round=0,
    rounds=1,
    outcome=Outcome.NONE,
    train_seconds=1_000,
    release_seconds=300,
    bounty_wei=Wei(10**18),
    deposit_wei=Wei(10**17),
    reveal_seconds=100,
    open_seconds=200,
    bond_wei=Wei(10**17),
    challenge_seconds=500,
    min_score_ppm=0,
    min_gain_ppm=0,
    tolerance_ppm=0,
    royalty_bps=0,
    difficulty=1,
    posted_at=Timestamp(9_000),
    terms_hash=ZERO_HASH,
)
EMPTY = replace(NO_ROUND, train_end=TRAIN_END)
COMMITTED = replace(EMPTY, commits=2)
RELEASED = replace(COMMITTED, reveal_end=REVEAL_END)
LED = replace(RELEASED, leader=LEADER)
STRUCK = replace(RELEASED, nominate_end=NOMINATE_END)
NOMINATED = replace(STRUCK, leader=LEADER)
OPENED = replace(LED, challenge_end=CHALLENGE_END)
OPENED_LATER = replace(NOMINATED, challenge_end=CHALLENGE_END)
IMPEACHED = replace(LED, vote=Vote.TEST_SET)
IMPEACHED_TWICE = replace(IMPEACHED, vote_start=Timestamp(REVEAL_END + 2 * VOTE + 7))
DISPUTED = replace(OPENED, vote=Vote.CLAIM)
DISPUTED_TWICE = replace(DISPUTED, vote_start=Timestamp(CHALLENGE_END + 2 * VOTE + 7))
EARLY_DEMAND = {"open_demands": 1, "demand_end": Timestamp(REVEAL_END + 150)}
LATE_DEMAND = {"open_demands": 2, "demand_end": Timestamp(CHALLENGE_END + 150)}
LATEST_DEMAND = {"open_demands": 1, "demand_end": Timestamp(CHALLENGE_END + 3 * VOTE)}

TABLE = [
    (EMPTY, TRAIN_END - 1, Phase.TRAINING, False, TRAIN_END),
    (EMPTY, TRAIN_END, Phase.TRAINING, True, TRAIN_END),
    (EMPTY, RELEASE_END, Phase.TRAINING, True, TRAIN_END),
    (COMMITTED, TRAIN_END - 1, Phase.TRAINING, False, TRAIN_END),
    (COMMITTED, TRAIN_END, Phase.RELEASING, False, RELEASE_END),
    (COMMITTED, RELEASE_END - 1, Phase.RELEASING, False, RELEASE_END),
    (COMMITTED, RELEASE_END, Phase.RELEASING, True, RELEASE_END),
    (RELEASED, REVEAL_END - 1, Phase.REVEALING, False, REVEAL_END),
    (RELEASED, REVEAL_END, Phase.REVEALING, True, REVEAL_END),
    (LED, REVEAL_END - 1, Phase.REVEALING, False, REVEAL_END),
    (LED, REVEAL_END, Phase.OPENING, False, REVEAL_END + 200),
    (LED, REVEAL_END + 199, Phase.OPENING, False, REVEAL_END + 200),
    (LED, REVEAL_END + 200, Phase.OPENING, True, REVEAL_END + 200),
    (STRUCK, REVEAL_END - 1, Phase.REVEALING, False, REVEAL_END),
    (STRUCK, REVEAL_END, Phase.NOMINATING, False, NOMINATE_END),
    (STRUCK, NOMINATE_END, Phase.NOMINATING, True, NOMINATE_END),
    (NOMINATED, NOMINATE_END - 1, Phase.NOMINATING, False, NOMINATE_END),
    (NOMINATED, NOMINATE_END, Phase.OPENING, False, NOMINATE_END + 200),
    (NOMINATED, NOMINATE_END + 200, Phase.OPENING, True, NOMINATE_END + 200),
    (OPENED, REVEAL_END, Phase.CHALLENGE, False, CHALLENGE_END),
    (OPENED, CHALLENGE_END - 1, Phase.CHALLENGE, False, CHALLENGE_END),
    (OPENED, CHALLENGE_END, Phase.CHALLENGE, True, CHALLENGE_END),
    (OPENED_LATER, NOMINATE_END - 1, Phase.CHALLENGE, False, CHALLENGE_END),
    (OPENED_LATER, CHALLENGE_END, Phase.CHALLENGE, True, CHALLENGE_END),
    # votes
    (IMPEACHED, REVEAL_END - 1, Phase.REVEALING, False, REVEAL_END),
    (IMPEACHED, REVEAL_END, Phase.VOTING_COMMIT, False, REVEAL_END + VOTE),
    (IMPEACHED, REVEAL_END + VOTE - 1, Phase.VOTING_COMMIT, False, REVEAL_END + VOTE),
    (IMPEACHED, REVEAL_END + VOTE, Phase.VOTING_REVEAL, False, REVEAL_END + 2 * VOTE),
    (IMPEACHED, REVEAL_END + 2 * VOTE, Phase.VOTING_REVEAL, True, REVEAL_END + 2 * VOTE),
    (IMPEACHED_TWICE, REVEAL_END + 2 * VOTE + 7, Phase.VOTING_COMMIT, False, REVEAL_END + 4 * VOTE + 7),
    (IMPEACHED_TWICE, REVEAL_END + 4 * VOTE + 7, Phase.VOTING_REVEAL, False, REVEAL_END + 6 * VOTE + 7),
    (IMPEACHED_TWICE, REVEAL_END + 6 * VOTE + 7, Phase.VOTING_REVEAL, True, REVEAL_END + 6 * VOTE + 7),
    (DISPUTED, CHALLENGE_END - 1, Phase.CHALLENGE, False, CHALLENGE_END),
    (DISPUTED, CHALLENGE_END, Phase.VOTING_COMMIT, False, CHALLENGE_END + VOTE),
    (DISPUTED, CHALLENGE_END + VOTE, Phase.VOTING_REVEAL, False, CHALLENGE_END + 2 * VOTE),
    (DISPUTED, CHALLENGE_END + 2 * VOTE, Phase.VOTING_REVEAL, True, CHALLENGE_END + 2 * VOTE),
    (DISPUTED_TWICE, CHALLENGE_END + 6 * VOTE + 6, Phase.VOTING_REVEAL, False, CHALLENGE_END + 6 * VOTE + 7),
    (DISPUTED_TWICE, CHALLENGE_END + 6 * VOTE + 7, Phase.VOTING_REVEAL, True, CHALLENGE_END + 6 * VOTE + 7),
    # demands
    (replace(LED, **EARLY_DEMAND), REVEAL_END + 149, Phase.OPENING, False, REVEAL_END + 200),
    (replace(LED, **EARLY_DEMAND), REVEAL_END + 150, Phase.OPENING, True, REVEAL_END + 150),
    (replace(LED, **EARLY_DEMAND), REVEAL_END + 200, Phase.OPENING, True, REVEAL_END + 200),
    (replace(OPENED, **EARLY_DEMAND), REVEAL_END + 150, Phase.CHALLENGE, True, REVEAL_END + 150),
    (replace(OPENED, **LATE_DEMAND), CHALLENGE_END - 1, Phase.CHALLENGE, False, CHALLENGE_END),
    (replace(OPENED, **LATE_DEMAND), CHALLENGE_END, Phase.CHALLENGE, False, CHALLENGE_END + 150),
    (replace(OPENED, **LATE_DEMAND), CHALLENGE_END + 150, Phase.CHALLENGE, True, CHALLENGE_END + 150),
    (replace(DISPUTED, **LATE_DEMAND), CHALLENGE_END + 149, Phase.VOTING_COMMIT, False, CHALLENGE_END + VOTE),
    (replace(DISPUTED, **LATE_DEMAND), CHALLENGE_END + 150, Phase.VOTING_COMMIT, True, CHALLENGE_END + 150),
    (replace(DISPUTED, **LATEST_DEMAND), CHALLENGE_END + VOTE, Phase.VOTING_REVEAL, False, CHALLENGE_END + 3 * VOTE),
    (replace(DISPUTED, **LATEST_DEMAND), CHALLENGE_END + 3 * VOTE, Phase.VOTING_REVEAL, True, CHALLENGE_END + 3 * VOTE),
]
TIMES = st.sampled_from([0, 5, 10, 15]).map(Timestamp)
ROUNDS = st.builds(
    Round,
    train_end=st.integers(1, 10).map(Timestamp),
    reveal_end=TIMES,
    nominate_end=TIMES,
    challenge_end=TIMES,
    commits=st.integers(0, 2),
    vote_start=TIMES,
    vote=st.sampled_from(list(Vote)),
    open_demands=st.integers(0, 1),
    leader=st.sampled_from([LEADER, ZERO_ADDRESS]),
    leader_total=st.just(0),
    reveals=st.just(0),
    samples=st.just(0),
    max_sample_score=st.just(0),
    classes=st.just(0),
    metric=st.just(0),
    demand_end=TIMES,
    strikes=st.just(0),
    is_fee_due=st.just(False),
    test_commitment=st.just(ZERO_HASH),
)
SHORT = replace(TASK, release_seconds=4, open_seconds=3)


@pytest.mark.parametrize(("round_", "now", "phase", "due", "ends_at"), TABLE)
def test_phase_of__facts_and_time__row_of_the_table(
    round_: Round, now: int, phase: Phase, due: bool, ends_at: int
) -> None:
    """Windows are [start, end): in the last second a phase still runs, at its end it is due."""
    assert PhaseInfo(phase, due, Timestamp(ends_at)) == phase_of(TASK, round_, now, GAP, VOTE)


@pytest.mark.parametrize(
    ("outcome", "phase"),
    [
        (Outcome.SETTLED, Phase.SETTLED),
        (Outcome.ABORTED, Phase.ABORTED),
        (Outcome.VOID, Phase.VOID),
        (Outcome.CANCELLED, Phase.CANCELLED),
    ],
)
@pytest.mark.parametrize("round_", [EMPTY, LED, OPENED])
def test_phase_of__task_has_ended__cold_whatever_the_facts(round_: Round, outcome: Outcome, phase: Phase) -> None:
    """Cold phases are final."""
    assert phase.is_cold
    assert PhaseInfo(phase, False, Timestamp(0)) == phase_of(replace(TASK, outcome=outcome), round_, 99, GAP, VOTE)


def test_phase_of__no_such_task__none() -> None:
    """A task without a requester does not exist."""
    unknown = replace(TASK, requester=ZERO_ADDRESS)

    assert PhaseInfo(Phase.NONE, False, Timestamp(0)) == phase_of(unknown, EMPTY, 99, GAP, VOTE)
    assert what_next(phase_of(unknown, EMPTY, 99, GAP, VOTE), unknown, EMPTY, 99, GAP) == "There is no such task."


@given(round_=ROUNDS, now=st.integers(0, 30), gap=st.integers(0, 3))
def test_phase_of__any_facts__due_exactly_from_its_end(round_: Round, now: int, gap: int) -> None:
    """P-4: every warm phase has an end, and time alone reaches it."""
    info = phase_of(SHORT, round_, now, gap, 2)

    assert info.due == (now >= info.ends_at)
    assert not info.phase.is_cold


@given(round_=ROUNDS, now=st.integers(0, 30), later=st.integers(0, 30), gap=st.integers(0, 3))
def test_phase_of__without_a_transaction__once_due_stays_due(round_: Round, now: int, later: int, gap: int) -> None:
    """What is due waits for advance: without open demands the phase stays too, an overdue demand outlasts windows."""
    info, then = phase_of(SHORT, round_, now, gap, 2), phase_of(SHORT, round_, now + later, gap, 2)

    if info.due:
        assert then.due
        assert round_.open_demands or info == then


def test_vote_windows__first_and_repeat__the_repeat_is_twice_as_long() -> None:
    """P-55: the first vote starts when the window before it ends, the repeat when the first was counted."""
    assert vote_windows(100, 0, 10) == (100, 110, 120)
    assert vote_windows(100, 130, 10) == (130, 150, 170)


def test_windows__of_a_round__start_after_the_gap_and_the_nominations() -> None:
    """P-40: release from trainEnd + finalityGap; P-51: open from the reveals' or nominations' end."""
    assert release_window(TASK, COMMITTED, GAP) == (TRAIN_END + GAP, RELEASE_END)
    assert opening_window(TASK, LED) == (REVEAL_END, REVEAL_END + 200)
    assert opening_window(TASK, NOMINATED) == (NOMINATE_END, NOMINATE_END + 200)


# ---------------------------------------------------------------- sentences


def sentence(round_: Round, now: int, outcome: Outcome = Outcome.NONE) -> str:
    """What `task show` says at this time."""
    task = replace(TASK, outcome=outcome)
    return what_next(phase_of(task, round_, now, GAP, VOTE), task, round_, now, GAP)


@pytest.mark.parametrize(
    ("round_", "now", "expected"),
    [
        (EMPTY, TRAIN_END - 90, "Miners may commit for another 1 min 30 s; the requester may cancel until the first"),
        (COMMITTED, TRAIN_END - 90, "Miners may commit for another 1 min 30 s."),
        (EMPTY, TRAIN_END, "nobody committed"),
        (COMMITTED, TRAIN_END, "may release the test set in 1 min and must within 6 min"),
        (COMMITTED, TRAIN_END + GAP, "The requester must release the test set within 5 min."),
        (COMMITTED, RELEASE_END, "was not released, so the task is aborted"),
        (RELEASED, REVEAL_END - 5, "Miners may reveal their claims for another 5 s."),
        (RELEASED, REVEAL_END, "no claim qualifies"),
        (LED, REVEAL_END, f"The leader {LEADER} must open its model within 3 min 20 s."),
        (LED, REVEAL_END + 200, "did not open, so it is struck"),
        (STRUCK, REVEAL_END, "Anyone may nominate a qualifying claim for another 6 min 40 s"),
        (STRUCK, NOMINATE_END, "no claim was nominated"),
        (OPENED, CHALLENGE_END - 3600, f"check and dispute the opened model of {LEADER}; it is settled in 1 h."),
        (OPENED, CHALLENGE_END, f"Anyone may advance now: the model stood and {LEADER} is paid."),
        (replace(IMPEACHED, leader=ZERO_ADDRESS), REVEAL_END - 5, "auditors then vote on the impeached test set."),
        (IMPEACHED, REVEAL_END, "Auditors may cast sealed ballots on the test set for another 16 min 40 s."),
        (IMPEACHED, REVEAL_END + VOTE, "Auditors must open their ballots on the test set within 16 min 40 s."),
        (IMPEACHED, REVEAL_END + 2 * VOTE, "the vote is over and its ballots are counted"),
        (DISPUTED, CHALLENGE_END - 60, f"Auditors vote on the disputed claim of {LEADER} in 1 min; anyone may add"),
        (DISPUTED, CHALLENGE_END, f"sealed ballots on the claim of {LEADER} for another 16 min 40 s."),
        (replace(LED, **EARLY_DEMAND), REVEAL_END, "; 1 demanded prediction must be shown within 2 min 30 s."),
        (replace(OPENED, **LATE_DEMAND), CHALLENGE_END - 10, "; 2 demanded predictions must be shown within 2 min 40"),
        (replace(OPENED, **LATE_DEMAND), CHALLENGE_END, f"The challenge is over and {LEADER} is paid in 2 min 30 s at"),
        (
            replace(OPENED, **LATE_DEMAND),
            CHALLENGE_END + 150,
            f"{LEADER} did not show what was demanded, so it is struck",
        ),
    ],
)
def test_what_next__warm_phase__says_who_may_do_what_until_when(round_: Round, now: int, expected: str) -> None:
    """One sentence a phase, with the time left."""
    assert expected in sentence(round_, now)


@pytest.mark.parametrize("outcome", [Outcome.SETTLED, Outcome.ABORTED, Outcome.VOID, Outcome.CANCELLED])
def test_what_next__cold_phase__says_what_is_left_to_do(outcome: Outcome) -> None:
    """After the end only money is left to fetch."""
    assert "may withdraw" in sentence(OPENED, 99, outcome) or "may reclaim" in sentence(OPENED, 99, outcome)


@pytest.mark.parametrize("row", TABLE)
def test_what_next__every_row__one_sentence(row: tuple[Round, int, Phase, bool, int]) -> None:
    """Every phase, running or due, has its sentence; a due one says that anyone may advance."""
    text = sentence(row[0], row[1])

    assert text.endswith(".")
    assert text.count(". ") == 0
    assert row[3] == text.startswith("Anyone may advance now")


@pytest.mark.parametrize(
    ("seconds", "text"),
    [
        (-5, "0 s"),
        (0, "0 s"),
        (59, "59 s"),
        (60, "1 min"),
        (3_599, "59 min 59 s"),
        (3_600, "1 h"),
        (3_605, "1 h"),
        (86_400 + 2 * 3_600 + 59, "1 d 2 h"),
        (90 * 86_400, "90 d"),
    ],
)
def test_duration__seconds__two_largest_units(seconds: int, text: str) -> None:
    """Short enough to read at a glance: a smaller unit is shown only right below the largest."""
    assert text == duration(seconds)
