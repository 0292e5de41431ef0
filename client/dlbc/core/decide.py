"""From a snapshot of chain facts to the next action: every rule of the roles, with no clock, chain or disk in it.

A decision is a function of facts alone, so that a role that was killed at any line decides the same thing again when
it starts, and so that doing it twice is refused by the chain rather than paid twice.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum

from dlbc.core.types import (
    ZERO_ADDRESS,
    Address,
    Case,
    Entry,
    Outcome,
    Phase,
    PhaseInfo,
    Round,
    Ruling,
    Task,
    Timestamp,
    Verdict,
    Vote,
    Wei,
)

NO_DEADLINE = Timestamp(0)
NOTHING = Wei(0)


class Do(Enum):
    """What a role does next with one task."""

    WAIT = "wait"
    TRAIN = "train"
    COMMIT = "commit"
    RELEASE = "release"
    REVEAL = "reveal"
    NOMINATE = "nominate"
    ANSWER = "answer"
    OPEN = "open"
    COMMIT_VOTE = "commit_vote"
    REVEAL_VOTE = "reveal_vote"
    COLLECT_VOTE = "collect_vote"
    RECOVER_VOTE = "recover_vote"
    COLLECT_BOND = "collect_bond"
    CLAIM_DIVIDENDS = "claim_dividends"
    ADVANCE = "advance"
    RECLAIM = "reclaim"
    WITHDRAW = "withdraw"
    WITHDRAW_FROM_POOL = "withdraw_from_pool"
    FINISH = "finish"


@dataclass(frozen=True, slots=True)
class Decision:
    """What to do, why, and until when it is the right thing (0 = no deadline is known)."""

    do: Do
    why: str
    until: Timestamp = NO_DEADLINE


@dataclass(frozen=True, slots=True)
class Facts:
    """One task as the chain tells it at one moment; `round` is the current round."""

    now: Timestamp
    phase: PhaseInfo
    task: Task
    round: Round
    finality_gap: int


@dataclass(frozen=True, slots=True)
class MinerFacts:
    """What a miner knows of its entry in one round, beside the task's facts."""

    me: Address
    round_index: int  # the round the entry is in; earlier than facts.task.round = settled
    entry: Entry
    leader: Entry  # of facts.round.leader; all zero if nobody leads
    model_ready: bool  # trained, sealed and uploaded
    gave_up: str  # why this miner does not go on with the round (nothing to claim, no time left); "" = it does
    credit: Wei
    demanded: bool = False  # a prediction of this miner's claim is demanded and not shown yet
    pool_credit: Wei = NOTHING


# ------------------------------------------------------------------ anyone


def decide_keeper(phase: PhaseInfo) -> Decision:
    """Anyone may write what time has made due (P-4)."""
    if phase.due:
        return Decision(Do.ADVANCE, f"{phase.phase.label} is over", phase.ends_at)
    if phase.phase.is_cold:
        return Decision(Do.FINISH, f"the task is {phase.phase.label}")
    return Decision(Do.WAIT, f"{phase.phase.label} runs", phase.ends_at)


# ------------------------------------------------------------------ requester


def decide_requester(facts: Facts, credit: Wei, pool_credit: Wei = NOTHING) -> Decision:
    """The requester releases as early as finality allows, keeps time moving, and takes its money home.

    pool_credit: its half of the bonds of whoever impeached its test set and was overruled (P-45).
    """
    phase = facts.phase
    if phase.phase.is_cold:
        if credit > 0:
            return Decision(Do.WITHDRAW, "the task is over and the market owes money")
        if pool_credit > 0:
            return Decision(Do.WITHDRAW_FROM_POOL, "the task is over and the auditor pool owes money")
        return Decision(Do.FINISH, f"the task is {phase.phase.label}")
    if phase.due:
        return Decision(Do.ADVANCE, f"{phase.phase.label} is over", phase.ends_at)
    if phase.phase is Phase.RELEASING:
        earliest = Timestamp(facts.round.train_end + facts.finality_gap)
        if facts.now < earliest:
            return Decision(Do.WAIT, "commits have to be final before the release", earliest)
        return Decision(Do.RELEASE, "commits are closed", phase.ends_at)
    return Decision(Do.WAIT, f"{phase.phase.label} runs", phase.ends_at)


# ------------------------------------------------------------------ miner


def decide_miner(facts: Facts, mine: MinerFacts) -> Decision:
    """The next step of one entry, from training to the money on the miner's own account."""
    phase = _phase_of_round(facts, mine.round_index)
    entry = mine.entry
    if entry.commit_seq == 0:
        return _before_commit(mine, phase)
    if phase.phase.is_cold:
        if may_reclaim(entry, phase.phase, facts.task.outcome):
            return Decision(Do.RECLAIM, f"the round is {phase.phase.label} and holds the deposit")
        if mine.credit > 0:
            return Decision(Do.WITHDRAW, "the market owes money")
        if mine.pool_credit > 0:
            return Decision(Do.WITHDRAW_FROM_POOL, "the auditor pool owes money")
        return Decision(Do.FINISH, f"the round is {phase.phase.label}")
    if phase.due:
        return Decision(Do.ADVANCE, f"{phase.phase.label} is over", phase.ends_at)
    if phase.phase is Phase.REVEALING and not entry.has_revealed:
        if mine.gave_up:
            return Decision(Do.WAIT, mine.gave_up, phase.ends_at)
        return Decision(Do.REVEAL, "the test set is public", phase.ends_at)
    if facts.round.leader == mine.me and mine.demanded and _is_next_deadline(facts, phase):
        return Decision(Do.ANSWER, "a prediction of this miner's claim is demanded", facts.round.demand_end)
    if phase.phase is Phase.OPENING and facts.round.leader == mine.me:
        return Decision(Do.OPEN, "this miner leads", phase.ends_at)
    if phase.phase is Phase.NOMINATING and _may_lead(entry) and _beats(mine, facts.round):
        return Decision(Do.NOMINATE, "the leader was struck and this claim is the best one known", phase.ends_at)
    if _is_loser_after_reveal(entry, phase.phase, facts.round.vote):
        return Decision(Do.RECLAIM, "the claim does not qualify, so its deposit is free", phase.ends_at)
    return Decision(Do.WAIT, f"{phase.phase.label} runs", phase.ends_at)


def may_reclaim(entry: Entry, phase: Phase, outcome: Outcome) -> bool:
    """Whether a cold round still holds a deposit this entry may take back (P-21, P-61)."""
    if not entry.holds_deposit or entry.is_struck:
        return False
    return phase is Phase.ABORTED or outcome is Outcome.ABORTED or entry.has_revealed


def _before_commit(mine: MinerFacts, phase: PhaseInfo) -> Decision:
    if phase.phase is not Phase.TRAINING or phase.due or mine.gave_up:
        return Decision(Do.FINISH, mine.gave_up or "commits are closed and nothing was committed")
    if mine.model_ready:
        return Decision(Do.COMMIT, "the model is trained and stored", phase.ends_at)
    return Decision(Do.TRAIN, "Training runs", phase.ends_at)


def _phase_of_round(facts: Facts, round_index: int) -> PhaseInfo:
    if round_index < facts.task.round:
        return PhaseInfo(Phase.SETTLED, due=False, ends_at=NO_DEADLINE)
    return facts.phase


def _may_lead(entry: Entry) -> bool:
    return entry.has_revealed and entry.qualifies and not entry.is_struck


def _beats(mine: MinerFacts, round: Round) -> bool:
    if round.leader == ZERO_ADDRESS:
        return True
    if round.leader == mine.me:
        return False
    return (mine.entry.total, -mine.entry.commit_seq) > (mine.leader.total, -mine.leader.commit_seq)


_LEADER_ANSWERS = frozenset({Phase.OPENING, Phase.CHALLENGE, Phase.VOTING_COMMIT, Phase.VOTING_REVEAL})
"""Phases in which a demand can be open (M-7)."""


def _is_next_deadline(facts: Facts, phase: PhaseInfo) -> bool:
    """Demands can be answered now and in time, and none of this miner's own windows ends before."""
    demand_end = facts.round.demand_end
    is_answerable = phase.phase in _LEADER_ANSWERS and facts.now < demand_end
    return is_answerable and not (phase.phase is Phase.OPENING and phase.ends_at <= demand_end)


def _is_loser_after_reveal(entry: Entry, phase: Phase, vote: Vote) -> bool:
    """Its deposit is free, unless an impeachment runs: if that is upheld, a share of the bond comes with it."""
    after_reveal = Phase.REVEALING < phase < Phase.SETTLED and vote is not Vote.TEST_SET
    return after_reveal and entry.holds_deposit and entry.has_revealed and not (entry.qualifies or entry.is_struck)


# ------------------------------------------------------------------ auditor


class Ballot(Enum):
    """What the pool holds of one auditor's ballot in one vote."""

    NONE = "none"  # never cast, or collected
    SEALED = "sealed"
    OPENED = "opened"


@dataclass(frozen=True, slots=True)
class CaseFacts:
    """One case as the pool tells it at one moment; the windows are those of its present attempt."""

    now: Timestamp
    case: Case
    windows: tuple[Timestamp, Timestamp, Timestamp]  # start, end of committing, end of revealing
    is_moot: bool  # the claim was struck without a ruling (P-58)
    is_due: bool  # the market waits for the ruling: the vote is over and no demand is open


@dataclass(frozen=True, slots=True)
class AuditorFacts:
    """What an auditor knows of its part in one case, beside the case's facts."""

    verdict: Verdict  # what its own checks say; NONE = it does not know
    lock_wei: Wei  # what a ballot would risk if it were cast now; 0 = it has no weight
    ballot: Ballot  # of the present attempt
    first_ballot: Ballot  # of the first vote
    has_salt: bool  # its sealed ballot can be opened
    has_filed: bool  # its bond is in the case
    accrued: Wei = NOTHING  # dividends
    pool_credit: Wei = NOTHING


def decide_auditor(facts: CaseFacts, mine: AuditorFacts) -> Decision:
    """The next step of one auditor in one case, from its ballot to the money on its own account."""
    case = facts.case
    if case.attempt and mine.first_ballot is Ballot.OPENED:
        # before the repeat, so that the lock weighs in it
        return Decision(Do.COLLECT_VOTE, "the first vote had no quorum, so its locks go back")
    if facts.is_moot or case.ruling is not Ruling.NONE:
        return _after_case(facts, mine)
    start, commit_end, reveal_end = facts.windows
    if facts.now < start:
        return Decision(Do.WAIT, "the vote has not begun", start)
    if facts.now < commit_end:
        return _while_committing(mine, commit_end)
    if facts.now < reveal_end:
        if mine.ballot is Ballot.SEALED and mine.has_salt:
            return Decision(Do.REVEAL_VOTE, "ballots are opened; a sealed one loses its lock", reveal_end)
        why = "the salt of the ballot is not known" if mine.ballot is Ballot.SEALED else "ballots are opened"
        return Decision(Do.WAIT, why, reveal_end)
    if facts.is_due:
        return Decision(Do.ADVANCE, "the vote is over")
    return Decision(Do.WAIT, "demanded predictions are still to be shown")


def _while_committing(mine: AuditorFacts, commit_end: Timestamp) -> Decision:
    if mine.ballot is not Ballot.NONE:
        return Decision(Do.WAIT, "the ballot is cast", commit_end)
    if mine.verdict is Verdict.NONE:
        return Decision(Do.WAIT, "nothing is known yet that a ballot could say", commit_end)
    if mine.lock_wei == 0:
        return Decision(Do.WAIT, "this account had no active stake at the snapshot, or has none now", commit_end)
    return Decision(Do.COMMIT_VOTE, f"the verdict is {mine.verdict.name.lower()}", commit_end)


def _after_case(facts: CaseFacts, mine: AuditorFacts) -> Decision:
    """Locks and bonds first, then dividends: what is not collected counts as missed (P-60)."""
    if mine.ballot is Ballot.OPENED:
        return Decision(Do.COLLECT_VOTE, "the vote is over and holds the ballot's lock")
    if facts.is_moot and mine.ballot is Ballot.SEALED:
        return Decision(Do.RECOVER_VOTE, "the vote ended without a ruling, so unopened ballots go back too")
    if mine.has_filed and facts.case.ruling is not Ruling.STANDS:
        return Decision(Do.COLLECT_BOND, "the case is over and holds the bond")
    if mine.accrued > 0:
        return Decision(Do.CLAIM_DIVIDENDS, "dividends have accrued")
    if mine.pool_credit > 0:
        return Decision(Do.WITHDRAW_FROM_POOL, "the auditor pool owes money")
    return Decision(Do.FINISH, "nothing of this account is left in the case")
