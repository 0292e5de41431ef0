"""What chain and pool say about an auditor, and about the disputes of a task: everything the views show."""

from __future__ import annotations

from dataclasses import dataclass

from dlbc.core.disputes import dispute_bond
from dlbc.core.events import ClaimStruck, PredictionDemanded
from dlbc.core.types import (
    Address,
    Hash32,
    Phase,
    PhaseInfo,
    Ruling,
    Stake,
    Tally,
    Task,
    TaskId,
    Timestamp,
    Verdict,
    Wei,
)
from dlbc.core.units import format_amount
from dlbc.ports import Chain, Pool
from dlbc.roles.cases import CaseView, Stage, read_ballot, read_cases
from dlbc.roles.evidence import ground_names
from dlbc.roles.stakes import stake_warning
from dlbc.roles.voting import ruling_in_words


@dataclass(frozen=True, slots=True)
class OpenCase:
    """A case whose ruling is still to come, as one auditor sees it."""

    task_id: TaskId
    round: int
    case_id: Hash32
    about: str  # "claim" or "test set"
    subject: Address
    grounds: tuple[str, ...]
    filers: int
    stage: Stage
    until: Timestamp  # the end of the stage; 0 = it is over
    lock_wei: Wei  # of this auditor's ballot, or what it would be
    ballot: str  # "none", "sealed" or "opened"


@dataclass(frozen=True, slots=True)
class Ballot:
    """A ballot of this auditor that still holds money."""

    task_id: TaskId
    case_id: Hash32
    attempt: int
    lock_wei: Wei
    next: str  # "reveal", "collect", "wait" or "lost"
    until: Timestamp


@dataclass(frozen=True, slots=True)
class AuditorStatus:
    """One auditor's stake, money and duties."""

    account: Address
    stake: Stake
    balance_wei: Wei
    credit_wei: Wei  # in the pool
    accrued_wei: Wei
    ballots_counted: int
    votes_counted: int
    total_stake_wei: Wei
    cases: tuple[OpenCase, ...]
    ballots: tuple[Ballot, ...]


def auditor_status(chain: Chain, pool: Pool, auditor: Address) -> AuditorStatus:
    """Stake, dividends, the cases one can vote in, and the ballots that wait for something."""
    now = chain.now()
    views = read_cases(chain, pool)
    ballots = _ballots(pool, auditor, {view.case_id: view for view in views}, now)
    accrued, counted, votes = pool.dividend(auditor)
    return AuditorStatus(
        account=auditor,
        stake=pool.stake_of(auditor),
        balance_wei=chain.balance(auditor),
        credit_wei=pool.credit(auditor),
        accrued_wei=accrued,
        ballots_counted=counted,
        votes_counted=votes,
        total_stake_wei=pool.totals()[0],
        cases=tuple(_open_case(pool, auditor, view, ballots, now) for view in views if view.is_open),
        ballots=tuple(ballots),
    )


@dataclass(frozen=True, slots=True)
class CaseFacts:
    """One case of a task with its votes so far."""

    view: CaseView
    stage: Stage
    ruling: str
    tallies: tuple[Tally, ...]  # by attempt


@dataclass(frozen=True, slots=True)
class DemandFacts:
    """One demand, and whether it was answered."""

    demand: PredictionDemanded
    state: str  # "open", "shown" or "overdue"


@dataclass(frozen=True, slots=True)
class TaskStanding:
    """Disputes, demands and strikes of a task's current round, and who can do what about them."""

    cases: tuple[CaseFacts, ...]
    demands: tuple[DemandFacts, ...]
    strikes: tuple[ClaimStruck, ...]
    warning: str
    options: tuple[str, ...]


def task_standing(chain: Chain, pool: Pool, task_id: TaskId) -> TaskStanding:
    """What is disputed, demanded and struck in a task's current round."""
    task, phase, now = chain.task(task_id), chain.phase(task_id), chain.now()
    cases = tuple(
        CaseFacts(
            view,
            view.stage(now),
            ruling_in_words(view),
            tuple(pool.tally(view.case_id, attempt) for attempt in range(view.case.attempt + 1)),
        )
        for view in read_cases(chain, pool, task_id)
        if view.case.round == task.round
    )
    shown = {(answer.miner, answer.index) for answer in pool.shown(task_id, task.round)}
    demands = tuple(
        DemandFacts(demand, _demand_state(demand, shown, now)) for demand in pool.demands(task_id, task.round)
    )
    warning = "" if phase.phase.is_cold else stake_warning(task.bounty_wei, pool.totals()[0])
    return TaskStanding(
        cases=cases,
        demands=demands,
        strikes=tuple(chain.strikes(task_id, task.round)),
        warning=warning,
        options=tuple(_options(task_id, task, phase, pool, cases)),
    )


def _ballots(pool: Pool, auditor: Address, views: dict[Hash32, CaseView], now: Timestamp) -> list[Ballot]:
    found = []
    for event in pool.ballots_of(auditor):
        view, own = views.get(event.case_id), read_ballot(pool, event)
        if view is None or own is None:
            continue
        has_ended = pool.ruling(view.case_id, own.attempt) is not Ruling.NONE or view.is_moot
        is_lost = own.verdict is Verdict.NONE and has_ended and not view.is_moot
        following, until = (
            ("lost" if is_lost else "collect", Timestamp(0)) if has_ended else _next(view, own.verdict, now)
        )
        found.append(Ballot(view.case.task_id, view.case_id, own.attempt, own.lock_wei, following, until))
    return found


def _next(view: CaseView, verdict: Verdict, now: Timestamp) -> tuple[str, Timestamp]:
    if verdict is Verdict.NONE and now >= view.commit_end:
        return ("reveal" if now < view.reveal_end else "lost"), view.reveal_end
    return "wait", view.commit_end if verdict is Verdict.NONE else view.reveal_end


def _open_case(pool: Pool, auditor: Address, view: CaseView, ballots: list[Ballot], now: Timestamp) -> OpenCase:
    own = next((row for row in ballots if (row.case_id, row.attempt) == (view.case_id, view.case.attempt)), None)
    stage = view.stage(now)
    ends = {Stage.WAITS: view.start, Stage.COMMIT: view.commit_end, Stage.REVEAL: view.reveal_end}
    state = "none"
    if own is not None:
        is_opened = own.next == "wait" and own.until == view.reveal_end
        state = "opened" if is_opened else "sealed"
    return OpenCase(
        task_id=view.case.task_id,
        round=view.case.round,
        case_id=view.case_id,
        about="test set" if view.is_about_the_test_set else "claim",
        subject=view.case.subject,
        grounds=tuple(ground_names(view.case.grounds)),
        filers=view.case.filers,
        stage=stage,
        until=ends.get(stage, Timestamp(0)),
        lock_wei=own.lock_wei if own is not None else pool.lock_for(view.case_id, auditor),
        ballot=state,
    )


def _demand_state(demand: PredictionDemanded, shown: set[tuple[Address, int]], now: Timestamp) -> str:
    if (demand.miner, demand.index) in shown:
        return "shown"
    return "open" if now < demand.demand_end else "overdue"


def _options(task_id: TaskId, task: Task, phase: PhaseInfo, pool: Pool, cases: tuple[CaseFacts, ...]) -> list[str]:
    """Who can do what, beside what the phase itself asks for, as sentences with their commands."""
    bond = format_amount(dispute_bond(task.bounty_wei))
    options = []
    if phase.phase is Phase.REVEALING and not phase.due:
        options.append(f"Anyone may impeach the test set with a bond of {bond}: dlbc auditor impeach {task_id}")
    if phase.phase is Phase.CHALLENGE and not phase.due:
        options.append(f"Anyone may dispute the claim with a bond of {bond}: dlbc auditor dispute {task_id}")
    if phase.phase in (Phase.OPENING, Phase.CHALLENGE) and not phase.due:
        small = format_amount(pool.params().demand_bond_wei)
        options.append(
            f"Anyone may demand a prediction of the leader with a bond of {small}: dlbc auditor demand {task_id} "
            "--sample I"
        )
    if not phase.phase.is_cold and phase.phase not in (Phase.TRAINING, Phase.RELEASING):
        options.append(f"Anyone may strike a claim that refutes itself: dlbc audit {task_id} --refute")
    for facts in cases:
        if facts.stage is Stage.COMMIT:
            options.append(f"Auditors with active stake may vote: dlbc auditor vote {task_id} --verdict …")
        elif facts.stage is Stage.REVEAL:
            options.append(f"Auditors must open their ballots: dlbc auditor vote {task_id}")
        elif facts.stage in (Stage.RULED, Stage.MOOT) and facts.view.case.filers:
            options.append(f"Voters and filers collect what they are owed: dlbc auditor collect {task_id}")
    return list(dict.fromkeys(options))
