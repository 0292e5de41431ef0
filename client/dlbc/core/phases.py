"""Facts and the clock give the phase, exactly as contracts/libraries/PhaseLib.sol; nothing stores a phase."""

from __future__ import annotations

from itertools import pairwise

from dlbc.core.types import ZERO_ADDRESS, Outcome, Phase, PhaseInfo, Round, Task, Timestamp

_COLD = {
    Outcome.SETTLED: Phase.SETTLED,
    Outcome.ABORTED: Phase.ABORTED,
    Outcome.VOID: Phase.VOID,
    Outcome.CANCELLED: Phase.CANCELLED,
}


def phase_of(task: Task, round: Round, now: int, finality_gap: int) -> PhaseInfo:
    """The phase of the task's current round at chain time `now` (seconds). NONE = there is no such task."""
    if task.requester == ZERO_ADDRESS:
        return PhaseInfo(Phase.NONE, False, Timestamp(0))
    if task.outcome != Outcome.NONE:
        return PhaseInfo(_COLD[task.outcome], False, Timestamp(0))
    if round.reveal_end == 0:
        return _before_release(task, round, now, finality_gap)
    return _after_release(task, round, now)


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
    left = duration(info.ends_at - now)
    if info.phase in _STILL:
        return _STILL[info.phase]
    if info.due:
        if info.phase == Phase.CHALLENGE:
            return f"Anyone may advance now: the model stood and {round.leader} is paid."
        return _DUE[info.phase]
    if info.phase == Phase.TRAINING:
        cancel = "" if round.commits else "; the requester may cancel until the first commit"
        return f"Miners may commit for another {left}{cancel}."
    if info.phase == Phase.RELEASING:
        start, _ = release_window(task, round, finality_gap)
        if now < start:
            return f"The requester may release the test set in {duration(start - now)} and must within {left}."
        return f"The requester must release the test set within {left}."
    if info.phase == Phase.REVEALING:
        return f"Miners may reveal their claims for another {left}."
    if info.phase == Phase.OPENING:
        return f"The leader {round.leader} must open its model within {left}."
    if info.phase == Phase.CHALLENGE:
        return f"Anyone may check the opened model of {round.leader}; it is settled in {left}."
    return f"Anyone may nominate a qualifying claim for another {left}; the best one leads."


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
    Phase.NOMINATING: "Anyone may advance now: no claim was nominated, so the task becomes void.",
}
_STILL = {
    Phase.NONE: "There is no such task.",
    Phase.SETTLED: "The winner is paid; miners may reclaim their deposits and everybody may withdraw.",
    Phase.ABORTED: "The test set never came; miners may reclaim their deposits with a share of the bond.",
    Phase.VOID: "No claim reached the minimum score; revealed miners may reclaim deposits, the requester may withdraw.",
    Phase.CANCELLED: "The requester took the task back and may withdraw.",
}


def _before_release(task: Task, round: Round, now: int, finality_gap: int) -> PhaseInfo:
    if now < round.train_end:
        return PhaseInfo(Phase.TRAINING, False, round.train_end)
    if round.commits == 0:
        return PhaseInfo(Phase.TRAINING, True, round.train_end)
    _, release_end = release_window(task, round, finality_gap)
    return PhaseInfo(Phase.RELEASING, now >= release_end, release_end)


def _after_release(task: Task, round: Round, now: int) -> PhaseInfo:
    if now < round.reveal_end:
        return PhaseInfo(Phase.REVEALING, False, round.reveal_end)
    if round.challenge_end != 0:
        return PhaseInfo(Phase.CHALLENGE, now >= round.challenge_end, round.challenge_end)
    if now < round.nominate_end:
        return PhaseInfo(Phase.NOMINATING, False, round.nominate_end)
    if round.leader == ZERO_ADDRESS:
        if round.nominate_end != 0:
            return PhaseInfo(Phase.NOMINATING, True, round.nominate_end)
        return PhaseInfo(Phase.REVEALING, True, round.reveal_end)
    _, open_end = opening_window(task, round)
    return PhaseInfo(Phase.OPENING, now >= open_end, open_end)
