"""One auditor's ballot, from the sealed commitment to the money back in its stake (P-54).

The intent is on disk before the transaction leaves. Everything else is on chain or follows from the wallet: a lost disk
costs nothing, for the salt is signed for again and the verdict is one of three.
"""

from __future__ import annotations

import secrets as randomness
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from dlbc.core.decide import NO_DEADLINE
from dlbc.core.errors import ContractRefused, Refused, TryLater, Usage
from dlbc.core.phases import duration
from dlbc.core.proofs import ballot_hash, ballot_secret_typed_data, dispute_id, find_verdict
from dlbc.core.records import hex_bytes, to_record
from dlbc.core.secrets import ballot_salt
from dlbc.core.types import (
    Address,
    Hash32,
    Receipt,
    Ruling,
    TaskId,
    Timestamp,
    Verdict,
    Wei,
)
from dlbc.core.units import format_amount
from dlbc.ports import Chain, Journal, Keys, Pool
from dlbc.roles.cases import CaseView, OwnBallot, Stage, read_ballot, read_cases
from dlbc.roles.collecting import collect_votes, pull_credits
from dlbc.roles.loop import Report, unheard
from dlbc.roles.outcome import NOTHING, Agree, agreed

BALLOT = "ballot"
RANDOM_SALT = "random_salt"


@dataclass(frozen=True, slots=True)
class VoteStep:
    """Where one auditor stands in a vote after a step."""

    what: str  # "waits", "committed", "revealed", "resolved", "collected", "missed"
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
        """The next step of this account in the votes on a task: commit, reveal, count or collect.

        May be called again at any time, after a crash at any line. verdict: needed only while ballots are cast.
        Raises Refused when there is nothing to vote on, Usage when a verdict is missing.
        """
        collected = collect_votes(self.chain, self.pool, self.keys.address, self.report, task_id)
        views = read_cases(self.chain, self.pool, task_id)
        open_case = next((view for view in reversed(views) if view.is_open), None)
        if open_case is None:
            return self._finished(task_id, views, collected.receipts)
        now = self.chain.now()
        match open_case.stage(now):
            case Stage.WAITS:
                return VoteStep(
                    "waits",
                    f"The vote on {_subject(open_case)} begins in {duration(open_case.start - now)}; more may be filed "
                    "until then.",
                    open_case.start,
                    receipts=collected.receipts,
                )
            case Stage.COMMIT:
                return self._commit(open_case, verdict, now)
            case Stage.REVEAL:
                return self._reveal(open_case, now)
            case _:
                return self._count(open_case, now)

    def verdict_of(self, own: OwnBallot) -> tuple[Verdict, bytes]:
        """What a sealed ballot of this account says, and its salt: from the journal, else from the wallet.

        Raises Refused when neither opens it.
        """
        vote = dispute_id(own.case_id, own.attempt)
        for salt in self._known_salts(vote):
            found = find_verdict(own.ballot, self.pool.address, vote, self.keys.address, salt)
            if found is not None:
                return found, salt
        raise Refused(
            f"the ballot of {self.keys.address} does not open with this wallet's salt, nor with this journal; use the "
            "home folder of the machine that cast it, before the time to open ballots ends"
        )

    # ------------------------------------------------------------------ one step each

    def _commit(self, view: CaseView, verdict: Verdict | None, now: Timestamp) -> VoteStep:
        own = self._ballot(view, view.case.attempt)
        if own is not None:
            return self._committed(view, own, verdict, now)
        lock = self.pool.lock_for(view.case_id, self.keys.address)
        if lock == 0:
            raise Refused(self._why_no_weight(view))
        if verdict is None:
            raise Usage(
                f"ballots on {_subject(view)} are cast for another {duration(view.commit_end - now)}: say how with "
                "--verdict stands, falls or unavailable (`dlbc audit` says what holds)"
            )
        self.agree(
            f"Vote {verdict.name.lower()!r} on {_subject(view)}? The ballot locks {format_amount(lock)} of the stake, "
            "which is lost if two thirds find otherwise, or if it is not opened in time"
        )
        vote = dispute_id(view.case_id, view.case.attempt)
        salt = self._new_salt(vote)
        ballot = ballot_hash(self.pool.address, vote, self.keys.address, verdict, salt)
        record: dict[str, Any] = {
            "task_id": view.case.task_id,
            "case_id": to_record(view.case_id),
            "attempt": view.case.attempt,
            "verdict": verdict.name,
            "salt": to_record(salt),
            "lock_wei": lock,
        }
        self.journal.put(BALLOT, vote.hex(), record)
        receipt = self.pool.commit_vote(view.case_id, ballot)
        self.report("vote_committed", task_id=view.case.task_id, tx=receipt.tx_hash, gas=receipt.gas_used)
        own = self._ballot(view, view.case.attempt)
        if own is None:
            raise TryLater("the ballot is cast, but not in the node's log yet; run the same command again")
        return self._committed(view, own, verdict, now, (receipt,))

    def _committed(
        self,
        view: CaseView,
        own: OwnBallot,
        wanted: Verdict | None,
        now: Timestamp,
        receipts: tuple[Receipt, ...] = (),
    ) -> VoteStep:
        cast, _ = self.verdict_of(own)
        told = "is" if receipts else "was already"
        if wanted is not None and wanted is not cast:
            raise Refused(
                f"the ballot on {_subject(view)} says {cast.name.lower()!r} already and can't be changed; nothing was "
                "sent"
            )
        return VoteStep(
            "committed",
            f"The ballot {cast.name.lower()!r} {told} cast, with {format_amount(own.lock_wei)} at stake. It has to be "
            f"opened: run this again in {duration(view.commit_end - now)}, and within "
            f"{duration(view.reveal_end - view.commit_end)} (or add --wait).",
            view.commit_end,
            receipts=receipts,
            verdict=cast,
            lock_wei=own.lock_wei,
        )

    def _reveal(self, view: CaseView, now: Timestamp) -> VoteStep:
        own = self._ballot(view, view.case.attempt)
        left = duration(view.reveal_end - now)
        if own is None:
            return VoteStep(
                "missed",
                f"Ballots on {_subject(view)} are cast no more, and this account cast none. They are counted in "
                f"{left}.",
                view.reveal_end,
            )
        receipts: tuple[Receipt, ...] = ()
        verdict = own.verdict
        if verdict is Verdict.NONE:
            verdict, salt = self.verdict_of(own)
            receipt = self.pool.reveal_vote(view.case_id, self.keys.address, verdict, own.lock_wei, salt)
            receipts = (receipt,)
            self.report("vote_revealed", task_id=view.case.task_id, tx=receipt.tx_hash, gas=receipt.gas_used)
        told = "is" if receipts else "was already"
        return VoteStep(
            "revealed",
            f"The ballot {verdict.name.lower()!r} {told} opened. The vote is counted in {left}; run this again then "
            "to get the stake back (or add --wait).",
            view.reveal_end,
            receipts=receipts,
            verdict=verdict,
            lock_wei=own.lock_wei,
        )

    def _count(self, view: CaseView, now: Timestamp) -> VoteStep:
        phase = self.chain.phase(view.case.task_id)
        if not phase.due:
            return VoteStep(
                "waits",
                f"The vote on {_subject(view)} is over; it is counted in {duration(phase.ends_at - now)}, when every "
                "demanded prediction is shown or overdue.",
                phase.ends_at,
            )
        try:
            receipt = self.chain.advance(view.case.task_id)
        except ContractRefused as error:
            self.report("refused", task_id=view.case.task_id, reason=str(error))  # somebody else was faster
            return VoteStep("resolved", f"The vote on {_subject(view)} was counted by somebody else.")
        self.report("task_advanced", task_id=view.case.task_id, tx=receipt.tx_hash, gas=receipt.gas_used)
        return VoteStep("resolved", f"The vote on {_subject(view)} is counted.", receipts=(receipt,))

    def _finished(self, task_id: TaskId, views: list[CaseView], collected: tuple[Receipt, ...]) -> VoteStep:
        mine = {event.case_id for event in self.pool.ballots_of(self.keys.address)}
        voted = [view for view in views if view.case_id in mine]
        if not voted:
            phase = self.chain.phase(task_id).phase
            raise Refused(
                f"task {task_id} is in {phase.label} and nothing in it is disputed: there is nothing to vote on"
            )
        home = pull_credits(self.chain, self.pool, self.keys.address, self.report)
        lost = sum(own.lock_wei for view in voted for own in self._never_opened(view))
        ruling = "; ".join(f"{_subject(view)}: {ruling_in_words(view)}" for view in voted)
        told = "collected" if collected or home.receipts else "was collected already"
        earned = f", {format_amount(home.wei)} arrived" if home.wei else ""
        if lost:
            earned += f"; {format_amount(lost)} are lost with a ballot that was not opened in time"
        return VoteStep(
            "collected",
            f"The vote is over ({ruling}). What it owes this account {told}{earned}.",
            is_done=True,
            receipts=(*collected, *home.receipts),
        )

    # ------------------------------------------------------------------ inside

    def _never_opened(self, view: CaseView) -> list[OwnBallot]:
        found = (self._ballot(view, attempt) for attempt in range(view.case.attempt + 1))
        return [own for own in found if own is not None and own.verdict is Verdict.NONE]

    def _ballot(self, view: CaseView, attempt: int) -> OwnBallot | None:
        for event in self.pool.ballots_committed(view.case_id):
            if (event.attempt, event.voter) == (attempt, self.keys.address):
                return read_ballot(self.pool, event)
        return None

    def _new_salt(self, vote: Hash32) -> bytes:
        """From the wallet; 32 random bytes, which then only the journal has, if it signs differently each time."""
        salts = self._salts(vote)
        if len(salts) == 1:
            return salts[0]
        material = randomness.token_bytes(32)
        self.journal.put(RANDOM_SALT, vote.hex(), {"material": to_record(material)})
        return ballot_salt(material)

    def _known_salts(self, vote: Hash32) -> Iterator[bytes]:
        """The journal's first: the wallet is asked to sign only if it has none, or one of another chain."""
        kept = self.journal.get(BALLOT, vote.hex())
        if kept is not None:
            yield hex_bytes(kept["salt"], "salt", 32)
        yield from self._salts(vote)

    def _salts(self, vote: Hash32) -> list[bytes]:
        """The salt of this vote as far as it can be had again; none from a wallet that signs differently each time."""
        kept = self.journal.get(RANDOM_SALT, vote.hex())
        if kept is not None:
            return [ballot_salt(hex_bytes(kept["material"], "random salt", 32))]
        message = ballot_secret_typed_data(vote, self.chain.chain_id, self.chain.market)
        first, second = self.keys.sign_typed(message), self.keys.sign_typed(message)
        return [ballot_salt(first)] if first == second else []

    def _why_no_weight(self, view: CaseView) -> str:
        me = self.keys.address
        then, now = self.pool.stake_at(me, view.case.snapshot_at), self.pool.stake_of(me)
        pending = f", {format_amount(now.pending_wei)} pending" if now.pending_wei else ""
        return (
            f"{me} has no weight in the vote on {_subject(view)}: {format_amount(then)} were active when weights were "
            f"fixed, {format_amount(now.active_wei)} are active now{pending}. Stake before the next dispute"
        )


def ruling_in_words(view: CaseView) -> str:
    """How a case ended, or that it has not."""
    if view.is_moot:
        return "the claim was struck before a ruling"
    if view.case.ruling is Ruling.FALLS:
        return "it falls"
    if view.case.ruling is Ruling.STANDS:
        return "it stands"
    if view.case.ruling is Ruling.SPLIT:
        return "neither side has two thirds, so it stands"
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
