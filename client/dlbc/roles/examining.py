"""One look at what an auditor may have to vote on: the audit, and what the claims of the round say of themselves."""

from __future__ import annotations

from dataclasses import dataclass

from dlbc.core.errors import Refused, Unavailable, VerificationFailed
from dlbc.core.examination import Examination, Subject
from dlbc.core.refutation import Demand, Refutation
from dlbc.core.types import ZERO_ADDRESS, TaskId
from dlbc.roles.auditor import Auditor
from dlbc.roles.refuting import Refuter


@dataclass(frozen=True, slots=True)
class Examiner:
    """Looks, sends nothing, needs no account."""

    auditor: Auditor
    refuter: Refuter

    def examine(self, task_id: TaskId, *, test_set: bool = False) -> Examination:
        """The opened claim of the current round, or its released test set. Raises Refused when there is none."""
        chain = self.auditor.chain
        index = chain.task(task_id).round
        if test_set:
            return Examination(Subject(task_id, index, ZERO_ADDRESS), self.auditor.audit_test_set(task_id, index))
        report = self.auditor.audit(task_id, index)
        refuted, withheld = [], None
        try:
            findings = self.refuter.find(task_id)
        except (Refused, Unavailable, VerificationFailed):
            findings = []  # it is over meanwhile, or its test set can't be had: the audit's own checks say so
        for finding in findings:
            if isinstance(finding.result, Refutation):
                refuted.append(finding.miner)
            elif isinstance(finding.result, Demand) and finding.miner == report.miner:
                withheld = finding.result.index
        return Examination(
            Subject(task_id, index, report.miner), report.checks, report.contradicted, tuple(refuted), withheld
        )
