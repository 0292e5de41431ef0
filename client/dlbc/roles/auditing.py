"""The auditor as a daemon: looks at every claim while it can be disputed, disputes, votes, refutes, collects.

What it found is journaled by claim; what it did is on chain. Killed at any line it looks again, and the chain refuses
what was done already. Votes are tended while an examination runs, for that is another process.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from functools import partial

from dlbc.core.disputes import dispute_bond
from dlbc.core.errors import ContractRefused, DlbcError, NotFound, Refused, Unavailable
from dlbc.core.examination import Examination, Subject
from dlbc.core.types import ZERO_ADDRESS, Phase, PhaseInfo, Round, Ruling, TaskId, Timestamp, Verdict, Wei
from dlbc.core.units import format_amount
from dlbc.ports import Chain, Pool
from dlbc.roles.cases import CaseView, Stage, read_ballot, read_cases
from dlbc.roles.collecting import SMALL_CHANGE, collect_task
from dlbc.roles.disputing import Disputer
from dlbc.roles.examination_queue import ExaminationQueue, about
from dlbc.roles.loop import Report, unheard
from dlbc.roles.refuting import Refuter
from dlbc.roles.stakes import Staker
from dlbc.roles.tour import Tour
from dlbc.roles.voting import Voter

MONEY_SECONDS = 3600
"""Between two looks at stake and dividends."""
_NEVER = Timestamp(0)
_LIVE = (Phase.REVEALING, Phase.CHALLENGE, Phase.VOTING_COMMIT, Phase.VOTING_REVEAL)


@dataclass(frozen=True, slots=True)
class Limits:
    """What the daemon may do unasked."""

    may_dispute: bool = True
    may_vote: bool = True
    most_at_risk_wei: Wei | None = None  # bonds and locks together; None = whatever stake and balance allow


@dataclass(slots=True)
class AuditorDaemon:
    """One account's auditor in one market."""

    chain: Chain
    pool: Pool
    queue: ExaminationQueue
    voter: Voter
    disputer: Disputer
    refuter: Refuter
    staker: Staker
    report: Report = unheard
    limits: Limits = field(default_factory=Limits)
    tasks: frozenset[TaskId] | None = None  # None: all of the market
    _tour: Tour = field(init=False)
    _tried: set[tuple[str, Subject]] = field(default_factory=set)
    """What was refused for good: no money, over the limit, another was faster."""
    _again: dict[TaskId, Timestamp] = field(default_factory=dict)
    _own: set[TaskId] = field(default_factory=set)
    """Tasks that may owe this account something."""
    _money_at: Timestamp = _NEVER
    _is_loaded: bool = False
    _now: Timestamp = _NEVER

    def __post_init__(self) -> None:
        """Where it looks."""
        self._tour = Tour(self.chain, self.tasks)

    def tick(self) -> bool:
        """One look around. False once all chosen tasks are over and paid."""
        if not self._is_loaded:
            self._load()
        self._now = self.chain.now()
        is_open = False
        for task_id, phase in self._tour.look():
            is_open = is_open or not phase.phase.is_cold
            if phase.phase in _LIVE:
                self._try(task_id, partial(self._attend, task_id, phase))
            elif phase.phase.is_cold:
                self.queue.forget(task_id)
        for task_id in sorted(self._own):
            self._try(task_id, partial(self._vote, task_id))
        self.queue.step(self._now)
        if self._now >= self._money_at:
            self._money_at = Timestamp(self._now + MONEY_SECONDS)
            self._try(None, self._tend_money)
        return self.tasks is None or is_open or bool(self._own)

    @property
    def owed(self) -> frozenset[TaskId]:
        """Tasks in which ballots, bonds or demands of this account may still be."""
        return frozenset(self._own)

    def close(self) -> None:
        """Ends a running examination."""
        self.queue.close()

    # ------------------------------------------------------------------ one task

    def _attend(self, task_id: TaskId, phase: PhaseInfo) -> None:
        task = self.chain.task(task_id)
        index, bounty = task.round, task.bounty_wei
        round_ = self.chain.round(task_id, index)
        if phase.phase is Phase.REVEALING:
            if phase.due or self.chain.released(task_id, index) is None:
                return
            found = self.queue.want(Subject(task_id, index, ZERO_ADDRESS), phase.ends_at, bounty)
            if found is not None:
                self._impeach(found)
        elif phase.phase is Phase.CHALLENGE:
            subject = Subject(task_id, index, round_.leader)
            found = self.queue.want(subject, Timestamp(max(round_.challenge_end, phase.ends_at)), bounty)
            if found is not None and self._was_shown(found):
                self.queue.forget(task_id)  # what was withheld may prove the claim false
            elif found is not None:
                self._refute(found)
                if subject.account not in found.refuted:
                    self._demand(found, round_)
                    self._dispute(found, round_)
        else:
            self._prepare_ballot(task_id, bounty)

    def _prepare_ballot(self, task_id: TaskId, bounty: Wei) -> None:
        """While ballots are cast the vote needs an examination, which a daemon that starts now does not have."""
        me = self.voter.keys.address
        for view in read_cases(self.chain, self.pool, task_id):
            if view.stage(self._now) is not Stage.COMMIT or not self.limits.may_vote:
                continue
            if self._has_ballot(view) or self.pool.lock_for(view.case_id, me) == 0:
                continue
            if self.queue.want(_subject(view), view.commit_end, bounty) is not None:
                self._own.add(task_id)

    # ------------------------------------------------------------------ what is done about it

    def _refute(self, found: Examination) -> None:
        if not found.refuted or not self._first_time("refute", found.subject):
            return
        refuted = self.refuter.refute(found.subject.task_id)
        if refuted.struck:
            self._money_at = self._now

    def _demand(self, found: Examination, round_: Round) -> None:
        if found.withheld is None or not self.limits.may_dispute or self._now >= round_.challenge_end:
            return
        bond = self.pool.params().demand_bond_wei
        if self._first_time("demand", found.subject) and self._is_affordable("a demand", found.subject, bond):
            self.refuter.demand(found.subject.task_id, found.withheld, found.subject.account)
            self._own.add(found.subject.task_id)

    def _dispute(self, found: Examination, round_: Round) -> None:
        task_id, me = found.subject.task_id, self.voter.keys.address
        grounds = found.grounds
        if not grounds or not self.limits.may_dispute or self._now >= round_.challenge_end:
            return
        views = [view for view in read_cases(self.chain, self.pool, task_id) if _subject(view) == found.subject]
        filed = 0
        for view in views:
            for filing in view.filings:
                filed |= filing.grounds
        if grounds & ~filed == 0 or any(self.pool.has_filed(view.case_id, me) for view in views):
            return  # a vote comes anyway, on these grounds
        bond = dispute_bond(self.chain.task(task_id).bounty_wei)
        if self._first_time("dispute", found.subject) and self._is_affordable("a dispute", found.subject, bond):
            self._own.add(task_id)
            self.disputer.file_dispute(task_id, grounds, found.samples, found.checks)

    def _impeach(self, found: Examination) -> None:
        task_id = found.subject.task_id
        if found.verdict not in (Verdict.FALLS, Verdict.UNAVAILABLE) or not self.limits.may_dispute:
            return
        if any(view.is_open for view in read_cases(self.chain, self.pool, task_id) if view.is_about_the_test_set):
            return
        bond = dispute_bond(self.chain.task(task_id).bounty_wei)
        if self._first_time("impeach", found.subject) and self._is_affordable("an impeachment", found.subject, bond):
            self._own.add(task_id)
            self.disputer.file_impeachment(task_id, found.checks)

    def _vote(self, task_id: TaskId) -> None:
        """One step in the votes and the collecting of one task that this account is part of."""
        if self._again.get(task_id, Timestamp(0)) > self._now:
            return
        step = self.voter.step(task_id, self._verdict_for(task_id))
        if step.receipts:
            self._again.pop(task_id, None)
        elif step.again_at and step.what != "asked":
            self._again[task_id] = step.again_at
        if step.is_done and step.what in ("finished", "powerless") and self.chain.phase(task_id).phase.is_cold:
            collect_task(self.chain, self.pool, task_id, self.report)  # demands, and what came home otherwise
            self._own.discard(task_id)

    def _verdict_for(self, task_id: TaskId) -> Verdict | None:
        """What the ballot that can be cast now should say; None: cast none."""
        if not self.limits.may_vote:
            return None
        for view in read_cases(self.chain, self.pool, task_id):
            if view.stage(self._now) is not Stage.COMMIT or self._has_ballot(view):
                continue
            found = self.queue.known(_subject(view))
            if found is None or found.verdict is Verdict.NONE:
                return None
            lock = self.pool.lock_for(view.case_id, self.voter.keys.address)
            return found.verdict if self._is_affordable("a ballot", found.subject, lock) else None
        return None

    def _tend_money(self) -> None:
        """Pending stake becomes active, fees are shared out, dividends and credits come home."""
        me = self.voter.keys.address
        stake = self.pool.stake_of(me)
        if stake.pending_wei and self._now >= stake.ready_at:
            self.staker.activate()
        accrued, _, _ = self.pool.dividend(me)
        if max(accrued + self._part_of_fees(), self.pool.credit(me), self.chain.credit(me)) >= SMALL_CHANGE:
            self.staker.dividends()

    def _part_of_fees(self) -> Wei:
        """What sharing out would bring: fees wait in the market until some auditor does it."""
        active, waiting = self.pool.totals()
        own = self.pool.stake_of(self.voter.keys.address).active_wei
        fees = waiting + self.chain.credit(self.pool.address)
        return Wei(fees * own // active if active else 0)

    # ------------------------------------------------------------------ inside

    def _load(self) -> None:
        """What an earlier process found, and where this account has ballots or bonds."""
        me = self.voter.keys.address
        self.queue.load()
        cases = {filing.case_id: filing.task_id for filing in self.pool.filings()}
        self._own |= {filing.task_id for filing in self.pool.filings() if filing.filer == me}
        self._own |= {cases[event.case_id] for event in self.pool.ballots_of(me) if event.case_id in cases}
        if self.tasks is not None:
            self._own &= self.tasks
        self._is_loaded = True

    def _was_shown(self, found: Examination) -> bool:
        subject = found.subject
        if found.withheld is None:
            return False
        shown = self.pool.shown(subject.task_id, subject.round)
        return any((answer.miner, answer.index) == (subject.account, found.withheld) for answer in shown)

    def _has_ballot(self, view: CaseView) -> bool:
        me = self.voter.keys.address
        events = self.pool.ballots_committed(view.case_id)
        return any((event.attempt, event.voter) == (view.case.attempt, me) for event in events)

    def _at_risk(self) -> Wei:
        """Locks of ballots and bonds of disputes that are not back yet."""
        me = self.voter.keys.address
        ballots = (read_ballot(self.pool, event) for event in self.pool.ballots_of(me))
        locks = sum(own.lock_wei for own in ballots if own is not None)
        mine = {filing.case_id for filing in self.pool.filings() if filing.filer == me}
        cases = [self.pool.case(case_id) for case_id in mine]
        bonds = sum(case.bond_wei for case in cases if case.ruling in (Ruling.NONE, Ruling.REPEAT))
        return Wei(locks + bonds)

    def _is_affordable(self, what: str, subject: Subject, wei: Wei) -> bool:
        most = self.limits.most_at_risk_wei
        if most is None:
            return True
        at_risk = self._at_risk()
        if at_risk + wei <= most:
            return True
        self.report(
            "held_back",
            task_id=subject.task_id,
            why=f"{what} on {about(subject)} risks {format_amount(wei)}; {format_amount(at_risk)} of at most "
            f"{format_amount(most)} are at risk already",
        )
        return False

    def _first_time(self, what: str, subject: Subject) -> bool:
        """Each is tried once a process: what failed for want of money is told, not repeated every second."""
        if (what, subject) in self._tried:
            return False
        self._tried.add((what, subject))
        return True

    def _try(self, task_id: TaskId | None, step: Callable[[], None]) -> None:
        """What goes wrong with one task must not keep the others waiting."""
        try:
            step()
        except DlbcError as error:
            if error.retryable:
                self._tried = {(what, subject) for what, subject in self._tried if subject.task_id != task_id}
            if isinstance(error, (ContractRefused, Refused, NotFound, Unavailable)):
                self.report("refused", task_id=task_id, reason=str(error))
            else:
                self.report("failed", task_id=task_id, do="audit", reason=str(error))


def _subject(view: CaseView) -> Subject:
    return Subject(view.case.task_id, view.case.round, view.case.subject)
