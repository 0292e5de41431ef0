"""False claims struck by their own published predictions (M-6), and predictions demanded from who hides them (M-7)."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from dlbc.core.errors import BadInput, ContractRefused, NotFound, Refused, Unavailable, VerificationFailed
from dlbc.core.events import ClaimRevealed, PredictionShown, Receipt
from dlbc.core.phases import duration
from dlbc.core.proofs import proof_digest
from dlbc.core.refutation import ClaimFacts, Demand, Refutation, find_refutation
from dlbc.core.scoring import decode_predictions, predictions_bytes
from dlbc.core.types import Address, ClaimRef, Phase, TaskId, TestSet, Wei
from dlbc.core.units import format_amount
from dlbc.ports import Chain, Pool, Progress, Scorer, Storage, silent
from dlbc.roles.artifacts import FETCH_SECONDS, fetch_manifest, fetch_test_set
from dlbc.roles.cases import account_of
from dlbc.roles.copies import never
from dlbc.roles.loop import Report, unheard
from dlbc.roles.outcome import Agree, Outcome, agreed, not_now

REFUTER_SHARE = 3
"""A refuter gets the struck deposit divided by this (M-6)."""
_Values = NDArray[np.int64]


@dataclass(frozen=True, slots=True)
class Finding:
    """What one revealed claim's own predictions say about it."""

    claim: ClaimRevealed
    result: Refutation | Demand | None
    problem: str = ""  # why its predictions could not be read

    @property
    def miner(self) -> Address:
        """Who claims."""
        return self.claim.proof.miner


@dataclass(frozen=True, slots=True)
class Refuted:
    """What came of refuting a round's false claims."""

    findings: tuple[Finding, ...]
    struck: tuple[Address, ...]  # by us
    receipts: tuple[Receipt, ...]
    earned_wei: Wei  # credited in the market


@dataclass(frozen=True, slots=True)
class Refuter:
    """Holds every revealed claim against its own predictions and the committed labels."""

    chain: Chain
    pool: Pool
    storage: Storage
    trainer: Scorer
    report: Report = unheard
    agree: Agree = agreed
    progress: Progress = silent
    fetch_seconds: float = FETCH_SECONDS
    is_late: Callable[[], bool] = never
    """From then on no more claims are looked at: a thousand of them must not cost what is known of the leader's."""

    def refute(self, task_id: TaskId) -> Refuted:
        """Strikes every claim of the current round that is provably false. Needs no bond."""
        me, task = account_of(self.pool), self.chain.task(task_id)
        findings = self.find(task_id)
        struck: list[Address] = []
        receipts: list[Receipt] = []
        for finding in findings:
            found = finding.result
            if not isinstance(found, Refutation):
                continue
            try:
                receipt = self.pool.refute(ref_of(finding.claim), found.index, found.leaf, found.path, found.label)
            except ContractRefused as error:
                if not self.chain.entry(task_id, task.round, finding.miner).is_struck:
                    raise
                self.report("refused", task_id=task_id, reason=str(error))  # somebody else was faster
                continue
            struck.append(finding.miner)
            receipts.append(receipt)
            self.report(
                "claim_refuted",
                task_id=task_id,
                miner=finding.miner,
                fault=found.fault.name,
                index=found.index,
                account=me,
                tx=receipt.tx_hash,
                gas=receipt.gas_used,
            )
        earned = task.deposit_wei // REFUTER_SHARE * len(struck)
        return Refuted(tuple(findings), tuple(struck), tuple(receipts), Wei(earned))

    def find(self, task_id: TaskId) -> list[Finding]:
        """What each unstruck, qualifying claim of the round says of itself, the leader first. Changes nothing.

        Raises Refused before the release or after the task's end, VerificationFailed if the test set is a false one.
        """
        task, phase = self.chain.task(task_id), self.chain.phase(task_id)
        released = self.chain.released(task_id, task.round)
        if phase.phase.is_cold or released is None:
            raise not_now(
                phase.phase,
                Phase.REVEALING,
                f"task {task_id} is in {phase.phase.label}: claims can be refuted from their reveal to their "
                "settlement",
            )
        posted = self.chain.task_posted(task_id)
        manifest = fetch_manifest(self.storage, posted, timeout=self.fetch_seconds)
        committed = self.chain.round(task_id, task.round).test_commitment
        test = fetch_test_set(self.storage, self.trainer, manifest, released, committed, timeout=self.fetch_seconds)
        shown = self.pool.shown(task_id, task.round)
        leader = self.chain.round(task_id, task.round).leader
        claims = sorted(self.chain.reveals(task_id, task.round), key=lambda event: event.proof.miner != leader)
        findings: list[Finding] = []
        for done, claim in enumerate(claims):
            if self.is_late():
                break
            self.progress(f"refuting in task {task_id}", done, len(claims))
            if self._may_be_struck(claim):
                findings.append(self._look(claim, released.test_set, test.y, shown))
        self.progress(f"refuting in task {task_id}", len(claims), len(claims))
        return findings

    def demand(self, task_id: TaskId, index: int, miner: Address | None = None) -> Outcome:
        """Asks the leader to show one prediction; what is asked or shown already is not asked again.

        Raises Refused when nothing can be demanded now, or of this miner.
        """
        me, task = account_of(self.pool), self.chain.task(task_id)
        round_, phase = self.chain.round(task_id, task.round), self.chain.phase(task_id)
        asked = miner or round_.leader
        answer = next((found for found in self._shown(task_id, task.round, asked) if found.index == index), None)
        if answer is not None:
            return Outcome(
                f"Sample {index} was shown already: prediction {answer.leaf.prediction}, score {answer.leaf.score}. "
                f"`dlbc audit {task_id} --refute` uses it."
            )
        demander = self.pool.demander(task_id, task.round, asked, index)
        if demander is not None:
            who = "this account" if demander == me else demander
            left = duration(round_.demand_end - self.chain.now())
            return Outcome(f"Sample {index} was demanded already, by {who}; it must be shown within {left}.")
        if phase.phase not in (Phase.OPENING, Phase.CHALLENGE) or phase.due or asked != round_.leader:
            raise not_now(
                phase.phase,
                Phase.OPENING,
                f"task {task_id} is in {phase.phase.label}: a prediction can be demanded only of the leader, during "
                "Opening and Challenge" + (f"; {asked} does not lead" if asked != round_.leader else ""),
            )
        if not 0 <= index < round_.samples:
            raise BadInput(f"--sample: expected 0 to {round_.samples - 1}, found {index}")
        claim = next((event for event in self.chain.reveals(task_id, task.round) if event.proof.miner == asked), None)
        if claim is None:
            raise NotFound(f"the reveal of {asked} is not in the node's log; is it in sync?")
        bond, balance = self.pool.params().demand_bond_wei, self.chain.balance(me)
        if balance < bond:
            raise Refused(f"a demand's bond is {format_amount(bond)}, {me} holds {format_amount(balance)}")
        self.agree(
            f"Demand sample {index} of {asked} with a bond of {format_amount(bond)}? Whoever shows it gets the bond"
        )
        receipt = self.pool.demand(ref_of(claim), index, bond)
        self.report("prediction_demanded", task_id=task_id, index=index, tx=receipt.tx_hash, gas=receipt.gas_used)
        return Outcome(
            f"Demanded sample {index} of {asked}, with a bond of {format_amount(bond)}. It must be shown within "
            f"{duration(task.open_seconds)}, or the claim is struck and the bond comes back.",
            (receipt,),
            bond,
        )

    # ------------------------------------------------------------------ inside

    def _may_be_struck(self, event: ClaimRevealed) -> bool:
        entry = self.chain.entry(event.proof.task_id, event.proof.round, event.proof.miner)
        return entry.has_revealed and entry.qualifies and not entry.is_struck

    def _look(
        self, claim: ClaimRevealed, test_set: TestSet, labels: _Values, shown: Sequence[PredictionShown]
    ) -> Finding:
        digest = proof_digest(claim.proof, self.chain.chain_id, self.chain.market)
        facts = ClaimFacts(digest, claim.h_top, claim.claim.total, test_set)
        problem = ""
        try:
            predictions, scores = self._published(claim, len(labels))
        except (Unavailable, BadInput, VerificationFailed) as error:
            # Nothing readable is published: hold the claim against an empty list, which leads to a demand.
            predictions, scores, problem = np.zeros_like(labels), np.zeros_like(labels), str(error)
        answers = [answer for answer in shown if answer.miner == claim.proof.miner]
        return Finding(claim, find_refutation(facts, predictions, scores, labels, answers), problem)

    def _published(self, claim: ClaimRevealed, count: int) -> tuple[_Values, _Values]:
        data = self.storage.fetch(
            claim.claim.predictions, max_bytes=predictions_bytes(count), timeout=self.fetch_seconds
        )
        return decode_predictions(data, count)

    def _shown(self, task_id: TaskId, round_index: int, miner: Address) -> list[PredictionShown]:
        return [answer for answer in self.pool.shown(task_id, round_index) if answer.miner == miner]


def ref_of(claim: ClaimRevealed) -> ClaimRef:
    """What names a revealed claim in the pool's calls."""
    return ClaimRef(claim.proof, claim.claim, claim.h_top)
