"""Facts and the clock give the phase, exactly as contracts/libraries/PhaseLib.sol; nothing stores a phase."""

from __future__ import annotations

from itertools import pairwise

from dlbc.core.types import ZERO_ADDRESS, Outcome, Phase, PhaseInfo, Round, Task, Timestamp, Vote

_COLD = {
    Outcome.SETTLED: Phase.SETTLED,
    Outcome.ABORTED: Phase.ABORTED,
    Outcome.VOID: Phase.VOID,
    Outcome.CANCELLED: Phase.CANCELLED,
}


def phase_of(task: Task, round: Round, now: int, finality_gap: int, vote_seconds: int) -> PhaseInfo:
    """The phase of the task's current round at chain time `now` (seconds). NONE = there is no such task.

    vote_seconds: length of each half of a first vote, committing and revealing.
    """
    if task.requester == ZERO_ADDRESS:
        return PhaseInfo(Phase.NONE, False, Timestamp(0))
    if task.outcome != Outcome.NONE:
        return PhaseInfo(_COLD[task.outcome], False, Timestamp(0))
    if round.reveal_end == 0:
        return _before_release(task, round, now, finality_gap)
    return _after_release(task, round, now, vote_seconds)


def vote_windows(first_start: int, repeat_start: int, vote_seconds: int) -> tuple[Timestamp, Timestamp, Timestamp]:
    """(start, end of committing, end of revealing) of a vote; a repeated one takes twice as long (P-55).

    first_start: when the window before the vote ends. repeat_start: when the repeat started; 0 = the first vote.
    """
    start, length = (repeat_start, 2 * vote_seconds) if repeat_start else (first_start, vote_seconds)
    return Timestamp(start), Timestamp(start + length), Timestamp(start + 2 * length)


def release_window(task: Task, round: Round, finality_gap: int) -> tuple[Timestamp, Timestamp]:
    """[start, end) of the window in which the requester may release (P-40)."""
    start = round.train_end + finality_gap
    return Timestamp(start), Timestamp(start + task.release_seconds)


def opening_window(task: Task, round: Round) -> tuple[Timestamp, Timestamp]:
    """[start, end) of the window in which the leader may open (P-51)."""
    start = max(round.reveal_end, round.nominate_end)
    return Timestamp(start), Timestamp(start + task.open_seconds)


def what_next(info: PhaseInfo, task: Task, round: Round, now: int, finality_gap: int) -> str:
    """One sentence: who may do what until when."""
    if info.phase in _STILL:
        return _STILL[info.phase]
    if info.due:
        return _what_is_due(info, round)
    return _what_runs(info, task, round, now, finality_gap) + _what_is_demanded(round, now) + "."


def _what_is_due(info: PhaseInfo, round: Round) -> str:
    if round.open_demands and info.phase is not Phase.NOMINATING:
        return f"Anyone may advance now: {round.leader} did not show what was demanded, so it is struck."
    if info.phase is Phase.CHALLENGE:
        return f"Anyone may advance now: the model stood and {round.leader} is paid."
    return _DUE[info.phase]


def _what_runs(info: PhaseInfo, task: Task, round: Round, now: int, finality_gap: int) -> str:
    left = duration(info.ends_at - now)
    disputed = "the test set" if round.vote is Vote.TEST_SET else f"the claim of {round.leader}"
    if info.phase is Phase.TRAINING:
        cancel = "" if round.commits else "; the requester may cancel until the first commit"
        return f"Miners may commit for another {left}{cancel}"
    if info.phase is Phase.RELEASING:
        start, _ = release_window(task, round, finality_gap)
        if now < start:
            return f"The requester may release the test set in {duration(start - now)} and must within {left}"
        return f"The requester must release the test set within {left}"
    if info.phase is Phase.REVEALING:
        then = "; auditors then vote on the impeached test set" if round.vote is Vote.TEST_SET else ""
        return f"Miners may reveal their claims for another {left}{then}"
    if info.phase is Phase.OPENING:
        return f"The leader {round.leader} must open its model within {left}"
    if info.phase is Phase.CHALLENGE:
        if now >= round.challenge_end:
            return f"The challenge is over and {round.leader} is paid in {left} at the latest"
        if round.vote is Vote.CLAIM:
            return (
                f"Auditors vote on the disputed claim of {round.leader} in {left}; anyone may add a dispute until then"
            )
        return f"Anyone may check and dispute the opened model of {round.leader}; it is settled in {left}"
    if info.phase is Phase.VOTING_COMMIT:
        return f"Auditors may cast sealed ballots on {disputed} for another {left}"
    if info.phase is Phase.VOTING_REVEAL:
        return f"Auditors must open their ballots on {disputed} within {left}"
    return f"Anyone may nominate a qualifying claim for another {left}; the best one leads"


def _what_is_demanded(round: Round, now: int) -> str:
    if not round.open_demands:
        return ""
    what = "prediction" if round.open_demands == 1 else "predictions"
    left = duration(round.demand_end - now)
    return f"; {round.open_demands} demanded {what} must be shown within {left}"


def meaning(phase: Phase) -> str:
    """What a phase that does not end by itself means, in one sentence; "" for the others."""
    return _STILL.get(phase, "")


def duration(seconds: int) -> str:
    """A length of time as its largest unit and the one below, e.g. "2 h 5 min"; a negative one is "0 s"."""
    seconds = max(0, seconds)
    for (large, size), (small, part) in pairwise(_UNITS):
        if seconds >= size:
            rest = seconds % size // part
            return f"{seconds // size} {large}" + (f" {rest} {small}" if rest else "")
    return f"{seconds} s"


_UNITS = (("d", 86_400), ("h", 3_600), ("min", 60), ("s", 1))
_DUE = {
    Phase.TRAINING: "Anyone may advance now: nobody committed, so the task becomes void and the money goes back.",
    Phase.RELEASING: "Anyone may advance now: the test set was not released, so the task is aborted.",
    Phase.REVEALING: "Anyone may advance now: no claim qualifies, so the task becomes void and the money goes back.",
    Phase.OPENING: "Anyone may advance now: the leader did not open, so it is struck and loses its deposit.",
    Phase.VOTING_REVEAL: "Anyone may advance now: the vote is over and its ballots are counted.",
    Phase.NOMINATING: "Anyone may advance now: no claim was nominated, so the task becomes void.",
}
_STILL = {
    Phase.NONE: "There is no such task.",
    Phase.SETTLED: "The winner is paid; miners may reclaim their deposits and everybody may withdraw.",
    Phase.ABORTED: "The test set never came or was not the promised one; miners may reclaim more than their deposits.",
    Phase.VOID: "No claim is left that qualifies; revealed miners may reclaim deposits, the requester may withdraw.",
    Phase.CANCELLED: "The requester took the task back and may withdraw.",
}


def _before_release(task: Task, round: Round, now: int, finality_gap: int) -> PhaseInfo:
    if now < round.train_end:
        return PhaseInfo(Phase.TRAINING, False, round.train_end)
    if round.commits == 0:
        return PhaseInfo(Phase.TRAINING, True, round.train_end)
    _, release_end = release_window(task, round, finality_gap)
    return PhaseInfo(Phase.RELEASING, now >= release_end, release_end)


def _after_release(task: Task, round: Round, now: int, vote_seconds: int) -> PhaseInfo:
    if now < round.reveal_end:
        return PhaseInfo(Phase.REVEALING, False, round.reveal_end)
    if round.vote is Vote.TEST_SET:
        return _voting(round, now, round.reveal_end, vote_seconds)
    info = _after_reveal(task, round, now, vote_seconds)
    # a demand that was not answered in time: whatever the leader waits for, it is struck (M-7)
    if round.open_demands and not info.due and now >= round.demand_end:
        return PhaseInfo(info.phase, True, round.demand_end)
    return info


def _after_reveal(task: Task, round: Round, now: int, vote_seconds: int) -> PhaseInfo:
    if round.challenge_end != 0:
        if now < round.challenge_end:
            return PhaseInfo(Phase.CHALLENGE, False, round.challenge_end)
        if round.vote is Vote.CLAIM:
            return _voting(round, now, round.challenge_end, vote_seconds)
        return _wait_for_demands(round, Phase.CHALLENGE, now, round.challenge_end)
    if now < round.nominate_end:
        return PhaseInfo(Phase.NOMINATING, False, round.nominate_end)
    if round.leader == ZERO_ADDRESS:
        if round.nominate_end != 0:
            return PhaseInfo(Phase.NOMINATING, True, round.nominate_end)
        return PhaseInfo(Phase.REVEALING, True, round.reveal_end)
    _, open_end = opening_window(task, round)
    return PhaseInfo(Phase.OPENING, now >= open_end, open_end)


def _voting(round: Round, now: int, first_start: Timestamp, vote_seconds: int) -> PhaseInfo:
    _, commit_end, reveal_end = vote_windows(first_start, round.vote_start, vote_seconds)
    if now < commit_end:
        return PhaseInfo(Phase.VOTING_COMMIT, False, commit_end)
    return _wait_for_demands(round, Phase.VOTING_REVEAL, now, reveal_end)


def _wait_for_demands(round: Round, phase: Phase, now: int, ends_at: Timestamp) -> PhaseInfo:
    """No settlement or verdict before every demand is answered or overdue and answers could be refuted (P-58)."""
    ends_at = max(ends_at, round.demand_end)
    return PhaseInfo(phase, now >= ends_at, ends_at)
