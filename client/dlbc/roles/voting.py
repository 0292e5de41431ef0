"""One auditor's ballot, from the sealed commitment to the money back in its stake (P-54).

The intent is on disk before the transaction leaves. Everything else is on chain or follows from the wallet: a lost disk
costs nothing, for the salt is signed for again and the verdict is one of three.
"""

from __future__ import annotations

from dataclasses import dataclass

from dlbc.core.decide import NO_DEADLINE, AuditorFacts, Ballot, CaseFacts, Do, decide_auditor
from dlbc.core.errors import ContractRefused, Refused, TryLater, Usage
from dlbc.core.events import Receipt
from dlbc.core.phases import duration
from dlbc.core.types import Address, Phase, Ruling, TaskId, Timestamp, Verdict, Wei
from dlbc.core.units import format_amount
from dlbc.ports import Chain, Journal, Keys, Pool
from dlbc.roles.ballots import Ballots
from dlbc.roles.cases import CaseView, OwnBallot, Stage, read_cases
from dlbc.roles.collecting import withdraw_credit
from dlbc.roles.loop import Report, unheard
from dlbc.roles.outcome import NOTHING, Agree, agreed


@dataclass(frozen=True, slots=True)
class VoteStep:
    """Where one auditor stands in a vote after a step."""

    what: str  # see _waits, _do and _finished
    sentence: str
    again_at: Timestamp = NO_DEADLINE  # when the next step can be taken; 0 = at once, or there is none
    is_done: bool = False
    receipts: tuple[Receipt, ...] = ()
    verdict: Verdict = Verdict.NONE
    lock_wei: Wei = NOTHING


@dataclass(frozen=True, slots=True)
class Voter:
    """One auditor's votes on one market."""

    chain: Chain
    pool: Pool
    keys: Keys
    journal: Journal
    report: Report = unheard
    agree: Agree = agreed

    def step(self, task_id: TaskId, verdict: Verdict | None) -> VoteStep:
        """One look at every case of a task, and at most one transaction: cast, open, count, collect or withdraw.

        May be called again at any time, after a crash at any line. verdict: needed only while ballots are cast.
        Raises Refused when the ballot says something else already, or can't be opened.
        """
        self.chain.task(task_id)
        views = read_cases(self.chain, self.pool, task_id)
        open_case: CaseView | None = None
        for view in views:
            decision = decide_auditor(self._case_facts(view), self._own_facts(view, verdict))
            if decision.do not in (Do.WAIT, Do.FINISH):
                return self._do(view, decision.do, verdict)
            if decision.do is Do.WAIT:
                open_case = view
        return self._finished(task_id, views) if open_case is None else self._waits(open_case, verdict)

    # ------------------------------------------------------------------ one step

    def _do(self, view: CaseView, do: Do, verdict: Verdict | None) -> VoteStep:
        task_id, me = view.case.task_id, self.keys.address
        match do:
            case Do.COMMIT_VOTE if verdict is not None:
                return self._commit(view, verdict)
            case Do.REVEAL_VOTE:
                return self._reveal(view)
            case Do.ADVANCE:
                return self._count(view)
            case Do.COLLECT_BOND:
                receipt, what = self.pool.collect_bond(view.case_id, me), "the bond"
            case Do.WITHDRAW_FROM_POOL:
                owed = self.pool.credit(me)
                keys = {"task_id": task_id, "source": "pool"}
                receipt, *_ = withdraw_credit(self.chain, self.pool, me, self.report, wei=owed, **keys)
                what = format_amount(owed)
            case _:
                receipt, what = self._collect(view), "the ballot"
        self.report("collected", task_id=task_id, call=receipt.call, tx=receipt.tx_hash, gas=receipt.gas_used)
        return VoteStep("collected", f"Collected {what} of the vote on {_subject(view)}.", receipts=(receipt,))

    def _commit(self, view: CaseView, verdict: Verdict) -> VoteStep:
        lock = self.pool.lock_for(view.case_id, self.keys.address)
        self.agree(
            f"Vote {verdict.name.lower()!r} on {_subject(view)}? The ballot locks {format_amount(lock)} of the stake, "
            "which is lost if more than half find otherwise, or if it is not opened in time"
        )
        ballot = self._ballots.seal(view, verdict, lock)
        receipt = self.pool.commit_vote(view.case_id, ballot)
        self.report("vote_committed", task_id=view.case.task_id, tx=receipt.tx_hash, gas=receipt.gas_used)
        return self._cast(view, verdict, lock, (receipt,))

    def _reveal(self, view: CaseView) -> VoteStep:
        own = self._ballots.cast(view, view.case.attempt)
        if own is None:
            raise TryLater("the ballot is not in the node's log yet; run the same command again")
        verdict, salt = self._ballots.open(own)
        receipt = self.pool.reveal_vote(view.case_id, self.keys.address, verdict, own.lock_wei, salt)
        self.report("vote_revealed", task_id=view.case.task_id, tx=receipt.tx_hash, gas=receipt.gas_used)
        return self._opened(view, verdict, own.lock_wei, (receipt,))

    def _count(self, view: CaseView) -> VoteStep:
        task_id = view.case.task_id
        try:
            receipt = self.chain.advance(task_id)
        except ContractRefused as error:
            self.report("refused", task_id=task_id, reason=str(error))
            return VoteStep("resolved", f"The vote on {_subject(view)} was counted by somebody else.")
        self.report("task_advanced", task_id=task_id, tx=receipt.tx_hash, gas=receipt.gas_used)
        return VoteStep("resolved", f"The vote on {_subject(view)} is counted.", receipts=(receipt,))

    def _collect(self, view: CaseView) -> Receipt:
        """The first vote's ballot if the vote was repeated and it is still there, else the last one's."""
        me = self.keys.address
        first, last = self._ballots.cast(view, 0), self._ballots.cast(view, view.case.attempt)
        if view.case.attempt and first is not None and first.verdict is not Verdict.NONE:
            return self.pool.collect_vote(view.case_id, 0, me)
        if last is None:
            raise TryLater("the ballot is not in the node's log yet; run the same command again")
        if last.verdict is Verdict.NONE:
            return self.pool.recover_vote(view.case_id, last.attempt, me, last.ballot, last.lock_wei)
        return self.pool.collect_vote(view.case_id, last.attempt, me)

    # ------------------------------------------------------------------ nothing to send now

    def _waits(self, view: CaseView, wanted: Verdict | None) -> VoteStep:
        now, own = self.chain.now(), self._ballots.cast(view, view.case.attempt)
        match view.stage(now):
            case Stage.WAITS:
                begins = duration(view.start - now)
                return VoteStep(
                    "waits",
                    f"The vote on {_subject(view)} begins in {begins}; more may be filed until then.",
                    view.start,
                )
            case Stage.COMMIT if own is not None:
                cast, _ = self._ballots.open(own)
                if wanted not in (None, cast):
                    raise Refused(
                        f"the ballot on {_subject(view)} says {cast.name.lower()!r} already and can't be changed; "
                        "nothing was sent"
                    )
                return self._cast(view, cast, own.lock_wei)
            case Stage.COMMIT if self.pool.lock_for(view.case_id, self.keys.address) == 0:
                return VoteStep("powerless", self._why_no_weight(view), is_done=True)
            case Stage.COMMIT:
                return VoteStep(
                    "asked",
                    f"Ballots on {_subject(view)} are cast for another {duration(view.commit_end - now)}: say how with "
                    "--verdict stands, falls or unavailable (`dlbc audit` says what holds).",
                    view.commit_end,
                    is_done=True,
                )
            case Stage.REVEAL if own is None:
                return VoteStep(
                    "missed",
                    f"Ballots on {_subject(view)} are cast no more, and this account cast none. They are counted in "
                    f"{duration(view.reveal_end - now)}.",
                    view.reveal_end,
                )
            case Stage.REVEAL if own is not None and own.verdict is Verdict.NONE:
                self._ballots.open(own)  # says why it can't be opened
            case Stage.REVEAL if own is not None:
                return self._opened(view, own.verdict, own.lock_wei)
        ends = self.chain.phase(view.case.task_id).ends_at
        return VoteStep(
            "waits",
            f"The vote on {_subject(view)} is over; it is counted in {duration(ends - now)}, when every demanded "
            "prediction is shown or overdue.",
            ends,
        )

    def _cast(self, view: CaseView, verdict: Verdict, lock: Wei, receipts: tuple[Receipt, ...] = ()) -> VoteStep:
        told = "is" if receipts else "was already"
        return VoteStep(
            "committed",
            f"The ballot {verdict.name.lower()!r} {told} cast, with {format_amount(lock)} at stake. It has to be "
            f"opened: run this again in {duration(view.commit_end - self.chain.now())}, and within "
            f"{duration(view.reveal_end - view.commit_end)} (or add --wait).",
            view.commit_end,
            receipts=receipts,
            verdict=verdict,
            lock_wei=lock,
        )

    def _opened(self, view: CaseView, verdict: Verdict, lock: Wei, receipts: tuple[Receipt, ...] = ()) -> VoteStep:
        told = "is" if receipts else "was already"
        return VoteStep(
            "revealed",
            f"The ballot {verdict.name.lower()!r} {told} opened. The vote is counted in "
            f"{duration(view.reveal_end - self.chain.now())}; run this again then to get the stake back (or add "
            "--wait).",
            view.reveal_end,
            receipts=receipts,
            verdict=verdict,
            lock_wei=lock,
        )

    def _finished(self, task_id: TaskId, views: list[CaseView]) -> VoteStep:
        mine = {event.case_id for event in self.pool.ballots_of(self.keys.address)}
        mine |= {filing.case_id for view in views for filing in view.filings if filing.filer == self.keys.address}
        own = [view for view in views if view.case_id in mine]
        if not own:
            phase = self.chain.phase(task_id).phase
            return VoteStep(
                "powerless",
                f"Task {task_id} is in {phase.label}, and this account has nothing to vote on or to collect in it.",
                is_done=True,
            )
        ruling = "; ".join(f"{_subject(view)}: {ruling_in_words(view)}" for view in own)
        lost = sum(ballot.lock_wei for view in own for ballot in self._ballots.never_opened(view))
        told = f", but {format_amount(lost)} are lost with a ballot that was not opened in time" if lost else ""
        return VoteStep(
            "finished",
            f"The vote is over ({ruling}). Everything it owed this account is collected{told}.",
            is_done=True,
        )

    # ------------------------------------------------------------------ inside

    @property
    def _ballots(self) -> Ballots:
        return Ballots(self.chain, self.pool, self.keys, self.journal)

    def _case_facts(self, view: CaseView) -> CaseFacts:
        phase = self.chain.phase(view.case.task_id)
        return CaseFacts(
            now=self.chain.now(),
            case=view.case,
            windows=(view.start, view.commit_end, view.reveal_end),
            is_moot=view.is_moot,
            is_due=phase.due and phase.phase is Phase.VOTING_REVEAL,
        )

    def _own_facts(self, view: CaseView, verdict: Verdict | None) -> AuditorFacts:
        """Dividends are another command's: they are weighed by all votes, and these may not all be collected yet."""
        me = self.keys.address
        own = self._ballots.cast(view, view.case.attempt)
        return AuditorFacts(
            verdict=verdict or Verdict.NONE,
            lock_wei=self.pool.lock_for(view.case_id, me) if view.is_open else NOTHING,
            ballot=_state(own),
            first_ballot=_state(self._ballots.cast(view, 0)),
            has_salt=own is not None and own.verdict is Verdict.NONE and self._ballots.can_open(own),
            has_filed=self.pool.has_filed(view.case_id, me),
            pool_credit=self.pool.credit(me),
        )

    def _why_no_weight(self, view: CaseView) -> str:
        me = self.keys.address
        then, now = self.pool.stake_at(me, view.case.snapshot_at), self.pool.stake_of(me)
        pending = f", {format_amount(now.pending_wei)} pending" if now.pending_wei else ""
        return (
            f"{me} has no weight in the vote on {_subject(view)}: {format_amount(then)} were active when weights were "
            f"fixed, {format_amount(now.active_wei)} are active now{pending}. Stake before the next dispute."
        )


def _state(own: OwnBallot | None) -> Ballot:
    if own is None:
        return Ballot.NONE
    return Ballot.SEALED if own.verdict is Verdict.NONE else Ballot.OPENED


def ruling_in_words(view: CaseView) -> str:
    """How a case ended, or that it has not."""
    if view.is_moot:
        return "the claim was struck before a ruling"
    if view.case.ruling is Ruling.FALLS:
        return "it falls"
    if view.case.ruling is Ruling.STANDS:
        return "it stands"
    if view.case.ruling is Ruling.SPLIT:
        return "as much for as against, so it stands"
    if view.case.ruling is Ruling.NO_QUORUM:
        return "no quorum, so it stands"
    return "no quorum yet, the vote is repeated" if view.case.attempt else "open"


def parse_verdict(text: str) -> Verdict:
    """One of stands, falls and unavailable. Raises Usage."""
    names = [verdict.name.lower() for verdict in Verdict if verdict is not Verdict.NONE]
    if text not in names:
        raise Usage(f"--verdict: expected {', '.join(names)}, found {text[:40]!r}")
    return Verdict[text.upper()]


def _subject(view: CaseView) -> str:
    if view.is_about_the_test_set:
        return f"the test set of task {view.case.task_id}"
    return f"the claim of {_short(view.case.subject)} in task {view.case.task_id}"


def _short(address: Address) -> str:
    return f"{address[:10]}…{address[-4:]}"
