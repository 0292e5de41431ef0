"""Disputes of an opened claim (P-52), impeachments of a released test set (P-45), and the evidence for both."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from dlbc.core.disputes import MAX_DISPUTED_SAMPLES, dispute_bond
from dlbc.core.errors import BadInput, NotFound, Refused
from dlbc.core.grounds import NO_GROUND, grounds_of, speaks_against_the_test_set
from dlbc.core.hashing import sha256
from dlbc.core.phases import duration
from dlbc.core.proofs import case_id
from dlbc.core.report import Check
from dlbc.core.types import ZERO_ADDRESS, Address, Ground, Locator, Phase, Task, TaskId, Wei
from dlbc.core.units import format_amount
from dlbc.ports import Chain, Pool, Storage
from dlbc.roles.auditor import Auditor
from dlbc.roles.cases import account_of
from dlbc.roles.evidence import MAX_ATTACHMENT_BYTES, Attachment, Evidence, evidence_to_bytes, ground_names
from dlbc.roles.loop import Report, unheard
from dlbc.roles.outcome import Agree, Outcome, agreed, not_now


@dataclass(frozen=True, slots=True)
class Disputer:
    """One account that objects."""

    chain: Chain
    pool: Pool
    storage: Storage
    auditor: Auditor
    report: Report = unheard
    agree: Agree = agreed

    def dispute(
        self,
        task_id: TaskId,
        grounds: Ground = NO_GROUND,
        samples: Sequence[int] = (),
        attachment: Path | None = None,
    ) -> Outcome:
        """Audits the opened claim and disputes it on the grounds that the audit gives, and on those named.

        Raises Refused when there are none, when nothing can be disputed now, or when the account can't pay the bond.
        """
        me, task = account_of(self.pool), self.chain.task(task_id)
        round_, phase = self.chain.round(task_id, task.round), self.chain.phase(task_id)
        if phase.phase is not Phase.CHALLENGE or self.chain.now() >= round_.challenge_end:
            raise not_now(
                phase.phase,
                Phase.CHALLENGE,
                f"task {task_id} is in {phase.phase.label}: a claim can be disputed only during Challenge, between its "
                "opening and the settlement or the vote",
            )
        if self.pool.has_filed(case_id(task_id, task.round, round_.leader), me):
            return Outcome(f"This account has disputed the claim of {round_.leader} already; nothing was sent.")
        _check_samples(samples, round_.samples)
        report = self.auditor.audit(task_id)
        found = grounds_of(report.checks) | grounds | (Ground.SAMPLES if samples else NO_GROUND)
        if not found:
            failed = [check.name for check in report.checks if not check.ok]
            why = f"these do not hold, but no vote decides them: {', '.join(failed)}" if failed else "all of it holds"
            raise Refused(
                f"the audit of task {task_id} gives no ground for a dispute ({why}); name one with --ground if you "
                "know better"
            )
        samples = samples or report.contradicted
        if Ground.SAMPLES in found and not samples:
            raise BadInput("--ground samples: say which with --sample, up to eight times")
        return self.file_dispute(task_id, found, samples, report.checks, attachment)

    def file_dispute(
        self,
        task_id: TaskId,
        grounds: Ground,
        samples: Sequence[int],
        checks: Sequence[Check],
        attachment: Path | None = None,
    ) -> Outcome:
        """Disputes the leader's claim by what somebody has found out already."""
        task = self.chain.task(task_id)
        round_ = self.chain.round(task_id, task.round)
        named = ", ".join(ground_names(grounds))
        evidence = self._evidence(task_id, task, round_.leader, grounds, samples, checks, attachment)
        bond = dispute_bond(task.bounty_wei)
        self._check_balance(account_of(self.pool), bond)
        self.agree(
            f"Dispute the claim of {round_.leader} on {named} with a bond of {format_amount(bond)}? It is lost if more "
            "than half of the stake that votes finds that the claim stands"
        )
        locator = self.storage.add(evidence)
        receipt = self.pool.dispute(task_id, int(grounds), locator, samples, bond)
        self.report("claim_disputed", task_id=task_id, grounds=named, tx=receipt.tx_hash, gas=receipt.gas_used)
        begins = duration(round_.challenge_end - self.chain.now())
        return Outcome(
            f"Disputed the claim of {round_.leader} on {named}, with a bond of {format_amount(bond)}. Auditors vote in "
            f"{begins}.",
            (receipt,),
            bond,
        )

    def impeach(self, task_id: TaskId, attachment: Path | None = None, *, although_right: bool = False) -> Outcome:
        """Checks the released test set and impeaches it if it is not the promised one.

        although_right: even if every check passes here. Raises Refused like `dispute`.
        """
        me, task, phase = account_of(self.pool), self.chain.task(task_id), self.chain.phase(task_id)
        if phase.phase is not Phase.REVEALING or phase.due:
            raise not_now(
                phase.phase,
                Phase.REVEALING,
                f"task {task_id} is in {phase.phase.label}: a test set can be impeached only during Revealing, right "
                "after its release",
            )
        if self.pool.has_filed(case_id(task_id, task.round, ZERO_ADDRESS), me):
            return Outcome(f"This account has impeached the test set of task {task_id} already; nothing was sent.")
        checks = self.auditor.audit_test_set(task_id)
        if not speaks_against_the_test_set(checks) and not although_right:
            raise Refused(
                f"the test set of task {task_id} is the promised one as far as this client can see; add --force if you "
                "know better"
            )
        return self.file_impeachment(task_id, checks, attachment)

    def file_impeachment(self, task_id: TaskId, checks: Sequence[Check], attachment: Path | None = None) -> Outcome:
        """Impeaches the released test set by what somebody has found out already."""
        task, phase = self.chain.task(task_id), self.chain.phase(task_id)
        evidence = self._evidence(task_id, task, ZERO_ADDRESS, NO_GROUND, (), checks, attachment)
        bond = dispute_bond(task.bounty_wei)
        self._check_balance(account_of(self.pool), bond)
        self.agree(
            f"Impeach the test set of task {task_id} with a bond of {format_amount(bond)}? It is lost if more "
            "than half of the stake that votes finds it right"
        )
        locator = self.storage.add(evidence)
        receipt = self.pool.impeach(task_id, locator, bond)
        self.report("test_set_impeached", task_id=task_id, tx=receipt.tx_hash, gas=receipt.gas_used)
        begins = duration(phase.ends_at - self.chain.now())
        return Outcome(
            f"Impeached the test set of task {task_id}, with a bond of {format_amount(bond)}. Auditors vote in "
            f"{begins}.",
            (receipt,),
            bond,
        )

    def _evidence(
        self,
        task_id: TaskId,
        task: Task,
        subject: Address,
        grounds: Ground,
        samples: Sequence[int],
        checks: Sequence[Check],
        attachment: Path | None,
    ) -> bytes:
        return evidence_to_bytes(
            Evidence(
                chain_id=self.chain.chain_id,
                market=self.chain.market,
                task_id=task_id,
                round=task.round,
                subject=subject,
                grounds=grounds,
                samples=tuple(samples),
                checks=tuple(checks),
                reproduce=f"dlbc audit {task_id} --round {task.round}",
                attachments=() if attachment is None else (self._attach(attachment),),
            )
        )

    def _attach(self, file: Path) -> Attachment:
        try:
            with file.open("rb") as stream:
                data = stream.read(MAX_ATTACHMENT_BYTES + 1)
        except FileNotFoundError as error:
            raise NotFound(f"evidence file {file} does not exist; nothing was sent") from error
        except OSError as error:
            raise BadInput(f"evidence file {file} can't be read: {error.strerror}") from error
        if len(data) > MAX_ATTACHMENT_BYTES:
            raise BadInput(f"evidence file {file}: expected at most {MAX_ATTACHMENT_BYTES} bytes, found more")
        return Attachment(Locator(self.storage.add(data)), sha256(data), len(data))

    def _check_balance(self, account: Address, bond: Wei) -> None:
        balance = self.chain.balance(account)
        if balance < bond:
            raise Refused(
                f"the bond is {format_amount(bond)}, {account} holds {format_amount(balance)}; nothing was sent"
            )


def parse_ground(text: str) -> Ground:
    """A ground as the command line spells it, e.g. "no-watermark". Raises BadInput."""
    name = text.upper().replace("-", "_")
    if name not in Ground.__members__:
        raise BadInput(f"--ground: expected one of {', '.join(ground_names(127))}, found {text[:40]!r}")
    return Ground[name]


def _check_samples(samples: Sequence[int], count: int) -> None:
    if len(samples) > MAX_DISPUTED_SAMPLES:
        raise BadInput(f"--sample: expected at most {MAX_DISPUTED_SAMPLES}, found {len(samples)}")
    for index in samples:
        if not 0 <= index < count:
            raise BadInput(f"--sample: expected 0 to {count - 1}, found {index}")
    if len(set(samples)) != len(samples):
        raise BadInput("--sample: each may be named once")
