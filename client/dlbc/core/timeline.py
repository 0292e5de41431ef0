"""What happened in one round, in the order of the chain's clock: transactions, and windows that time alone ended."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from dlbc.core.events import TaskEvent
from dlbc.core.types import ZERO_ADDRESS, Address, Hash32, Phase, Round, Timestamp

MOST_OF_A_KIND = 50
"""A round may have any number of commits; so many of each event are told one by one."""


@dataclass(frozen=True, slots=True)
class Step:
    """One thing that happened. phase: what began with it, "" for nothing."""

    at: Timestamp
    phase: str
    what: str
    account: Address
    block_number: int | None  # None: time did it, no transaction
    tx_hash: Hash32 | None


_WORDS = {
    "TaskPosted": "task posted",
    "TaskCancelled": "task cancelled",
    "ModelCommitted": "sealed model committed",
    "TestSetReleased": "test set released",
    "ClaimRevealed": "claim revealed",
    "ClaimDisplaced": "claim displaced by an earlier commit of the same model",
    "ClaimNominated": "claim nominated",
    "ModelOpened": "model opened",
    "VoteCalled": "vote called",
    "VoteConcluded": "vote concluded",
    "ClaimStruck": "claim struck",
    "RoundSettled": "round settled, ledger block appended",
    "TaskVoided": "task void",
    "TaskAborted": "task aborted",
    "DepositReclaimed": "deposit taken back",
    "ClaimRefuted": "claim refuted",
    "PredictionDemanded": "prediction demanded",
    "PredictionShown": "prediction shown",
    "DemandClosed": "demand closed",
    "TestSetImpeached": "test set impeached",
    "ClaimDisputed": "claim disputed",
    "VoteCommitted": "sealed ballot cast",
    "VoteRevealed": "ballot opened",
    "VoteResolved": "ballots counted",
    "VoteCollected": "ballot collected",
    "BondCollected": "bond collected",
}
"""Every event of a round but Credited, which the money flow tells."""

_BEGINS = {
    "TaskPosted": Phase.TRAINING,
    "TaskCancelled": Phase.CANCELLED,
    "TestSetReleased": Phase.REVEALING,
    "ModelOpened": Phase.CHALLENGE,
    "ClaimStruck": Phase.NOMINATING,
    "RoundSettled": Phase.SETTLED,
    "TaskVoided": Phase.VOID,
    "TaskAborted": Phase.ABORTED,
}


def of_round(events: Sequence[TaskEvent], index: int) -> tuple[list[TaskEvent], dict[str, int]]:
    """Events of one round, with what began it; and how many of a kind were left out, by their words."""
    kept: list[TaskEvent] = []
    counts: Counter[str] = Counter()
    for event in events:
        is_beginning = event.name == "TaskPosted" or (event.name == "RoundSettled" and event.round == index - 1)
        if event.name not in _WORDS or not (is_beginning or event.round == index or event.name == "TaskCancelled"):
            continue
        counts[event.name] += 1
        if counts[event.name] <= MOST_OF_A_KIND:
            kept.append(event)
    more = {_WORDS[name]: count - MOST_OF_A_KIND for name, count in counts.items() if count > MOST_OF_A_KIND}
    return kept, more


def timeline(
    events: Sequence[TaskEvent], index: int, facts: Round, times: Mapping[int, Timestamp], now: Timestamp
) -> tuple[Step, ...]:
    """events: of round `index`, as `of_round` gives them; times: of their blocks; facts: the round's."""
    steps = [_step(event, index, times[event.block_number]) for event in events]
    opened = any(event.name == "ModelOpened" for event in events)
    steps += [
        Step(at, phase.label, what, ZERO_ADDRESS, None, None)
        for at, phase, what in (
            (facts.train_end, Phase.RELEASING, "commits close"),
            (facts.reveal_end, Phase.OPENING, "reveals close"),
        )
        if 0 < at <= now and not _ended_before(steps, at)
    ]
    if opened and 0 < facts.challenge_end <= now:
        steps.append(Step(facts.challenge_end, "", "challenge ends", ZERO_ADDRESS, None, None))
    return tuple(sorted(steps, key=lambda step: (step.at, step.tx_hash is not None)))


def _step(event: TaskEvent, index: int, at: Timestamp) -> Step:
    phase = _BEGINS.get(event.name)
    words = _WORDS[event.name]
    if event.name == "RoundSettled" and event.round != index:
        phase, words = Phase.TRAINING, f"round {event.round} settled"
    if event.detail:
        words = f"{words}: {event.detail.lower().replace('_', ' ')}"
    return Step(at, phase.label if phase is not None else "", words, event.account, event.block_number, event.tx_hash)


def _ended_before(steps: Sequence[Step], at: Timestamp) -> bool:
    """The round was over before its window was."""
    over = {phase.label for phase in Phase if phase.is_cold}
    return any(step.phase in over and step.at < at for step in steps)
